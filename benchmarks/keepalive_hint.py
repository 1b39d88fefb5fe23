"""Does ``Keep-Alive: timeout=N`` in responses save requests that meet the idle timeout's close?

Method: each client has forty workers, each with a connection of its own, that think about as long as the server's idle
timeout (5 s; from 1.5 s less to 2 s more), at a round trip of 100 ms, their retries off. nginx has a switch for the
field; pyinit announces a second less than its own.

Finding (45 s each; versions as in drain_clients.py): it saves every request of the clients that honour it and would
keep connections for as long as the server or longer. Lost without and with it, nginx: Node's globalAgent (5 s) 6 and
0, an http.Agent with a timeout of 60 s 11 and 0, an undici Pool with keepAliveTimeout of 60 s 6 and 0. undici and
fetch by themselves let go after 4 s, and lose none either way. An http.Agent without a timeout, curl, urllib3, aiohttp,
httpx and Go do not look at it, and lose some percent either way. From pyinit, which announces it, the five that do
look lost none.

The price: Node takes a second off and undici two, and both keep no connection where nothing is left, so that an
--idle-timeout of 2 or 3 s means a connect for each request of undici's. At 75 s undici and fetch keep an idle
connection for 72 s instead of 4. In a drain it changes nothing: Connection: close goes out there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import link
from client_runs import KINDS, Kind, Load, Outcome, RunningClient, commands, missing
from link import Link
from measuring import machine, say, table
from served_app import Place, Served, Way, nginx, pyinit

_PORT = 8080
# Node's two, as who wants connections kept for longer than the server keeps them.
_KINDS = (
    *KINDS,
    Kind("agent60", "Node `http.Agent`, timeout 60 s", "node", "fails"),
    Kind("undici60", "undici `Pool`, keepAliveTimeout 60 s", "node", "fails"),
)


def run_one(
    way: Way, delay_s: float, clients: dict[str, list[str]], load: Load, seconds: float
) -> dict[str, Outcome]:
    """All clients at once for so long, and no stop."""
    outcomes = {name: Outcome() for name in clients}
    with tempfile.TemporaryDirectory() as folder, Link(delay_s) as between:
        place = Place(between.server.address, _PORT, _PORT + 1, between.server.command([]))
        url = f"http://{place.address}:{place.port}/"
        running: dict[str, RunningClient] = {}
        try:
            with Served(way, place, Path(folder)):
                for name, command in clients.items():
                    words = between.client.command(command)
                    running[name] = RunningClient(words, name, url, load, "apart")
                time.sleep(seconds)  # how long it is looked at
                for name, client in running.items():
                    outcomes[name].add(client.finish())
        finally:
            for client in running.values():
                client.kill()
    return outcomes


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--clients", default=",".join(kind.name for kind in _KINDS), help="those that are there"
    )
    parser.add_argument("--servers", default="nginx,hinting,pyinit", help="hinting: nginx that announces")
    parser.add_argument("--idle-timeout", type=int, default=5, help="whole seconds")
    parser.add_argument("--delay-ms", type=float, default=50.0, help="one way")
    parser.add_argument("--connections", type=int, default=40, help="of each client")
    parser.add_argument("--seconds", type=float, default=45.0, help="of each server")
    arguments = parser.parse_args()
    if problem := link.missing():
        parser.error(problem)
    idle_s = arguments.idle_timeout
    known = {
        "nginx": nginx(f"keepalive_timeout {idle_s}s;", "nginx"),
        "hinting": nginx(f"keepalive_timeout {idle_s}s {idle_s - 1}s;", f"nginx, `timeout={idle_s - 1}`"),
        "pyinit": pyinit("--idle-timeout", str(idle_s)),
    }
    ways = [known[name] for name in arguments.servers.split(",")]
    ways = [way for way in ways if shutil.which(way.program)]
    kinds = [kind for kind in _KINDS if kind.name in arguments.clients.split(",") and not missing(kind)]
    load = Load(arguments.connections, idle_s - 1.5, idle_s + 2.0)
    rows = {kind.name: [kind.label] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        clients = commands(kinds, Path(folder))
        for way in ways:
            say(way.label)
            outcomes = run_one(way, arguments.delay_ms / 1000, clients, load, arguments.seconds)
            for name, outcome in outcomes.items():
                rows[name].append(f"{outcome}; {outcome.counts['connections']} connections")
    print(f"{machine()}\nIdle timeout {idle_s} s, {arguments.delay_ms * 2:g} ms round trip\n")
    print(table(["client", *(way.label for way in ways)], rows.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

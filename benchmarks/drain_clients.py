"""What do real clients lose that go on with kept connections across a stop?

Method: nine clients at once, each a process with its own pool of connections (24), whose workers send a request, think
for uniform(0, --think) seconds, and send the next, across a link of benchmarks/link.py. Their own retries are off,
where there is a switch (Go is sent a POST, which it does not repeat; curl has none, and says what it repeats). Once
each worker has had three answers the server gets its signal. Lost is a request that was sent on an established
connection and not answered with 200; a refused connect is harmless and not counted. Servers and networks take turns.

Finding (5 stops; Python 3.11.7, uvloop 0.23.0, Node 20.20.2, undici 6.29.1, curl 7.88.1, urllib3 2.8.0, aiohttp 3.14.5,
httpx 0.28.1, Go 1.19.8, nginx 1.22.1): every client loses requests to a FIN that crosses them on the way, whoever
sends it: in five stops of 216 connections Node's own cost 120, nginx's 112, pyinit's with --idle-grace 0 115 (with 2 %
of packets lost 147, 141 and 150). With the grace of 1 s it was none, of 7,213 and of 10,636. It is worth that to
clients that think for less than the grace.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import link
from client_runs import KINDS, Kind, Load, Outcome, RunningClient, commands, missing
from link import Link
from measuring import machine, say, table
from served_app import EXAMPLE, Place, Served, Way, free_port, nginx, node, pyinit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

WAYS = {
    "pyinit": pyinit(),
    "grace0": pyinit("--idle-grace", "0"),
    "node": node(EXAMPLE, "Node, `close()` and `closeIdleConnections()`"),
    "nginx": nginx(),
}
_PORT = 8080


class Network(NamedTuple):
    """Between clients and server; no delay is loopback."""

    delay_s: float
    loss: float

    def __str__(self) -> str:
        """As a person says it."""
        if not self.delay_s:
            return "loopback"
        return f"{self.delay_s * 2000:g} ms round trip" + (f", {self.loss:.0%} lost" if self.loss else "")


NETWORKS = {"loopback": Network(0, 0), "rtt20": Network(0.01, 0), "lossy": Network(0.01, 0.02)}


class Stops:
    """All that is stopped in one network, and what has come of it, by way and client."""

    def __init__(self, network: Network, ways: Sequence[str], kinds: Sequence[Kind]) -> None:
        self.network = network
        self.outcomes = {(way, kind.name): Outcome() for way in ways for kind in kinds}
        self.exits_s: dict[str, list[float]] = {way: [] for way in ways}


def run_one(
    way: Way, network: Network, clients: dict[str, list[str]], load: Load, options: list[str]
) -> tuple[dict[str, dict[str, int | dict[str, int]]], float]:
    """One stop under all clients at once; what each has told, and the seconds to the exit."""
    with_link: AbstractContextManager[Link | None] = (
        Link(network.delay_s, network.loss) if network.delay_s else nullcontext()
    )
    with tempfile.TemporaryDirectory() as folder, with_link as between:
        if between is None:
            place = Place("127.0.0.1", free_port(), free_port(), [])
            prefix: list[str] = []
        else:
            place = Place(between.server.address, _PORT, _PORT + 1, between.server.command([]))
            prefix = between.client.command([])
        url = f"http://{place.address}:{place.port}/"
        running: dict[str, RunningClient] = {}
        try:
            with Served(way, place, Path(folder)) as served:
                for name, command in clients.items():
                    running[name] = RunningClient([*prefix, *command], name, url, load, *options)
                for client in running.values():
                    client.wait_warm()
                exit_s = served.stop()
                return {name: client.finish() for name, client in running.items()}, exit_s
        finally:
            for client in running.values():
                client.kill()


def show(stops: Stops, kinds: Sequence[Kind], ways: Sequence[str]) -> str:
    """The figures of one network."""
    rows = [
        [kind.label, kind.by_itself, *(str(stops.outcomes[way, kind.name]) for way in ways)] for kind in kinds
    ]
    exits = (f"{statistics.median(stops.exits_s[way]):.1f} s" for way in ways)
    rows.append(["signal to exit, median", "", *exits])
    lines = [
        f"**{stops.network}**",
        "",
        table(["client", "by itself", *(WAYS[way].label for way in ways)], rows),
    ]
    for (way, name), outcome in stops.outcomes.items():
        if outcome.lost_count():
            retried = outcome.counts["retried"]
            errors = ", ".join(f"{error} {count}" for error, count in outcome.lost.most_common())
            by_itself = f"sent again by itself {retried}" if retried else ""
            lines.append(f"- {way}, {name}: {', '.join(filter(None, (errors, by_itself)))}")
    return "\n".join([*lines, ""])


def chosen(names: str, known: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """What of it is asked for."""
    found = names.split(",")
    if unknown := set(found) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return found


def main() -> int:
    """Print the tables; 1 where a client of pyinit's (with its idle grace) has lost a request."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [kind.name for kind in KINDS]
    parser.add_argument("--clients", default=",".join(names), help="of them, those that are there")
    parser.add_argument("--servers", default=",".join(WAYS))
    parser.add_argument("--networks", default="rtt20,lossy", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--connections", type=int, default=24, help="of each client")
    parser.add_argument("--think", type=float, default=0.5, help="at most so many seconds between requests")
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--retries", action="store_true", help="as clients do by themselves")
    parser.add_argument(
        "--json", action="store_true", help="what each client has told, by server and network"
    )
    arguments = parser.parse_args()
    asked = chosen(arguments.clients, names, parser)
    ways = chosen(arguments.servers, list(WAYS), parser)
    networks = [NETWORKS[name] for name in chosen(arguments.networks, list(NETWORKS), parser)]
    if any(network.delay_s for network in networks) and (problem := link.missing()):
        parser.error(f"{problem}; --networks loopback goes without")
    kinds = [kind for kind in KINDS if kind.name in asked]
    left_out = {kind.name: needed for kind in kinds if (needed := missing(kind))}
    for name, needed in left_out.items():
        say(f"{name} is left out: {needed}")
    kinds = [kind for kind in kinds if kind.name not in left_out]
    for way in [way for way in ways if not shutil.which(WAYS[way].program)]:
        say(f"{WAYS[way].label} is left out: {WAYS[way].program}")
        ways.remove(way)
    load = Load(arguments.connections, 0.0, arguments.think)
    results = [Stops(network, ways, kinds) for network in networks]
    with tempfile.TemporaryDirectory() as folder:
        clients = commands(kinds, Path(folder))
        for number in range(arguments.stops):
            for stops in results:
                for way in ways:
                    say(f"stop {number + 1}, {stops.network}, {WAYS[way].label}")
                    told, exit_s = run_one(
                        WAYS[way], stops.network, clients, load, ["retries"] * arguments.retries
                    )
                    stops.exits_s[way].append(exit_s)
                    for name, counts in told.items():
                        stops.outcomes[way, name].add(counts)
    if arguments.json:
        told_by = [
            {
                "network": str(stops.network),
                "server": way,
                "client": name,
                **outcome.counts,
                "lost": outcome.lost,
            }
            for stops in results
            for (way, name), outcome in stops.outcomes.items()
        ]
        print(json.dumps({"left_out": left_out, "told": told_by}))
    else:
        print(f"{machine()}\n{arguments.stops} stops, {load.connections} connections of each client\n")
        for stops in results:
            print(show(stops, kinds, ways))
    return int(
        any(
            outcome.lost_count()
            for stops in results
            for (way, _), outcome in stops.outcomes.items()
            if way == "pyinit"
        )
    )


if __name__ == "__main__":
    sys.exit(main())

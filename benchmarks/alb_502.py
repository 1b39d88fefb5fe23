"""How many 502s come of a load balancer that keeps connections to its targets for longer than they do?

    python benchmarks/alb_502.py [--seconds S] [--pools N] [--spread-ms MS]

An ALB keeps an idle connection to a target for 60 s, Node one from a client for 5, or 6 where it adds a second to what
it announces. So it is Node that closes, and a request that the balancer has just sent meets the FIN. It cannot know
whether that was served, does not send it again, and answers 502. The window is the way there and back, 1 ms here; who
meets it is the request that comes so long after the one before it.

Method: HAProxy stands in for the balancer (``http-reuse always``, idle connections kept for 60 s, nothing tried
twice), as so many nodes, each with a pool of its own, so that a node's requests are as far apart as its clients send
them: a busy pool's connections are never idle for so long. Each request comes on a connection of its own, as long
after the last one's answer as Node is seen to keep an idle connection, give or take the spread, which puts many into
the window in little time; all timeouts are the real ones. All ways to serve run side by side. The last column follows
from the window that this measures, the share times the whole spread: for a node whose requests come at random, on
average as far apart as that (of all rates the one with the most errors), the share is window / timeout / e.

Finding (Python 3.11.7, HAProxy 2.6.12, Node 20.20.2, which announces 5 s and closes after 6; 120 s, a busy machine):
of 3,000 requests 6 s apart, give or take 20 ms, 125 are answered 502 by Node as it is: a window of 1.7 ms, or one in
9,800 at random. None with a keepAliveTimeout of 65 s, and none from pyinit, which has 75 s for clients and leaves its
own connections to Node a second before it would close them. With --idle-timeout 6 pyinit has 3. At 5 s, where Node was
supposed to close, it has none.

Needs root (link.py), HAProxy, Node.js, and pyinit installed beside the interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import link
from measuring import eventually, machine, say, table
from served_app import EXAMPLE, Place, Served, Way, free_port, node, pyinit

_DELAY_S = 0.0005
FIRST_TARGET, FIRST_POOL = 8000, 10_000
_TIMEOUT_S = 10.0
_FALLBACK = "/usr/sbin"  # Debian's place for HAProxy is not in every user's PATH

# What an app can do by itself, and has to know of.
_LONGER = """
const http = require('node:http');
const { createServer } = http;
http.createServer = (...given) => Object.assign(createServer(...given), { keepAliveTimeout: 65_000 });
require(%s);
"""

_HAPROXY = """
global
  maxconn 4000
  nbthread 1
  stats socket {stats} mode 600 level admin
defaults
  mode http
  timeout connect 3s
  timeout client 75s
  timeout server 75s
  retries 0
  no option redispatch
  http-reuse always
  default-server pool-purge-delay 60s
"""
_POOL = """
listen pool{port}
  bind {client}:{port}
  server target {server}:{target}
"""


class Count(NamedTuple):
    """What became of one way's requests."""

    outcomes: Counter[str]

    @property
    def requests(self) -> int:
        """How many there were."""
        return self.outcomes.total()

    @property
    def failed(self) -> int:
        """How many of them were no 200."""
        return self.requests - self.outcomes["200"]


def node_idle_s() -> float:
    """For how long this Node keeps an idle connection, which is not what it announces."""
    port = free_port()
    with Served(node(EXAMPLE, "Node"), Place("127.0.0.1", port, 0, []), Path.cwd()):
        eventually(lambda: _is_open(port))
        with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            sock.recv(1 << 16)
            since_s = time.monotonic()
            while sock.recv(1 << 16):
                pass
            return time.monotonic() - since_s


def _is_open(port: int) -> bool:
    with socket.socket() as sock:
        return not sock.connect_ex(("127.0.0.1", port))


async def _load(address: str, ports: range, seconds: float, idle_s: float, spread_s: float) -> None:
    """Ask every pool for so long, or once for no seconds; then print what became of each port's requests."""
    outcomes: dict[int, Counter[str]] = {port: Counter() for port in ports}
    if seconds:
        end_s = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(
            *(_ask_pool(address, port, end_s, idle_s, spread_s, outcomes[port]) for port in ports)
        )
    else:
        for port in ports:
            outcomes[port][await _ask(address, port)] += 1
    print(json.dumps(outcomes))


async def _ask_pool(
    address: str, port: int, end_s: float, idle_s: float, spread_s: float, outcomes: Counter[str]
) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(random.random() * idle_s)
    while loop.time() < end_s:
        outcomes[await _ask(address, port)] += 1
        await asyncio.sleep(idle_s + random.uniform(-spread_s, spread_s))


async def _ask(address: str, port: int) -> str:
    """One request on a connection of its own; its status, or how it went wrong."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
    except TimeoutError:
        return "timeout"
    except ConnectionError:
        return "reset"
    finally:
        if writer is not None:
            writer.close()
    return answer[9:12].decode() or "no answer"


def haproxy() -> str:
    """The program."""
    return shutil.which("haproxy") or f"{_FALLBACK}/haproxy"


def configuration(between: link.Link, folder: Path, pools: range, targets: int) -> Path:
    """HAProxy's, as an ALB's nodes: pool n leads to target port FIRST_TARGET + n modulo their number."""
    text = _HAPROXY.format(stats=folder / "stats")
    for port in pools:
        text += _POOL.format(
            port=port,
            client=between.client.address,
            server=between.server.address,
            target=FIRST_TARGET + port % targets,
        )
    path = folder / "haproxy.cfg"
    path.write_text(text)
    return path


def measure(ways: list[Way], pools_each: int, seconds: float, idle_s: float, spread_s: float) -> list[Count]:
    """All ways at once."""
    pools = range(FIRST_POOL, FIRST_POOL + pools_each * len(ways))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        between = stack.enter_context(link.Link(_DELAY_S))
        for number, way in enumerate(ways):
            # Pool 10,000 + n leads to way n modulo their number.
            port = FIRST_TARGET + (FIRST_POOL + number) % len(ways)
            place = Place(between.server.address, port, 0, between.server.command([]))
            stack.enter_context(Served(way, place, folder))
        config = configuration(between, folder, pools, len(ways))
        balancer = subprocess.Popen(
            between.client.command([haproxy(), "-db", "-f", str(config)]), stdin=subprocess.DEVNULL
        )
        stack.callback(balancer.wait)
        stack.callback(balancer.kill)
        eventually((folder / "stats").exists)
        words = [
            sys.executable,
            __file__,
            "--load",
            between.client.address,
            str(pools.start),
            str(pools.stop),
        ]

        def load(length_s: float) -> dict[str, dict[str, int]]:
            done = subprocess.run(
                between.client.command([*words, str(length_s), str(idle_s), str(spread_s)]),
                stdout=subprocess.PIPE,
                check=True,
                timeout=length_s + 60,
            )
            answer: dict[str, dict[str, int]] = json.loads(done.stdout)
            return answer

        eventually(lambda: all(set(seen) == {"200"} for seen in load(0.0).values()))
        counted = load(seconds)
    outcomes = [Counter[str]() for _ in ways]
    for port_text, seen in counted.items():
        outcomes[(int(port_text) - FIRST_POOL) % len(ways)] += Counter(seen)
    return [Count(one) for one in outcomes]


def _rows(ways: list[Way], counts: list[Count], idle_s: float, spread_s: float) -> list[list[str]]:
    rows = []
    for way, count in zip(ways, counts, strict=True):
        share = count.failed / count.requests if count.requests else 0.0
        window_s = share * 2 * spread_s
        at_random = f"1 in {math.e * idle_s / window_s:,.0f}" if window_s else "none"
        kinds = {kind: number for kind, number in count.outcomes.items() if kind != "200"}
        errors = ", ".join(f"{kind}: {number}" for kind, number in kinds.items()) or "none"
        rows.append([way.label, f"{count.requests:,}", errors, f"{share:.2%}", at_random])
    return rows


def main() -> int:
    """Print the table; or be the load."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="of load [120]")
    parser.add_argument("--pools", type=int, default=150, help="of each way to serve [150]")
    parser.add_argument("--spread-ms", type=float, default=20.0, help="give or take [20]")
    parser.add_argument("--load", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        address, first, last, *times = arguments.load
        seconds, idle_s, spread_s = map(float, times)
        asyncio.run(_load(address, range(int(first), int(last)), seconds, idle_s, spread_s))
        return 0
    problem = link.missing()
    if problem:
        parser.error(problem)
    for program in ("haproxy", "node"):
        if not shutil.which(program) and not shutil.which(program, path=_FALLBACK):
            parser.error(f"no {program}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory() as folder:
        longer = Path(folder) / "longer.js"
        longer.write_text(_LONGER % json.dumps(EXAMPLE))
        idle_s = round(node_idle_s(), 1)
        ways = [
            node(EXAMPLE, f"Node: {idle_s:g} s"),
            node(str(longer), "Node, `server.keepAliveTimeout = 65_000`"),
            pyinit()._replace(label="**pyinit: 75 s**, in front of the Node of the first row"),
            pyinit("--idle-timeout", f"{idle_s:g}")._replace(label=f"pyinit, `--idle-timeout {idle_s:g}`"),
        ]
        say(f"{arguments.seconds:g} s, {arguments.pools} pools for each of {len(ways)}")
        spread_s = arguments.spread_ms / 1000
        counts = measure(ways, arguments.pools, arguments.seconds, idle_s, spread_s)
    print(
        f"{machine()}\n\nRequests {idle_s:g} s apart on a connection, within {arguments.spread_ms:g} ms"
        f" more or less; {_DELAY_S * 2000:g} ms round trip\n"
    )
    heads = [
        "target",
        "requests",
        "errors",
        "share",
        f"of requests at random, one each {idle_s:g} s on average",
    ]
    print(table(heads, _rows(ways, counts, idle_s, spread_s)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

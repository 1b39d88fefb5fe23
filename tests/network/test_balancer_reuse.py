"""The 502 of a load balancer that sends over a kept connection just as its target closes it, made to happen.

The way between is held up: Node closes the idle connection, the balancer does not hear of it and sends a request over
it, and both pass each other. benchmarks/alb_502.py counts how often that happens by itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import alb_502
import pytest
import served_app
from link import End, Link

from tests.support.front import DEADLINE_S
from tests.support.haproxy import PROGRAM
from tests.support.http_client import Client
from tests.support.namespace import inside
from tests.support.process import eventually

pytestmark = [
    pytest.mark.link,
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="need haproxy"),
]

_ESTABLISHED = "01"


@contextmanager
def balanced(way: served_app.Way, folder: Path) -> Iterator[Link]:
    """One target behind a balancer's node, which is at the client's end, on FIRST_POOL."""
    with ExitStack() as stack:
        between = stack.enter_context(Link(0.0005))
        server = between.server
        place = served_app.Place(server.address, alb_502.FIRST_TARGET, 0, server.command([]))
        stack.enter_context(served_app.Served(way, place, folder))
        pools = range(alb_502.FIRST_POOL, alb_502.FIRST_POOL + 1)
        config = alb_502.configuration(between, folder, pools, targets=1)
        words = between.client.command([alb_502.haproxy(), "-db", "-f", str(config)])
        balancer = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        stack.callback(balancer.wait)
        stack.callback(balancer.kill)
        eventually((folder / "stats").exists)
        eventually(lambda: is_answered(between))
        yield between


def ask(between: Link) -> int:
    """One request to the balancer, on a connection of its own; the status."""
    with inside(between.client.namespace):
        client = Client(alb_502.FIRST_POOL, between.client.address)
    with client:
        return client.get("/", "Connection: close").status


def is_answered(between: Link) -> bool:
    """Whether the balancer listens, and its target too."""
    try:
        return ask(between) == 200
    except ConnectionRefusedError:
        return False


def connections(end: End) -> list[tuple[bool, int]]:
    """The end's established ones: whether the target's public port is in them, and bytes not acknowledged."""
    with inside(end.namespace):
        rows = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]]
    port = f":{alb_502.FIRST_TARGET:04X}"
    return [
        (row[1].endswith(port) or row[2].endswith(port), int(row[4].partition(":")[0], 16))
        for row in rows
        if row[3] == _ESTABLISHED
    ]


def ask_when_idle_for_too_long(between: Link, *, left: int) -> int:
    """The status of a request that the balancer sends when Node has let go of what it kept, and nobody has heard of it.

    Args:
        between: the way, which is held up meanwhile.
        left: how many of the balancer's connections to the target are still open at the target's end then.
    """
    with ThreadPoolExecutor(1) as client:
        with between.frozen():
            eventually(lambda: [is_public for is_public, _ in connections(between.server)] == [True] * left)
            asked = client.submit(ask, between)
            eventually(lambda: any(is_public and size for is_public, size in connections(between.client)))
        return asked.result(DEADLINE_S)


def test_node_closes_under_the_balancers_request_and_its_client_gets_502(tmp_path: Path) -> None:
    with balanced(served_app.node(served_app.EXAMPLE, "Node"), tmp_path) as between:
        assert ask_when_idle_for_too_long(between, left=0) == 502


def test_behind_pyinit_the_same_request_is_answered(tmp_path: Path) -> None:
    with balanced(served_app.pyinit(), tmp_path) as between:
        assert ask_when_idle_for_too_long(between, left=1) == 200

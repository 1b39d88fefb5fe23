"""A request that the way loses is answered in a drain all the same, however late its client's kernel sends it again.

A SYN-ACK is lost first each time: after that the client's kernel takes the way to be a second long.
"""

from __future__ import annotations

import pytest
from link import Link

from tests.support.far_front import connected, far_node

pytestmark = [pytest.mark.link, pytest.mark.node, pytest.mark.slow]

WAY_S = 0.01
HELLO = "http.createServer((q,s)=>s.end('hello'))"
LISTEN = ("--listen", "10.9.0.2:0", "--stop-timeout", "30")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_first_request_of_a_connection_lost_twice(workers: str) -> None:
    lost = ("SA", "PA", "PA")
    with (
        Link(WAY_S, lose=lost) as link,
        far_node(link, HELLO, *LISTEN, "--workers", workers) as app,
        connected(link, ("10.9.0.2", app.port)) as client,
    ):
        client.request("/")
        app.signal()
        answer = client.response()
        assert (answer.status, answer.body, answer.get("connection")) == (200, b"hello", "close")
        assert app.wait() == 0


def test_the_last_request_of_an_idle_connection() -> None:
    lost = ("SA", "+PA", "+PA", "PA")  # the first request and its answer arrive
    with (
        Link(WAY_S, lose=lost) as link,
        far_node(link, HELLO, *LISTEN) as app,
        connected(link, ("10.9.0.2", app.port)) as client,
    ):
        assert client.get("/").body == b"hello"
        client.request("/")
        app.signal()
        answer = client.response()
        assert (answer.status, answer.body, answer.get("connection")) == (200, b"hello", "close")
        assert app.wait() == 0

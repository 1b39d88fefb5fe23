"""Sidecar mode: the same proxy and drain without a child."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.front import EXAMPLE, front
from tests.support.http_client import Client, eventually, free_port

pytestmark = pytest.mark.node


@contextmanager
def app_at(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The example app, in a process that is not ours to init."""
    process = subprocess.Popen(
        ["node", str(EXAMPLE)],
        env={"PORT": str(port), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_an_upstream_that_comes_goes_and_comes_back_is_served_as_soon_as_it_is_there() -> None:
    port = free_port()
    with front("--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{port}") as sidecar:
        public = int(sidecar.wait_event("listener.bound")["address"].rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            Client(public)
        with app_at(port):
            sidecar.wait_event("app.ready")
            with Client(public) as client:
                assert client.get("/").status == 200
        with Client(public) as client:
            answer = client.get("/")
            assert answer.status == 502
            assert b"no connection to the app" in answer.body
        with app_at(port), Client(public) as client:
            assert client.get("/").status == 200


def test_a_drain_finishes_what_is_in_flight_and_exits_0() -> None:
    port = free_port()
    with app_at(port), front("--listen", "127.0.0.1:0", "--upstream", str(port)) as sidecar:
        slow, idle = Client(sidecar.port), Client(sidecar.port)
        assert idle.get("/").status == 200
        slow.request("/slow?ms=500")
        eventually(slow.is_open, "sent")
        with Client(sidecar.port) as other:
            assert other.get("/").status == 200, "the slow one has been read by now"
        sidecar.signal(signal.SIGTERM)
        answer = slow.response()
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert idle.ends() == "fin"
        assert sidecar.wait() == 0
        assert sidecar.wait_event("drain.finished")["exchanges_finished"] == 1


def test_a_stop_before_the_upstream_is_there_exits_0() -> None:
    with front("--listen", "127.0.0.1:0", "--upstream", str(free_port())) as sidecar:
        sidecar.wait_event("listener.bound")
        assert sidecar.stop() == 0

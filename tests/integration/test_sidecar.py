"""Sidecar mode: the same proxy and drain without a child."""

import signal

import pytest

from tests.support.front import front
from tests.support.http_client import Client, eventually, free_port
from tests.support.plain_app import plain_app

pytestmark = pytest.mark.node


def test_an_upstream_that_comes_goes_and_comes_back_is_served_as_soon_as_it_is_there() -> None:
    port = free_port()
    with front("--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{port}") as sidecar:
        public = int(sidecar.wait_event("listener.bound")["address"].rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            Client(public)
        with plain_app({"PORT": str(port)}):
            sidecar.wait_event("app.ready")
            with Client(public) as client:
                assert client.get("/").status == 200
        with Client(public) as client:
            answer = client.get("/")
            assert answer.status == 502
            assert b"no connection to the app" in answer.body
        with plain_app({"PORT": str(port)}), Client(public) as client:
            assert client.get("/").status == 200


def test_a_drain_finishes_what_is_in_flight_and_exits_0() -> None:
    port = free_port()
    with plain_app({"PORT": str(port)}), front("--listen", "127.0.0.1:0", "--upstream", str(port)) as sidecar:
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

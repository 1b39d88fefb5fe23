"""A fault of our own in a phase of the stop, or in PID 1's core: the stop goes on, the app is signalled, we exit."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.front import Front
from tests.support.http_client import Client

pytestmark = pytest.mark.node

APP = (
    "process.on('SIGTERM',()=>process.exit(7));"
    "require('http').createServer((q,s)=>s.end('hello')).listen(process.env.PORT,'127.0.0.1')"
)
# Runs pyinit with one of its functions replaced by one that fails.
FAULTY = """
import sys
from pyinit import __main__ as start
module, owner, name = sys.argv[1].split(':')
def fail(*args, **kwargs):
    raise RuntimeError('injected')
import importlib
target = getattr(importlib.import_module(module), owner)
setattr(target, name, fail)
sys.argv[:] = ['pyinit', *sys.argv[2:]]
start.main()
"""


class Faulty(Front):
    """A pyinit in which one function always raises."""

    def __init__(self, place: str, *arguments: str) -> None:
        self._place = place
        super().__init__(arguments)

    def _command(self, arguments: list[str]) -> list[str]:
        return [sys.executable, "-c", FAULTY, self._place, *arguments]


def pid_exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@contextmanager
def faulty(place: str, *arguments: str) -> Iterator[Faulty]:
    """That, with the app behind it, ended at the end."""
    running = Faulty(place, "--listen", "127.0.0.1:0", *arguments, "--", "node", "-e", APP)
    try:
        yield running
    finally:
        running.close()


@pytest.mark.parametrize(
    "name",
    [
        "announce_stop",
        "stop_accepting",
        "close_idle",
        "close_streams",
        "close_pool",
        "cut",
        "abort",
        "_check_quiet",
    ],
)
def test_a_fault_in_a_phase_of_the_stop_does_not_stop_the_stop(name: str) -> None:
    with faulty(f"pyinit.proxy.server:ProxyServer:{name}", "--stop-timeout", "3") as app:
        with Client(app.port) as client:
            assert client.get("/").body == b"hello"
        app.signal(signal.SIGTERM)
        assert app.wait() == 7
        assert any(
            "injected" in str(event.get("traceback")) for event in app.all_events("drain.action_failed")
        ) or (any("injected" in str(event.get("traceback")) for event in app.all_events("callback.failed")))


def test_a_fault_on_the_way_to_the_signal_does_not_keep_it_from_the_app() -> None:
    """It also shows that our connections to the app are waited for before it is signalled."""
    with faulty("pyinit.proxy.steering:Single:upstreams_gone", "--stop-timeout", "3") as app:
        with Client(app.port) as client:
            assert client.get("/").body == b"hello"
        assert app.stop() == 7
        (event,) = app.all_events("drain.action_failed")
        assert event["action"] == "SIGNAL_CHILD"


def test_a_fault_in_the_machine_itself_ends_us_with_the_app_stopped_and_125() -> None:
    with faulty("pyinit.drain.phases:DrainMachine:handle", "--stop-timeout", "3") as app:
        assert app.wait() == 125
        (event,) = app.all_events("start.failed")
        assert "injected" in event["reason"]
        assert not pid_exists(app.child_pid)


def test_a_fault_before_the_loop_runs_stops_the_app_and_exits_125() -> None:
    with faulty("pyinit.app:App:_announce", "--stop-timeout", "3") as app:
        assert app.wait() == 125
        (event,) = app.all_events("start.failed")
        assert "injected" in event["reason"]

"""Every state that a request can be in when the stop comes: each is answered whole, or in the end cut and named."""

import signal
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest

from tests.support.front import Front
from tests.support.http_client import Client, eventually
from tests.support.in_flight import STORIES, Run, Steps, world

pytestmark = pytest.mark.node

MODES = ["one", "workers", "sidecar"]
# Ample: nothing here ends by a deadline. An idle connection waits for its turn among the stories.
AMPLE = ("--stop-timeout", "60", "--idle-grace", "15")


class Begun(NamedTuple):
    """A story at its yield: its client, the rest of it, and what it named there."""

    client: Client
    steps: Steps
    marker: str


@contextmanager
def begun(run: Run, app: Front) -> Iterator[dict[str, Begun]]:
    """Every story up to its yield, once the app has seen what it is to have seen."""
    stories = {}
    with ExitStack() as opened:
        for name, story in STORIES.items():
            client = opened.enter_context(Client(run.port))
            steps = story(run, client)
            seen = next(steps)
            eventually(lambda: seen in app.stdout, f"{name}: {seen}")  # noqa: B023  asked at once
            stories[name] = Begun(client, steps, seen)
        yield stories


def finish(name: str, steps: Steps) -> str:
    """A story to its end; why it failed."""
    try:
        assert next(steps, "over") == "over"
    except (AssertionError, EOFError, OSError):
        return f"{name}: {traceback.format_exc(limit=-3)}"
    return ""


@pytest.mark.parametrize("phase", ["draining", "lame_duck"])
@pytest.mark.parametrize("mode", MODES)
def test_whatever_is_in_flight_ends_whole(mode: str, phase: str) -> None:
    """With Connection: close wherever the head had not gone out, and the report has counted all of it."""
    delay = ("--drain-delay", "1") if phase == "lame_duck" else ()
    with world(mode, *AMPLE, *delay) as (front, app):
        run = Run(front.port)
        with begun(run, app) as stories:
            front.signal()
            front.wait_event("drain.phase_changed", phase=phase)
            app.signal(signal.SIGUSR2)
            failed = [why for name, it in stories.items() if (why := finish(name, it.steps))]
        assert not failed, "\n".join(failed)
        assert front.wait() == (0 if mode == "sidecar" else 7)
        assert "/wait/unseen" not in app.stdout
        (report,) = front.all_events("drain.finished")
        assert report["exchanges_finished"] == run.answered
        counts = ("tunnels_finished", "websockets_closed", "streams_ended", "connections_closed_idle")
        assert [report[name] for name in counts] == [1, 0, 0, 0]
        assert (report["cut_count"], report["cut"]) == (0, [])
        if mode != "sidecar":
            eventually(lambda: "SIGTERM connections=0" in app.stdout, "the pool was closed before the signal")


# What had begun of an answer is visibly cut; nothing else can tell the client. All others are told 503.
BEGUN = frozenset(
    (
        "upload echoed",
        "download by length",
        "download in chunks",
        "download until close",
        "begun",
        "trailers",
        "HTTP/1.0 begun",
    )
)
# Whose end is the connection's: with a FIN it would look whole.
UNTIL_CLOSE = frozenset(("download until close", "HTTP/1.0 begun"))


def how_it_was_cut(name: str, client: Client) -> str:
    """503, cut, reset, or a FIN without a word."""
    if name in BEGUN:
        while client._buffer:
            client._some(1 << 20)
        got = b""
        try:
            while True:
                got = (got + client._some(1 << 20))[-5:]
        except EOFError:
            assert got != b"0\r\n\r\n", "no false end"
            return "reset" if name in UNTIL_CLOSE and client.was_reset else "cut"
    try:
        answer = client.response(method="HEAD" if name == "HEAD" else "GET")
    except EOFError:
        return "reset" if client.was_reset else "fin"
    assert (answer.get("connection"), answer.get("retry-after")) == ("close", "1"), answer
    assert client.ends() == "fin"
    return str(answer.status)


def expected(name: str) -> str:
    if name == "idle":
        return "fin"
    return "reset" if name in UNTIL_CLOSE else "cut" if name in BEGUN else "503"


def named(marker: str) -> tuple[str, str]:
    """Method and target as the report has them, of what the app has logged."""
    method, _, target = marker.removesuffix(".").partition(" ")
    return method, target


@pytest.mark.parametrize("end", ["deadline", "SIGQUIT", "SIGQUIT in the lame duck"])
@pytest.mark.parametrize("mode", MODES)
def test_whatever_does_not_end_is_cut_and_named(mode: str, end: str) -> None:
    """One line names each, and no query string; the exit code tells that there was something to cut."""
    times = {
        "deadline": ("--stop-timeout", "4", "--idle-grace", "0.5"),
        "SIGQUIT": ("--stop-timeout", "60", "--idle-grace", "0"),
        "SIGQUIT in the lame duck": ("--stop-timeout", "60", "--drain-delay", "20", "--idle-grace", "0"),
    }
    with world(mode, *times[end], "--drain-exit-code", "99") as (front, app):
        run = Run(front.port)
        with begun(run, app) as stories:
            front.signal()
            if end == "SIGQUIT in the lame duck":
                front.wait_event("drain.phase_changed", phase="lame_duck")
                front.signal(signal.SIGQUIT)
            front.wait_event("drain.phase_changed", phase="draining")
            if end != "deadline":
                assert stories["idle"].client.ends() == "fin", "the listeners have stopped"
                front.signal(signal.SIGQUIT)
            seen = {name: how_it_was_cut(name, it.client) for name, it in stories.items()}
            peers = {f"127.0.0.1:{it.client.sock.getsockname()[1]}": name for name, it in stories.items()}
        assert seen == {name: expected(name) for name in STORIES}
        assert front.wait() == 99
        (report,) = front.all_events("drain.finished")
        assert {peers[cut["peer"]]: (cut["method"], cut["target"]) for cut in report["cut"]} == {
            name: named(it.marker) for name, it in stories.items() if name != "idle"
        }
        assert report["cut_count"] == len(report["cut"]) == len(STORIES) - 1
        assert all(cut["age_s"] > 0 for cut in report["cut"])
        counts = ("exchanges_finished", "connections_closed_idle", "tunnels_finished")
        assert [report[name] for name in counts] == [0, 1, 0]

"""Development: ``pyinit -- node --watch server.js``, as the compose override starts it, and files that are edited.

pyinit's child is ``node --watch``, which stays; the app is that one's child and comes and goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.deployments import DOCKER, documents
from tests.support.front import EXAMPLE, Front, front
from tests.support.http_client import Client, Response, eventually
from tests.support.process import children_of

pytestmark = [pytest.mark.node, pytest.mark.slow]

COMMAND: list[str] = documents(DOCKER / "compose/compose.dev.yaml")[0]["services"]["app"]["command"]


@contextmanager
def developing(folder: Path, *arguments: str) -> Iterator[tuple[Front, Path]]:
    """A copy of the example under ``node --watch`` behind pyinit, and the file that is edited."""
    for name in ("server.js", "websocket.js"):
        shutil.copy(EXAMPLE.with_name(name), folder)
    words = ("--listen", "127.0.0.1:0", "--control", "off", "--health-path", "/healthz", *arguments)
    with front(*words, "--", *COMMAND, cwd=folder) as running:
        yield running, folder / "server.js"


def get(port: int, target: str = "/") -> Response:
    with Client(port) as client:
        return client.get(target)


def edit(source: Path, old: str, new: str) -> None:
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new))


def greets(port: int, greeting: bytes) -> bool:
    return get(port).body.startswith(greeting)


def test_the_override_watches_what_production_starts() -> None:
    (production,) = documents(DOCKER / "compose/compose.yaml")
    assert [word for word in COMMAND if word != "--watch"] == production["services"]["app"]["command"]


def test_an_edit_brings_a_new_app_behind_the_same_port_and_child(tmp_path: Path) -> None:
    with developing(tmp_path) as (running, source):
        port, child = running.port, running.child_pid
        before = get(port).body
        for greeting in ("Ave", "Salut"):
            old = "Hello" if greeting == "Ave" else "Ave"
            edit(source, f"`{old} from", f"`{greeting} from")
            eventually(lambda: greets(port, greeting.encode()), "the edited app")  # noqa: B023  called at once
        assert get(port).body.split()[-1] != before.split()[-1], "another process"
        assert len(children_of(child)) == 1, "the app of now, under the same `node --watch`"
        assert not [event for event in running.events if event["event"] == "child.exited"]
        assert running.stop() == 0


def test_what_the_old_app_is_answering_is_answered_and_new_requests_get_502_until_the_new_one_listens(
    tmp_path: Path,
) -> None:
    with developing(tmp_path) as (running, source):
        port = running.port
        with Client(port) as slow:
            slow.request("/slow?ms=5000")
            eventually(lambda: get(port).status == 200, "the slow one has been read by now")
            edit(source, "`Hello from", "`Ave from")
            # The old app has stopped listening and is still at the slow one; the port stays open all the time.
            eventually(lambda: get(port).status == 502, "nobody listens")
            answer = slow.response()
            assert (answer.status, answer.is_cut) == (200, False)
        eventually(lambda: greets(port, b"Ave"), "the edited app")


def test_a_broken_edit_makes_it_not_ready_and_the_mended_one_ready_again(tmp_path: Path) -> None:
    with developing(tmp_path, "--ready-interval", "100ms") as (running, source):
        port = running.port
        whole = source.read_text()
        source.write_text(whole + "\nthis is no JavaScript\n")
        eventually(lambda: get(port).status == 502, "nobody listens")
        running.wait_event("app.not_ready")
        assert get(port, "/healthz").status == 503
        source.write_text(whole)
        running.wait_event("app.ready_again")
        assert get(port, "/healthz").status == 200
        assert get(port).status == 200
        assert running.stop() == 0


def test_a_stop_drains_first_and_ends_the_watcher_and_its_app(tmp_path: Path) -> None:
    with developing(tmp_path) as (running, source):
        port = running.port
        edit(source, "`Hello from", "`Ave from")
        eventually(lambda: greets(port, b"Ave"), "the edited app")
        (app,) = children_of(running.child_pid)
        with Client(port) as slow:
            slow.request("/slow?ms=700")
            eventually(lambda: get(port).status == 200, "the slow one has been read by now")
            running.signal()
            running.wait_event("drain.phase_changed", phase="draining")
            answer = slow.response()
            assert (answer.status, answer.get("connection"), answer.is_cut) == (200, "close", False)
        assert running.wait() == 0
        finished = running.wait_event("drain.finished")
        assert (finished["exchanges_finished"], finished["cut_count"]) == (1, 0)
        eventually(lambda: not Path(f"/proc/{app}").exists(), "no app is left")


def test_a_watcher_in_trouble_is_stopped_as_any_app(tmp_path: Path) -> None:
    """Between a broken edit and the next there is a watcher without an app."""
    with developing(tmp_path) as (running, source):
        port = running.port
        source.write_text("this is no JavaScript\n")
        eventually(lambda: get(port).status == 502, "nobody listens")
        eventually(lambda: not children_of(running.child_pid), "no app")
        assert running.stop() == 0

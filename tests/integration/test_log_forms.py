"""Both forms of the log at the real thing: whatever clients send and programs are called, and the level changed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.test_log_flow import Terminal
from tests.support.front import DEADLINE_S, ROOT, Front, front, node
from tests.support.http_client import Client, eventually, free_port
from tests.support.process import SCRIPT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.node

APP = "require('http').createServer((q,s)=>s.end('x')).listen(process.env.PORT,'127.0.0.1')"
COLOUR = re.compile(r"\x1b\[\d*m")
# What would steer a terminal, begin a line, or close a string.
NASTY = [
    b"\x1b[2J",
    b"\x1b]0;x\x07",
    b"\x9b31m",
    b"\n",
    b"\r",
    b'"',
    b"\\",
    b"\x00",
    b"\x7f",
    b"\x85",
    b"\xff",
]
NASTY += [b'\n{"event":"forged"}\n', b"%0a", b" HTTP/1.1\r\n"]
pieces = st.lists(st.one_of(st.sampled_from(NASTY), st.binary(max_size=8)), max_size=6).map(b"".join)


def exchange(port: int, target: bytes, client: bytes, trace: bytes) -> None:
    """One request with these bytes in it, and its connection's end."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as sock:
        head = (
            b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: %b\r\n"
            b"traceparent: 00-%b\r\nX-Amzn-Trace-Id: Root=%b\r\nX-Request-Id: %b\r\n\r\n"
        )
        sock.sendall(head % (target, client, trace, trace, trace))
        sock.shutdown(socket.SHUT_WR)
        try:
            while sock.recv(1 << 16):
                pass
        except ConnectionResetError:
            return


@pytest.fixture(scope="module")
def json_app() -> Iterator[Front]:
    with node("http.createServer((q,s)=>s.end('x')).listen(port)", "--access-log", "--log-query") as app:
        assert app.port
        yield app


@given(target=pieces, client=pieces, trace=pieces)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_client_sends_is_a_line_of_json(
    json_app: Front, target: bytes, client: bytes, trace: bytes
) -> None:
    mark = uuid.uuid4().hex
    exchange(json_app.port, target, client, trace)
    with Client(json_app.port) as other:
        other.get(f"/{mark}")
    json_app.wait_event("request.finished", target=f"/{mark}")
    assert json_app.other_lines == []
    seen = {event["event"] for event in json_app.events}
    assert "forged" not in seen
    assert {"request.finished", "request.refused"} >= {name for name in seen if name.startswith("request.")}


class Console:
    """A pyinit on a terminal."""

    def __init__(self, program: str, **environment: str) -> None:
        self.terminal = Terminal()
        self.port = free_port()
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
        words = [SCRIPT_PATH, "--access-log", "--control", "off"]
        self.process = subprocess.Popen(
            [*words, "--listen", f"127.0.0.1:{self.port}", "--", program, "-e", APP],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.terminal.fd,
            env={**env, "PYTHONPATH": str(ROOT), **environment},
            start_new_session=True,
        )
        eventually(lambda: "app.ready" in self.text, "it is ready")

    @property
    def text(self) -> str:
        """What a person sees, and what the terminal is told, so far."""
        return self.terminal.read().decode()

    def stop(self) -> str:
        """End it; all that was written."""
        self.process.send_signal(signal.SIGTERM)
        eventually(lambda: self.text and self.process.poll() is not None, "its end")
        assert self.process.returncode == 143
        text = self.text.replace("\r\n", "\n")
        self.terminal.close()
        return text


def test_a_terminal_gets_colours_and_nothing_else_that_steers_it(tmp_path: Path) -> None:
    found = shutil.which("node")
    assert found is not None
    program = tmp_path / "no\x1b]0;pwned\x07\n\x9bde"
    program.symlink_to(found)
    console = Console(str(program))
    for nasty in NASTY:
        exchange(console.port, nasty, nasty, nasty)
    with Client(console.port) as client:
        assert client.get("/plain").status == 200
    text = console.stop()
    assert COLOUR.search(text)
    lines = COLOUR.sub("", text).split("\n")
    assert all(line.isprintable() for line in lines)
    assert "forged" not in [line[:6] for line in lines]
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in lines if line), "each line is an event"
    (spawned,) = [line for line in lines if "child.spawned" in line]
    assert "no\\x1b]0;pwned\\x07\\n\\x9bde" in spawned
    assert [line for line in lines if "request.finished" in line and "target=/plain" in line]


def test_no_color() -> None:
    console = Console("node", NO_COLOR="1")
    assert "\x1b" not in console.stop()


# -- the level -----------------------------------------------------------------------------------------------


def set_level(control: str, level: str) -> int:
    """Over the control socket; the answer's status."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE_S)
        sock.connect("\0" + control.removeprefix("@"))
        body = level.encode()
        head = b"POST /log-level HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        sock.sendall(head % len(body) + body)
        answer = b""
        while piece := sock.recv(1 << 16):
            answer += piece
    return int(answer.split(b" ")[1])


def test_it_is_set_at_run_time() -> None:
    control = f"@pyinit-test-{uuid.uuid4().hex}"
    port = free_port()
    words = ["--log-level", "error", "--access-log", "--control", control, "--listen", f"127.0.0.1:{port}"]
    with front(*words, "--", "node", "-e", APP) as app:
        eventually(lambda: can_get(port, "/before"), "it serves")
        assert set_level(control, "loud") == 400
        assert set_level(control, "info") == 200
        assert can_get(port, "/info")
        app.wait_event("request.finished", target="/info")
        assert set_level(control, "warning") == 200
        assert can_get(port, "/warning")
        assert app.stop() == 143
        seen = [event["target"] for event in app.all_events("request.finished")]
        assert "/before" not in seen
        assert "/warning" not in seen
        assert not app.all_events("drain.finished")


def test_workers_have_it_and_their_successors_too() -> None:
    control = f"@pyinit-test-{uuid.uuid4().hex}"
    port = free_port()
    words = ["--log-level", "error", "--workers", "2", "--access-log", "--control", control]
    with front(*words, "--listen", f"127.0.0.1:{port}", "--", "node", "-e", APP) as app:
        eventually(lambda: can_get(port, "/before"), "it serves")
        assert set_level(control, "info") == 200
        eventually(lambda: workers_that_log(app, port) == {0, 1}, "both say what they do")
        for pid in worker_pids(app.process.pid):
            os.kill(pid, signal.SIGKILL)
        for index in (0, 1):
            app.wait_event("worker.spawned", worker=index)
        app.events.clear()
        eventually(lambda: workers_that_log(app, port) == {0, 1}, "their successors too")
        assert app.stop() == 143


def can_get(port: int, target: str) -> bool:
    try:
        with Client(port) as client:
            return client.get(target).status == 200
    except (ConnectionError, EOFError):
        return False


def workers_that_log(app: Front, port: int) -> set[int]:
    """Those whose lines have come, after one more request."""
    mark = f"/{uuid.uuid4().hex}"
    if can_get(port, mark):
        app.wait_event("request.finished", target=mark)
    return {event["worker"] for event in app.events if event["event"] == "request.finished"}


def worker_pids(pid: int) -> list[int]:
    """Children that are Python, as the app is Node."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
        children = [int(word) for word in file.read().split()]
    return [child for child in children if b"pyinit.worker" in cmdline(child)]


def cmdline(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read()

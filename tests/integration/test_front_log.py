"""The log in front mode: JSON or readable, never blocking, and no business of the child's descriptors."""

import os
import signal
import subprocess

import pytest

from tests.support.front import DEADLINE_S, ROOT, example
from tests.support.http_client import Client, eventually, free_port
from tests.support.process import SCRIPT_PATH

pytestmark = pytest.mark.node

# Says whether its own stderr is non-blocking, and then serves.
APP = """
const flags=require('fs').readFileSync('/proc/self/fdinfo/2','utf8').match(/flags:\\s+(\\d+)/)[1];
console.log((parseInt(flags,8)&0o4000)?'nonblocking':'blocking');
require('http').createServer((q,s)=>s.end('x')).listen(process.env.PORT,'127.0.0.1')
"""


def answers(port: int) -> bool:
    try:
        with Client(port) as client:
            return client.get("/").body == b"x"
    except ConnectionRefusedError:
        return False


def test_a_full_stderr_stalls_neither_requests_nor_the_stop() -> None:
    """Lines that do not fit are dropped; the child's descriptor stays blocking, as it was."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    port = free_port()
    command = [SCRIPT_PATH, "--access-log", "--listen", f"127.0.0.1:{port}", "--"]
    process = subprocess.Popen(
        [*command, "node", "-e", APP],
        stderr=writer,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        eventually(lambda: answers(port), "it serves")
        for _ in range(100):
            assert answers(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 143
        assert process.stdout.read() == b"blocking\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(reader)
        os.close(writer)


def test_a_readable_form_can_be_asked_for() -> None:
    with example("--log-format", "console") as app:
        eventually(lambda: "listening" in app.stdout, "the app is up")
        app.stop()
        assert not app.all_events("drain.finished"), "no JSON beside it"
        assert any("drain.finished" in line for line in app.other_lines)


def test_no_request_can_forge_a_line() -> None:
    with example("--access-log", "--log-query") as app:
        with Client(app.port) as client:
            client.get('/%0a{"event":"forged"}?a="b"')
        app.stop()
        (line,) = app.all_events("request.finished")
        assert line["target"] == '/%0a{"event":"forged"}?a="b"'
        assert not app.all_events("forged")


def test_the_level_is_the_least_that_is_logged() -> None:
    with example("--log-level", "error") as app:
        eventually(lambda: "listening" in app.stdout, "the app is up")
        app.stop()
        app.all_events("")
        assert app.events == []


def test_the_programs_arguments_are_not_logged() -> None:
    """They can hold tokens, and the log goes to wherever logs go."""
    with example("--log-level", "debug") as app:
        assert app.port
        app.stop()
        (spawned,) = app.all_events("child.spawned")
        assert spawned["program"] == "node"
        assert "server.js" not in str(app.events)

"""``pyinitctl`` at a real pyinit with a real app: each command, through a drain, and each way it can go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.support.ctl import CTL_PATH, OnTerminal, control_name, ctl, said
from tests.support.front import example, front, node
from tests.support.http_client import Client
from tests.support.process import PATIENCE_S, TIME_SCALE, eventually, process_state, pyinit_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Holds what it is asked until SIGUSR2, which pyinit passes on.
HOLDING = """
const held = [];
process.on('SIGUSR2', () => held.splice(0).forEach((answer) => answer.end('released')));
http.createServer((request, answer) => {
  if (request.url === '/quick') return answer.end('quick');
  held.push(answer);
  console.log('held ' + request.url);
}).listen(port, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"""

in_front = pytest.mark.node


def status_of(control: str) -> dict[str, object]:
    done = ctl("status", "--json", "--control", control)
    assert (done.returncode, done.stderr) == (0, "")
    read: dict[str, object] = json.loads(done.stdout)
    return read


@contextmanager
def hold(port: int, app_stdout: object, target: str) -> Iterator[Client]:
    """A request that the app has and does not answer."""
    with Client(port) as client:
        client.request(target)
        eventually(lambda: f"held {target}" in app_stdout.stdout)  # type: ignore[attr-defined]  # a Front
        yield client


# -- one that runs ---------------------------------------------------------------------------------------------------


@in_front
def test_every_command_at_an_abstract_name() -> None:
    control = control_name()
    with example("--control", control, "--stop-timeout", "20") as app:
        app.wait_event("app.ready")
        assert said(ctl("health", "--control", control)) == (0, "ready\n", "")
        assert said(ctl("--control", control, "health", "--timeout", "500ms")) == (0, "ready\n", "")
        assert said(ctl("health", env={"PYINIT_CONTROL": control})) == (0, "ready\n", "")
        with Client(app.port) as client:
            assert client.get("/").status == 200
            done = ctl("status", env={"PYINIT_CONTROL": control})
        assert (done.returncode, done.stderr) == (0, "")
        first, *rows = done.stdout.splitlines()
        assert re.fullmatch(
            rf"pyinit \S+ at {control}: front mode, pid {app.process.pid}, up [\d.]+ s", first
        ), first
        assert "  phase       serving" in rows
        assert "  ready       yes" in rows
        assert "  budget      19.5 s to stop in (docker)" in rows
        assert f"  listening   127.0.0.1:{app.port}" in rows
        assert "  connections 1 open: 1 idle" in rows
        assert "  requests    1; answered 1 2xx" in rows
        assert any(
            re.fullmatch(rf"  app         node, pid {app.child_pid}, at 127.0.0.1:\d+", row) for row in rows
        )
        status = status_of(control)
        assert (status["phase"], status["pid"]) == ("serving", app.process.pid)
        assert said(ctl("log-level", "debug", "--control", control)) == (0, "log level debug\n", "")
        app.wait_event("log.level_changed", log_level="debug")
        assert status_of(control)["log_level"] == "debug"
        assert said(ctl("log-level", "loud", "--control", control)) == (
            2,
            "",
            "pyinitctl: log-level loud: not debug, info, warning or error\n",
        )
        assert said(ctl("stop", "--control", control)) == (0, "draining\n", "")
        assert app.wait() == 0
        assert app.wait_event("drain.finished")["cut_count"] == 0


@in_front
def test_at_a_path(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with example("--control", f"unix:{path}") as app:
        app.wait_event("app.ready")
        for control in (f"unix:{path}", str(path)):
            assert said(ctl("health", "--control", control)) == (0, "ready\n", "")
            assert status_of(control)["phase"] == "serving"
        assert said(ctl("stop", "--wait", env={"PYINIT_CONTROL": str(path)}))[0] == 0
        assert app.wait() == 0


@in_front
def test_over_tcp_it_can_be_read_and_not_ordered() -> None:
    with example("--control", "127.0.0.1:0") as app:
        app.wait_event("app.ready")
        control = str(app.wait_event("control.listening")["address"])
        assert said(ctl("health", "--control", control)) == (0, "ready\n", "")
        assert said(ctl("health", "--control", control.rpartition(":")[2])) == (0, "ready\n", "")
        assert status_of(control)["phase"] == "serving"
        for words in (["drain"], ["drain", "--wait"], ["stop"], ["log-level", "debug"]):
            code, stdout, stderr = said(ctl(*words, "--control", control))
            assert (code, stdout) == (4, "")
            assert stderr.startswith(
                f"pyinitctl: {control} refuses this to uid {os.geteuid()}: over TCP this can be read"
            )
        assert status_of(control)["phase"] == "serving"


@in_front
def test_not_ready_is_1_and_why() -> None:
    control = control_name()
    with node("", "--control", control) as app:  # Node ends by itself with nothing to do; a timer keeps it
        app.wait_event("child.exited_early")
    with node("setInterval(() => 0, 1e6)", "--control", control) as app:
        app.wait_event("control.listening")
        done = ctl("health", "--control", control)
        assert (done.returncode, done.stdout[:20]) == (1, "not ready: starting:"), done
        assert "  ready       no: starting: " in ctl("status", "--control", control).stdout


# -- a drain ---------------------------------------------------------------------------------------------------------


@in_front
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_prestop_hook_waits_until_nothing_is_in_flight(workers: str) -> None:
    control = control_name()
    with node(HOLDING, "--control", control, "--stop-timeout", "60", "--workers", workers) as app:
        with hold(app.port, app, "/first") as first, hold(app.port, app, "/second") as second:
            hook = subprocess.Popen(
                [CTL_PATH, "drain", "--wait", "--control", control],
                env=pyinit_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
            app.wait_event("drain.phase_changed", phase="draining")
            assert said(ctl("health", "--control", control)) == (1, "not ready: draining\n", "")
            shown = ctl("status", "--control", control).stdout
            assert "  phase       draining\n" in shown
            assert re.search(r"budget      \[#+-*\] [\d.]+ of 59\.5 s left; what is left is", shown)
            assert "  connections 2 open: 2 active" in shown
            assert ("; 2 workers" in shown) is (workers == "2")
            assert "  drain       0 finished, 0 cut\n" in shown
            assert hook.poll() is None
            app.signal(signal.SIGUSR2)
            assert (first.response().body, second.response().body) == (b"released", b"released")
        stdout, stderr = hook.communicate(timeout=PATIENCE_S * TIME_SCALE)
        assert (hook.returncode, stderr) == (0, "")
        assert re.fullmatch(r"after [\d.]+ s: 2 finished, 0 cut\n", stdout), stdout
        shown = ctl("status", "--control", control).stdout
        assert "  phase       drained, waiting for the stop\n" in shown
        assert process_state(app.child_pid) is not None, "the app runs on"
        app.signal()
        assert app.wait() == 0


@in_front
def test_what_was_cut_is_listed_and_1() -> None:
    control = control_name()
    with node(HOLDING, "--control", control, "--stop-timeout", "3") as app:
        with hold(app.port, app, "/long?secret=1"):
            code, stdout, stderr = said(ctl("drain", "--wait", "--control", control))
        assert (code, stderr) == (1, "")
        first, cut = stdout.splitlines()
        assert re.fullmatch(r"after [\d.]+ s: 0 finished, 1 cut", first)
        assert re.fullmatch(r" +[\d.]+ s  GET  127\.0\.0\.1:\d+  /long", cut)
        assert said(ctl("drain", "--wait", "--control", control))[0] == 1, "and so it stays"
        code, stdout, _ = said(ctl("stop", "--wait", "--control", control))
        assert (code, "1 cut" in stdout) == (1, True)
        assert app.wait() == 0


@in_front
def test_a_wait_that_is_over_is_5_and_the_drain_goes_on() -> None:
    control = control_name()
    with node(HOLDING, "--control", control, "--stop-timeout", "60") as app:
        with hold(app.port, app, "/x") as held:
            code, stdout, stderr = said(ctl("drain", "--wait", "300ms", "--control", control))
            assert (code, stdout) == (5, "")
            assert stderr == f"pyinitctl: {control} is still draining after 0.3 s\n"
            app.signal(signal.SIGUSR2)
            assert held.response().body == b"released"
        app.wait_event("drain.phase_changed", phase="drained")


@in_front
def test_a_drain_that_a_stop_overtakes_is_over_with_it() -> None:
    control = control_name()
    with node(HOLDING, "--control", control, "--stop-timeout", "60") as app:
        with hold(app.port, app, "/x") as held:
            hook = subprocess.Popen(
                [CTL_PATH, "drain", "--wait", "--control", control],
                env=pyinit_environment(),
                stdout=subprocess.DEVNULL,
            )
            app.wait_event("drain.phase_changed", phase="draining")
            app.signal()
            app.wait_event("signal.received")
            app.signal(signal.SIGUSR2)
            assert held.response().body == b"released"
        assert hook.wait(PATIENCE_S * TIME_SCALE) == 0
        assert app.wait() == 0


@in_front
def test_stop_and_wait_in_sidecar_mode() -> None:
    control = control_name()
    with socket.create_server(("127.0.0.1", 0)) as app_socket:
        upstream = f"127.0.0.1:{app_socket.getsockname()[1]}"
        with front("--listen", "127.0.0.1:0", "--upstream", upstream, "--control", control) as sidecar:
            sidecar.wait_event("app.ready")
            shown = ctl("status", "--control", control).stdout
            assert ": sidecar mode, pid " in shown
            assert f"  app         at {upstream}\n" in shown
            code, stdout, stderr = said(ctl("stop", "--wait", "--control", control))
            assert (code, stderr) == (0, "")
            assert stdout.endswith("0 finished, 0 cut\n")
            assert sidecar.wait() == 0
            assert said(ctl("health", "--control", control))[0] == 1


# -- on a terminal, and not on one -----------------------------------------------------------------------------------


@in_front
def test_watch_on_a_terminal_redraws_in_place_until_ctrl_c() -> None:
    control = control_name()
    with example("--control", control) as app:
        app.wait_event("app.ready")
        with OnTerminal("status", "--watch", "--control", control) as watch:
            watch.wait_for("\x1b[J", count=2)
            assert watch.output.startswith("\x1b[2J\x1b[H"), "the first clears"
            assert watch.output.count("\x1b[2J") == 1, "and the next is written over it"
            assert "\x1b[32myes\x1b[0m" in watch.output
            watch.resize(40, 8)
            watch.wait_for("more lines")
            narrow = watch.output.rpartition("\x1b[2J\x1b[H")[2].partition("\x1b[J")[0]
            shown = re.sub(r"\x1b\[[\d;]*[mKH]", "", narrow).splitlines()
            assert len(shown) == 7, "the last line stays free"
            assert max(map(len, shown)) <= 40
            watch.press(b"\x03")
            assert watch.wait() == 0
            assert "Traceback" not in watch.output


@in_front
def test_watch_sees_the_drain_and_ends_with_pyinit() -> None:
    control = control_name()
    with node(HOLDING, "--control", control, "--stop-timeout", "60") as app:
        app.wait_event("app.ready")
        with OnTerminal("status", "--watch", "--control", control, env={"NO_COLOR": "1"}) as watch:
            watch.wait_for("serving")
            with hold(app.port, app, "/x") as held:
                app.signal()
                watch.wait_for("draining, by SIGTERM")
                app.signal(signal.SIGUSR2)
                assert held.response().status == 200
            assert app.wait() == 0
            assert watch.wait() == 0
            assert watch.output.endswith("pyinitctl: it has ended\r\n")
            assert not re.search(r"\x1b\[\d+m", watch.output), "NO_COLOR"


@in_front
def test_watch_into_a_pipe_is_one_block_after_the_other() -> None:
    control = control_name()
    with example("--control", control) as app:
        app.wait_event("app.ready")
        command = [CTL_PATH, "status", "--watch", "--control", control]
        with subprocess.Popen(
            command,
            env=pyinit_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as watch:
            assert watch.stdout is not None
            assert watch.stderr is not None
            lines = [watch.stdout.readline()]
            while sum(line.startswith("pyinit ") for line in lines) < 2:
                lines.append(watch.stdout.readline())
            assert lines[-2] == "\n"
            assert "\x1b" not in "".join(lines)
            watch.send_signal(signal.SIGINT)
            assert watch.wait(PATIENCE_S * TIME_SCALE) == 0
            assert watch.stderr.read() == ""


@in_front
@pytest.mark.parametrize(
    "words", ["status", "status --json", "status --watch", "--help", "--version", "drain"]
)
def test_a_reader_that_has_left_is_no_traceback(words: str) -> None:
    control = control_name()
    with example("--control", control) as app:
        app.wait_event("app.ready")
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [CTL_PATH, "--control", control, *words.split()],
            env=pyinit_environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=PATIENCE_S * TIME_SCALE,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b"")


# -- what can go wrong -----------------------------------------------------------------------------------------------

COMMANDS = (["status"], ["status", "--json"], ["status", "--watch"], ["drain"], ["drain", "--wait"], ["stop"])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("control", ["@pyinit-test-nobody", "unix:/nowhere/control", "127.0.0.1:1"])
def test_where_nothing_listens(control: str, words: list[str]) -> None:
    expected = f"pyinitctl: no pyinit at {control}: nothing listens there, in this network namespace\n"
    assert said(ctl(*words, "--control", control)) == (3, "", expected)


@pytest.mark.parametrize("control", ["@pyinit-test-nobody", "unix:/nowhere/control", "127.0.0.1:1"])
def test_health_where_nothing_listens(control: str) -> None:
    expected = f"pyinitctl: no pyinit at {control}: nothing listens there, in this network namespace\n"
    assert said(ctl("health", "--control", control)) == (1, "", expected)


def test_off_in_the_variable() -> None:
    code, stdout, stderr = said(ctl("health", env={"PYINIT_CONTROL": "off"}))
    assert (code, stdout) == (1, "")
    assert "PYINIT_CONTROL=off" in stderr
    assert said(ctl("status", env={"PYINIT_CONTROL": "off"}))[0] == 3


@in_front
def test_a_stopped_pyinit_is_unhealthy_in_time() -> None:
    control = control_name()
    with example("--control", control) as app:
        app.wait_event("app.ready")
        assert said(ctl("health", "--control", control))[0] == 0
        app.signal(signal.SIGSTOP)
        eventually(lambda: process_state(app.process.pid) == "T")
        late = "does not answer within 1 s: pyinit is stuck, or stopped"
        try:
            assert said(ctl("health", "--timeout", "1", "--control", control)) == (
                1,
                "",
                f"pyinitctl: {control} {late}\n",
            )
            for words in COMMANDS:
                assert said(ctl(*words, "--timeout", "1", "--control", control)) == (
                    5,
                    "",
                    f"pyinitctl: {control} {late}\n",
                )
        finally:
            app.signal(signal.SIGCONT)


def test_a_queue_that_is_full_is_late_at_once() -> None:
    """connect() on a unix socket would wait for room in it."""
    control = control_name()
    with socket.socket(socket.AF_UNIX) as health, socket.socket(socket.AF_UNIX) as first:
        health.bind(f"\0{control[1:]}.health")
        health.listen(0)
        first.connect(health.getsockname())
        code, _, stderr = said(ctl("health", "--timeout", "1", "--control", control))
        assert (code, "does not answer within 1 s" in stderr) == (1, True)


@contextmanager
def listening(control: str, answer: bytes) -> Iterator[None]:
    """Something else at a control name: it says that to everybody."""
    ends: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        while True:
            try:
                accepted, _ = sock.accept()
            except OSError:
                return
            # It may leave at the first bytes that are not pyinit's.
            with accepted, contextlib.suppress(ConnectionError):
                accepted.sendall(answer)
                accepted.shutdown(socket.SHUT_WR)
                while accepted.recv(4096):
                    pass

    for name in (control, f"{control}.health"):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind("\0" + name[1:])
        sock.listen()
        ends.append(sock)
    threads = [threading.Thread(target=serve, args=[sock]) for sock in ends]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for sock in ends:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[1]\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"\xff" * 9000,
    ],
)
def test_what_answers_is_not_pyinit(answer: bytes) -> None:
    control = control_name()
    expected = f"pyinitctl: what answers at {control} is not pyinit\n"
    with listening(control, answer):
        assert said(ctl("status", "--control", control)) == (6, "", expected)
        assert said(ctl("health", "--control", control)) == (1, "", expected)


def test_another_http_server_at_the_tcp_address_is_not_pyinit() -> None:
    class Other(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Not on our stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        control = f"127.0.0.1:{server.server_port}"
        try:
            health, status = ctl("health", "--control", control), ctl("status", "--control", control)
        finally:
            server.shutdown()
            thread.join()
    assert said(health) == (1, "", f"pyinitctl: what answers at {control} is not pyinit\n")
    assert (status.returncode, status.stdout) == (6, "")


def test_another_version_of_status_is_said_and_json_shows_it() -> None:
    control = control_name()
    body = b'{"status_version": 2}'
    with listening(control, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)):
        code, _, stderr = said(ctl("status", "--control", control))
        assert (code, "version 2 of /status" in stderr) == (6, True)
        assert said(ctl("status", "--json", "--control", control)) == (0, '{"status_version": 2}\n', "")


# -- the command line ------------------------------------------------------------------------------------------------


def test_the_version_is_one_line() -> None:
    done = ctl("--version")
    assert re.fullmatch(r"pyinitctl \d+\.\d+\.\d+\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_lists_the_commands_and_exit_codes(word: str) -> None:
    done = ctl(word)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("health", "status", "drain", "stop", "log-level", "check", "exit codes", "PYINIT_CONTROL"):
        assert name in done.stdout
    for name in ("health", "status", "drain", "stop", "log-level", "check"):
        assert ctl(name, word).stdout.startswith(f"usage: pyinitctl {name} ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "a command is needed: health, status, drain, stop, log-level, check; pyinitctl -h says more"),
        ("statsu", "no command 'statsu': did you mean status?"),
        ("--control @x log", "no command 'log': did you mean log-level?"),
        ("start", "no command 'start': did you mean status?"),
        ("xyzzy", "no command 'xyzzy': there are health, status, drain, stop, log-level, check"),
        ("status --jsno", "unrecognized arguments: --jsno; pyinitctl -h says more"),
        ("status --json --watch", "argument --watch: not allowed with argument --json; pyinitctl status -h says more"),
        ("--timeout x stop", "argument --timeout: 'x': not seconds, as 10, 1.5, 500ms or 2m; pyinitctl -h says more"),
        ("health --timeout 0", "argument --timeout: '0': not more than 0; pyinitctl health -h says more"),
        ("status --control nowhere", "--control nowhere: not @NAME, unix:/path or HOST:PORT"),
        ("log-level", "the following arguments are required: LEVEL; pyinitctl log-level -h says more"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line_and_2(words: str, text: str) -> None:
    assert said(ctl(*words.split())) == (2, "", f"pyinitctl: {text}\n")


def test_the_apps_python_variables_do_not_get_in_its_way(tmp_path: Path) -> None:
    for name in ("pyinit", "json", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the app has this')")
    env = {"PYTHONPATH": str(tmp_path), "PYTHONINSPECT": "1", "PYTHONWARNINGS": "error"}
    for words in (["health"], ["status"]):
        assert said(ctl(*words, "--control", "@pyinit-test-nobody", env=env))[1] == ""
    assert ctl("--version", env=env).returncode == 0

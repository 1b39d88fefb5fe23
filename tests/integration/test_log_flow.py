"""The log at each kind of stderr, stuck and flowing again: no request waits for it, and what is missing is told."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from pyinit.init import interpreter
from pyinit.proxy import ipc
from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from tests.support.front import DEADLINE_S, ROOT
from tests.support.http_client import Client, eventually, free_port
from tests.support.process import SCRIPT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Answers whether its own stderr is non-blocking, as it is at that moment. Not Node: that makes its stderr non-blocking
# itself, when the first connection ends without a request, pyinit or not.
APP = """
import http.server, os, re
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/say":
            os.write(2, b"the app says\\n")
        with open("/proc/self/fdinfo/2") as file:
            flags = int(re.search(r"flags:\\s+(\\d+)", file.read())[1], 8)
        body = b"nonblocking" if flags & os.O_NONBLOCK else b"blocking"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
STUCK_REQUESTS = 60
XOFF, XON = b"\x13", b"\x11"


class Stderr:
    """Somewhere to log to, that can be stuck.

    Attributes:
        fd: given to pyinit as stderr.
        data: what has been read.
    """

    fd: int
    _read_fd: int

    def __init__(self) -> None:
        self.data = b""

    def stick(self) -> None:
        """Take nothing more."""
        raise NotImplementedError

    def flow(self) -> None:
        """Take everything again."""
        self.read()

    def read(self) -> bytes:
        """All that has come so far."""
        with suppress(BlockingIOError, OSError):  # EIO: a terminal that nobody has open
            while piece := os.read(self._read_fd, 1 << 16):
                self.data += piece
        return self.data

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._read_fd)


class Pipe(Stderr):
    """Full to its last byte."""

    def __init__(self) -> None:
        super().__init__()
        self._read_fd, self.fd = os.pipe()
        os.set_blocking(self._read_fd, False)

    def stick(self) -> None:
        own = os.open(f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_NONBLOCK)
        for size in (4096, 1):
            with suppress(BlockingIOError):
                while True:
                    os.write(own, b"\n" * size)
        os.close(own)


class Socket(Stderr):
    """Whose buffer is full."""

    def __init__(self) -> None:
        super().__init__()
        ours, theirs = socket.socketpair()
        self._read_fd, self.fd = ours.detach(), theirs.detach()
        os.set_blocking(self._read_fd, False)

    def stick(self) -> None:
        with socket.socket(fileno=os.dup(self.fd)) as sock, suppress(BlockingIOError):
            while True:
                sock.send(b"\n" * 4096, socket.MSG_DONTWAIT)


class Terminal(Stderr):
    """Stopped, as by Ctrl-S."""

    def __init__(self) -> None:
        super().__init__()
        self._read_fd, self.fd = pty.openpty()
        os.set_blocking(self._read_fd, False)

    def stick(self) -> None:
        os.write(self._read_fd, XOFF)

    def flow(self) -> None:
        os.write(self._read_fd, XON)


class FullTerminal(Terminal):
    """Nobody reads it."""

    def stick(self) -> None:
        tty.setraw(self.fd)
        own = os.open(os.ttyname(self.fd), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with suppress(BlockingIOError):
            while True:
                os.write(own, b"\n" * 256)
        os.close(own)

    def flow(self) -> None:
        self.read()


KINDS = {"pipe": Pipe, "socket": Socket, "a stopped terminal": Terminal, "a full terminal": FullTerminal}


@contextmanager
def serving(stderr: int, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A pyinit with this stderr, in front of APP, and its port."""
    port = free_port()
    options = ["--access-log", "--log-format", "json", "--control", "off", "--idle-grace", "0", *arguments]
    process = subprocess.Popen(
        [SCRIPT_PATH, *options, "--listen", f"127.0.0.1:{port}", "--", sys.executable, "-c", APP],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        eventually(lambda: is_answered(port), "it serves")
        yield process, port
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)


def is_answered(port: int, target: str = "/") -> bool:
    """Whether it serves; the app's stderr is as it was."""
    try:
        with Client(port) as client:
            assert client.get(target).body == b"blocking"
            return True
    except ConnectionRefusedError:
        return False


def events_of(data: bytes) -> list[dict[str, Any]]:
    """Each line has to be one event, whole."""
    return [json.loads(line) for line in data.replace(b"\r", b"").split(b"\n") if line]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_stuck_it_stalls_nothing_and_flowing_again_it_says_what_is_missing(kind: str, workers: str) -> None:
    stderr = KINDS[kind]()
    flags = fcntl.fcntl(stderr.fd, fcntl.F_GETFL)
    stderr.stick()
    try:
        with serving(stderr.fd, "--workers", workers) as (process, port):
            for _ in range(STUCK_REQUESTS):
                assert is_answered(port)
            assert stderr.data == b""
            stderr.flow()
            eventually(lambda: is_answered(port) and b"log.dropped" in stderr.read(), "it says so")
            process.send_signal(signal.SIGTERM)
            # A stop's last lines have to find room too.
            eventually(lambda: stderr.read() and process.poll() is not None, "its end")
            assert process.returncode == 143
        assert fcntl.fcntl(stderr.fd, fcntl.F_GETFL) == flags
        events = events_of(stderr.read())
        told = [event for event in events if event["event"] == "log.dropped"]
        assert all(event["level"] == "warning" and event["lines"] > 0 for event in told)
        # Each request has its line or is among those missing, as are lines of the start; a terminal has some room.
        seen = sum(event["event"] == "request.finished" for event in events)
        assert seen + sum(event["lines"] for event in told) > STUCK_REQUESTS
        assert events[-1]["event"] == "drain.finished"
    finally:
        stderr.close()


def test_a_full_disk_is_no_reason_to_stop_serving() -> None:
    with open("/dev/full", "wb") as full, serving(full.fileno()) as (process, port):  # noqa: PTH123  a device
        for _ in range(STUCK_REQUESTS):
            assert is_answered(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 143


def test_in_a_file_our_lines_and_the_apps_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    with serving(fd) as (process, port):
        for _ in range(STUCK_REQUESTS):
            assert is_answered(port, "/say")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 143
    os.close(fd)
    data = path.read_bytes()
    assert data.count(b"the app says\n") == STUCK_REQUESTS
    events = events_of(data.replace(b"the app says\n", b""))
    assert sum(event.get("target") == "/say" for event in events) == STUCK_REQUESTS
    assert not [event for event in events if event["event"] == "log.dropped"]


def test_on_a_pipe_the_apps_lines_never_land_inside_ours() -> None:
    """Under load, batches of ours and lines of the app's meet in one pipe."""
    stderr = Pipe()
    fcntl.fcntl(stderr.fd, fcntl.F_SETPIPE_SZ, 1 << 20)
    try:
        with serving(stderr.fd) as (process, port):
            clients = [Client(port) for _ in range(20)]
            for _ in range(10):
                for client in clients:
                    client.request("/say")
                for client in clients:
                    assert client.response().body == b"blocking"
                stderr.read()
            for client in clients:
                client.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 143
        lines = stderr.read().split(b"\n")
        assert lines.count(b"the app says") == 200
        events = events_of(b"\n".join(line for line in lines if line != b"the app says"))
        assert sum(event.get("target") == "/say" for event in events) == 200
    finally:
        stderr.close()


def test_what_a_worker_did_not_get_out_is_told_before_pid_1_hears_of_its_end() -> None:
    """PID 1 ends once its workers have, which kills whoever of them is still writing."""
    stderr = Pipe()
    stderr.stick()
    ours, theirs = socket.socketpair()
    worker = interpreter.command("pyinit.worker_start", [str(theirs.fileno())])
    with ours, subprocess.Popen(worker, stderr=stderr.fd, pass_fds=[theirs.fileno()], cwd=ROOT) as process:
        theirs.close()
        ours.settimeout(DEADLINE_S)
        config = ProxyConfig(upstream=UpstreamAddress(path="/app"))
        ours.sendall(ipc.encode(ipc.Configure(0, config, (), (), "json", "info")))
        # No order for a worker: a line of the log, for which there is no room; the answer behind it says it was had.
        ours.sendall(ipc.encode(ipc.Quiet()) + ipc.encode(ipc.Ask(7)))
        answers = b""
        while b'"number":7' not in answers:
            answers += ours.recv(1 << 16)
        assert not stderr.read().strip()
        ours.sendall(ipc.encode(ipc.Abort()))
        while ours.recv(1 << 16):
            pass
        (told,) = events_of(stderr.read())
        assert (told["event"], told["lines"]) == ("log.dropped", 1)
        assert process.wait(DEADLINE_S) == 0
    stderr.close()

"""The sink on a socket: systemd and some engines make stderr one."""

from __future__ import annotations

import socket

from pyinit.log import Sink
from tests.support.process import run_pyinit


def test_a_socket_is_written_without_waiting_and_left_blocking() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sink = Sink(ours.fileno())
        sink.write(b"line\n")
        assert theirs.recv(100) == b"line\n"
        while not sink.dropped_count:
            sink.write(b"x" * 4096 + b"\n")
        assert ours.getblocking()
        sink._socket.close()  # type: ignore[attr-defined]


def test_a_socket_whose_other_end_is_closed_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        sink = Sink(ours.fileno())
        sink.write(b"line\n")
        assert sink.dropped_count == 1
        sink._socket.close()  # type: ignore[attr-defined]


def test_a_socket_as_stderr_of_a_run() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert run_pyinit("--", "sh", "-c", "exit 3", stderr=ours.fileno()).returncode == 3
        assert theirs.recv(4096).startswith(b"[WARN  pyinit (")

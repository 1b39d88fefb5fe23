"""The sink on a socket, as systemd and some engines make stderr one, and on a terminal."""

from __future__ import annotations

import errno
import os
import pty
import socket

import pytest

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


@pytest.mark.parametrize(("refusals", "dropped"), [(3, 0), (10_000, 1)])
def test_a_terminal_that_another_line_is_written_to_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, refusals: int, dropped: int
) -> None:
    """The kernel refuses a write that may not wait while another's is under way; one in eight runs lost a line so."""
    master, slave = pty.openpty()
    real, left = os.write, refusals

    def write(fd: int, data: bytes) -> int:
        nonlocal left
        if left:
            left -= 1
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real(fd, data)

    sink = Sink(slave)
    monkeypatch.setattr(os, "write", write)
    sink.write(b"line\n")
    monkeypatch.undo()
    assert sink.dropped_count == dropped
    if not dropped:
        assert os.read(master, 100) == b"line\r\n"
    os.close(sink._own_fd)
    os.close(slave)
    os.close(master)

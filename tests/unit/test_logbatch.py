"""Lines of one turn in one write, in order, whole, and counted where nobody takes them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pyinit.log import PIPE_BUF
from pyinit.logbatch import BatchSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Turn:
    """Stands for a loop, and counts what is written.

    Attributes:
        due: what is to be called at the end of the turn.
        writes: what each write held.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.due: list[Callable[[], None]] = []
        self.writes: list[bytes] = []
        self.read_fd, self.write_fd = os.pipe()
        self.sink = BatchSink(self.write_fd, self.due.append)
        write = os.write

        def spy(fd: int, data: bytes) -> int:
            self.writes.append(data)
            return write(fd, data)

        monkeypatch.setattr(os, "write", spy)

    def end(self) -> None:
        due, self.due[:] = list(self.due), []
        for call in due:
            call()

    def fill(self) -> None:
        """Until the pipe takes nothing more."""
        before = self.sink.dropped_count
        while self.sink.dropped_count == before:
            self.sink.write(b"x" * PIPE_BUF)
        self.writes.clear()

    def empty(self) -> bytes:
        os.set_blocking(self.read_fd, False)
        found = b""
        try:
            while True:
                found += os.read(self.read_fd, 1 << 20)
        except BlockingIOError:
            return found


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turn]:
    made = Turn(monkeypatch)
    yield made
    monkeypatch.undo()
    for fd in (made.read_fd, made.write_fd, made.sink._own_fd):
        if fd >= 0:
            os.close(fd)


def test_the_lines_of_a_turn_are_one_write(turn: Turn) -> None:
    for number in range(5):
        turn.sink.write_soon(b"%d\n" % number)
    assert turn.writes == []
    assert len(turn.due) == 1
    turn.end()
    assert turn.writes == [b"0\n1\n2\n3\n4\n"]
    turn.sink.write_soon(b"5\n")
    turn.end()
    assert turn.empty() == b"0\n1\n2\n3\n4\n5\n"


def test_what_goes_at_once_goes_behind_what_waits(turn: Turn) -> None:
    turn.sink.write_soon(b"1\n")
    turn.sink.write(b"2\n")
    turn.sink.write_soon(b"3\n")
    turn.end()
    assert turn.empty() == b"1\n2\n3\n"


def test_no_write_is_longer_than_a_pipe_takes_whole(turn: Turn) -> None:
    lines = [b"%d %b\n" % (number, b"x" * 300) for number in range(40)]
    for line in lines:
        turn.sink.write_soon(line)
    turn.end()
    assert len(turn.writes) == 4
    assert all(len(data) <= PIPE_BUF and data.endswith(b"\n") for data in turn.writes)
    assert turn.empty() == b"".join(lines)


def test_a_line_longer_than_that_is_a_write_of_its_own(turn: Turn) -> None:
    long = b"x" * (PIPE_BUF + 1) + b"\n"
    for line in (b"1\n", long, b"2\n"):
        turn.sink.write_soon(line)
    turn.end()
    assert turn.writes == [b"1\n", long, b"2\n"]


def test_flush_at_the_end(turn: Turn) -> None:
    turn.sink.write_soon(b"1\n")
    turn.sink.flush()
    assert turn.empty() == b"1\n"
    turn.end()
    assert turn.empty() == b""


def test_each_line_that_nobody_takes_counts_and_is_told_of_once(turn: Turn) -> None:
    told: list[int] = []

    def tell(count: int) -> None:
        told.append(count)
        turn.sink.write(b"dropped %d\n" % count)

    turn.sink.on_flow = tell
    turn.fill()
    for _ in range(3):
        turn.sink.write_soon(b"lost\n")
    turn.end()
    turn.sink.write(b"lost\n")
    assert turn.sink.dropped_count == 5
    assert told == []
    turn.empty()
    turn.sink.write_soon(b"back\n")
    turn.end()
    assert turn.empty() == b"back\ndropped 5\n"
    turn.sink.write(b"more\n")
    turn.sink.tell_dropped()
    assert turn.empty() == b"more\n"
    assert told == [5]


def test_a_notice_that_is_dropped_as_well_is_given_again(turn: Turn) -> None:
    turn.sink.on_flow = lambda count: turn.sink.write(b"dropped %d\n" % count)
    turn.fill()
    turn.sink.tell_dropped()
    assert turn.sink.dropped_count == 1
    turn.empty()
    turn.sink.tell_dropped()
    assert turn.empty() == b"dropped 1\n"

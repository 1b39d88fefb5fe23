"""A sink in which the lines of one turn of the event loop go out together.

A write to a pipe is a system call of one to two microseconds, and as much again for who reads it: at 64 connections
a turn brings a dozen requests. Everything else that is logged goes at once, behind what waits, so that order stays.

Considered: to wait for some milliseconds instead. That saves little more, and what a crash or SIGKILL takes with it
would be the requests just before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinit.log import PIPE_BUF, Sink

if TYPE_CHECKING:
    from collections.abc import Callable


class BatchSink(Sink):
    """See Sink.

    Args:
        fd: see Sink.
        call_soon: the loop's: calls back at the end of this turn.
    """

    __slots__ = ("_call_soon", "_is_due", "_lines", "_size_bytes")

    def __init__(self, fd: int, call_soon: Callable[[Callable[[], None]], object]) -> None:
        super().__init__(fd)
        self._call_soon = call_soon
        self._is_due = False
        self._lines: list[bytes] = []
        self._size_bytes = 0

    def write_soon(self, line: bytes) -> None:
        """Write a line (with its newline) at the end of this turn, or before what is written earlier."""
        self._size_bytes += len(line)
        # In no write more than PIPE_BUF: a pipe takes that whole or not at all, so that the app, which writes to the
        # same one, gets nothing between two halves of a line of ours.
        if self._size_bytes > PIPE_BUF and self._lines:
            self.flush()
            self._size_bytes = len(line)
        self._lines.append(line)
        if not self._is_due:
            self._is_due = True
            self._call_soon(self._turn_ended)

    def write(self, lines: bytes, count: int = 1) -> None:
        """See Sink: at once, behind what waits."""
        if self._lines:
            self.flush()
        super().write(lines, count)

    def flush(self) -> None:
        """Write what waits."""
        lines = self._lines
        if lines:
            self._lines = []
            self._size_bytes = 0
            super().write(b"".join(lines), len(lines))

    def _turn_ended(self) -> None:
        self._is_due = False
        self.flush()

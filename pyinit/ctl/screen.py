"""What pyinitctl writes to: a terminal or not, how wide, whether coloured, and how a page is shown again in place."""

from __future__ import annotations

import os
import signal
import sys

from pyinit.ctl.problem import ANSWER_IS_NO, Problem

_HOME, _END_OF_LINE, _BELOW, _ALL = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"
_USUAL_COLUMNS = 80


class OutputGone(Exception):
    """Who read stdout has left, as ``head`` does."""


class Screen:
    """Standard output."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout is not None and sys.stdout.isatty()
        is_dumb = os.environ.get("TERM", "") in ("", "dumb")
        self._moves = self.is_terminal and not is_dumb
        # no-color.org: there and not empty.
        self.is_coloured = self._moves and not os.environ.get("NO_COLOR")
        self._size: os.terminal_size | None = None

    @property
    def width(self) -> int:
        """Columns: the terminal's now, or of a page in a file."""
        return self._size_now().columns

    def show(self, lines: list[str]) -> None:
        """Write a page."""
        self.write("".join(line + "\n" for line in lines))

    def show_again(self, lines: list[str]) -> None:
        """Write a page over the one before; where there is no terminal, under it."""
        if not self._moves:
            self.show([*lines, ""])
            return
        size = self._size_now()
        # A line of a wider or longer terminal is elsewhere now.
        start = _HOME if size == self._size else _ALL + _HOME
        self._size = size
        # The last line stays free: a line feed there would scroll.
        room = max(1, size.lines - 1)
        shown = (
            lines if len(lines) <= room else [*lines[: room - 1], f"... {len(lines) - room + 1} more lines"]
        )
        self.write(start + "".join(f"{line}{_END_OF_LINE}\n" for line in shown) + _BELOW)

    @staticmethod
    def wait(seconds: float) -> None:
        """Until then, or until the terminal has another size."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
        signal.sigtimedwait([signal.SIGWINCH], seconds)

    @staticmethod
    def write(text: str) -> None:
        """Raises OutputGone, or Problem."""
        try:
            data = memoryview(text.encode("utf-8", "backslashreplace"))
            while data:
                data = data[os.write(1, data) :]
        except BrokenPipeError:
            raise OutputGone from None
        except OSError as problem:
            raise Problem(f"stdout: {problem.strerror}", ANSWER_IS_NO) from None

    def _size_now(self) -> os.terminal_size:
        if self.is_terminal:
            try:
                size = os.get_terminal_size(1)
            except OSError:
                size = os.terminal_size((0, 0))
            if size.columns and size.lines:
                return size
        return os.terminal_size((_USUAL_COLUMNS, 24))

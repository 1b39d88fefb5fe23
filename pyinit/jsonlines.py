"""Events as JSON lines, made by hand: what structlog makes of them, without the 20 ms that it takes to import.

A container's log is this form, and its start waits for the first line. The readable one is structlog's, for a person
at a terminal.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class JsonLines:
    """An EventLog that writes them, of every level.

    Args:
        write: takes a line, its newline included.
        bound: fields of every line, which go first.
        now_ns: nanoseconds of the epoch.
    """

    __slots__ = ("_bound", "_now_ns", "_write")

    def __init__(
        self,
        write: Callable[[bytes], None],
        bound: Mapping[str, object],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._write = write
        self._bound = dict(bound)
        self._now_ns = now_ns

    def debug(self, event: str, **fields: object) -> None:
        """See EventLog."""
        self._log(event, "debug", fields)

    def info(self, event: str, **fields: object) -> None:
        """See EventLog."""
        self._log(event, "info", fields)

    def warning(self, event: str, **fields: object) -> None:
        """See EventLog."""
        self._log(event, "warning", fields)

    def error(self, event: str, **fields: object) -> None:
        """See EventLog."""
        self._log(event, "error", fields)

    def _log(self, event: str, level: str, fields: dict[str, object]) -> None:
        second, micros = divmod(self._now_ns() // 1000, 1_000_000)
        date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        said = {**self._bound, **fields, "event": event, "level": level, "timestamp": f"{date}.{micros:06d}Z"}
        # One line: JSON escapes every line break, so no request can forge an event of its own.
        line = json.dumps(said, ensure_ascii=True, separators=(",", ":"), default=str)
        # It lets DEL stand as it is; a terminal that shows the file need not.
        self._write(line.replace("\x7f", "\\u007f").encode() + b"\n")

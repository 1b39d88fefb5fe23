"""The log's two forms, JSON lines and structlog's readable one, through a sink that never blocks.

The only module that imports structlog, and only for its form: see jsonlines. Cached loggers that write bytes; nothing
of the standard library's logging in between (structlog's own advice on performance).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from pyinit.accessline import EVENT, AccessLines
from pyinit.jsonlines import JsonLines
from pyinit.log import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog

    from pyinit.log import EventLog
    from pyinit.logbatch import BatchSink

LEVELS = ("debug", "info", "warning", "error")


class _SinkLogger:
    """What structlog calls with a rendered line."""

    def __init__(self, sink: BatchSink) -> None:
        self._sink = sink

    def msg(self, message: str) -> None:
        self._sink.write(message.encode("utf-8", "backslashreplace") + b"\n")

    debug = info = warning = error = critical = msg


def is_json(log_format: str, fd: int = 2) -> bool:
    """Whether JSON lines are written: ``auto`` is for machines unless a person looks on."""
    return log_format == "json" or (log_format == "auto" and not os.isatty(fd))


class LeveledLog:
    """A ProxyLog whose level can change while it runs.

    Args:
        logger: writes events of every level.
        level: the least that is logged.
        access: writes a request's line; at the level ``info``.

    Attributes:
        level: as it is now.
    """

    __slots__ = ("_access", "_logger", "access", "debug", "error", "info", "level", "warning")

    debug: Callable[..., None]
    info: Callable[..., None]
    warning: Callable[..., None]
    error: Callable[..., None]
    access: Callable[..., None]

    def __init__(self, logger: EventLog, level: str, access: Callable[..., None]) -> None:
        self._logger = logger
        self._access = access
        self.level = ""
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """Log this and what is above from here on. Raises ValueError for what is no level."""
        if level not in LEVELS:
            raise ValueError("debug, info, warning or error")
        self.level = level
        least = LEVELS.index(level)
        for rank, name in enumerate(LEVELS):
            setattr(self, name, getattr(self._logger, name) if rank >= least else _nothing)
        self.access = self._access if least <= LEVELS.index("info") else _nothing

    def __repr__(self) -> str:
        return f"LeveledLog({self.level})"


def _nothing(*_: object, **fields: object) -> None:
    """What a line below the level costs."""


def configure(log_format: str, level: str, sink: BatchSink, **bound: object) -> LeveledLog:
    """A logger for the whole run.

    Args:
        log_format: auto, json or console.
        level: the least that is logged.
        sink: where the lines go.
        bound: fields of every line.
    """
    if is_json(log_format):
        log = LeveledLog(JsonLines(sink.write, bound), level, AccessLines(sink.write_soon, bound).access)
    else:
        events = _readable(sink, bound)

        def access(**fields: object) -> None:
            rounded = {name: round(it, 6) if isinstance(it, float) else it for name, it in fields.items()}
            events.info(EVENT, **rounded)

        log = LeveledLog(events, level, access)
    sink.on_flow = lambda count: log.warning("log.dropped", lines=count)
    return log


def _readable(sink: BatchSink, bound: dict[str, object]) -> EventLog:
    import logging  # noqa: PLC0415  loaded already

    import structlog  # noqa: PLC0415  see jsonlines

    logger = structlog.wrap_logger(
        _SinkLogger(sink),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _make_printable,
            structlog.dev.ConsoleRenderer(colors=_has_colors(), pad_event_to=24, sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("EventLog", logger.bind(**bound))


def _has_colors(fd: int = 2) -> bool:
    """On a terminal that has them, unless the user would rather not: no-color.org has the variable, not empty."""
    return os.isatty(fd) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _make_printable(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """No field can steer the terminal or look like a line of its own; a traceback has lines, but indented."""
    return {name: _printable(name, value) for name, value in event.items()}


def _printable(name: str, value: object) -> object:
    if isinstance(value, str):
        if name == "traceback":
            return "\n    ".join(printable(line) for line in value.split("\n"))
        return printable(value)
    if value is None or isinstance(value, int | float):
        return value
    return printable(str(value))

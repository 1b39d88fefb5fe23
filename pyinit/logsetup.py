"""structlog's configuration: JSON lines, or a readable form, through a sink that never blocks.

The only module that imports structlog. Cached, level-filtering loggers that write bytes; nothing of the standard
library's logging in between (structlog's own advice on performance).
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.log import EventLog, Sink

LEVELS = ("debug", "info", "warning", "error")


class _SinkLogger:
    """What structlog calls with a rendered line."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, message: str | bytes) -> None:
        line = message.encode("utf-8", "backslashreplace") if isinstance(message, str) else message
        self._sink.write(line + b"\n")

    debug = info = warning = error = critical = msg


def is_json(log_format: str, fd: int = 2) -> bool:
    """Whether JSON lines are written: ``auto`` is for machines unless a person looks on."""
    return log_format == "json" or (log_format == "auto" and not os.isatty(fd))


class LeveledLog:
    """An EventLog whose level can change while it runs.

    Args:
        logger: a bound one of structlog's.
        level: the least that is logged.

    Attributes:
        level: as it is now.
    """

    __slots__ = ("_logger", "debug", "error", "info", "level", "warning")

    debug: Callable[..., None]
    info: Callable[..., None]
    warning: Callable[..., None]
    error: Callable[..., None]

    def __init__(self, logger: EventLog, level: str) -> None:
        self._logger = logger
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

    def __repr__(self) -> str:
        return f"LeveledLog({self.level})"


def _nothing(event: str, **fields: object) -> None:
    """What a line below the level costs."""


def configure(log_format: str, level: str, sink: Sink, **bound: object) -> LeveledLog:
    """A logger for the whole run.

    Args:
        log_format: auto, json or console.
        level: the least that is logged.
        sink: where the lines go.
        bound: fields of every line.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if is_json(log_format):
        renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        colors = os.isatty(2) and not os.environ.get("NO_COLOR")
        renderer = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24, sort_keys=False)
    logger = structlog.wrap_logger(
        _SinkLogger(sink),
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return LeveledLog(cast("EventLog", logger.bind(**bound)), level)


def _to_json(event: object, **_: object) -> str:
    """One line: JSON escapes every line break, so no request can forge an event of its own."""
    return json.dumps(event, ensure_ascii=True, separators=(",", ":"), default=str)

"""Events as JSON lines: the same that structlog makes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pyinit.jsonlines import JsonLines

if TYPE_CHECKING:
    from pyinit.log import EventLog

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(
    st.sampled_from(("pid", "reason", "upstream", "cut", "phases_s")), VALUES, max_size=4
)


def logging_to(lines: list[bytes], now_ns: int = 0, **bound: object) -> JsonLines:
    return JsonLines(lines.append, bound, lambda: now_ns)


class Collector:
    """What structlog calls with a rendered line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def msg(self, line: str) -> None:
        self.lines.append(line)

    debug = info = warning = error = msg


def structlogs(collector: Collector, **bound: object) -> EventLog:
    logger = structlog.wrap_logger(
        collector,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(separators=(",", ":")),
        ],
        context_class=dict,
    )
    return cast("EventLog", logger.bind(**bound))


def test_what_it_says() -> None:
    lines: list[bytes] = []
    log = logging_to(lines, 1_700_000_000_000_042_999, worker=1)
    log.info("child.spawned", pid=7, program="node")
    assert b"".join(lines) == (
        b'{"worker":1,"pid":7,"program":"node","event":"child.spawned","level":"info",'
        b'"timestamp":"2023-11-14T22:13:20.000042Z"}\n'
    )


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
@given(fields=FIELDS, bound=FIELDS)
def test_it_is_the_line_that_structlog_makes(
    level: str, fields: dict[str, Any], bound: dict[str, Any]
) -> None:
    ours: list[bytes] = []
    theirs = Collector()
    getattr(logging_to(ours, **bound), level)("some.event", **fields)
    getattr(structlogs(theirs, **bound), level)("some.event", **fields)
    at = ours[0].rindex(b'"timestamp":')
    (line,) = theirs.lines
    assert ours[0][:at].decode() == line[: line.rindex('"timestamp":')].replace("\x7f", "\\u007f")


def test_what_has_no_form_in_json_is_its_text() -> None:
    lines: list[bytes] = []
    logging_to(lines).warning("odd", reason=OSError("no"), raw=b"\xff")
    assert (json.loads(lines[0])["reason"], json.loads(lines[0])["raw"]) == ("no", "b'\\xff'")

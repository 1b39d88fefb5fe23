"""Both forms: one event a line, and nothing in it that a reader or a terminal would take for more than text."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit import logsetup
from pyinit.log import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.logsetup import LeveledLog

ACCESS: dict[str, Any] = {
    "method": "GET",
    "target": "/",
    "status": 200,
    "duration_s": 0.1,
    "upstream_s": 0.1,
    "bytes_in": 0,
    "bytes_out": 0,
    "peer": "127.0.0.1:5000",
    "client": "127.0.0.1",
}


class Sink:
    """Stands for a BatchSink."""

    def __init__(self) -> None:
        self.data = b""
        self.on_flow: Callable[[int], None] | None = None

    def write(self, lines: bytes) -> None:
        self.data += lines

    write_soon = write


def logging_to(sink: Sink, log_format: str, level: str = "info") -> LeveledLog:
    return logsetup.configure(log_format, level, sink)  # type: ignore[arg-type]  # by duck type


@pytest.mark.parametrize("log_format", ["json", "console"])
@given(text=st.text(), where=st.sampled_from(["program", "reason", "target", "signal"]))
def test_any_text_is_one_line_of_printable_characters(log_format: str, text: str, where: str) -> None:
    sink = Sink()
    log = logging_to(sink, log_format)
    log.info("child.spawned", **{where: text}, pid=7)
    log.access(**{**ACCESS, "target": text}, trace_id=text)
    lines = sink.data.decode().split("\n")
    assert len(lines) == 3
    assert lines.pop() == ""
    assert all(line.isprintable() for line in lines)
    if log_format == "json":
        first, second = map(json.loads, lines)
        assert (first[where], first["event"], first["level"]) == (text, "child.spawned", "info")
        assert (second["target"], second["trace_id"]) == (text, text)


@given(text=st.text(alphabet=st.characters(blacklist_characters="\n")), more=st.text())
def test_a_traceback_keeps_its_lines_in_the_readable_form(text: str, more: str) -> None:
    """And none of them can pass for an event: they are indented."""
    sink = Sink()
    logging_to(sink, "console").error("callback.failed", traceback=f"Traceback:\n{text}\n{more}")
    first, *others = sink.data.decode().removesuffix("\n").split("\n")
    assert "callback.failed" in first
    assert all(line.isprintable() for line in (first, *others))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢", "plain ä 漢"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb\tc\x00", "a\\r\\nb\\tc\\x00"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),  # a CSI of one byte
        ("\u202egnp.exe", "\\u202egnp.exe"),  # turns what follows around
        ("\u2028\udcff", "\\u2028\\udcff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_level_can_change_and_counts_for_requests_too(log_format: str) -> None:
    sink = Sink()
    log = logging_to(sink, log_format, "warning")
    log.info("no")
    log.access(**ACCESS)
    assert sink.data == b""
    log.set_level("info")
    log.access(**ACCESS)
    log.debug("no")
    assert sink.data.count(b"request.finished") == sink.data.count(b"\n") == 1
    log.set_level("error")
    log.access(**ACCESS)
    log.warning("no")
    assert sink.data.count(b"\n") == 1
    with pytest.raises(ValueError, match="debug, info, warning or error"):
        log.set_level("loud")
    assert log.level == "error"


def test_durations_have_microseconds_in_both_forms() -> None:
    for log_format, shown in (("json", '"duration_s":0.123457,'), ("console", "duration_s=0.123457 ")):
        sink = Sink()
        logging_to(sink, log_format).access(**{**ACCESS, "duration_s": 0.1234567})
        assert shown in sink.data.decode()


def test_dropped_lines_are_told_of_as_a_warning() -> None:
    sink = Sink()
    logging_to(sink, "json")
    assert sink.on_flow is not None
    sink.on_flow(3)
    event = json.loads(sink.data)
    assert (event["event"], event["level"], event["lines"]) == ("log.dropped", "warning", 3)


@pytest.mark.parametrize(
    ("environment", "has"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),  # no-color.org: present and not empty
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], has: bool) -> None:  # noqa: FBT001  a row
    controller, terminal = os.openpty()
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert logsetup._has_colors(terminal) == has
    os.close(controller)
    os.close(terminal)
    read_fd, write_fd = os.pipe()
    assert not logsetup._has_colors(write_fd)
    os.close(read_fd)
    os.close(write_fd)

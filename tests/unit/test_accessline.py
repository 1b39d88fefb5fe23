"""A request's line: JSON as every other event's, whatever is in its fields."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pyinit import logsetup
from pyinit.accessline import AccessLines
from pyinit.logbatch import BatchSink

LINE: dict[str, Any] = {
    "method": "GET",
    "target": "/a",
    "status": 200,
    "duration_s": 0.0123456789,
    "upstream_s": 0.01,
    "bytes_in": 0,
    "bytes_out": 12,
    "peer": "127.0.0.1:5000",
    "client": "203.0.113.7",
}


def lines_of(*, bound: dict[str, object] | None = None, now_ns: int = 0, **fields: Any) -> list[bytes]:
    lines: list[bytes] = []
    AccessLines(lines.append, bound or {}, lambda: now_ns).access(**{**LINE, **fields})
    return lines


def test_what_it_says() -> None:
    (line,) = lines_of(bound={"worker": 1}, now_ns=1_700_000_000_000_042_999, trace_id="ab", failed="client")
    assert line == (
        b'{"worker":1,"method":"GET","target":"/a","status":200,"duration_s":0.012346,"upstream_s":0.010000,'
        b'"bytes_in":0,"bytes_out":12,"peer":"127.0.0.1:5000","client":"203.0.113.7","trace_id":"ab",'
        b'"failed":"client","event":"request.finished","level":"info",'
        b'"timestamp":"2023-11-14T22:13:20.000042Z"}\n'
    )


def test_what_there_was_none_of_is_null() -> None:
    (line,) = lines_of(status=None, upstream_s=None)
    assert (json.loads(line)["status"], json.loads(line)["upstream_s"]) == (None, None)


def test_a_new_second_has_a_new_date() -> None:
    now_ns = 1_700_000_000_999_999_000
    lines: list[bytes] = []
    access = AccessLines(lines.append, {}, lambda: now_ns)
    access.access(**LINE)
    now_ns += 1000
    access.access(**LINE)
    assert [json.loads(line)["timestamp"][-10:] for line in lines] == ["20.999999Z", "21.000000Z"]


def test_its_form_and_order_are_every_other_events() -> None:
    """Made field by field here and by json there: a reader must not see the difference."""
    read_fd, write_fd = os.pipe()
    sink = BatchSink(write_fd, lambda _: None)
    log = logsetup.configure("json", "info", sink, worker=3)
    exact = {**LINE, "duration_s": 0.123456, "upstream_s": 0.123457}
    log.access(**exact, trace_id="t")
    log.info("request.finished", **exact, trace_id="t")
    by_hand, by_json = os.read(read_fd, 1 << 16).splitlines()
    os.close(read_fd)
    os.close(write_fd)
    os.close(sink._own_fd)
    at = by_hand.index(b'"timestamp":"') + 13
    assert by_hand[:at] == by_json[:at]
    assert len(by_hand) == len(by_json)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_text_breaks_out_of_it(method: str, target: str, client: str, trace_id: str) -> None:
    given_fields: dict[str, Any] = {
        "method": method,
        "target": target,
        "client": client,
        "trace_id": trace_id,
    }
    (line,) = lines_of(**given_fields)
    assert line.endswith(b"}\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])
    read = json.loads(line)
    assert {name: read[name] for name in given_fields} == given_fields
    assert read["event"] == "request.finished"

"""What a request is found by in the log: well-formed and bounded, whatever came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.http1.request import RequestParser
from pyinit.http1.tracing import trace_ids

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00-" + TRACE + b"-00f067aa0ba902b7-01"
ROOT = b"1-67891233-abcdef012345678912345678"


def ids_of(*lines: bytes) -> dict[str, str]:
    return trace_ids(RequestParser(100).parse(b"\r\n".join((b"GET / HTTP/1.1", b"Host: a", *lines))))


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        pytest.param([], {}, id="none"),
        pytest.param([b"traceparent: " + PARENT], {"trace_id": TRACE.decode()}, id="traceparent"),
        pytest.param([b"TraceParent:" + PARENT], {"trace_id": TRACE.decode()}, id="in any case"),
        pytest.param([b"traceparent: cc-" + PARENT[3:] + b"-more"], {"trace_id": TRACE.decode()}, id="a later version"),
        pytest.param([b"traceparent: 00-" + TRACE.upper() + b"-00f067aa0ba902b7-01"], {}, id="not lower-case"),
        pytest.param([b"traceparent: 00-" + TRACE], {}, id="cut off"),
        pytest.param([b"traceparent: " + b"-" * 55], {}, id="not hex"),
        pytest.param([b"traceparent: " + PARENT, b"traceparent: 00-" + b"0" * 32 + b"-1-1"],
                     {"trace_id": TRACE.decode()}, id="the first of two"),
        pytest.param([b"X-Amzn-Trace-Id: Root=" + ROOT], {"amzn_trace_id": ROOT.decode()}, id="Root"),
        pytest.param([b"x-amzn-trace-id: Self=1-2-3; Root=" + ROOT + b";Sampled=1"],
                     {"amzn_trace_id": ROOT.decode()}, id="Root among others"),
        pytest.param([b"X-Amzn-Trace-Id: Self=1-2-3"], {}, id="no Root"),
        pytest.param([b"X-Amzn-Trace-Id: Root="], {}, id="an empty Root"),
        pytest.param([b"X-Amzn-Trace-Id: Root=" + b"a" * 500], {"amzn_trace_id": "a" * 128}, id="a long Root"),
        pytest.param([b"X-Request-Id: " + b"i" * 500], {"request_id": "i" * 128}, id="a long request id"),
        pytest.param([b"traceparent: " + PARENT, b"X-Amzn-Trace-Id: Root=" + ROOT, b"X-Request-ID: 7"],
                     {"trace_id": TRACE.decode(), "amzn_trace_id": ROOT.decode(), "request_id": "7"}, id="all"),
    ],
)  # fmt: skip
def test_ids(lines: list[bytes], found: dict[str, str]) -> None:
    assert ids_of(*lines) == found


def test_a_line_that_came_before_is_seen_again() -> None:
    """Lines are remembered by the parser, and heads are made of what it remembers."""
    parser = RequestParser(100)
    block = b"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: " + PARENT + b"\r\nX-Amzn-Trace-Id: Root=" + ROOT
    expected = {"trace_id": TRACE.decode(), "amzn_trace_id": ROOT.decode()}
    assert [trace_ids(parser.parse(block)) for _ in range(4)] == [expected] * 4


def test_an_id_of_ours_is_the_one_that_is_told() -> None:
    head = RequestParser(100).parse(b"GET / HTTP/1.1\r\nHost: a")
    assert trace_ids(head, b"ours") == {"request_id": "ours"}


def test_they_pass_as_they_came_with_names_alike() -> None:
    lines = [
        b"Host: a",
        b"traceparent: odd",
        b"TRACESTATE: a=1",
        b"X_Amzn_Trace_Id: b",
        b"X-Amzn-Trace-Id: c",
    ]
    assert RequestParser(100).parse(b"\r\n".join((b"GET / HTTP/1.1", *lines))).lines == lines


@given(st.binary(), st.binary())
def test_any_value_gives_bounded_ones(parent: bytes, amzn: bytes) -> None:
    head = RequestParser(100).parse(b"GET / HTTP/1.1\r\nHost: a")
    head.fields += b"\r\ntraceparent: %b\r\nx-amzn-trace-id: %b\r\nx-request-id: %b" % (parent, amzn, amzn)
    assert all(0 < len(value) <= 128 for value in trace_ids(head).values())

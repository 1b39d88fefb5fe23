"""Our own responses: whole, short, and nobody else's bytes in them."""

import h11
import pytest

from pyinit.http1.replies import REASONS, options_reply, reply, trace_reply
from pyinit.http1.request import RequestParser

DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT"


def read(raw: bytes, method: bytes = b"GET") -> tuple[h11.Response, bytes]:
    """As a client reads it; a byte too many or too few fails."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += bytes(event.data)
    assert client.trailing_data[0] == b""
    return response, body


def test_a_reply_byte_by_byte() -> None:
    assert reply(400, "Host is missing", date_line=DATE) == (
        b"HTTP/1.1 400 Bad Request\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 33\r\n" + DATE + b"\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b"400 Bad Request: Host is missing\n"
    )


@pytest.mark.parametrize("status", REASONS)
def test_a_reply_says_what_is_wrong(status: int) -> None:
    response, body = read(reply(status, "so it is", date_line=DATE))
    assert (response.status_code, response.reason) == (status, REASONS[status])
    assert body == b"%d %b: so it is\n" % (status, REASONS[status])
    assert ((b"retry-after", b"1") in list(response.headers)) is (status == 503)


def test_a_reply_on_a_kept_connection_closes_nothing() -> None:
    response, _ = read(reply(200, "fine", date_line=DATE, close=False))
    assert b"connection" not in dict(response.headers)


def test_a_reply_to_head_has_the_length_and_no_body() -> None:
    raw = reply(503, "stopping", date_line=DATE, with_body=False)
    response, body = read(raw, b"HEAD")
    assert body == b""
    assert raw.endswith(b"\r\n\r\n")
    assert dict(response.headers)[b"content-length"] == b"34"


def test_text_beyond_ascii_is_escaped() -> None:
    assert read(reply(502, "caf\xe9", date_line=DATE))[1] == b"502 Bad Gateway: caf\\xe9\n"


def test_options_that_end_here_are_answered_empty() -> None:
    response, body = read(options_reply(DATE, close=False), b"OPTIONS")
    assert (response.status_code, body) == (200, b"")


def test_trace_that_ends_here_returns_the_request_without_its_secrets() -> None:
    head = RequestParser(9).parse(
        b"TRACE /a?b HTTP/1.1\r\nHost: a\r\nX: 1\r\nMax-Forwards: 0\r\nCookie: secret\r\n"
        b"authorization: secret\r\n"
        b"Proxy-Authorization: secret"
    )
    response, body = read(trace_reply(head, DATE, close=True), b"TRACE")
    assert dict(response.headers)[b"content-type"] == b"message/http"
    assert dict(response.headers)[b"connection"] == b"close"
    assert body == b"TRACE /a?b HTTP/1.1\r\nHost: a\r\nX: 1\r\nMax-Forwards: 0\r\n\r\n"

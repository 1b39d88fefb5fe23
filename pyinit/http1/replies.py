"""Our own responses as bytes: short text that says what a person can do about it."""

from pyinit.http1.message import RequestHead

REASONS = {
    200: b"OK",
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}
# A TRACE answer goes to whoever can make the client send one (RFC 9110 section 9.3.8).
_SECRET = frozenset((b"authorization", b"cookie", b"proxy-authorization"))


def reply(status: int, text: str, *, date_line: bytes, close: bool = True, with_body: bool = True) -> bytes:
    """A response of ours.

    Args:
        status: a key of REASONS.
        text: one clause of ours, never the client's bytes.
        date_line: ``Date: ...``.
        close: whether we close after it.
        with_body: False for the answer to a HEAD request.
    """
    body = b"%d %b: %b\n" % (status, REASONS[status], text.encode("ascii", "backslashreplace"))
    return _response(status, b"text/plain; charset=utf-8", body, date_line, close=close, with_body=with_body)


def options_reply(date_line: bytes, *, close: bool) -> bytes:
    """The answer to OPTIONS with Max-Forwards: 0: we are its last recipient (RFC 9110 section 7.6.2)."""
    return _response(200, b"text/plain; charset=utf-8", b"", date_line, close=close)


def trace_reply(head: RequestHead, date_line: bytes, *, close: bool) -> bytes:
    """The answer to TRACE with Max-Forwards: 0: the request as it came, secrets left out."""
    kept = [line for line in head.lines if line.partition(b":")[0].lower() not in _SECRET]
    body = b"\r\n".join([b"TRACE %b HTTP/1.%d" % (head.target, head.minor), *kept, b"", b""])
    return _response(200, b"message/http", body, date_line, close=close)


def body_bytes(answer: bytes) -> int:
    """How long the body of one of these is."""
    return len(answer) - answer.index(b"\r\n\r\n") - 4


def _response(
    status: int, content_type: bytes, body: bytes, date_line: bytes, *, close: bool, with_body: bool = True
) -> bytes:
    lines = [
        b"HTTP/1.1 %d %b" % (status, REASONS[status]),
        b"Content-Type: " + content_type,
        b"Content-Length: %d" % len(body),
        date_line,
    ]
    if close:
        lines.append(b"Connection: close")
    if status == 503:
        lines.append(b"Retry-After: 1")
    return b"\r\n".join([*lines, b"", body if with_body else b""])

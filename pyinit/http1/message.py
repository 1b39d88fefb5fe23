"""Heads as values: what a parsed request or response head says, its field lines as they came."""


class RequestHead:
    """A request head that passed every check.

    Attributes:
        method: as sent; methods are case-sensitive.
        target: in the form to be sent on: origin-form, or ``*``.
        minor: of the version, 0 or 1 (a later 1.x counts as 1).
        lines: the end-to-end field lines as received, in order; forwarding fields among them.
        host: the authority asked for; empty where HTTP/1.0 named none.
        content_length: None where there is no Content-Length.
        is_chunked: whether the body is chunked; never together with content_length.
        keep_alive: whether the client would go on with this connection.
        upgrade: the protocols offered, HTTP itself aside; None where none is, or where a body comes with it.
        websocket_key: Sec-WebSocket-Key, where a WebSocket is among them.
        forwarding: lower-case name -> lines, of X-Forwarded-* and Forwarded; None where there are none.
        max_forwards: of TRACE and OPTIONS; None where absent.
        request_id: X-Request-Id, the first; empty where none came.
        traceparent: that field, the same.
        amzn_trace_id: X-Amzn-Trace-Id, the same.
    """

    __slots__ = (
        "amzn_trace_id",
        "content_length",
        "forwarding",
        "host",
        "is_chunked",
        "keep_alive",
        "lines",
        "max_forwards",
        "method",
        "minor",
        "request_id",
        "target",
        "traceparent",
        "upgrade",
        "websocket_key",
    )

    method: bytes
    target: bytes
    minor: int
    lines: list[bytes]
    host: bytes
    content_length: int | None
    is_chunked: bool
    keep_alive: bool
    upgrade: bytes | None
    websocket_key: bytes | None
    forwarding: dict[bytes, list[bytes]] | None
    max_forwards: int | None
    request_id: bytes
    traceparent: bytes
    amzn_trace_id: bytes

    def __repr__(self) -> str:
        return f"RequestHead({self.method!r} {self.target!r} 1.{self.minor}, {len(self.lines)} fields)"


class ResponseHead:
    """A response head that passed every check. Never changed once made: heads are cached whole.

    Attributes:
        status: 100 to 599.
        minor: of the app's version.
        lines: the end-to-end field lines, in order.
        status_line: ours, HTTP/1.1, with the app's status and reason.
        content_length: None where there is no Content-Length.
        is_chunked: never together with content_length.
        keep_alive: whether the app will take another request on this connection.
        keep_alive_s: the ``Keep-Alive: timeout`` it announced; None without one.
        upgrade: what a 101 switches to; None without an Upgrade field.
        has_date: whether a Date came along.
        is_event_stream: whether, as an answer to a GET, it is one that can be followed (see http1.sse).
        wire: the whole head as it goes to an HTTP/1.1 client that is kept; with Date where the app sent it.
    """

    __slots__ = (
        "content_length",
        "has_date",
        "is_chunked",
        "is_event_stream",
        "keep_alive",
        "keep_alive_s",
        "lines",
        "minor",
        "status",
        "status_line",
        "upgrade",
        "wire",
    )

    status: int
    minor: int
    lines: list[bytes]
    status_line: bytes
    content_length: int | None
    is_chunked: bool
    keep_alive: bool
    keep_alive_s: int | None
    upgrade: bytes | None
    has_date: bool
    is_event_stream: bool
    wire: bytes

    def __repr__(self) -> str:
        return f"ResponseHead({self.status}, {len(self.lines)} fields)"

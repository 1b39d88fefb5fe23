"""Heads as values: what a parsed request or response head says, its field lines as they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyinit.http1.forward import Forwarder, Plan


class Verdict:
    """What the lines of a request head that mean something to us say, where they say it without the others.

    One object for all heads with these lines, so that what follows from it is found by it. See RequestHead for the
    attributes of the same name; all else is as in a head of HTTP/1.1 without an upgrade.

    Attributes:
        content_length: of the first such head; another's is put in its place.
        cuts: the hop-by-hop lines and the like, each between its line ends, as often as it comes.
        forwarding: with the X-Forwarded-For of the last such head, where that may be any client's.
        plans: what a Forwarder has made of it.
        length_at: which line is a Content-Length, whichever that is; -1 for none.
        client_at: the same of an X-Forwarded-For of one address.
    """

    __slots__ = (
        "client_at",
        "content_length",
        "cuts",
        "forwarding",
        "host",
        "is_chunked",
        "keep_alive",
        "length_at",
        "plans",
        "request_id",
    )

    content_length: int | None
    cuts: tuple[bytes, ...]
    forwarding: dict[bytes, list[bytes]] | None
    host: bytes
    is_chunked: bool
    keep_alive: bool
    plans: dict[Forwarder, Plan]
    request_id: bool
    length_at: int
    client_at: int

    def head(self, method: bytes, target: bytes, fields: bytes) -> RequestHead:
        """A head with these lines in it.

        Args:
            method: none whose verdict differs from GET's (see abnf.COMMON_REQUEST_LINE).
            target: in origin-form.
            fields: all its field lines as received, each behind a line end.
        """
        head = RequestHead()
        head.method = method
        head.target = target
        head.minor = 1
        head.fields = without(fields, self.cuts) if self.cuts else fields
        head.host = self.host
        head.content_length = self.content_length
        head.is_chunked = self.is_chunked
        head.keep_alive = self.keep_alive
        head.upgrade = head.websocket_key = head.max_forwards = head.client = None
        head.forwarding = self.forwarding
        head.request_id = self.request_id
        head.verdict = self
        return head

    def put_client(self, head: RequestHead, client: bytes, line: bytes) -> None:
        """Make a head that of one client.

        Args:
            head: of this verdict.
            client: its address.
            line: the X-Forwarded-For that consists of it.
        """
        forwarding = self.forwarding
        assert forwarding is not None  # noqa: S101  it has that line
        if forwarding[b"x-forwarded-for"][0] != line:
            forwarding = self.forwarding = {**forwarding, b"x-forwarded-for": [line]}
        head.client = client
        head.forwarding = forwarding


def without(fields: bytes, cuts: tuple[bytes, ...]) -> bytes:
    """Field lines, each behind a line end, without those of a Verdict's cuts."""
    fields += b"\r\n"
    for cut in cuts:
        fields = fields.replace(cut, b"\r\n", 1)
    return fields[:-2]


class RequestHead:
    """A request head that passed every check.

    Attributes:
        method: as sent; methods are case-sensitive.
        target: in the form to be sent on: origin-form, or ``*``.
        minor: of the version, 0 or 1 (a later 1.x counts as 1).
        fields: the end-to-end field lines as received, in order, each behind a CRLF; forwarding fields among them.
        host: the authority asked for; empty where HTTP/1.0 named none.
        content_length: None where there is no Content-Length.
        is_chunked: whether the body is chunked; never together with content_length.
        keep_alive: whether the client would go on with this connection.
        upgrade: the protocols offered, HTTP itself aside; None where none is, or where a body comes with it.
        websocket_key: Sec-WebSocket-Key, where a WebSocket is among them.
        forwarding: lower-case name -> lines, of X-Forwarded-* and Forwarded; None where there are none.
        client: the address that the only X-Forwarded-For consists of; None where it is another, or was not looked at.
        max_forwards: of TRACE and OPTIONS; None where absent.
        request_id: whether an X-Request-Id came along.
        verdict: of its lines, where it has none of its own.
    """

    __slots__ = (
        "client",
        "content_length",
        "fields",
        "forwarding",
        "host",
        "is_chunked",
        "keep_alive",
        "max_forwards",
        "method",
        "minor",
        "request_id",
        "target",
        "upgrade",
        "verdict",
        "websocket_key",
    )

    method: bytes
    target: bytes
    minor: int
    fields: bytes
    host: bytes
    content_length: int | None
    is_chunked: bool
    keep_alive: bool
    upgrade: bytes | None
    websocket_key: bytes | None
    forwarding: dict[bytes, list[bytes]] | None
    client: bytes | None
    max_forwards: int | None
    request_id: bool
    verdict: Verdict | None

    def first(self, name: bytes) -> bytes:
        """The first value of an end-to-end field; empty without one. Off the hot path, as ``lines``.

        Args:
            name: in lower case.
        """
        fields = self.fields
        at = fields.lower().find(b"\r\n%b:" % name)
        if at < 0:
            return b""
        start = at + len(name) + 3
        end = fields.find(b"\r\n", start)
        return fields[start : end if end >= 0 else None].strip(b" \t")

    @property
    def lines(self) -> list[bytes]:
        """The field lines one by one. Off the hot path: they are split anew each time."""
        return self.fields.split(b"\r\n")[1:]

    def __repr__(self) -> str:
        return f"RequestHead({self.method!r} {self.target!r} 1.{self.minor}, {len(self.lines)} fields)"


class ResponseHead:
    """A response head that passed every check. Never changed once made: heads are cached whole.

    Attributes:
        status: 100 to 599.
        wire: our status line, HTTP/1.1 with the app's status and reason, and the end-to-end field lines in order. What
            goes behind them (see forward.END) is each connection's own, and so is a Date where the app sent none.
        content_length: None where there is no Content-Length.
        is_chunked: never together with content_length.
        keep_alive: whether the app will take another request on this connection.
        keep_alive_s: the ``Keep-Alive: timeout`` it announced; None without one.
        upgrade: what a 101 switches to; None without an Upgrade field.
        has_date: whether a Date came along.
        is_event_stream: whether, as an answer to a GET, it is one that can be followed (see http1.sse).
        plain_bytes: of the body that follows, where one of the two is what goes out and the app's connection is kept,
            unless the request has it otherwise; None where there is more to it.
        is_plain_chunked: the same, of one whose body is chunked and is no event stream.
    """

    __slots__ = (
        "content_length",
        "has_date",
        "is_chunked",
        "is_event_stream",
        "is_plain_chunked",
        "keep_alive",
        "keep_alive_s",
        "plain_bytes",
        "status",
        "upgrade",
        "wire",
    )

    status: int
    wire: bytes
    content_length: int | None
    is_chunked: bool
    keep_alive: bool
    keep_alive_s: int | None
    upgrade: bytes | None
    has_date: bool
    is_event_stream: bool
    plain_bytes: int | None
    is_plain_chunked: bool

    @property
    def lines(self) -> list[bytes]:
        """The end-to-end field lines one by one. Off the hot path: they are split anew each time."""
        return self.wire.split(b"\r\n")[1:]

    def __repr__(self) -> str:
        return f"ResponseHead({self.status}, {len(self.lines)} fields)"

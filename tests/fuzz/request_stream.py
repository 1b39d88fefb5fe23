"""What a client sends: heads and bodies of one connection, in any split.

The laws: nothing is raised but ProtocolError. Any split gives the same requests, and is refused where the whole is.
What is accepted goes to the app as bytes that llhttp and h11 read as just these requests, fields and all, whether
each comes alone or all behind one another; nothing that is not whole is whole to them.
"""

from pyinit.http1.fields import HOP_BY_HOP
from pyinit.http1.forward import Forwarder
from tests.fuzz import words
from tests.fuzz.target import Connection, Request, Target, fields_of, in_pieces
from tests.support.oracles import LLHTTP_METHODS, Llhttp, read_by_h11

_FORWARDER = Forwarder(
    "auto",
    b"us",
    peer_ip=b"::1",
    is_trusted=True,
    local_host=b"us:80",
    local_port=b"80",
    head_max_bytes=1 << 20,
)
# What a head has once, or not at all.
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"upgrade", b"connection")


def check(data: bytes) -> None:
    """See above."""
    whole = Connection().read([data] if data else [])
    split = Connection().read(in_pieces(data))
    assert _seen(split) == _seen(whole)
    assert (split.refusal is None) == (whole.refusal is None)
    if whole.refusal is None:
        assert (whole.part is None) == (split.part is None)
        if whole.part is not None and split.part is not None:
            assert (split.part.body, split.part.payload) == (whole.part.body, whole.part.payload)
            _check_part(whole.part)
    for request in whole.requests:
        _check_request(request)
    _check_stream([it for it in whole.requests if it.head.upgrade is None])


def _seen(connection: Connection) -> list[tuple[bytes, bytes, bytes]]:
    return [(_FORWARDER.request(it.head), it.body, it.payload) for it in connection.requests]


def _check_request(request: Request) -> None:
    head = request.head
    forwarded = _FORWARDER.request(head)
    lines = forwarded[:-4].split(b"\r\n")
    assert lines.pop(0) == b"%b %b HTTP/1.1" % (head.method, head.target)
    fields = fields_of(lines)
    names = [name for name, _ in fields]
    assert all(names.count(name) <= 1 for name in _ONCE)
    assert b"host" in names
    assert not (set(names) & HOP_BY_HOP) - ({b"connection"} if head.upgrade else set())
    assert not (b"content-length" in names and b"transfer-encoding" in names)
    others = read_by_h11(forwarded + request.body)
    assert (others.start, others.payload) == ((head.method, head.target), request.payload)
    assert (others.is_whole, others.rest, others.fields) == (True, b"", fields)
    if head.method not in LLHTTP_METHODS:
        return
    node = Llhttp()
    assert node.read(forwarded + request.body) == head.method
    assert (node.ends, node.target, node.payload) == (1, head.target, request.payload)
    assert node.fields[: len(fields)] == fields
    assert node.is_upgrade is (head.upgrade is not None)
    short = Llhttp()
    short.read((forwarded + request.body)[:-1])
    assert short.ends == 0


def _check_part(part: Request) -> None:
    """What has been passed on of a request whose end has not come must not be whole to the app."""
    forwarded = _FORWARDER.request(part.head) + part.body
    node = Llhttp()
    node.read(forwarded)
    assert node.ends == 0
    assert not read_by_h11(forwarded).is_whole


def _check_stream(requests: list[Request]) -> None:
    """All over one connection to the app."""
    if any(it.head.method not in LLHTTP_METHODS for it in requests):
        return
    node = Llhttp()
    node.read(b"".join([_FORWARDER.request(it.head) + it.body for it in requests]))
    assert node.ends == len(requests)
    assert node.target == b"".join([it.head.target for it in requests])
    assert node.payload == b"".join([it.payload for it in requests])


_HOST = b"Host: a.example:80\r\n"
TARGET = Target(
    "request_stream",
    check,
    (
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET /a?b=c|d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"Max-Forwards: 3\r\n\r\n",
        b"TRACE / HTTP/1.1\r\n" + _HOST + b"Max-Forwards: 0\r\nCookie: a=b\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: 3\r\n\r\nabcPUT / HTTP/1.1\r\n" + _HOST + b"\r\n",
        b"POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        b'3;a="b"\r\nabc\r\n0\r\nX: y\r\n\r\nHEAD / HTTP/1.1\r\n' + _HOST + b"\r\n",
        b"GET /ws HTTP/1.1\r\n"
        + _HOST
        + b"Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"GET / HTTP/1.1\r\n"
        + _HOST
        + b"Connection: upgrade, http2-settings\r\nUpgrade: h2c, x\r\nHTTP2-Settings: AA\r\n\r\n",
        b"PATCH / HTTP/1.2\r\n"
        + _HOST
        + b"Connection: x-a, close\r\nX-A: 1\r\nTE: trailers\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\n"
        + _HOST
        + b"X-Forwarded-For: 1.2.3.4, 5\r\nForwarded: for=x\r\nX-Y:\t\xe9 \r\n\r\n",
        b"POST / HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding:\tChunked \t\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ),
    (*words.LINES, *words.FIELDS, *words.FORWARDING, *words.REQUESTS, *words.CHUNKS),
)

"""What the app sends: interim and final responses to a GET and to a HEAD, in any split.

The laws: nothing is raised but ProtocolError. Any split gives the same. What goes to the client, h11 and llhttp read
as what we took it for: the same status, fields, payload and end.
"""

from typing import NamedTuple

from pyinit.errors import ProtocolError
from pyinit.http1 import forward
from pyinit.http1.body import UntilCloseBody
from pyinit.http1.framing import response_body
from pyinit.http1.head import HeadReader
from pyinit.http1.message import ResponseHead
from pyinit.http1.response import ResponseParser
from tests.fuzz import words
from tests.fuzz.target import Target, fields_of, framed, in_pieces
from tests.support.oracles import Llhttp, response_by_h11

_LIMIT_BYTES = 64 * 1024
_DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT"
_H11_HEAD_MAX_BYTES = 16 * 1024


class Read(NamedTuple):
    """One final response.

    Attributes:
        head: of it.
        interim: heads before it.
        body: as on the wire.
        payload: without its framing.
        is_whole: whether its end has come.
        is_until_close: whether that is the connection's.
    """

    head: ResponseHead
    interim: list[ResponseHead]
    body: bytes
    payload: bytes
    is_whole: bool
    is_until_close: bool


def read(pieces: list[bytes], method: bytes) -> Read | ProtocolError | None:
    """What we make of it; None where no final head is whole."""
    reader, parser = HeadReader(_LIMIT_BYTES, is_response=True), ResponseParser()
    interim: list[ResponseHead] = []
    found: Read | None = None
    framer = None
    try:
        for piece in pieces:
            data = piece
            while found is None and data:
                taken = reader.feed(data)
                if taken is None:
                    break
                block, data = taken
                head = parser.parse(block)
                if head.status < 200:
                    interim.append(head)
                    if head.status == 101:
                        return Read(head, interim, data, data, is_whole=True, is_until_close=True)
                    continue
                framer = response_body(head, method)
                is_until_close = isinstance(framer, UntilCloseBody)
                found = Read(head, interim, b"", b"", framer is None, is_until_close)
            if found is not None and framer is not None and not framer.complete and data:
                end, payload = framed(framer, data)
                found = found._replace(
                    body=found.body + data[:end], payload=found.payload + payload, is_whole=framer.complete
                )
    except ProtocolError as fault:
        return fault
    return found


def check(data: bytes) -> None:
    """See above."""
    for method in (b"GET", b"HEAD"):
        _check(data, method)


def _check(data: bytes, method: bytes) -> None:
    whole = read([data], method)
    split = read(in_pieces(data), method)
    assert type(split) is type(whole)
    if not isinstance(whole, Read) or not isinstance(split, Read):
        return
    assert split.head.wire == whole.head.wire
    assert [it.wire for it in split.interim] == [it.wire for it in whole.interim]
    assert split[2:] == whole[2:] or whole.head.status == 101
    if whole.head.status != 101 and whole.head.status < 600:
        _check_client(whole, method)


def _check_client(got: Read, method: bytes) -> None:
    """What the client is sent, and what becomes of it there."""
    head = got.head
    for client_minor, close in ((1, False), (1, True), (0, True)):
        out = forward.response(head, close=close, client_minor=client_minor, date_line=_DATE)
        assert out.endswith(b"\r\n\r\n")
        lines = out[:-4].split(b"\r\n")
        assert b"\r" not in b"".join(lines)
        assert b"\n" not in b"".join(lines)
        fields = fields_of(lines[1:])
        names = [name for name, _ in fields]
        assert b"date" in names
        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
        assert names.count(b"connection") == (close and 1)
        if len(out) > _H11_HEAD_MAX_BYTES or len(fields) > 90:
            continue
        body = got.body if client_minor else got.payload
        others = response_by_h11(out + body, method, is_closed=got.is_until_close or not client_minor)
        assert others.start == head.status
        assert others.fields == fields
        assert others.payload == got.payload
        assert others.is_whole == (
            got.is_whole or got.is_until_close or (not client_minor and head.is_chunked)
        )
    interim = b"".join([forward.interim(it) for it in got.interim])
    out = interim + head.wire + forward.END + got.body
    if method == b"HEAD" or len(out) > _H11_HEAD_MAX_BYTES:
        return  # httptools has no way to say that a HEAD was sent
    node = Llhttp()
    assert node.read_response(out) == head.status
    assert node.payload == got.payload
    assert node.ends == len(got.interim) + (got.is_whole and not got.is_until_close)


_DATED = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
TARGET = Target(
    "response_stream",
    check,
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n" + _DATED + b"Connection: keep-alive\r\nKeep-Alive: timeout=5, max=1\r\n"
        b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.0 200\r\n\r\nuntil the end",
        b"HTTP/1.1 200\r\nTransfer-Encoding:chunked\t\r\n\r\n1\r\na\r\n0\r\n\r\n",
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No\r\n"
            b"Content-Length: 5\r\n\r\n"
        ),
        b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "a"\r\n\r\n',
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
        (
            b"HTTP/1.1 404 caf\xe9\r\nConnection: x-a\r\nX-A: b\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
            b"Content-Length: 0\r\n\r\n"
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ),
    (*words.LINES, *words.FIELDS, *words.RESPONSES, *words.CHUNKS),
)

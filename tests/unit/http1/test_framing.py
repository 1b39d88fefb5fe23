"""Which body follows a head, and that llhttp (Node's parser) and h11 find its end where we do."""

from dataclasses import dataclass

import pytest
from hypothesis import given

from pyinit.errors import ProtocolError
from pyinit.http1.body import BodyFramer, ChunkedBody, LengthBody, UntilCloseBody
from pyinit.http1.forward import Forwarder
from pyinit.http1.framing import request_body, response_body
from pyinit.http1.head import HeadReader
from pyinit.http1.request import RequestParser
from pyinit.http1.response import ResponseParser
from tests.support.oracles import Llhttp, read_by_h11
from tests.support.strategies import METHODS, Message, law, near_valid, requests, responses


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], None, id="no length, no body"),
        pytest.param([b"Content-Length: 0"], None, id="a length of 0"),
        pytest.param([b"Content-Length: 7"], LengthBody(7), id="a length"),
        pytest.param([b"Transfer-Encoding: chunked"], ChunkedBody(), id="chunks"),
    ],
)
def test_the_body_of_a_request(lines: list[bytes], expected: BodyFramer | None) -> None:
    head = RequestParser(9).parse(b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", *lines]))
    assert repr(request_body(head)) == repr(expected)


@pytest.mark.parametrize(
    ("method", "block", "expected"),
    [
        pytest.param(b"GET", b"200 OK\r\nContent-Length: 7", LengthBody(7), id="a length"),
        pytest.param(b"GET", b"200 OK\r\nContent-Length: 0", None, id="a length of 0"),
        pytest.param(b"GET", b"200 OK\r\nTransfer-Encoding: chunked", ChunkedBody(), id="chunks"),
        pytest.param(b"GET", b"200 OK", UntilCloseBody(), id="neither: until the close"),
        pytest.param(b"HEAD", b"200 OK\r\nContent-Length: 7", None, id="HEAD with a length"),
        pytest.param(b"HEAD", b"200 OK\r\nTransfer-Encoding: chunked", None, id="HEAD with chunks"),
        pytest.param(b"HEAD", b"200 OK", None, id="HEAD with neither"),
        pytest.param(b"GET", b"204 No Content\r\nContent-Length: 7", None, id="204 with a length"),
        pytest.param(b"GET", b"204 No Content\r\nTransfer-Encoding: chunked", None, id="204 with chunks"),
        pytest.param(b"GET", b"304 Not Modified\r\nContent-Length: 7", None, id="304 with a length"),
        pytest.param(b"GET", b"304 Not Modified\r\nTransfer-Encoding: chunked", None, id="304 with chunks"),
        pytest.param(
            b"GET", b"205 Reset Content\r\nContent-Length: 7", LengthBody(7), id="205 is no exception"
        ),
        pytest.param(b"head", b"200 OK\r\nContent-Length: 7", LengthBody(7), id="methods are case-sensitive"),
    ],
)
def test_the_body_of_a_response(method: bytes, block: bytes, expected: BodyFramer | None) -> None:
    assert repr(response_body(ResponseParser().parse(b"HTTP/1.1 " + block), method)) == repr(expected)


def test_a_response_may_trail_what_a_request_may_not() -> None:
    head = ResponseParser().parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")
    body = response_body(head, b"GET")
    assert body is not None
    assert body.take(b"0\r\nSet-Cookie: a\r\n\r\n", 0) == 20
    body = response_body(head, b"GET")
    assert body is not None
    with pytest.raises(ProtocolError, match="forbidden"):
        body.take(b"0\r\nContent-Length: 1\r\n\r\n", 0)


# -- what others read ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """A request as a parser reads it.

    Attributes:
        wire: all of it.
        forwarded: as the app is sent it.
        payload: the body without its framing.
    """

    method: bytes
    target: bytes
    wire: bytes
    forwarded: bytes
    payload: bytes


FORWARDER = Forwarder(
    "auto",
    b"us",
    peer_ip=b"::1",
    is_trusted=True,
    local_host=b"us:80",
    local_port=b"80",
    head_max_bytes=16 * 1024,
)


def read_by_us(raw: bytes) -> Read | None:
    """None where it is refused or not whole."""
    try:
        taken = HeadReader(16 * 1024).feed(raw)
        if taken is None:
            return None
        block, rest = taken
        head = RequestParser(100).parse(block)
        body, end, payload = request_body(head), 0, b""
        if isinstance(body, ChunkedBody):
            body.spans = []
        if body is not None:
            end = body.take(rest, 0)
            if not body.complete:
                return None
            payload = rest[:end]
        if isinstance(body, ChunkedBody):
            payload = b"".join(rest[first:last] for first, last in body.spans or ())
    except ProtocolError:
        return None
    wire = raw[: len(raw) - len(rest) + end]
    return Read(head.method, head.target, wire, FORWARDER.request(head) + rest[:end], payload)


def assert_others_agree(read: Read) -> None:
    """What the app is sent is taken by both, to the last byte and not one further; so is what we were sent.

    As to the latter, llhttp may refuse more than we do (a version 1.2), and reads no body behind an upgrade
    where an app listens for it: the reason why an upgrade with a body is not offered on.
    """
    node = Llhttp()
    assert node.read(read.forwarded) == read.method
    assert (node.ends, node.target, node.payload) == (1, read.target, read.payload)
    others = read_by_h11(read.forwarded)
    assert (others.start, others.payload) == ((read.method, read.target), read.payload)
    assert (others.is_whole, others.rest) == (True, b"")
    short = Llhttp()
    short.read(read.forwarded[:-1])
    assert short.ends == 0
    raw = Llhttp()
    if raw.read(read.wire) is not None and not raw.is_upgrade:
        assert (raw.ends, raw.payload) == (1, read.payload)


@law
@given(message=requests())
def test_a_good_request_is_read_alike_by_all(message: Message) -> None:
    read = read_by_us(message.wire + b"GET / HTTP/1.1\r\n")
    assert read is not None
    assert read.wire == message.wire
    assert read.payload == message.payload
    assert_others_agree(read)


@law
@given(raw=near_valid())
def test_an_odd_request_that_is_accepted_is_read_alike_by_all(raw: bytes) -> None:
    read = read_by_us(raw)
    if read is not None and read.method in METHODS:
        assert_others_agree(read)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"GET http://b/c HTTP/1.0\r\n\r\n", id="an absolute target in HTTP/1.0, without Host"),
        pytest.param(b"GET /c HTTP/1.0\r\nHost:\r\n\r\n", id="an empty Host in HTTP/1.0"),
        pytest.param(b"POST / HTTP/1.2\r\nHost: b\r\nContent-Length: 1\r\n\r\na", id="a later minor version"),
        pytest.param(b"\r\n\r\nGET /c HTTP/1.1\r\nHost: b\r\n\r\n", id="empty lines before"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na",
            id="an upgrade with a body",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            id="an upgrade without one",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
            id="h2c",
        ),
        pytest.param(b'GET /|"{}[]^\\`<>?%zz=| HTTP/1.1\r\nHost: b\r\n\r\n', id="a target that is no URI"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'1;a="\\"\xe9"\r\nx\r\n0;b\r\nC: d\r\n\r\n',
            id="extensions and trailers",
        ),
    ],
)
def test_a_request_out_of_the_ordinary_is_read_alike_by_all(raw: bytes) -> None:
    read = read_by_us(raw)
    assert read is not None
    assert_others_agree(read)


@law
@given(message=responses())
def test_a_response_is_framed_as_it_was_written(message: Message) -> None:
    head = ResponseParser().parse(message.block)
    body = response_body(head, b"GET")
    if body is None:
        assert head.status in (204, 304) or not message.body
        return
    assert body.take(message.body + b"HTTP/1.1", 0) == len(message.body)
    assert body.complete
    assert response_body(head, b"HEAD") is None

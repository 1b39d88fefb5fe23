"""One corpus of requests, read by us and by Node: what we accept Node accepts, and reads alike.

The corpus only grows: each bug adds its bytes.
"""

import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyinit.errors import ProtocolError
from pyinit.http1.body import ChunkedBody
from pyinit.http1.forward import Forwarder
from pyinit.http1.framing import request_body
from pyinit.http1.head import HeadReader
from pyinit.http1.request import RequestParser

pytestmark = pytest.mark.node

SCRIPT = Path(__file__).with_name("node_agreement.js")
# Node's own --max-http-header-size, and the default of ours.
HEAD_MAX_BYTES = 16 * 1024
ANSWER_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Read:
    """What a parser makes of a request."""

    method: str
    target: str
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """Node's verdict: what it read, None where it refused."""

    status: int
    read: Read | None
    fields: tuple[tuple[str, str], ...] = ()


Ask = Callable[[bytes], NodeAnswer]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here")
    with subprocess.Popen([node, SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield lambda raw: _ask(port, raw)
        finally:
            process.kill()


def _ask(port: int, raw: bytes) -> NodeAnswer:
    """Send bytes and our FIN; read to the end. Only the first final answer counts."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT_S) as client:
        try:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                received += data
        except (ConnectionResetError, BrokenPipeError):
            pass  # it refused, and did not read on
    final = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = final.partition(b"\r\n\r\n")
    status = int(head[9:12] or b"0")
    if status != 200:
        return NodeAnswer(status, None)
    said = json.loads(body)
    names, values = said["rawHeaders"][::2], said["rawHeaders"][1::2]
    read = Read(said["method"], said["url"], said["length"], said["sha256"])
    return NodeAnswer(status, read, tuple(zip(names, values, strict=True)))


def read_by_us(raw: bytes) -> tuple[Read, bytes] | None:
    """What we read, and what the app is sent; None where we refuse, or wait for more."""
    try:
        taken = HeadReader(HEAD_MAX_BYTES).feed(raw)
        if taken is None:
            return None
        head, rest = RequestParser(2000).parse(taken[0]), taken[1]
        body, end = request_body(head), 0
        if isinstance(body, ChunkedBody):
            body.spans = []
        if body is not None:
            end = body.take(rest, 0)
            if not body.complete:
                return None
    except ProtocolError:
        return None
    payload = rest[:end]
    if isinstance(body, ChunkedBody):
        payload = b"".join(rest[first:last] for first, last in body.spans or ())
    forwarder = Forwarder(
        "auto",
        b"us",
        peer_ip=b"1.2.3.4",
        is_trusted=False,
        local_host=b"us:80",
        local_port=b"80",
        head_max_bytes=HEAD_MAX_BYTES,
    )
    read = Read(head.method.decode(), head.target.decode(), len(payload), hashlib.sha256(payload).hexdigest())
    return read, forwarder.request(head) + rest[:end]


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /a HTTP/1.1", b"Host: a", *lines, b"", body])


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


def start(line: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([line, *(lines or (b"Host: a",)), b"", b""])


# What clients may send, common or not: we accept it, and Node has to.
GOOD = [
    pytest.param(start(b"GET / HTTP/1.1"), id="the plainest request"),
    pytest.param(start(b"GET / HTTP/1.0", b"X: 1"), id="HTTP/1.0 without Host"),
    pytest.param(start(b"GET http://b/c HTTP/1.0", b"X: 1"), id="HTTP/1.0 with an absolute target"),
    pytest.param(start(b"GET / HTTP/1.7"), id="a later minor version"),
    pytest.param(b"\r\n\r\n" + start(b"GET / HTTP/1.1"), id="empty lines before"),
    pytest.param(start(b"GET http://a/b?c HTTP/1.1"), id="an absolute target"),
    pytest.param(start(b"OPTIONS * HTTP/1.1"), id="*"),
    pytest.param(start(b"OPTIONS http://a HTTP/1.1"), id="* as an absolute target"),
    pytest.param(start(b"GET /|\"{}[]^\\`<>?%zz=';| HTTP/1.1"), id="a target that is no URI"),
    pytest.param(start(b"GET //b//../c HTTP/1.1"), id="slashes and dots"),
    pytest.param(start(b"GET / HTTP/1.1", b"Host:"), id="an empty Host"),
    pytest.param(start(b"GET / HTTP/1.1", b"hOST:\t[::1]:80 "), id="Host in odd case, with whitespace"),
    pytest.param(start(b"GET / HTTP/1.1", b"Host: a!$&'()*+,;=%41_~:"), id="every byte of a registered name"),
    pytest.param(start(b"GET / HTTP/1.1", b"Host: a", b"!#$%&'*+-.^_`|~09: x"), id="every byte of a name"),
    pytest.param(start(b"GET / HTTP/1.1", b"Host: a", b"X: \x80\xff\t\xc3\xa9 \x7e"), id="obs-text"),
    pytest.param(start(b"GET / HTTP/1.1", b"Host: a", b"X:", b"X: ", b"x:\t"), id="empty values"),
    pytest.param(
        start(b"GET / HTTP/1.1", b"Host: a", b"Connection: close, X", b"X: 1"), id="Connection names a field"
    ),
    pytest.param(start(b"GET / HTTP/1.1", b"Host: a", b"X-Forwarded-For: x", b"Forwarded: y"), id="forged"),
    pytest.param(start(b"TRACE / HTTP/1.1", b"Host: a", b"Max-Forwards: 5"), id="TRACE"),
    pytest.param(
        start(b"GET / HTTP/1.1", b"Host: a", b"Connection: Upgrade", b"Upgrade: x"), id="an upgrade"
    ),
    pytest.param(
        start(
            b"GET / HTTP/1.1",
            b"Host: a",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AA",
        ),
        id="h2c",
    ),
    pytest.param(
        post(b"Connection: Upgrade", b"Upgrade: x", b"Content-Length: 1", body=b"a"), id="one with a body"
    ),
    pytest.param(post(b"Content-Length: 5", body=b"hello"), id="a length"),
    pytest.param(post(b"Content-Length:\t005 ", body=b"hello"), id="a length with zeros and whitespace"),
    pytest.param(post(b"Content-Length: 0"), id="a length of 0"),
    pytest.param(post(), id="neither length nor chunks"),
    pytest.param(post(b"Content-Length: 5", b"Expect: 100-continue", body=b"hello"), id="100-continue"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", id="GET with a body"),
    pytest.param(
        post(b"Content-Length: 2", body=b"hi" + start(b"GET /next HTTP/1.1")), id="another one behind"
    ),
    pytest.param(chunked(b"5\r\nhello\r\n0\r\n\r\n"), id="chunks"),
    pytest.param(
        post(b"transfer-encoding:\tChunked ", body=b"1\r\na\r\n0\r\n\r\n"), id="chunked in odd case"
    ),
    pytest.param(chunked(b"0\r\n\r\n"), id="no chunk"),
    pytest.param(chunked(b"00000000000000a\r\n0123456789\r\n000\r\n\r\n"), id="15 digits"),
    pytest.param(chunked(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"), id="data like a last chunk"),
    pytest.param(chunked(b'2;a;b=c;d="e; \\" \xe9\t"\r\nhi\r\n0;f\r\n\r\n'), id="extensions"),
    pytest.param(chunked(b"2\r\nhi\r\n0\r\nX: a\xe9\r\nempty:\r\n\r\n"), id="trailers"),
]

# What nobody in good faith sends: we may refuse it; where we do not, Node and we have to agree.
ODD = [
    pytest.param(
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), id="both lengths"
    ),
    pytest.param(post(b"Content-Length: 2", b"Content-Length: 2", body=b"hi"), id="two lengths"),
    pytest.param(post(b"Content-Length: +2", body=b"hi"), id="a signed length"),
    pytest.param(post(b"Content-Length: 2, 2", body=b"hi"), id="a list of lengths"),
    pytest.param(post(b"Content-Length: 0x2", body=b"hi"), id="a hexadecimal length"),
    pytest.param(post(b"Content-Length:", body=b"hi"), id="an empty length"),
    pytest.param(post(b"Content-Length: 2 ;", body=b"hi"), id="a length and more"),
    pytest.param(post(b"Content-Length : 2", body=b"hi"), id="a space before the colon"),
    pytest.param(post(b"Content-Length\0: 2", body=b"hi"), id="a NUL in the name"),
    pytest.param(post(b"Content_Length: 2", b"Content-Length: 0"), id="an underscore"),
    pytest.param(post(b"X: a\rContent-Length: 2", body=b"hi"), id="a bare CR"),
    pytest.param(post(b"X: a\nContent-Length: 2", body=b"hi"), id="a bare LF"),
    pytest.param(post(b"X: a", b" Content-Length: 2", body=b"hi"), id="a fold"),
    pytest.param(post(b"Content-Length:", b" 2", body=b"hi"), id="a folded length"),
    pytest.param(post(b"Transfer-Encoding: identity", b"Content-Length: 2", body=b"hi"), id="identity"),
    pytest.param(post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), id="xchunked"),
    pytest.param(post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), id="chunked twice"),
    pytest.param(post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), id="gzip, chunked"),
    pytest.param(post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), id="chunked, identity"),
    pytest.param(post(b"Transfer-Encoding: chunked\x0b", body=b"0\r\n\r\n"), id="chunked and a vertical tab"),
    pytest.param(post(b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n"), id="a vertical tab and chunked"),
    pytest.param(post(b"Transfer-Encoding: ", b"Content-Length: 2", body=b"hi"), id="an empty coding"),
    pytest.param(
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked in HTTP/1.0"
    ),
    pytest.param(
        post(b"Connection: Content-Length", b"Content-Length: 2", body=b"hi"), id="Connection drops framing"
    ),
    pytest.param(start(b"GET / HTTP/1.1", b"X: 1"), id="no Host"),
    pytest.param(start(b"GET / HTTP/1.1", b"Host: a", b"Host: b"), id="two Hosts"),
    pytest.param(start(b"GET / HTTP/1.1", b"Host: a b/c@d"), id="a malformed Host"),
    pytest.param(start(b"GET http://a/ HTTP/1.1", b"Host: b"), id="a Host that is not the target's"),
    pytest.param(start(b"GET /a#b HTTP/1.1"), id="a fragment"),
    pytest.param(start(b"GET /caf\xc3\xa9 HTTP/1.1"), id="a target beyond ASCII"),
    pytest.param(start(b"GET * HTTP/1.1"), id="* for GET"),
    pytest.param(start(b"GET / HTTP/2.0"), id="HTTP/2.0"),
    pytest.param(start(b"GET / HTTP/0.9"), id="HTTP/0.9"),
    pytest.param(start(b"GET  / HTTP/1.1"), id="two spaces"),
    pytest.param(start(b"GET /\tb HTTP/1.1"), id="a tab in the target"),
    pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="LF for every line end"),
    pytest.param(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", id="a bare LF before"),
    pytest.param(chunked(b"0x2\r\nhi\r\n0\r\n\r\n"), id="a size with 0x"),
    pytest.param(chunked(b"+2\r\nhi\r\n0\r\n\r\n"), id="a signed size"),
    pytest.param(chunked(b"2 \r\nhi\r\n0\r\n\r\n"), id="a space behind a size"),
    pytest.param(chunked(b"2 ;a=b\r\nhi\r\n0\r\n\r\n"), id="a space before an extension"),
    pytest.param(chunked(b"2; a = b\r\nhi\r\n0\r\n\r\n"), id="spaces in an extension"),
    pytest.param(chunked(b"2;a\0\r\nhi\r\n0\r\n\r\n"), id="a NUL in an extension"),
    pytest.param(chunked(b'2;a="\n"\r\nhi\r\n0\r\n\r\n'), id="a LF in a quoted extension"),
    pytest.param(chunked(b"2;a\nhi\r\n0\r\n\r\n"), id="a LF behind an extension"),
    pytest.param(chunked(b"2\nhi\r\n0\r\n\r\n"), id="a LF behind a size"),
    pytest.param(chunked(b"2\r\nhi0\r\n\r\n"), id="no CRLF behind data"),
    pytest.param(chunked(b"2\r\nhi\n0\r\n\r\n"), id="a LF behind data"),
    pytest.param(chunked(b"10000000000000002\r\nhi\r\n0\r\n\r\n"), id="a size beyond 64 bits"),
    pytest.param(chunked(b"0\r\nContent-Length: 2\r\n\r\n"), id="a forbidden trailer"),
    pytest.param(chunked(b"0\r\nX: a\n\r\n"), id="a LF in trailers"),
    pytest.param(chunked(b"0\r\nX: a\r\n b\r\n\r\n"), id="a folded trailer"),
]


def assert_agreed(ask: Ask, raw: bytes) -> bool:
    """Whether we accepted it."""
    ours = read_by_us(raw)
    if ours is None:
        return False
    read, forwarded = ours
    answer = ask(forwarded)
    assert (answer.status, answer.read) == (200, read)
    direct = ask(raw)
    if direct.read is not None:
        # An absolute target is sent on as a path.
        assert (direct.read.method, direct.read.length, direct.read.sha256) == (
            read.method,
            read.length,
            read.sha256,
        )
        assert direct.read.target.endswith(read.target) or read.target == "*"
    return True


@pytest.mark.parametrize("raw", GOOD)
def test_what_we_accept_node_reads_alike(ask: Ask, raw: bytes) -> None:
    assert assert_agreed(ask, raw)


@pytest.mark.parametrize("raw", ODD)
def test_an_odd_request_is_refused_or_read_alike(ask: Ask, raw: bytes) -> None:
    assert_agreed(ask, raw)


def test_a_head_that_node_takes_is_not_too_long_for_us(ask: Ask) -> None:
    """``--head-max`` is Node's own limit: an app that raised it gets what it raised it for."""
    taken = []
    for size in range(HEAD_MAX_BYTES - 10, HEAD_MAX_BYTES + 2):
        raw = start(b"GET /" + b"a" * 99 + b" HTTP/1.1", b"Host: a", b"X: " + b"x" * (size - 106))
        if ask(raw).status == 200:
            taken.append(size)
            assert read_by_us(raw) is not None, size
    assert taken  # else the sizes miss Node's limit, and this says nothing
    assert len(taken) < 12


def test_of_very_many_fields_node_keeps_ours(ask: Ask) -> None:
    """Node drops the last of them without a word; a client must not get rid of its address so."""
    ours = read_by_us(start(b"GET / HTTP/1.1", b"Host: a", *[b"X: 1"] * 1900))
    assert ours is not None
    answer = ask(ours[1])
    assert ("X-Forwarded-For", "1.2.3.4") in answer.fields
    assert len(answer.fields) < 1900

"""Heads: which are refused and why, what the others say, where one ends, and what the parsers remember."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ProtocolError
from pyinit.http1 import request as request_module
from pyinit.http1 import response as response_module
from pyinit.http1.head import HeadReader
from pyinit.http1.message import RequestHead, ResponseHead
from pyinit.http1.request import RequestParser
from pyinit.http1.response import ResponseParser
from tests.support.splits import Refused, in_every_split, outcome
from tests.support.strategies import (
    Message,
    field_values,
    law,
    near_valid,
    pieces,
    requests,
    responses,
    tokens,
)

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = (b"Upgrade: websocket", KEY, b"Sec-WebSocket-Version: 13")
LIMIT_BYTES = 16 * 1024
FIELDS_MAX = 100

Facts = dict[str, object]


def facts(head: RequestHead | ResponseHead) -> Facts:
    names = {name for name in dir(head) if not name.startswith("_")} - {"verdict", "first"}
    return {name: getattr(head, name) for name in names}


def request_facts(limit_bytes: int = LIMIT_BYTES) -> Callable[[Sequence[bytes]], tuple[Facts, bytes] | None]:
    parser = RequestParser(FIELDS_MAX)

    def parse(pieces: Sequence[bytes]) -> tuple[Facts, bytes] | None:
        taken = read(HeadReader(limit_bytes), pieces)
        return None if taken is None else (facts(parser.parse(taken[0])), taken[1])

    return parse


def response_facts(pieces: Sequence[bytes]) -> tuple[Facts, bytes] | None:
    taken = read(HeadReader(LIMIT_BYTES, is_response=True), pieces)
    return None if taken is None else (facts(ResponseParser().parse(taken[0])), taken[1])


def from_the_app(pieces: Sequence[bytes]) -> tuple[Facts, bytes] | None:
    """As its edge sees it: whatever the fault, the status is 502."""
    try:
        return response_facts(pieces)
    except ProtocolError as fault:
        raise ProtocolError(fault.reason, 502) from fault


def read(reader: HeadReader, pieces: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    for index, piece in enumerate(pieces):
        taken = reader.feed(piece)
        if taken is not None:
            return taken[0], taken[1] + b"".join(pieces[index + 1 :])
    return None


def get(*lines: bytes) -> bytes:
    return b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines, b"", b""])


def post(*lines: bytes) -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", *lines, b"", b""])


def bare(start: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([start, *lines, b"", b""])


FAULTS = [
    # RFC 9112 section 6: whose length counts.
    pytest.param(post(b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400, "beside", id="CL before TE"),
    pytest.param(post(b"Transfer-Encoding: chunked", b"Content-Length: 3"), 400, "beside", id="TE before CL"),
    pytest.param(
        post(b"Content-Length: 0", b"Transfer-Encoding: chunked"), 400, "beside", id="CL of 0 and TE"
    ),
    pytest.param(
        post(b"Content-Length: 3", b"Content-Length: 4"), 400, "twice", id="two lengths that differ"
    ),
    pytest.param(post(b"Content-Length: 3", b"Content-Length: 3"), 400, "twice", id="two lengths that agree"),
    pytest.param(post(b"Content-Length: 3", b"content-length: 3"), 400, "twice", id="two lengths by case"),
    pytest.param(post(b"Content-Length: 0", b"Content-Length: 0"), 400, "twice", id="two lengths of 0"),
    pytest.param(post(b"Content-Length: 3, 3"), 400, "Content-Length", id="a list of lengths"),
    pytest.param(post(b"Content-Length: +3"), 400, "Content-Length", id="a length with a plus"),
    pytest.param(post(b"Content-Length: -3"), 400, "Content-Length", id="a length with a minus"),
    pytest.param(post(b"Content-Length: 0x3"), 400, "Content-Length", id="a hexadecimal length"),
    pytest.param(post(b"Content-Length: a"), 400, "Content-Length", id="a hexadecimal digit for a length"),
    pytest.param(post(b"Content-Length:"), 400, "Content-Length", id="an empty length"),
    pytest.param(post(b"Content-Length: 1 2"), 400, "Content-Length", id="a length with a space in it"),
    pytest.param(post(b"Content-Length: 3.0"), 400, "Content-Length", id="a length with a fraction"),
    pytest.param(post(b"Content-Length: 1_0"), 400, "Content-Length", id="a length that Python's int takes"),
    pytest.param(post(b"Content-Length: \xb2"), 400, "Content-Length", id="a length in superscript"),
    pytest.param(post(b"Content-Length: " + b"1" * 19), 400, "Content-Length", id="a length of 19 digits"),
    pytest.param(
        post(b"Content-Length: " + b"0" * 18 + b"1"), 400, "Content-Length", id="19 digits with zeros"
    ),
    pytest.param(post(b"Content-Length: 3\x0b"), 400, "control byte", id="a length with a vertical tab"),
    pytest.param(post(b"Content_Length : 3"), 400, "space before", id="underscore and space"),
    # RFC 9112 section 6.1: codings.
    pytest.param(post(b"Transfer-Encoding: xchunked"), 400, "sole chunked", id="TE xchunked"),
    pytest.param(
        post(b"Transfer-Encoding: chunked, chunked"), 400, "sole chunked", id="TE chunked in a list twice"
    ),
    pytest.param(post(b"Transfer-Encoding: gzip, chunked"), 400, "sole chunked", id="TE gzip, chunked"),
    pytest.param(post(b"Transfer-Encoding: chunked, gzip"), 400, "sole chunked", id="TE chunked, gzip"),
    pytest.param(post(b"Transfer-Encoding: identity"), 400, "sole chunked", id="TE identity"),
    pytest.param(
        post(b"Transfer-Encoding: chunked, identity"), 400, "sole chunked", id="TE chunked, identity"
    ),
    pytest.param(post(b"Transfer-Encoding: chunked,"), 400, "sole chunked", id="TE with an empty element"),
    pytest.param(post(b"Transfer-Encoding: ,chunked"), 400, "sole chunked", id="TE after an empty element"),
    pytest.param(post(b"Transfer-Encoding: chunked;q=1"), 400, "sole chunked", id="TE with a parameter"),
    pytest.param(post(b'Transfer-Encoding: "chunked"'), 400, "sole chunked", id="TE quoted"),
    pytest.param(post(b"Transfer-Encoding:"), 400, "sole chunked", id="TE empty"),
    pytest.param(post(b"Transfer-Encoding: chun ked"), 400, "sole chunked", id="TE with a space in it"),
    pytest.param(post(b"Transfer-Encoding: chun\tked"), 400, "sole chunked", id="TE with a tab in it"),
    pytest.param(post(b"Transfer-Encoding: chunked\x80"), 400, "sole chunked", id="TE with obs-text"),
    pytest.param(post(b"Transfer-Encoding: chunked\x0b"), 400, "control byte", id="TE with a vertical tab"),
    pytest.param(post(b"Transfer-Encoding:\x0bchunked"), 400, "control byte", id="TE after a vertical tab"),
    pytest.param(post(b"Transfer-Encoding: chunked\x0c"), 400, "control byte", id="TE with a form feed"),
    pytest.param(post(b"Transfer-Encoding: chunked\0"), 400, "control byte", id="TE with a NUL"),
    pytest.param(
        post(b"Transfer-Encoding : chunked"), 400, "space before", id="TE with a space before the colon"
    ),
    pytest.param(
        post(b"Transfer-Encoding\t: chunked"), 400, "space before", id="TE with a tab before the colon"
    ),
    pytest.param(post(b" Transfer-Encoding: chunked"), 400, "folded", id="TE behind a space"),
    pytest.param(post(b"\tTransfer-Encoding: chunked"), 400, "folded", id="TE behind a tab"),
    pytest.param(post(b"X: y", b" Transfer-Encoding: chunked"), 400, "folded", id="TE as a fold"),
    pytest.param(post(b"Transfer-Encoding:", b" chunked"), 400, "", id="TE with its value folded"),
    pytest.param(post(b"\0Transfer-Encoding: chunked"), 400, "no token", id="TE behind a NUL"),
    pytest.param(
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400, "twice", id="TE in two lines"
    ),
    pytest.param(
        post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
        400,
        "sole",
        id="TE identity first",
    ),
    pytest.param(
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        400,
        "twice",
        id="TE identity last",
    ),
    pytest.param(
        bare(b"POST / HTTP/1.0", b"Host: a", b"Transfer-Encoding: chunked"),
        400,
        "HTTP/1.0",
        id="TE in HTTP/1.0",
    ),
    # RFC 9112 sections 2.2 and 5: lines.
    pytest.param(get(b"X: a", b" b"), 400, "folded", id="a fold with a space"),
    pytest.param(get(b"X: a", b"\tb"), 400, "folded", id="a fold with a tab"),
    pytest.param(get(b"X: a", b" "), 400, "folded", id="a line of a space"),
    pytest.param(bare(b"GET / HTTP/1.1", b" Host: a"), 400, "folded", id="a fold of the request line"),
    pytest.param(get(b"X: a\rY: b"), 400, "", id="a bare CR between fields"),
    pytest.param(get(b"X: a\r"), 400, "", id="a CR before the line's end"),
    pytest.param(get(b"X: a\nY: b"), 400, "bare CR or LF", id="a bare LF between fields"),
    pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", 400, "not CRLF", id="LF for every line end"),
    pytest.param(b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "", id="LF behind the request line"),
    pytest.param(b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "", id="CR behind the request line"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "not CRLF", id="LF, then CRLF"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "not CRLF", id="CRLF, then LF"),
    pytest.param(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", id="LF before the request line"),
    pytest.param(get(b"X : a"), 400, "space before", id="a space before the colon"),
    pytest.param(get(b"X\t: a"), 400, "space before", id="a tab before the colon"),
    pytest.param(get(b"X"), 400, "without a colon", id="a line without a colon"),
    pytest.param(get(b": a"), 400, "no token", id="an empty name"),
    pytest.param(get(b"X Y: a"), 400, "no token", id="a name with a space"),
    pytest.param(get(b"X(Y): a"), 400, "no token", id="a name with a delimiter"),
    pytest.param(get(b"X\0: a"), 400, "no token", id="a NUL in a name"),
    pytest.param(get(b"X\x7f: a"), 400, "no token", id="DEL in a name"),
    pytest.param(get(b"X\xe9: a"), 400, "no token", id="a name beyond ASCII"),
    pytest.param(get(b"X: a\0b"), 400, "control byte", id="a NUL in a value"),
    pytest.param(get(b"X: a\x7f"), 400, "control byte", id="DEL in a value"),
    *(
        pytest.param(get(b"X: a%cb" % byte), 400, "control byte", id=f"control byte {byte:#04x} in a value")
        for byte in (0x01, 0x08, 0x0B, 0x0C, 0x0E, 0x1B, 0x1F)
    ),
    # RFC 9112 section 3: request lines.
    pytest.param(b"GET /\r\n\r\n", 400, "request line", id="HTTP/0.9 with an empty line"),
    pytest.param(b"\r\n\r\n\r\n\r\n\r\n" + get(), 400, "empty lines", id="five empty lines first"),
    pytest.param(
        bare(b"GET  / HTTP/1.1", b"Host: a"), 400, "request line", id="two spaces before the target"
    ),
    pytest.param(
        bare(b"GET /  HTTP/1.1", b"Host: a"), 400, "request line", id="two spaces behind the target"
    ),
    pytest.param(bare(b"GET\t/\tHTTP/1.1", b"Host: a"), 400, "request line", id="tabs in the request line"),
    pytest.param(bare(b"GET / HTTP/1.1 ", b"Host: a"), 400, "request line", id="a space behind the version"),
    pytest.param(bare(b" GET / HTTP/1.1", b"Host: a"), 400, "", id="a space before the method"),
    pytest.param(bare(b"GET / a HTTP/1.1", b"Host: a"), 400, "request line", id="a space in the target"),
    pytest.param(bare(b"GET /#a HTTP/1.1", b"Host: a"), 400, "request line", id="a fragment"),
    pytest.param(
        bare(b"GET /?a#b HTTP/1.1", b"Host: a"), 400, "request line", id="a fragment behind a query"
    ),
    pytest.param(
        bare(b"GET /caf\xc3\xa9 HTTP/1.1", b"Host: a"), 400, "request line", id="a target beyond ASCII"
    ),
    pytest.param(bare(b"GET /\0 HTTP/1.1", b"Host: a"), 400, "request line", id="a NUL in the target"),
    pytest.param(bare(b"GET /\x7f HTTP/1.1", b"Host: a"), 400, "request line", id="DEL in the target"),
    pytest.param(
        bare(b"GET /\x0b HTTP/1.1", b"Host: a"), 400, "request line", id="a control byte in the target"
    ),
    pytest.param(bare(b"G@T / HTTP/1.1", b"Host: a"), 400, "request line", id="a method that is no token"),
    pytest.param(bare(b"GET / http/1.1", b"Host: a"), 400, "request line", id="a version in lower case"),
    pytest.param(bare(b"GET / HTTP/1.10", b"Host: a"), 400, "request line", id="a version of two digits"),
    pytest.param(bare(b"GET / HTTP/1", b"Host: a"), 400, "request line", id="a version without its minor"),
    pytest.param(bare(b"GET / HTTP/0.9", b"Host: a"), 505, "HTTP/1.1", id="HTTP/0.9 by name"),
    pytest.param(bare(b"GET / HTTP/2.0", b"Host: a"), 505, "HTTP/1.1", id="HTTP/2.0"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1", id="the HTTP/2 preface"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "no HTTP", id="a TLS handshake"),
    pytest.param(b"\x16\x03\x01\r\n\r\n", 400, "request line", id="a TLS handshake with an empty line in it"),
    pytest.param(b"\0\0\0\0", 400, "no HTTP", id="NULs"),
    pytest.param(bare(b"CONNECT a:443 HTTP/1.1", b"Host: a:443"), 501, "CONNECT", id="CONNECT"),
    pytest.param(bare(b"CONNECT / HTTP/1.1", b"Host: a"), 501, "CONNECT", id="CONNECT with a path"),
    pytest.param(bare(b"GET * HTTP/1.1", b"Host: a"), 400, "OPTIONS", id="* but for OPTIONS"),
    pytest.param(bare(b"GET a HTTP/1.1", b"Host: a"), 400, "target", id="a target without a slash"),
    pytest.param(bare(b"GET a:80 HTTP/1.1", b"Host: a"), 400, "target", id="an authority for a target"),
    pytest.param(bare(b"GET ?a HTTP/1.1", b"Host: a"), 400, "target", id="a query for a target"),
    pytest.param(bare(b"GET ftp://a/ HTTP/1.1", b"Host: a"), 400, "target", id="another scheme"),
    pytest.param(
        bare(b"GET http:/// HTTP/1.1", b"Host:"), 400, "target", id="an absolute target without a host"
    ),
    pytest.param(
        bare(b"GET http://:80/ HTTP/1.1", b"Host: :80"), 400, "target", id="an absolute target of a port"
    ),
    pytest.param(bare(b"GET http://u@a/ HTTP/1.1", b"Host: a"), 400, "target", id="userinfo in the target"),
    pytest.param(bare(b"GET http://a:b/ HTTP/1.1", b"Host: a"), 400, "target", id="a port that is no number"),
    pytest.param(bare(b"GET http:a HTTP/1.1", b"Host: a"), 400, "target", id="a scheme without its slashes"),
    # RFC 9112 section 3.2: Host.
    pytest.param(bare(b"GET / HTTP/1.1"), 400, "missing", id="no Host"),
    pytest.param(bare(b"GET http://a/ HTTP/1.1"), 400, "missing", id="no Host beside an absolute target"),
    pytest.param(get(b"Host: a"), 400, "twice", id="Host twice"),
    pytest.param(get(b"host: b"), 400, "twice", id="two Hosts"),
    pytest.param(bare(b"GET / HTTP/1.0", b"Host: a", b"Host: b"), 400, "twice", id="two Hosts in HTTP/1.0"),
    pytest.param(bare(b"GET / HTTP/1.1", b"Host: a/b"), 400, "malformed Host", id="a path in Host"),
    pytest.param(bare(b"GET / HTTP/1.1", b"Host: u@a"), 400, "malformed Host", id="userinfo in Host"),
    pytest.param(bare(b"GET / HTTP/1.1", b"Host: a b"), 400, "malformed Host", id="a space in Host"),
    pytest.param(
        bare(b"GET / HTTP/1.1", b"Host: a:b"), 400, "malformed Host", id="a Host whose port is no number"
    ),
    pytest.param(
        bare(b"GET / HTTP/1.1", b"Host: a:123456"), 400, "malformed Host", id="a Host with six digits"
    ),
    pytest.param(bare(b"GET / HTTP/1.1", b"Host: http://a"), 400, "malformed Host", id="a scheme in Host"),
    pytest.param(bare(b"GET / HTTP/1.1", b"Host: [::1"), 400, "malformed Host", id="an open bracket in Host"),
    pytest.param(bare(b"GET / HTTP/1.1", b"Host: a\xe9"), 400, "malformed Host", id="Host beyond ASCII"),
    pytest.param(bare(b"GET / HTTP/1.1", b"Host: a%zz"), 400, "malformed Host", id="a broken escape in Host"),
    pytest.param(
        bare(b"GET / HTTP/1.1", b"Host: [1:2]"), 400, "malformed Host", id="no IPv6 address in Host"
    ),
    # RFC 9110 section 7.8, RFC 6455 section 4.2.1: upgrades.
    *(
        pytest.param(
            get(b"Connection: Upgrade", b"Upgrade: " + value), 400, "Upgrade", id=f"an Upgrade of {value!r}"
        )
        for value in (b"a b", b"h2c;q=1", b'"h2c"', b"a/b/c", b"/1", b"h2c\xa0")
    ),
    pytest.param(
        post(b"Connection: Upgrade", *WEBSOCKET, b"Content-Length: 0"),
        400,
        "no GET",
        id="a WebSocket by POST",
    ),
    *(
        pytest.param(
            get(b"Connection: Upgrade", b"Upgrade: x, websocket", *lines),
            400,
            reason,
            id=f"a WebSocket with {lines}",
        )
        for lines, reason in (
            ((b"Sec-WebSocket-Version: 13",), "Key"),
            ((b"Sec-WebSocket-Version: 13", KEY, KEY), "Key"),
            ((b"Sec-WebSocket-Version: 13", KEY + b"="), "Key"),
            ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key:"), "Key"),
            ((KEY,), "Version"),
            ((KEY, b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 13"), "Version"),
            ((KEY, b"Sec-WebSocket-Version: x"), "Version"),
            ((KEY, b"Sec-WebSocket-Version: 1300"), "Version"),
        )
    ),
    pytest.param(
        bare(b"GET http://a/ HTTP/1.1", b"Host: b"), 400, "differs", id="Host beside another target"
    ),
    pytest.param(bare(b"GET http://a/ HTTP/1.1", b"Host: a:80"), 400, "differs", id="Host with another port"),
    pytest.param(
        bare(b"GET http://a/ HTTP/1.1", b"Host:"), 400, "differs", id="an empty Host beside a target"
    ),
    # RFC 9110 section 7.6: Connection, Max-Forwards; section 9.3.8: TRACE.
    *(
        pytest.param(
            get(b"Connection: close, " + name), 400, "Connection names", id=f"Connection: {name.decode()}"
        )
        for name in (
            b"Content-Length",
            b"transfer-encoding",
            b"Host",
            b"X-Forwarded-For",
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-port",
            b"forwarded",
            b"Via",
            b"Expect",
            b"Trailer",
            b"Max-Forwards",
            b"X-Real-IP",
        )
    ),
    pytest.param(
        get(b"Connection: close", b"Connection: host"), 400, "names", id="Connection names Host further on"
    ),
    pytest.param(get(b"Connection: a b"), 400, "no token", id="a Connection option with a space"),
    pytest.param(get(b"Connection: close;q=1"), 400, "no token", id="a Connection option with a parameter"),
    *(
        pytest.param(
            bare(b"TRACE / HTTP/1.1", b"Host: a", line), 400, "Max-Forwards", id=f"{line.decode()!r}"
        )
        for line in (
            b"Max-Forwards:",
            b"Max-Forwards: -1",
            b"Max-Forwards: 1, 1",
            b"Max-Forwards: 1000000000",
        )
    ),
    pytest.param(
        bare(b"TRACE / HTTP/1.1", b"Host: a", b"Max-Forwards: 1", b"Max-Forwards: 2"),
        400,
        "Max-Forwards",
        id="Max-Forwards twice",
    ),
    pytest.param(
        bare(b"TRACE / HTTP/1.1", b"Host: a", b"Content-Length: 1"), 400, "TRACE", id="TRACE with a length"
    ),
    pytest.param(
        bare(b"TRACE / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked"),
        400,
        "TRACE",
        id="TRACE with chunks",
    ),
    # Limits.
    pytest.param(get(*[b"X: a"] * FIELDS_MAX), 431, "--fields-max", id="a field too many"),
]


@pytest.mark.parametrize(("raw", "status", "reason"), FAULTS)
def test_a_request_that_could_be_read_two_ways_is_refused(raw: bytes, status: int, reason: str) -> None:
    refused = in_every_split(request_facts(), raw)
    assert isinstance(refused, Refused)
    assert refused.status == status
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            get(b"Accept: b", b"accept: a", b"X:"),
            {
                "method": b"GET",
                "target": b"/",
                "minor": 1,
                "lines": [b"Host: a", b"Accept: b", b"accept: a", b"X:"],
                "host": b"a",
                "content_length": None,
                "is_chunked": False,
                "keep_alive": True,
                "upgrade": None,
                "forwarding": None,
                "max_forwards": None,
                "request_id": False,
            },
            id="order, case and repetition of fields stay",
        ),
        pytest.param(b"\r\n" * 4 + get(), {"target": b"/"}, id="four empty lines before are let go"),
        pytest.param(
            bare(b"get / HTTP/1.1", b"Host: a"), {"method": b"get"}, id="methods are case-sensitive"
        ),
        pytest.param(bare(b"GET / HTTP/1.2", b"Host: a"), {"minor": 1}, id="a later minor counts as 1"),
        pytest.param(
            bare(b'GET /|"{}[]^\\`<>?a[]=| HTTP/1.1', b"Host: a"),
            {"target": b'/|"{}[]^\\`<>?a[]=|'},
            id="a target may be wider than a URI, as Node's",
        ),
        pytest.param(
            bare(b"GET //b/ HTTP/1.1", b"Host: a"), {"target": b"//b/", "host": b"a"}, id="two slashes"
        ),
        pytest.param(bare(b"OPTIONS * HTTP/1.1", b"Host: a"), {"target": b"*"}, id="* for OPTIONS"),
        pytest.param(
            bare(b"GET HTTP://A/b?c HTTP/1.1", b"Host: a"),
            {"target": b"/b?c", "host": b"a"},
            id="an absolute target becomes a path",
        ),
        pytest.param(
            bare(b"GET https://a HTTP/1.1", b"Host: a"), {"target": b"/"}, id="an absolute target of a host"
        ),
        pytest.param(
            bare(b"GET http://a?b HTTP/1.1", b"Host: a"),
            {"target": b"/?b"},
            id="an absolute target with a query",
        ),
        pytest.param(
            bare(b"OPTIONS http://a HTTP/1.1", b"Host: a"),
            {"target": b"*"},
            id="OPTIONS of an absolute target",
        ),
        pytest.param(
            bare(b"GET http://[::1]:80/ HTTP/1.1", b"Host: [::1]:80"),
            {"host": b"[::1]:80"},
            id="an absolute target with an IPv6 literal",
        ),
        pytest.param(
            bare(b"GET http://a/ HTTP/1.0"), {"host": b"a", "lines": []}, id="an absolute target in HTTP/1.0"
        ),
        pytest.param(bare(b"GET / HTTP/1.1", b"Host:"), {"host": b""}, id="an empty Host"),
        pytest.param(
            bare(b"GET / HTTP/1.0"),
            {"minor": 0, "host": b"", "keep_alive": False},
            id="HTTP/1.0 needs no Host",
        ),
        pytest.param(
            bare(b"GET / HTTP/1.0", b"Connection: Keep-Alive"),
            {"keep_alive": True, "lines": []},
            id="HTTP/1.0 may ask to be kept",
        ),
        pytest.param(
            bare(b"POST / HTTP/1.0", b"Expect: 100-continue", b"Content-Length: 1"),
            {"lines": [b"Content-Length: 1"]},
            id="HTTP/1.0 expects nothing",
        ),
        pytest.param(
            post(b"Expect: 100-continue", b"Content-Length: 1"),
            {"lines": [b"Host: a", b"Expect: 100-continue", b"Content-Length: 1"]},
            id="Expect is the app's to answer",
        ),
        pytest.param(
            post(b"Content-Length:\t 007 "), {"content_length": 7}, id="a length with zeros and whitespace"
        ),
        pytest.param(
            post(b"Content-Length: " + b"9" * 18), {"content_length": 10**18 - 1}, id="a length of 18 digits"
        ),
        pytest.param(post(b"Content-Length: 0"), {"content_length": 0}, id="a length of 0"),
        pytest.param(
            post(b"transfer-encoding:\tChunked "),
            {"is_chunked": True, "lines": [b"Host: a", b"transfer-encoding:\tChunked"]},
            id="chunked in any case, whitespace around, which goes behind it: llhttp takes a tab there as part of it",
        ),
        pytest.param(
            post(b"Content_Length: 3"), {"content_length": None}, id="an underscore makes another name"
        ),
        pytest.param(get(b"Connection: close"), {"keep_alive": False, "lines": [b"Host: a"]}, id="close"),
        pytest.param(get(b"Connection: keep-alive, Close"), {"keep_alive": False}, id="close wins"),
        pytest.param(get(b"Connection: , ,"), {"keep_alive": True}, id="empty elements count for nothing"),
        pytest.param(
            get(
                b"Keep-Alive: timeout=5", b"Proxy-Connection: x", b"TE: trailers", b"HTTP2-Settings: AAMAAABk"
            ),
            {"lines": [b"Host: a"]},
            id="hop-by-hop fields go",
        ),
        pytest.param(
            get(b"X-A: 1", b"x-a: 2", b"X-B: 3", b"Connection: x-A, X-C"),
            {"lines": [b"Host: a", b"X-B: 3"]},
            id="fields that Connection names go",
        ),
        pytest.param(
            get(b"X-Request-Id: 1", b"Connection: X-Request-Id"),
            {"lines": [b"Host: a"], "request_id": False},
            id="a request id that Connection names did not come",
        ),
        pytest.param(get(b"X-Request-ID: 1"), {"request_id": True}, id="a request id"),
        pytest.param(
            get(b"X-Request-ID:"), {"request_id": False, "lines": [b"Host: a"]}, id="an empty one is none"
        ),
        pytest.param(
            get(b"X-Forwarded-For: a", b"forwarded: for=a", b"x-forwarded-for: b"),
            {
                "forwarding": {
                    b"x-forwarded-for": [b"X-Forwarded-For: a", b"x-forwarded-for: b"],
                    b"forwarded": [b"forwarded: for=a"],
                }
            },
            id="forwarding fields are told apart",
        ),
        pytest.param(get(b"Max-Forwards: x"), {"max_forwards": None}, id="Max-Forwards is ignored for GET"),
        pytest.param(
            bare(b"TRACE / HTTP/1.1", b"Host: a", b"max-forwards:2"),
            {"max_forwards": 2, "lines": [b"Host: a", b"max-forwards: 1"]},
            id="Max-Forwards counts down",
        ),
        pytest.param(
            bare(b"OPTIONS * HTTP/1.1", b"Host: a", b"Max-Forwards: 0"),
            {"max_forwards": 0, "lines": [b"Host: a", b"Max-Forwards: 0"]},
            id="Max-Forwards of 0 ends here",
        ),
        pytest.param(
            bare(b"TRACE / HTTP/1.1", b"Host: a", b"Content-Length: 0"),
            {"content_length": 0},
            id="TRACE of 0 bytes",
        ),
        pytest.param(
            get(b"Connection: keep-alive, Upgrade", *WEBSOCKET),
            {
                "upgrade": b"websocket",
                "websocket_key": b"dGhlIHNhbXBsZSBub25jZQ==",
                "lines": [b"Host: a", *WEBSOCKET[1:]],
            },
            id="a WebSocket",
        ),
        pytest.param(
            get(b"Connection: Upgrade", b"Upgrade: x"),
            {"upgrade": b"x", "websocket_key": None, "lines": [b"Host: a"]},
            id="another upgrade",
        ),
        pytest.param(
            get(b"Connection: Upgrade", b"Upgrade: WebSocket", KEY, b"Sec-WebSocket-Version: 8"),
            {"upgrade": b"WebSocket"},
            id="a WebSocket of a version that is the app's to judge",
        ),
        pytest.param(
            get(b"X_Forwarded_For: 1", b"content_length: 5", b"X-Request_Id: a", b"x_y: 1"),
            {
                "lines": [b"Host: a", b"x_y: 1"],
                "forwarding": None,
                "content_length": None,
                "request_id": False,
            },
            id="names that CGI would map to others of ours",
        ),
        pytest.param(
            get(b"Connection: x_forwarded_for", b"X_Forwarded_For: 1"),
            {"lines": [b"Host: a"]},
            id="Connection names one of them",
        ),
        pytest.param(
            get(b"Upgrade: h2c, x, HTTP/2.0", b"upgrade: Foo/1, H2, h2c/1", b"Connection: upgrade"),
            {"upgrade": b"x, Foo/1"},
            id="HTTP itself is left out of what is offered",
        ),
        pytest.param(
            get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: H2C", b"HTTP2-Settings: AAMAAABk"),
            {"upgrade": None, "lines": [b"Host: a"]},
            id="h2c alone is no offer",
        ),
        pytest.param(
            get(b"Upgrade: websocket"),
            {"upgrade": None, "lines": [b"Host: a"]},
            id="an upgrade without Connection",
        ),
        pytest.param(get(b"Connection: Upgrade"), {"upgrade": None}, id="Connection without an upgrade"),
        pytest.param(get(b"Connection: Upgrade", b"Upgrade: ,"), {"upgrade": None}, id="an empty upgrade"),
        pytest.param(
            bare(b"GET / HTTP/1.0", b"Connection: Upgrade", b"Upgrade: websocket"),
            {"upgrade": None},
            id="HTTP/1.0 upgrades nothing",
        ),
        pytest.param(
            post(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 1"),
            {"upgrade": None, "content_length": 1},
            id="an upgrade with a body is a plain request",
        ),
        pytest.param(
            post(b"Connection: Upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked"),
            {"upgrade": None, "is_chunked": True},
            id="an upgrade with a chunked body is a plain request",
        ),
        pytest.param(
            post(b"Connection: Upgrade", b"Upgrade: x", b"Content-Length: 0"),
            {"upgrade": b"x"},
            id="an upgrade with a body of 0 bytes",
        ),
        pytest.param(get(*[b"X: a"] * (FIELDS_MAX - 1)), {"minor": 1}, id="as many fields as are allowed"),
    ],
)
def test_what_a_request_says(raw: bytes, expected: Facts) -> None:
    said = in_every_split(request_facts(), raw)
    assert isinstance(said, dict), said
    assert {name: said[name] for name in expected} == expected


RESPONSE_FAULTS = [
    pytest.param(
        bare(b"HTTP/1.1 200 OK", b"Content-Length: 1", b"Content-Length: 1"), "twice", id="two lengths"
    ),
    pytest.param(
        bare(b"HTTP/1.1 200 OK", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        "beside",
        id="both lengths",
    ),
    pytest.param(
        bare(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        "twice",
        id="TE twice",
    ),
    pytest.param(
        bare(b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip, chunked"), "sole chunked", id="another coding"
    ),
    pytest.param(bare(b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked"), "HTTP/1.0", id="TE in HTTP/1.0"),
    pytest.param(bare(b"HTTP/1.1 200 OK", b"Content-Length: +1"), "Content-Length", id="a signed length"),
    pytest.param(bare(b"HTTP/1.1 200 OK", b"Content-Length: 1, 1"), "Content-Length", id="a list of lengths"),
    pytest.param(
        bare(b"HTTP/1.1 200 OK", b"Connection: a b"), "no token", id="a Connection option with a space"
    ),
    pytest.param(bare(b"HTTP/1.1 200 OK", b"X : a"), "space before", id="a space before the colon"),
    pytest.param(bare(b"HTTP/1.1 200 OK", b"X: a", b" b"), "folded", id="a fold"),
    pytest.param(bare(b"HTTP/1.1 200 OK", b"X: a\0"), "control byte", id="a NUL"),
    pytest.param(b"HTTP/1.1 200 OK\nX: a\n\n", "not CRLF", id="LF for every line end"),
    pytest.param(bare(b"HTTP/2.0 200 OK"), "status line", id="HTTP/2.0"),
    pytest.param(bare(b"HTTP/1.1 99 Low"), "status line", id="a status of two digits"),
    pytest.param(bare(b"HTTP/1.1 600 High"), "status line", id="a status of no class"),
    pytest.param(bare(b"HTTP/1.1 2000 OK"), "status line", id="a status of four digits"),
    pytest.param(bare(b"HTTP/1.1  200 OK"), "status line", id="two spaces"),
    pytest.param(bare(b"HTTP/1.1 200 O\x00K"), "status line", id="a NUL in the reason"),
    pytest.param(bare(b"200 OK"), "status line", id="no version"),
    pytest.param(b"\r\n" + bare(b"HTTP/1.1 200 OK"), "empty lines", id="an empty line before"),
    pytest.param(b"\x15\x03\x03\x00\x02\x02\x46", "no HTTP", id="a TLS alert"),
]


@pytest.mark.parametrize(("raw", "reason"), RESPONSE_FAULTS)
def test_a_response_that_could_be_read_two_ways_is_refused(raw: bytes, reason: str) -> None:
    refused = in_every_split(from_the_app, raw)
    assert isinstance(refused, Refused)
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            bare(b"HTTP/1.1 200 OK", b"Date: d", b"X-B: 1", b"x-a:2", b"X-B: 3", b"Content-Length: 5"),
            {
                "status": 200,
                "lines": [b"Date: d", b"X-B: 1", b"x-a:2", b"X-B: 3", b"Content-Length: 5"],
                "content_length": 5,
                "is_chunked": False,
                "keep_alive": True,
                "keep_alive_s": None,
                "upgrade": None,
                "has_date": True,
                "wire": b"HTTP/1.1 200 OK\r\nDate: d\r\nX-B: 1\r\nx-a:2\r\nX-B: 3\r\nContent-Length: 5",
            },
            id="order, case and repetition of fields stay",
        ),
        pytest.param(bare(b"HTTP/1.1 404"), {"wire": b"HTTP/1.1 404 "}, id="a reason may be missing"),
        pytest.param(
            bare(b"HTTP/1.0 200 caf\xe9"),
            {"keep_alive": False, "wire": b"HTTP/1.1 200 caf\xe9"},
            id="HTTP/1.0 is not kept",
        ),
        pytest.param(
            bare(b"HTTP/1.0 200 OK", b"Connection: keep-alive"), {"keep_alive": True}, id="HTTP/1.0, kept"
        ),
        pytest.param(
            bare(b"HTTP/1.1 200 OK", b"Connection: Close"), {"keep_alive": False, "lines": []}, id="closed"
        ),
        pytest.param(
            bare(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"),
            {"is_chunked": True, "lines": [b"Transfer-Encoding: chunked"]},
            id="chunked",
        ),
        pytest.param(
            bare(b"HTTP/1.1 204 No Content", b"Transfer-Encoding: chunked", b"X: a"),
            {"lines": [b"X: a"]},
            id="204 has no coding",
        ),
        pytest.param(
            bare(b"HTTP/1.1 204 No Content", b"Content-Length: 0"), {"lines": []}, id="204 has no length"
        ),
        pytest.param(
            bare(b"HTTP/1.1 100 Continue", b"Content-Length: 0"), {"lines": []}, id="1xx has no length"
        ),
        pytest.param(
            bare(b"HTTP/1.1 304 No", b"Content-Length: 9"), {"lines": [b"Content-Length: 9"]}, id="304 has"
        ),
        pytest.param(
            bare(b"HTTP/1.1 200 OK", b"Keep-Alive: max=9, Timeout = 5", b"Proxy-Connection: x", b"TE: x"),
            {"keep_alive_s": 5, "lines": []},
            id="hop-by-hop fields go, the timeout is noted",
        ),
        pytest.param(
            bare(b"HTTP/1.1 200 OK", b'Keep-Alive: timeout="7"'), {"keep_alive_s": 7}, id="a quoted timeout"
        ),
        *(
            pytest.param(bare(b"HTTP/1.1 200 OK", line), {"keep_alive_s": None}, id=f"{line.decode()!r}")
            for line in (b"Keep-Alive:", b"Keep-Alive: timeout=-1", b"Keep-Alive: timeout=999999999")
        ),
        pytest.param(
            bare(
                b"HTTP/1.1 200 OK",
                b"X-A: 1",
                b"X-B: 2",
                b"Connection: x-a, Content-Length",
                b"Content-Length: 3",
            ),
            {"lines": [b"X-B: 2", b"Content-Length: 3"]},
            id="fields that Connection names go, framing stays",
        ),
        pytest.param(
            bare(b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"),
            {"status": 101, "upgrade": b"websocket", "lines": []},
            id="101",
        ),
        pytest.param(
            bare(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked\t"),
            {
                "is_chunked": True,
                "lines": [b"Transfer-Encoding: chunked"],
                "wire": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
            },
            id="chunked and a tab, which llhttp would read up to the close",
        ),
    ],
)
def test_what_a_response_says(raw: bytes, expected: Facts) -> None:
    said = in_every_split(response_facts, raw)
    assert isinstance(said, dict), said
    assert {name: said[name] for name in expected} == expected


# -- limits ----------------------------------------------------------------------------------------------

# As the limit counts: 64 bytes for the request line's other parts, 4 for each line's separators.
ROOM = 1000


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"GET /" + b"a" * 1047 + b" HTTP/1.1\r\nHost:\r\n\r\n", 200, id="the longest target"),
        pytest.param(b"GET /" + b"a" * 1051 + b" HTTP/1.1\r\nHost:\r\n\r\n", 414, id="a target too long"),
        pytest.param(b"GET /" + b"a" * 2000, 414, id="a target too long that has not ended"),
        pytest.param(get(b"X: " + b"a" * 1044), 200, id="the longest field"),
        pytest.param(get(b"X: " + b"a" * 1045), 431, id="a field a byte too long"),
        pytest.param(get(*[b"X: " + b"a" * 99] * 10, b"Y: " + b"b" * 45), 431, id="fields too long together"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 2000, 431, id="a field too long that has not ended"),
        pytest.param(get(*[b"X:"] * 1100), 431, id="fields of a name alone, separators apart"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a\r\n" * 1100, 431, id="lines of overhead that do not end"),
    ],
)
def test_a_head_is_limited_as_node_counts(raw: bytes, status: int) -> None:
    def parse(pieces: Sequence[bytes]) -> tuple[int, bytes] | None:
        taken = read(HeadReader(ROOM), pieces)
        return None if taken is None else (200, taken[1])

    result = in_every_split(parse, raw)
    assert (result.status if isinstance(result, Refused) else result) == status


def test_what_a_reader_holds_is_bounded_whatever_comes() -> None:
    """Without it, lines that count for nothing would fill the memory until the head's time is over."""
    reader = HeadReader(ROOM)
    result = outcome(lambda pieces: read(reader, pieces), [b"GET / HTTP/1.1\r\n"] + [b"a:\r\n" * 100] * 100)
    assert result == Refused(431)
    assert reader.held_bytes < 6 * ROOM


def test_a_response_head_too_long_is_the_apps_fault() -> None:
    parse = in_every_split(
        lambda pieces: read(HeadReader(ROOM, is_response=True), pieces),
        bare(b"HTTP/1.1 200 OK", b"X: " + b"a" * 2000),
    )
    assert parse == Refused(502)


# -- the reader ------------------------------------------------------------------------------------------


def test_a_reader_gives_one_head_after_another() -> None:
    reader = HeadReader(LIMIT_BYTES)
    assert reader.feed(b"GET /1 HT") is None
    assert reader.held_bytes == 9
    assert "9 bytes" in repr(reader)
    assert reader.feed(b"TP/1.1\r\n\r\n\r\nGET /2") == (b"GET /1 HTTP/1.1", b"\r\nGET /2")
    assert reader.held_bytes == 0
    assert reader.feed(b"\r\nGET /2") is None
    assert reader.feed(b" HTTP/1.1\r\n\r\n") == (b"GET /2 HTTP/1.1", b"")


def test_empty_lines_are_counted_over_reads_and_anew_for_each_head() -> None:
    reader = HeadReader(LIMIT_BYTES)
    for _ in range(3):
        for _ in range(4):
            assert reader.feed(b"\r\n") is None
        assert reader.held_bytes == 0
        assert reader.feed(b"GET / HTTP/1.1\r\n\r\n") == (b"GET / HTTP/1.1", b"")
    for _ in range(4):
        assert reader.feed(b"\r\n") is None
    with pytest.raises(ProtocolError, match="empty lines"):
        reader.feed(b"\r\n")


def test_a_head_over_the_limit_on_the_wire_alone_is_not_counted_at_each_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Node counts it is within the limit: its lines' separators come on top."""
    counted = 0
    check = HeadReader._check_limit

    def counting(reader: HeadReader, data: bytes) -> None:
        nonlocal counted
        counted += 1
        check(reader, data)

    monkeypatch.setattr(HeadReader, "_check_limit", counting)
    reader = HeadReader(1000)
    for _ in range(2):
        data = get(*[b"X: %d" % number for number in range(10, 200)])
        for at in range(len(data) - 1):
            assert reader.feed(data[at : at + 1]) is None
        assert reader.feed(b"\n") == (data[:-4], b"")
        assert 1 <= counted <= 30
        counted = 0


def test_a_head_over_the_limit_is_refused_at_the_same_byte_in_any_split() -> None:
    data = get(*[b"X: %d" % number for number in range(100, 400)])
    reader = HeadReader(1000)
    for at in range(len(data)):
        whole = outcome(lambda pieces: HeadReader(1000).feed(pieces[0]), [data[: at + 1]])
        piece = outcome(lambda pieces: reader.feed(pieces[0]), [data[at : at + 1]])
        assert piece == whole
        if isinstance(whole, Refused):
            break
    assert 1000 < at < len(data) - 1


def test_nothing_read_is_nothing_found() -> None:
    assert HeadReader(LIMIT_BYTES).feed(b"") is None


# -- what the parsers remember ---------------------------------------------------------------------------


def test_a_line_means_the_same_when_it_is_known() -> None:
    parser = RequestParser(FIELDS_MAX)
    block = get(b"X: a", b"Content-Length: 3", b"Connection: close", b"X-Forwarded-For: b")[:-4]
    first, second = facts(parser.parse(block)), facts(parser.parse(block))
    assert first == second
    assert first["content_length"] == 3


def test_a_name_like_one_of_ours_is_removed_again_when_its_line_is_known() -> None:
    parser = RequestParser(FIELDS_MAX)
    block = get(b"X_Forwarded_For: 1", b"X: 1")[:-4]
    for _ in range(2):
        assert parser.parse(block).lines == [b"Host: a", b"X: 1"]


def test_a_known_line_is_no_licence_for_the_next() -> None:
    parser = RequestParser(FIELDS_MAX)
    parser.parse(post(b"Content-Length: 3")[:-4])
    parser.parse(post(b"Transfer-Encoding: chunked")[:-4])
    with pytest.raises(ProtocolError, match="beside"):
        parser.parse(post(b"Content-Length: 3", b"Transfer-Encoding: chunked")[:-4])


@pytest.mark.parametrize("line", [b"Acceptx", b"Accept", b"Accept x:", b"Accept: \x7f"])
def test_a_known_name_is_no_licence_for_its_line(line: bytes) -> None:
    parser = RequestParser(FIELDS_MAX)
    parser.parse(get(b"Accept: a")[:-4])
    with pytest.raises(ProtocolError):
        parser.parse(get(line)[:-4])


def test_what_a_request_parser_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_KNOWN_LINES_MAX", "_VERDICTS_MAX", "_SEEN_LINES_MAX", "_PLAIN_NAMES_MAX"):
        monkeypatch.setattr(request_module, name, 3)
    parser = RequestParser(FIELDS_MAX)
    for number in range(10):
        parser.parse(get(b"X: %d" % number, b"Content-Length: %d" % number, b"Y: " + b"y" * 300)[:-4])
        parser.parse(get(b"Connection: " + b", ".join([b"a"] * 200))[:-4])
        assert len(parser._plain) <= 3
        assert len(parser._special) <= 3
        assert len(parser._verdicts) <= 3


def test_what_a_response_parser_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_module, "_KNOWN_HEADS_MAX", 3)
    parser = ResponseParser()
    other = b"HTTP/1.1 204 No Content"
    for number in range(10):
        block = b"HTTP/1.1 200 OK\r\nX: %d" % number
        for _ in range(2):
            assert parser.parse(block) is parser.parse(block)
            parser.parse(other)
        assert parser.known[block] is parser.parse(block)
        assert len(parser.known) <= 3
    long = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 3000
    assert parser.parse(long) is not parser.parse(long)


@pytest.mark.parametrize("asked", [1, 2])
def test_a_response_head_that_comes_once_is_not_kept(asked: int) -> None:
    """Be it asked for a second time, when more of its body has come."""
    parser = ResponseParser()
    for number in range(100):
        heads = [parser.parse(b"HTTP/1.1 200 OK\r\nX: %d" % number) for _ in range(asked)]
        assert heads[0] is heads[-1]
    assert not parser.known


def test_many_hop_by_hop_lines_are_removed_at_once() -> None:
    """One by one, 990 of them in 15 KB took 9 ms. Counted in lines compared, as a clock would tell of the machine."""

    class Line(bytes):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Line.compared += 1
            return super().__eq__(other)

        __hash__ = bytes.__hash__

    lines = [Line(b"TE: a%d" % number) for number in range(1000)]
    head = RequestHead()
    head.method, head.minor, head.host = b"GET", 1, b""
    host = (b"Host: a", b"host", b"a", b"Host: a", b"")
    fields = [host, *((line, b"te", b"", line, b"") for line in lines)]
    request_module._request_fields(head, fields, [b"Host: a", b"X: 1", *reversed(lines)])
    assert head.lines == [b"Host: a", b"X: 1"]
    assert Line.compared <= 10 * len(lines)


def test_a_line_is_known_at_the_second_time() -> None:
    parser = RequestParser(FIELDS_MAX)
    for number in range(3000):
        parser.parse(get(b"X: a", b"T: %d" % number)[:-4])
    assert parser._plain == {b"X: a"}
    assert len(parser._seen) <= 512


@pytest.mark.parametrize("name", [b"X", b"X-Forwarded-For"])
def test_known_lines_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    """Any stranger's forwarding fields are among those of a meaning: 4,096 of 1 KiB took 9 MiB."""
    monkeypatch.setattr(request_module, "_KNOWN_LINES_BYTES", 3000)
    parser = RequestParser(FIELDS_MAX)
    for number in range(20):
        for _ in range(2):
            parser.parse(get(b"%b: %d%b" % (name, number, b"x" * 990))[:-4])
        assert sum(map(len, parser._plain)) < 4100
        assert sum(map(len, parser._special)) < 4100
    assert len(parser._plain) + len(parser._special) > 1


def test_an_id_and_a_length_are_no_part_of_what_is_remembered() -> None:
    parser = RequestParser(FIELDS_MAX)
    for number in range(1, 30):
        head = parser.parse(post(b"Content-Length: %d" % number, b"X-Request-Id: %d" % number)[:-4])
        assert (head.content_length, head.request_id) == (number, True)
    assert len(parser._verdicts) == 1


def test_a_client_is_no_part_of_what_is_remembered() -> None:
    parser = RequestParser(FIELDS_MAX)
    for number in range(1, 30):
        line = b"X-Forwarded-For: 198.51.100.%d" % number
        head = parser.parse(post(b"Content-Length: %d" % number, line)[:-4])
        assert (head.content_length, head.client) == (number, b"198.51.100.%d" % number)
        assert head.forwarding == {b"x-forwarded-for": [line]}
    assert len(parser._verdicts) == 1


@pytest.mark.parametrize(
    "lines",
    [
        [b"X-Forwarded-For: 198.51.100.%d, 10.0.0.1"],
        [b"X-Forwarded-For: 198.51.100.%d:80"],
        [b"X-Forwarded-For: 198.51.100.%d "],
        [b"X-Forwarded-For: 198.51.100.1%d1"],
        [b"X-Forwarded-For: 198.51.%d"],
        [b"X-Forwarded-For: unknown%d"],
        [b"X-Forwarded-For: 198.51.100.%d", b"X-Forwarded-For: 10.0.0.1"],
        [b"X-Forwarded-For: 198.51.100.%d", b"X-Forwarded-For: unknown"],
        [b"X-Forwarded-For: ", b"x-forwarded-for: 198.51.100.%d"],
    ],
)
def test_of_more_than_an_address_each_is_judged_by_itself(lines: list[bytes]) -> None:
    parser = RequestParser(FIELDS_MAX)
    for number in (10, 11, 12, 13):
        for _ in range(2):
            sent = [line % number if b"%" in line else line for line in lines]
            head = parser.parse(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *sent]))
            assert head.client is None
            assert head.forwarding == {b"x-forwarded-for": sent}
    assert len(parser._verdicts) == 4


def test_heads_say_what_they_are() -> None:
    assert repr(RequestParser(9).parse(b"GET /a HTTP/1.0")) == "RequestHead(b'GET' b'/a' 1.0, 0 fields)"
    assert repr(ResponseParser().parse(b"HTTP/1.1 204 No\r\nX: a")) == "ResponseHead(204, 1 fields)"


# -- laws ------------------------------------------------------------------------------------------------


@law
@given(message=requests())
def test_a_request_is_read_as_it_was_written(message: Message) -> None:
    head = RequestParser(FIELDS_MAX).parse(message.block)
    method, target, version = message.start.split(b" ")
    placed = {name.lower(): value for name, value in message.fields}
    assert (head.method, head.target, head.minor) == (method, target, int(version[-1:]))
    assert head.host == placed[b"host"]
    assert head.content_length == (int(placed[b"content-length"]) if b"content-length" in placed else None)
    assert head.is_chunked is (b"transfer-encoding" in placed)
    dropped = {b"connection"}
    kept = [b"%b: %b" % pair for pair in message.fields if pair[0].lower() not in dropped]
    assert head.lines == kept
    # What is read, written again and read again is the same.
    again = RequestParser(FIELDS_MAX).parse(b"\r\n".join([message.start, *head.lines]))
    ours = {**facts(head), "keep_alive": None}
    assert {**facts(again), "keep_alive": None} == ours


@law
@given(message=responses())
def test_a_response_is_read_as_it_was_written(message: Message) -> None:
    head = ResponseParser().parse(message.block)
    if head.status != 204:  # which loses its length and coding
        assert head.wire == message.block
        assert facts(ResponseParser().parse(head.wire)) == facts(head)


@law
@given(data=st.data(), raw=near_valid() | requests().map(lambda message: message.wire))
def test_any_split_gives_the_same_head_or_refusal(data: st.DataObject, raw: bytes) -> None:
    whole, split = outcome(request_facts(), [raw]), outcome(request_facts(), data.draw(pieces(raw)))
    if isinstance(whole, Refused):
        assert isinstance(split, Refused)
    else:
        assert split == whole


@law
@given(raw=st.binary(min_size=1, max_size=200))
def test_noise_is_refused_or_waited_on_and_nothing_else(raw: bytes) -> None:
    assert not isinstance(outcome(request_facts(), [raw]), tuple)
    outcome(request_facts(), [raw + b"\r\n\r\n"])
    outcome(response_facts, [raw + b"\r\n\r\n"])


@law
@given(name=tokens, value=field_values)
def test_a_field_of_no_meaning_passes_as_it_is(name: bytes, value: bytes) -> None:
    line = b"X-%b:%b" % (name, value)
    said = outcome(request_facts(), [get(line)])
    assert isinstance(said, tuple)
    lines = said[0]["lines"]
    assert isinstance(lines, list)
    assert lines[-1] == line

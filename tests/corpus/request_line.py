"""The request line's form, the version, and what may stand before it."""

from tests.corpus.case import (
    Case,
    Closed,
    HalfClose,
    Http09,
    Http2,
    Pause,
    case,
    forwarded,
    get,
    head,
    message,
    pieces,
    refused,
)

_HOST = b"Host: a.example"

_BAD = refused(400)

_ANY = refused()

_ANY_OPEN = refused(closes=False)

# RFC 9112 section 3: a recipient may split at any whitespace, and must then send the line in its one form.
_MENDED = forwarded()

# Where the line means nothing, an answer is no duty.
_MUTE = Closed()


def _line(line: bytes) -> bytes:
    return head(line, _HOST)


FORM: list[Case] = [
    case("a plain request", "RFC 9112 3", _line(b"GET / HTTP/1.1"), forwarded()),
    case("two spaces behind the method", "RFC 9112 3", _line(b"GET  / HTTP/1.1"), _BAD, _ANY, _MENDED),
    case("two spaces before the version", "RFC 9112 3", _line(b"GET /  HTTP/1.1"), _BAD, _ANY, _MENDED),
    case("a tab behind the method", "RFC 9112 3", _line(b"GET\t/ HTTP/1.1"), _BAD, _ANY, _MENDED),
    case("a tab before the version", "RFC 9112 3", _line(b"GET /\tHTTP/1.1"), _BAD, _ANY, _MENDED),
    case("a form feed behind the method", "RFC 9112 3", _line(b"GET\x0c/ HTTP/1.1"), _BAD, _ANY, _MENDED),
    case("a vertical tab before the version", "RFC 9112 3", _line(b"GET /\x0bHTTP/1.1"), _BAD, _ANY, _MENDED),
    case("a bare CR for the first space", "RFC 9112 3", _line(b"GET\r/ HTTP/1.1"), _BAD, _ANY, _MENDED),
    case("a bare CR for the second space", "RFC 9112 3", _line(b"GET /\rHTTP/1.1"), _BAD, _ANY, _MENDED),
    case("a space before the method", "RFC 9112 3", _line(b" GET / HTTP/1.1"), _BAD, _ANY, _MENDED, _MUTE),
    case("a space behind the version", "RFC 9112 3", _line(b"GET / HTTP/1.1 "), _BAD, _ANY, _MENDED),
    case("a tab behind the version", "RFC 9112 3", _line(b"GET / HTTP/1.1\t"), _BAD, _ANY, _MENDED),
    case("a space inside the target", "RFC 9112 3.2", _line(b"GET /a b HTTP/1.1"), _BAD, _ANY),
    case("a target that looks like a version", "RFC 9112 3.2", _line(b"GET HTTP/1.1 HTTP/1.1"), _BAD, _ANY),
    case("no target", "RFC 9112 3", _line(b"GET HTTP/1.1"), _BAD, _ANY, _MUTE),
    case("an empty target", "RFC 9112 3", _line(b"GET  HTTP/1.1"), _BAD, _ANY, _MUTE),
    case("no version: HTTP/0.9 with fields", "RFC 9112 3", _line(b"GET /"), _BAD, _ANY, _MUTE, Http09()),
    case("a method alone", "RFC 9112 3", _line(b"GET"), _BAD, _ANY, _MUTE),
    case("four words", "RFC 9112 3", _line(b"GET / x HTTP/1.1"), _BAD, _ANY),
    case("a request line and nothing else", "RFC 9112 3.2", head(b"GET / HTTP/1.1"), _BAD, _ANY),
    case("a status line as the request", "RFC 9112 2.1", _line(b"HTTP/1.1 200 OK"), _BAD, _ANY),
    case("HTTP/0.9", "RFC 9112 3", [b"GET /\r\n", Pause(), HalfClose()], _MUTE, _ANY, _BAD, Http09()),
    case("fields before the request line", "RFC 9112 2.1", head(_HOST, b"GET / HTTP/1.1"), _BAD, _ANY, _MUTE),
    case(
        "a field line folded into the request line",
        "RFC 9112 2.2",
        head(b"GET / HTTP/1.1", b" Host: a.example", b"Host: b.example"),
        _BAD,
        _ANY,
        forwarded(message(has={b"host": [b"b.example"]})),  # whitespace-led lines may be dropped
    ),
    case(
        "a tab before the first field",
        "RFC 9112 2.2",
        head(b"GET / HTTP/1.1", b"\tX: 1", _HOST),
        _BAD,
        _ANY,
        forwarded(message(lacks=(b"x",))),
    ),
    case(
        "a LF ends the request line",
        "RFC 9112 2.2",
        b"GET / HTTP/1.1\nHost: a.example\r\n\r\n",
        _BAD,
        _ANY,
        _MENDED,
    ),
    case(
        "every line ends in LF", "RFC 9112 2.2", b"GET / HTTP/1.1\nHost: a.example\n\n", _BAD, _ANY, _MENDED
    ),
    case(
        "LF and CRLF end the head",
        "RFC 9112 2.2",
        b"GET / HTTP/1.1\r\nHost: a.example\n\r\n",
        _BAD,
        _ANY,
        _MENDED,
    ),
    case(
        "CRLF and LF end the head",
        "RFC 9112 2.2",
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\n",
        _BAD,
        _ANY,
        _MENDED,
    ),
    case(
        "CR CR LF ends the request line",
        "RFC 9112 2.2",
        b"GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n",
        _BAD,
        _ANY,
    ),
    case("CR CR ends the head", "RFC 9112 2.2", b"GET / HTTP/1.1\r\nHost: a.example\r\r\r\n\r\n", _BAD, _ANY),
    case("byte by byte in the request line", "RFC 9112 3", pieces(get(), *range(1, 16)), forwarded()),
    case("split between the last CR and LF", "RFC 9112 3", pieces(get(), len(get()) - 1), forwarded()),
    case("split before the last CRLF", "RFC 9112 3", pieces(get(), len(get()) - 2), forwarded()),
    case("a head cut before its end", "RFC 9112 8", [get()[:-2], Pause(), HalfClose()], _MUTE, _ANY),
    case("a head cut in the request line", "RFC 9112 8", [b"GET / HT", Pause(), HalfClose()], _MUTE, _ANY),
    case("nothing at all", "RFC 9112 8", [HalfClose()], _MUTE, _ANY),
    case(
        "a target of 8,000 bytes",
        "RFC 9112 3",
        get(target=b"/" + b"a" * 7999),
        forwarded(message(target=b"/" + b"a" * 7999)),
    ),
    case(
        "a target of 40,000 bytes",
        "RFC 9110 4.1",
        get(target=b"/" + b"a" * 39999),
        refused(414),
        _ANY,
        forwarded(message(target=b"/" + b"a" * 39999)),
    ),
]

BEFORE: list[Case] = [
    case("an empty line before", "RFC 9112 2.2", b"\r\n" + get(), forwarded(), _ANY),
    case("two empty lines before", "RFC 9112 2.2", b"\r\n\r\n" + get(), forwarded(), _ANY),
    case("an empty line before, split", "RFC 9112 2.2", pieces(b"\r\n" + get(), 1, 2), forwarded(), _ANY),
    case(
        "a thousand empty lines before",
        "RFC 9112 2.2",
        b"\r\n" * 1000 + get(),
        _BAD,
        _ANY,
        _MUTE,
        forwarded(),
    ),
    case("a bare LF before", "RFC 9112 2.2", b"\n" + get(), _BAD, _ANY, forwarded()),
    case("a bare CR before", "RFC 9112 2.2", b"\r" + get(), _BAD, _ANY, _MUTE, forwarded()),
    case("a NUL before", "RFC 9112 3", b"\0" + get(), _BAD, _ANY, _MUTE),
    case("a byte order mark before", "RFC 9112 3", b"\xef\xbb\xbf" + get(), _BAD, _ANY, _MUTE),
    case(
        "empty lines between two requests",
        "RFC 9112 2.2",
        get(target=b"/1") + b"\r\n" + get(target=b"/2"),
        forwarded(message(target=b"/1"), message(target=b"/2")),
        forwarded(message(target=b"/1"), then=(400,)),
        answers=2,
    ),
    case(
        "a TLS handshake",
        "RFC 8446 5.1",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\x11" * 500,
        _BAD,
        _ANY,
        _MUTE,
    ),
    case("an SSH greeting", "RFC 9112 3", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", _BAD, _ANY, _MUTE),
    case(
        "a PROXY protocol line that nobody asked for",
        "RFC 9112 3",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(),
        _BAD,
        _ANY,
        _MUTE,
    ),
    case(
        "a PROXY protocol header of version 2",
        "RFC 9112 3",
        b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c" + b"\1" * 12 + get(),
        _BAD,
        _ANY,
        _MUTE,
    ),
]

VERSIONS: list[Case] = [
    case("HTTP/1.0", "RFC 9110 2.5", get(version=b"1.0"), forwarded()),
    case("HTTP/1.2 is read as 1.1", "RFC 9110 2.5", get(version=b"1.2"), forwarded(), _ANY, refused(505)),
    case("HTTP/1.9 is read as 1.1", "RFC 9110 2.5", get(version=b"1.9"), forwarded(), _ANY, refused(505)),
    *(
        case(
            f"HTTP/{version.decode()}", "RFC 9110 15.6.6", get(version=version), refused(505), _ANY, *outcomes
        )
        for version, outcomes in (
            (b"0.9", ()),
            (b"2.0", (_MENDED,)),
            (b"3.0", (_MENDED,)),
            (b"9.9", (_MENDED,)),
        )
    ),
    *(
        case(f"a version of {version!r}", "RFC 9112 2.3", _line(b"GET / " + version), _BAD, _ANY)
        for version in (
            b"http/1.1",
            b"Http/1.1",
            b"HTTP/1.10",
            b"HTTP/1.01",
            b"HTTP/01.1",
            b"HTTP/11.1",
            b"HTTP/1,1",
            b"HTTP/1",
            b"HTTP/1.",
            b"HTTP/.1",
            b"HTTP/-1.1",
            b"HTTP/1.-1",
            b"HTTP/ 1.1",
            b"HTTP /1.1",
            b"HTTP1.1",
            b"HTTP/1.1x",
            b"HTTP/0x1.1",
            b"HTTP/1.1\0",
            b"HTTP/1.\xb2",
            b"HTTPS/1.1",
            b"ICY/1.1",
            b"RTSP/1.0",
        )
    ),
    case(
        "the HTTP/2 preface",
        "RFC 9113 3.4",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
        refused(505),
        _ANY,
        _MUTE,
        Http2(),
    ),
    case(
        "the HTTP/2 preface, split",
        "RFC 9113 3.4",
        pieces(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 3, 16, 18),
        refused(505),
        _ANY,
        _MUTE,
        Http2(),
    ),
    case(
        "PRI in HTTP/1.1",
        "RFC 9113 11.6",
        get(method=b"PRI"),
        forwarded(message(b"PRI")),
        _ANY_OPEN,
        node_refuses="PRI",
    ),
]

CASES = {"request line": [*FORM, *BEFORE], "version": VERSIONS}

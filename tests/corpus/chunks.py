"""Chunked bodies of requests: sizes, extensions, line ends, the last chunk, trailers; and bodies cut short."""

from tests.corpus.case import (
    Case,
    Closed,
    HalfClose,
    Outcome,
    Pause,
    Reset,
    case,
    chunked,
    forwarded,
    message,
    pieces,
    post,
    refused,
)

# A fault in a body: what came before it may have been passed on, the end of the message never.
_BAD = refused(400, late=True)
_ANY = refused(late=True)
_NEXT = b"GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"
_HI = forwarded(message(b"POST", body=b"hi"))
_EMPTY = forwarded(message(b"POST"))


def _good(name: str, body: bytes, payload: bytes = b"hi", *others: Outcome) -> Case:
    return case(name, "RFC 9112 7.1", chunked(body), forwarded(message(b"POST", body=payload)), *others)


def _bad(name: str, body: bytes, *others: Outcome, rfc: str = "RFC 9112 7.1") -> Case:
    """What follows the body is a request: a reader that takes the fault for something else may find it."""
    return case(name, rfc, chunked(body), _BAD, _ANY, Closed(late=True), *others)


SIZES: list[Case] = [
    _good("one chunk", b"2\r\nhi\r\n0\r\n\r\n"),
    _good("two chunks", b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"),
    _good("no chunk", b"0\r\n\r\n", b""),
    _good("leading zeros", b"0002\r\nhi\r\n000\r\n\r\n", b"hi", _ANY),
    _good("hexadecimal in lower case", b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    _good("hexadecimal in upper case", b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    _good("data that looks like a last chunk", b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    _good("data that is a request", b"%x\r\n%b\r\n0\r\n\r\n" % (len(_NEXT), _NEXT), _NEXT),
    _good("a chunk of 100,000 bytes", b"186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n", b"x" * 100_000),
    _good("a thousand chunks of a byte", b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n", b"x" * 1000),
    case(
        "chunks byte by byte",
        "RFC 9112 7.1",
        pieces(
            chunked(b"2\r\nhi\r\n0\r\n\r\n"), *range(len(chunked(b"")), len(chunked(b"2\r\nhi\r\n0\r\n\r\n")))
        ),
        _HI,
    ),
    case(
        "chunks and the next request in one read",
        "RFC 9112 7.1",
        chunked(b"2\r\nhi\r\n0\r\n\r\n") + _NEXT,
        forwarded(message(b"POST", body=b"hi"), message(target=b"/next")),
        answers=2,
    ),
    *(
        _bad(f"a size of {size!r}", size + b"\r\nhi\r\n0\r\n\r\n")
        for size in (
            b"0x2",
            b"0X2",
            b"x2",
            b"+2",
            b"-2",
            b"-0",
            b"2g",
            b"g",
            b"2h",
            b"2.0",
            b"2,",
            b"2_0",
            b"0_2",
            b'"2"',
            b"2 2",
            b"2\x0b",
            b"2\x0c",
            b"\x0c2",
            b"2\0",
            b"\02",
            b"2\xa0",
            b"\xd9\xa2",
            b"\xef\xbc\x92",  # a full-width 2
            b"",
            b"10000000000000002",  # 2^64 + 2
            b"100000000000000002",
            b"ffffffffffffffff",
            b"fffffffffffffffff",
            b"100000002" + b"0" * 12,
        )
    ),
    # Whitespace around a size was never grammar, and is bad whitespace before an extension alone.
    _bad("a space behind a size", b"2 \r\nhi\r\n0\r\n\r\n", _HI),
    _bad("a tab behind a size", b"2\t\r\nhi\r\n0\r\n\r\n", _HI),
    _bad("a space before a size", b" 2\r\nhi\r\n0\r\n\r\n"),
    _bad("a tab before a size", b"\t2\r\nhi\r\n0\r\n\r\n"),
    _bad("a space behind the last size", b"2\r\nhi\r\n0 \r\n\r\n", _HI),
    _bad("an empty line before the first size", b"\r\n2\r\nhi\r\n0\r\n\r\n"),
    _bad("a size longer than the data", b"3\r\nhi\r\n0\r\n\r\n"),
    _bad("a size shorter than the data", b"1\r\nhi\r\n0\r\n\r\n"),
    _bad("a size of a thousand zeros", b"0" * 1000 + b"2\r\nhi\r\n0\r\n\r\n", _HI),
    _bad("a size line that never ends", b"2;" + b"a" * 100_000),
]

LINE_ENDS: list[Case] = [
    _bad("a LF behind a size", b"2\nhi\r\n0\r\n\r\n", _HI),
    _bad("a CR behind a size", b"2\rhi\r\n0\r\n\r\n"),
    _bad("CR CR LF behind a size", b"2\r\r\nhi\r\n0\r\n\r\n"),
    _bad("LF CR behind a size", b"2\n\rhi\r\n0\r\n\r\n"),
    _bad("a byte between CR and LF", b"2\rX\nhi\r\n0\r\n\r\n"),
    _bad("a LF behind data", b"2\r\nhi\n0\r\n\r\n", _HI),
    _bad("a CR behind data", b"2\r\nhi\r0\r\n\r\n"),
    _bad("nothing behind data", b"2\r\nhi0\r\n\r\n"),
    _bad("two bytes for the CRLF behind data", b"2\r\nhiXX0\r\n\r\n"),
    _bad("a space behind data", b"2\r\nhi \r\n0\r\n\r\n"),
    _bad("an empty line behind data", b"2\r\nhi\r\n\r\n0\r\n\r\n"),
    _bad("a LF behind the last size", b"2\r\nhi\r\n0\n\r\n", _HI),
    _bad("a LF for the last line", b"2\r\nhi\r\n0\r\n\n", _HI),
    _bad("a CR for the last line", b"2\r\nhi\r\n0\r\n\rX"),
    _bad("LF for every line end", b"2\nhi\n0\n\n", _HI),
    _bad("a LF behind data, in another read", b"2\r\nhi\n0\r\n\r\n", _HI),
]

EXTENSIONS: list[Case] = [
    _good("an extension", b"2;a\r\nhi\r\n0\r\n\r\n", b"hi", _ANY),
    _good("an extension with a value", b"2;a=b\r\nhi\r\n0\r\n\r\n", b"hi", _ANY),
    _good("several extensions", b"2;a;b=c;d\r\nhi\r\n0;e\r\n\r\n", b"hi", _ANY),
    _good("a quoted value", b'2;a="b c"\r\nhi\r\n0\r\n\r\n', b"hi", _ANY),
    _good("a quoted value with a semicolon", b'2;a="b;c"\r\nhi\r\n0\r\n\r\n', b"hi", _ANY),
    _good("a quoted pair", b'2;a="b\\"c"\r\nhi\r\n0\r\n\r\n', b"hi", _ANY),
    _good("a quoted value with text beyond ASCII", b'2;a="\xc3\xa9"\r\nhi\r\n0\r\n\r\n', b"hi", _ANY),
    # RFC 9110 section 5.6.3 asks a recipient to put up with bad whitespace; Node answers it with 400, and so do we.
    _bad("a space before an extension", b"2 ;a=b\r\nhi\r\n0\r\n\r\n", _HI, rfc="RFC 9112 7.1.1"),
    _bad("spaces around the equals sign", b"2;a = b\r\nhi\r\n0\r\n\r\n", _HI, rfc="RFC 9112 7.1.1"),
    _bad("a space behind the semicolon", b"2; a\r\nhi\r\n0\r\n\r\n", _HI, rfc="RFC 9112 7.1.1"),
    _bad("a space behind an extension", b"2;a \r\nhi\r\n0\r\n\r\n", _HI, rfc="RFC 9112 7.1.1"),
    # An extension that is not known must be ignored: one that is malformed may be, where its line's end is not.
    *(
        _bad(
            f"an extension of {extension!r}",
            b"2" + extension + b"\r\nhi\r\n0\r\n\r\n",
            *outcomes,
            rfc="RFC 9112 7.1.1",
        )
        for extension, outcomes in (
            (b";", (_HI,)),
            (b";;", (_HI,)),
            (b";=", (_HI,)),
            (b";a=", (_HI,)),
            (b";=b", (_HI,)),
            (b";a=b=c", (_HI,)),
            (b';a="b', (_HI,)),
            (b';a="b"c', (_HI,)),
            (b";a\0", (_HI,)),
            (b";a=\x01", (_HI,)),
            (b';a="\0"', (_HI,)),
            (b";a\x7f", (_HI,)),
            (b",a", ()),
            (b"=a", ()),
            (b"/a", ()),
        )
    ),
    _bad("a LF in an extension", b"2;a\nhi\r\n0\r\n\r\n", _HI, rfc="RFC 9112 7.1.1"),
    _bad("a CR in an extension", b"2;a\rb\r\nhi\r\n0\r\n\r\n", rfc="RFC 9112 7.1.1"),
    _bad("a LF in a quoted value", b'2;a="\n"\r\nhi\r\n0\r\n\r\n', rfc="RFC 9112 7.1.1"),
    _bad("a CRLF in a quoted value", b'2;a="\r\nhi\r\n0\r\n\r\n', _HI, rfc="RFC 9112 7.1.1"),
    _bad(
        "an extension that hides a request behind a LF",
        b"2;\nxx\r\n%x\r\n0\r\n\r\n%b\r\n0\r\n\r\n" % (5 + len(_NEXT), _NEXT),
        rfc="RFC 9112 7.1.1",
    ),
    _bad(
        "100,000 bytes of extensions",
        (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n",
        forwarded(message(b"POST", body=b"x" * 100)),
        rfc="RFC 9112 7.1.1",
    ),
]


def _trailer(*lines: bytes) -> bytes:
    return b"2\r\nhi\r\n0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


# RFC 9110 section 6.5.1: those that frame, route, modify, authenticate or describe the content.
_FORBIDDEN = (
    b"Content-Length",
    b"Transfer-Encoding",
    b"Host",
    b"Connection",
    b"Trailer",
    b"TE",
    b"Upgrade",
    b"Expect",
    b"Authorization",
    b"Cookie",
    b"Content-Type",
    b"Content-Encoding",
    b"Content-Range",
    b"Cache-Control",
    b"X-Forwarded-For",
    b"X-Forwarded-Proto",
    b"Forwarded",
    b"Content_Length",
    b"X_Forwarded_For",
)
# These stand in the head as well, or may, put there by the proxy.
_OWN = (
    b"Content-Length",
    b"Transfer-Encoding",
    b"Host",
    b"Connection",
    b"X-Forwarded-For",
    b"X-Forwarded-Proto",
    b"Forwarded",
)
TRAILERS: list[Case] = [
    _good("a trailer", _trailer(b"X-Sum: 1")),
    _good("several trailers", _trailer(b"X-Sum: 1", b"X-Other:", b"x-third:\tv ")),
    case(
        "a trailer, byte by byte",
        "RFC 9112 7.1.2",
        pieces(chunked(_trailer(b"X: 1")), *range(len(chunked(b"")) + 10, len(chunked(_trailer(b"X: 1"))))),
        _HI,
    ),
    # They may be dropped, or refused; merged into the head, or passed on so that the app merges them, they may not.
    *(
        case(
            f"{name.decode()} as a trailer",
            "RFC 9110 6.5.1",
            chunked(_trailer(name + b": 5")),
            _BAD,
            _ANY,
            forwarded(
                message(
                    b"POST",
                    body=b"hi",
                    lacks=(name.lower(),) if name not in _OWN else (),
                )
            ),
        )
        for name in _FORBIDDEN
    ),
    *(
        _bad(f"a trailer line of {line!r}", _trailer(line), *outcomes, rfc="RFC 9112 7.1.2")
        for line, outcomes in (
            (b"X : 1", (_HI,)),
            (b"X", (_HI,)),
            (b": 1", (_HI,)),
            (b" X: 1", (_HI,)),
            (b"X: a\0b", (_HI,)),
            (b"X: a\x01b", (_HI,)),
            (b"X: a\rb", ()),
            (b"X\0: 1", (_HI,)),
            (b"X: 1\n", (_HI, forwarded(message(b"POST", body=b"hi"), then=range(400, 600)))),
            (b"X: 1\nY: 2", (_HI,)),
            (b"X: 1\r\n fold", (_HI,)),
            (b"GET / HTTP/1.1", (_HI,)),
        )
    ),
    _bad(
        "trailers of 100,000 bytes", b"0\r\n" + b"X: 1\r\n" * 17_000 + b"\r\n", _EMPTY, rfc="RFC 9112 7.1.2"
    ),
    _bad("a trailer that never ends", b"0\r\nX: " + b"a" * 100_000, rfc="RFC 9112 7.1.2"),
    _bad("data for the last line", b"0\r\nhello\r\n", rfc="RFC 9112 7.1.2"),
]

# A body whose end does not come: it must not end at the app, either.
_LOST = (Closed(late=True), refused(late=True))
_CHUNKS = chunked(b"5\r\nhel")
CUT: list[Case] = [
    case(
        "a body of a length, cut by a FIN",
        "RFC 9112 8",
        [post(b"Content-Length: 5", body=b"hi"), Pause(), HalfClose()],
        *_LOST,
    ),
    case(
        "a body of a length, cut by a reset",
        "RFC 9112 8",
        [post(b"Content-Length: 5", body=b"hi"), Pause(), Reset()],
        *_LOST,
    ),
    case(
        "a body of which nothing came",
        "RFC 9112 8",
        [post(b"Content-Length: 5"), Pause(), HalfClose()],
        *_LOST,
    ),
    case("chunks cut by a FIN inside data", "RFC 9112 8", [_CHUNKS, Pause(), HalfClose()], *_LOST),
    case("chunks cut by a reset inside data", "RFC 9112 8", [_CHUNKS, Pause(), Reset()], *_LOST),
    case("chunks cut behind a chunk", "RFC 9112 8", [chunked(b"2\r\nhi\r\n"), Pause(), HalfClose()], *_LOST),
    case(
        "chunks cut behind the last one",
        "RFC 9112 8",
        [chunked(b"2\r\nhi\r\n0\r\n"), Pause(), HalfClose()],
        *_LOST,
    ),
    case(
        "chunks cut in the trailers", "RFC 9112 8", [chunked(b"0\r\nX: 1\r\n"), Pause(), HalfClose()], *_LOST
    ),
    case("chunks cut before the first", "RFC 9112 8", [chunked(b""), Pause(), HalfClose()], *_LOST),
]

CASES = {
    "chunk size": SIZES,
    "chunk line ends": LINE_ENDS,
    "chunk extension": EXTENSIONS,
    "trailer": TRAILERS,
    "request cut": CUT,
}

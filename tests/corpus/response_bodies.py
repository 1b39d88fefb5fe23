"""What the app answers: framing, and ends that are none."""

from tests.corpus.case import (
    Await,
    Case,
    Close,
    Cut,
    Passed,
    Pause,
    Reset,
    chunked_ok,
    get,
    head,
    ok,
    pieces,
    replaced,
    response_case,
)

_BAD = replaced(502)

_ANY = replaced()

_OK = b"HTTP/1.1 200 OK"


_HI = Passed(200, b"hi")

FRAMING: list[Case] = [
    response_case("chunks", "RFC 9112 7.1", chunked_ok(b"2\r\nhi\r\n0\r\n\r\n"), _HI),
    response_case(
        "chunks in pieces",
        "RFC 9112 7.1",
        pieces(
            chunked_ok(b"2\r\nhi\r\n0\r\n\r\n"),
            *range(len(chunked_ok(b"")), len(chunked_ok(b"2\r\nhi\r\n0\r\n\r\n"))),
        ),
        _HI,
    ),
    response_case(
        "chunks with extensions and trailers",
        "RFC 9112 7.1",
        chunked_ok(b"2;a=b\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", b"Trailer: X-Sum"),
        _HI,
    ),
    response_case("a body of 300,000 bytes", "RFC 9112 6.2", ok(b"x" * 300_000), Passed(200, b"x" * 300_000)),
    response_case("a body that ends with the connection", "RFC 9112 6.3", (head(_OK) + b"hi", Close()), _HI),
    response_case(
        "a body that ends with the connection, in HTTP/1.0",
        "RFC 9112 6.3",
        (head(b"HTTP/1.0 200 OK") + b"hi", Close()),
        _HI,
    ),
    response_case(
        "an empty body that ends with the connection", "RFC 9112 6.3", (head(_OK), Close()), Passed(200, b"")
    ),
    response_case(
        "a length in HTTP/1.0 that is kept",
        "RFC 9112 9.3",
        head(b"HTTP/1.0 200 OK", b"Connection: keep-alive", b"Content-Length: 2") + b"hi",
        _HI,
    ),
    response_case(
        "HEAD with a length",
        "RFC 9110 9.3.2",
        head(_OK, b"Content-Length: 5"),
        Passed(200, b"", has={b"content-length": b"5"}),
        request=get(method=b"HEAD"),
    ),
    response_case(
        "HEAD with a coding",
        "RFC 9110 9.3.2",
        head(_OK, b"Transfer-Encoding: chunked"),
        Passed(200, b""),
        request=get(method=b"HEAD"),
    ),
    response_case(
        "HEAD without a length", "RFC 9110 9.3.2", head(_OK), Passed(200, b""), request=get(method=b"HEAD")
    ),
    response_case("204", "RFC 9110 15.3.5", head(b"HTTP/1.1 204 No Content"), Passed(204, b"")),
    response_case(
        "204 with a length of 0",
        "RFC 9110 8.6",
        head(b"HTTP/1.1 204 No Content", b"Content-Length: 0"),
        Passed(204, b"", lacks=(b"content-length",)),
        Passed(204, b""),
        _ANY,
    ),
    response_case(
        "204 with a coding and no chunk",
        "RFC 9112 6.1",
        (head(b"HTTP/1.1 204 No Content", b"Transfer-Encoding: chunked"), Close()),
        Passed(204, b"", lacks=(b"transfer-encoding",)),
        _ANY,
    ),
    response_case(
        "304 with a length",
        "RFC 9110 15.4.5",
        head(b"HTTP/1.1 304 Not Modified", b"Content-Length: 5"),
        Passed(304, b""),
    ),
    response_case(
        "205 with a length of 0", "RFC 9110 15.3.6", ok(b"", status=b"205 Reset Content"), Passed(205, b"")
    ),
    # Two readings of one response.
    response_case(
        "a length and a coding",
        "RFC 9112 6.3",
        (chunked_ok(b"2\r\nhi\r\n0\r\n\r\n", b"Content-Length: 5"), Close()),
        _BAD,
        _ANY,
        _HI,
    ),
    response_case(
        "two equal lengths",
        "RFC 9112 6.3",
        (head(_OK, b"Content-Length: 2", b"Content-Length: 2") + b"hi", Close()),
        _BAD,
        _ANY,
        _HI,
    ),
    response_case(
        "two lengths that differ",
        "RFC 9112 6.3",
        (head(_OK, b"Content-Length: 2", b"Content-Length: 3") + b"hi!", Close()),
        _BAD,
        _ANY,
    ),
    response_case(
        "a list of equal lengths",
        "RFC 9112 6.3",
        (head(_OK, b"Content-Length: 2, 2") + b"hi", Close()),
        _BAD,
        _ANY,
        _HI,
    ),
    response_case(
        "a list of lengths that differ",
        "RFC 9112 6.3",
        (head(_OK, b"Content-Length: 2, 3") + b"hi!", Close()),
        _BAD,
        _ANY,
    ),
    *(
        response_case(
            f"a length of {value!r}",
            "RFC 9112 6.3",
            (head(_OK, b"Content-Length: " + value) + b"hi", Close()),
            _BAD,
            _ANY,
        )
        for value in (
            b"-2",
            b"+2",
            b"0x2",
            b"2x",
            b"2 2",
            b"2.0",
            b"",
            b"18446744073709551618",
            b"2\0",
            b"\xb2",
        )
    ),
    *(
        response_case(
            f"a coding of {value!r}",
            "RFC 9112 6.1",
            (head(_OK, b"Transfer-Encoding: " + value) + b"2\r\nhi\r\n0\r\n\r\n", Close()),
            _BAD,
            _ANY,
            *outcomes,
        )
        for value, outcomes in (
            (b"chunked, chunked", ()),
            (b"xchunked", ()),
            (b"identity", ()),
            (b"chunked, identity", ()),
            (b"gzip, chunked", (_HI,)),
            (b"chunked;q=1", ()),
            (b"\x0bchunked", ()),
            (b"", ()),
        )
    ),
    response_case(
        "a coding in two fields",
        "RFC 9112 6.1",
        (
            head(_OK, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n",
            Close(),
        ),
        _BAD,
        _ANY,
    ),
    response_case(
        "a coding in HTTP/1.0",
        "RFC 9112 6.1",
        (head(b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n", Close()),
        _BAD,
        _ANY,
        _HI,
    ),
    response_case(
        "a space before the colon of a length",
        "RFC 9112 5.1",
        (head(_OK, b"Content-Length : 2") + b"hi", Close()),
        _BAD,
        _ANY,
        _HI,
    ),
]

_CUT = (Cut(b"hello"), _ANY)

_BROKEN: tuple[tuple[str, bytes], ...] = (
    ("a size of x", b"x\r\nhello\r\n0\r\n\r\n"),
    ("a signed size", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("an empty size", b"\r\nhello\r\n0\r\n\r\n"),
    ("a size of 2^64 + 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a size shorter than the data", b"3\r\nhello\r\n0\r\n\r\n"),
    ("a byte behind data", b"5\r\nhelloX0\r\n\r\n"),
    ("a bare CR behind a size", b"5\rhello\r\n0\r\n\r\n"),
    ("a NUL in an extension", b"5;a\0\r\nhello\r\n0\r\n\r\n"),
)

ENDS: list[Case] = [
    response_case(
        "a length cut by a FIN",
        "RFC 9112 8",
        (head(_OK, b"Content-Length: 5") + b"hel", Pause(), Close()),
        *_CUT,
    ),
    response_case(
        "a length cut by a reset",
        "RFC 9112 8",
        (head(_OK, b"Content-Length: 5") + b"hel", Pause(), Reset()),
        *_CUT,
    ),
    response_case(
        "a length of which nothing came",
        "RFC 9112 8",
        (head(_OK, b"Content-Length: 5"), Pause(), Close()),
        *_CUT,
    ),
    response_case(
        "chunks cut by a FIN inside data", "RFC 9112 8", (chunked_ok(b"5\r\nhel"), Pause(), Close()), *_CUT
    ),
    response_case(
        "chunks cut by a reset inside data", "RFC 9112 8", (chunked_ok(b"5\r\nhel"), Pause(), Reset()), *_CUT
    ),
    response_case(
        "chunks cut behind a chunk", "RFC 9112 8", (chunked_ok(b"5\r\nhello\r\n"), Pause(), Close()), *_CUT
    ),
    response_case(
        "chunks cut behind the last size",
        "RFC 9112 8",
        (chunked_ok(b"5\r\nhello\r\n0\r\n"), Pause(), Close()),
        Cut(b"hello"),
        Passed(200, b"hello"),
        _ANY,
    ),
    response_case("chunks cut before the first", "RFC 9112 8", (chunked_ok(b""), Pause(), Close()), *_CUT),
    response_case(
        "a close-delimited body cut by a reset",
        "RFC 9112 8",
        (head(_OK) + b"hel", Pause(), Reset()),
        *_CUT,
        Passed(200, b"hel"),
    ),
    response_case(
        "chunks to HTTP/1.0, cut",
        "RFC 9112 8",
        (chunked_ok(b"5\r\nhel"), Pause(), Close()),
        Cut(b"hello"),
        _ANY,
        Passed(200, b"hel"),
        request=get(version=b"1.0"),
    ),
    response_case(
        "a length to HTTP/1.0, cut",
        "RFC 9112 8",
        (head(_OK, b"Content-Length: 5") + b"hel", Pause(), Close()),
        *_CUT,
        request=get(version=b"1.0"),
    ),
    *(
        response_case(
            f"chunks with {name}", "RFC 9112 7.1", (chunked_ok(body), Close()), _BAD, _ANY, Cut(b"hello")
        )
        for name, body in _BROKEN
    ),
    *(
        response_case(
            f"chunks with {name}, behind a good one",
            "RFC 9112 7.1",
            (chunked_ok(b"1\r\n!\r\n"), Await(), body, Close()),
            Cut(b"!hello"),
            _ANY,
        )
        for name, body in _BROKEN
    ),
    response_case(
        "a LF behind a size",
        "RFC 9112 7.1",
        (chunked_ok(b"5\nhello\r\n0\r\n\r\n"), Close()),
        _BAD,
        _ANY,
        Cut(b"hello"),
        Passed(200, b"hello"),
    ),
    response_case(
        "a trailer that frames",
        "RFC 9110 6.5.1",
        (chunked_ok(b"2\r\nhi\r\n0\r\nContent-Length: 5\r\n\r\n"), Close()),
        _BAD,
        _ANY,
        Cut(b"hi"),
        Passed(200, b"hi"),
    ),
    response_case(
        "a malformed trailer",
        "RFC 9112 7.1.2",
        (chunked_ok(b"2\r\nhi\r\n0\r\nX\0: 1\r\n\r\n"), Close()),
        _BAD,
        _ANY,
        Cut(b"hi"),
        Passed(200, b"hi"),
    ),
]

CASES = {"response framing": FRAMING, "response end": ENDS}

"""Content-Length and Transfer-Encoding: which of them frames a request, and what neither may be."""

from tests.corpus.case import (
    Case,
    Closed,
    HalfClose,
    Pause,
    Reset,
    case,
    chunked,
    forwarded,
    get,
    message,
    pieces,
    post,
    refused,
)

_BAD = refused(400)
_ANY = refused()
_ANY_OPEN = refused(closes=False)
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
_HI = forwarded(message(b"POST", body=b"hi"))
_EMPTY = forwarded(message(b"POST"))


def _length(*values: bytes, body: bytes = b"hi") -> bytes:
    return post(*(b"Content-Length:" + value for value in values), body=body)


CONTENT_LENGTH: list[Case] = [
    case("a length", "RFC 9112 6.2", _length(b" 2"), _HI),
    case("a length of 0", "RFC 9112 6.2", _length(b" 0", body=b""), _EMPTY),
    case("neither length nor coding", "RFC 9112 6.3", post(), _EMPTY),
    case("whitespace around a length", "RFC 9112 5.1", _length(b"\t 2  "), _HI),
    case("a tab behind a length", "RFC 9112 5.1", _length(b" 2\t"), _HI, node_refuses="a tab there"),
    case("leading zeros", "RFC 9110 8.6", _length(b" 002"), _HI, _ANY),
    case("a name in odd case", "RFC 9110 5.1", post(b"cOnTeNt-LeNgTh: 2", body=b"hi"), _HI),
    case(
        "a body in pieces",
        "RFC 9112 6.2",
        pieces(_length(b" 2"), len(_length(b" 2")) - 2, len(_length(b" 2")) - 1),
        _HI,
    ),
    case("a head and a body apart", "RFC 9112 6.2", pieces(_length(b" 2"), len(_length(b" 2")) - 2), _HI),
    case(
        "a body of 300,000 bytes",
        "RFC 9112 6.2",
        _length(b" 300000", body=b"x" * 300_000),
        forwarded(message(b"POST", body=b"x" * 300_000)),
    ),
    case(
        "GET with a body",
        "RFC 9110 9.3.1",
        get(b"Content-Length: 2") + b"hi",
        forwarded(message(body=b"hi")),
        _ANY,
    ),
    case(
        "HEAD with a body",
        "RFC 9110 9.3.2",
        get(b"Content-Length: 2", method=b"HEAD") + b"hi",
        forwarded(message(b"HEAD", body=b"hi")),
        _ANY,
    ),
    case(
        "DELETE with a body",
        "RFC 9110 9.3.5",
        get(b"Content-Length: 2", method=b"DELETE") + b"hi",
        forwarded(message(b"DELETE", body=b"hi")),
        _ANY,
    ),
    case(
        "OPTIONS with a body",
        "RFC 9110 9.3.7",
        get(b"Content-Length: 2", method=b"OPTIONS") + b"hi",
        forwarded(message(b"OPTIONS", body=b"hi")),
        _ANY,
    ),
    case(
        "a body that is a request",
        "RFC 9112 6.2",
        _length(b" %d" % len(_SMUGGLED), body=_SMUGGLED),
        forwarded(message(b"POST", body=_SMUGGLED)),
    ),
    case(
        "GET whose body is a request",
        "RFC 9112 6.2",
        get(b"Content-Length: %d" % len(_SMUGGLED)) + _SMUGGLED,
        forwarded(message(body=_SMUGGLED)),
        _ANY,
    ),
    case("a length in HTTP/1.0", "RFC 9112 6.2", post(b"Content-Length: 2", body=b"hi", version=b"1.0"), _HI),
    case(
        "a length shorter than what follows",
        "RFC 9112 6.3",
        _length(b" 2", body=b"hi" + _SMUGGLED),
        forwarded(message(b"POST", body=b"hi"), message(target=b"/smuggled")),
        answers=2,
    ),
    case("two equal lengths", "RFC 9112 6.3", _length(b" 2", b" 2"), _BAD, _ANY, _HI),
    case("two lengths that differ", "RFC 9112 6.3", _length(b" 2", b" 3"), _BAD, _ANY),
    case(
        "two lengths that differ, the other way",
        "RFC 9112 6.3",
        _length(b" 3", b" 2", body=b"hi!"),
        _BAD,
        _ANY,
    ),
    case("a list of equal lengths", "RFC 9112 6.3", _length(b" 2, 2"), _BAD, _ANY, _HI),
    case("a list of lengths that differ", "RFC 9112 6.3", _length(b" 2, 3"), _BAD, _ANY),
    case("a length and an empty one", "RFC 9112 6.3", _length(b" 2", b""), _BAD, _ANY),
    case("lengths of 2 and 02", "RFC 9112 6.3", _length(b" 2", b" 02"), _BAD, _ANY, _HI),
    case("a space before the colon", "RFC 9112 5.1", post(b"Content-Length : 2", body=b"hi"), _BAD, _ANY),
    case("a NUL behind the name", "RFC 9110 5.1", post(b"Content-Length\0: 2", body=b"hi"), _BAD, _ANY),
    *(
        case(f"a length of {value!r}", "RFC 9112 6.3", _length(b" " + value), _BAD, _ANY)
        for value in (
            b"+2",
            b"-2",
            b"-0",
            b"0x2",
            b"0X2",
            b"2x",
            b"x2",
            b"0b10",
            b"0o2",
            b"2.0",
            b"2e0",
            b"2_0",
            b"1_0",
            b"2 0",
            b"2\t0",
            b"2,",
            b",2",
            b"2;",
            b"2 ;q=1",
            b'"2"',
            b"'2'",
            b"(2)",
            b"",
            b"\x0b2",
            b"2\x0c",
            b"2\0",
            b"2\xa0",
            b"\xd9\xa2",  # a digit two, in Arabic
            b"\xb2",  # a superscript two
            b"NaN",
            b"inf",
            b"chunked",
        )
    ),
    *(
        case(
            f"a length of {name}",
            "RFC 9110 8.6",
            _length(b" %d" % value),
            _BAD,
            _ANY,
            Closed(late=True, waits=True),
        )
        for name, value in (
            ("2^63", 2**63),
            ("2^64", 2**64),
            ("2^64 + 2", 2**64 + 2),
            ("2^32 + 2^64", 2**32 + 2**64),
            ("2^128 + 2", 2**128 + 2),
            ("200 digits", 10**199),
        )
    ),
    case(
        "leading zeros beyond any number's length",
        "RFC 9110 8.6",
        _length(b" " + b"0" * 200 + b"2"),
        _BAD,
        _ANY,
        _HI,
    ),
]

TRANSFER_ENCODING: list[Case] = [
    case("chunked", "RFC 9112 7.1", chunked(b"2\r\nhi\r\n0\r\n\r\n"), _HI),
    case(
        "Chunked in odd case",
        "RFC 9112 7",
        post(b"Transfer-Encoding: cHuNkEd", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _HI,
    ),
    case(
        "whitespace around chunked",
        "RFC 9112 5.1",
        post(b"Transfer-Encoding:\t chunked  ", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _HI,
    ),
    case(
        "a tab behind chunked",
        "RFC 9112 5.1",
        post(b"Transfer-Encoding: chunked\t", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _HI,
        node_refuses="a tab there",
    ),
    case(
        "GET in chunks",
        "RFC 9110 9.3.1",
        get(b"Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n",
        forwarded(message(body=b"hi")),
        _ANY,
    ),
    case(
        "a coding and a length",
        "RFC 9112 6.1",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 2", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _BAD,
        _ANY,
        forwarded(message(b"POST", body=b"hi")),
    ),
    case(
        "a length and a coding",
        "RFC 9112 6.1",
        post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG"),
        _BAD,
        _ANY,
        forwarded(message(b"POST"), then=(400, 405, 501)),
        _EMPTY,
    ),
    case(
        "a length of 0 and a coding",
        "RFC 9112 6.1",
        post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _BAD,
        _ANY,
        _HI,
    ),
    case(
        "a malformed length and a coding",
        "RFC 9112 6.1",
        post(b"Content-Length: x", b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _BAD,
        _ANY,
        _HI,
    ),
    case(
        "a coding and a request that the length would hide",
        "RFC 9112 6.1",
        post(
            b"Transfer-Encoding: chunked",
            b"Content-Length: %d" % (5 + len(_SMUGGLED)),
            body=b"0\r\n\r\n" + _SMUGGLED,
        ),
        _BAD,
        _ANY,
        forwarded(message(b"POST")),
    ),
    case(
        "chunked in HTTP/1.0",
        "RFC 9112 6.1",
        post(b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n", version=b"1.0"),
        _BAD,
        _ANY,
        _HI,
    ),
    case(
        "chunked and a length in HTTP/1.0",
        "RFC 9112 6.1",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n", version=b"1.0"),
        _BAD,
        _ANY,
        _EMPTY,
    ),
    case(
        "chunked twice, in two fields",
        "RFC 9112 7",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _BAD,
        _ANY,
    ),
    case(
        "identity and chunked in two fields",
        "RFC 9112 7",
        post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _BAD,
        _ANY,
    ),
    case(
        "chunked and identity in two fields",
        "RFC 9112 6.3",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"2\r\nhi\r\n0\r\n\r\n"),
        _BAD,
        _ANY,
    ),
    case(
        "a coding with a length, the coding unknown",
        "RFC 9112 6.1",
        post(b"Transfer-Encoding: x", b"Content-Length: 2", body=b"hi"),
        _BAD,
        _ANY,
    ),
    *(
        case(
            f"a coding line of {line!r}",
            "RFC 9112 6.1",
            post(line, b"Content-Length: 2", body=b"hi"),
            _BAD,
            _ANY,
            *outcomes,
        )
        for line, outcomes in (
            (b"Transfer-Encoding : chunked", ()),
            (b"Transfer-Encoding\t: chunked", ()),
            (b" Transfer-Encoding: chunked", ()),
            (b"X: 1\r\n Transfer-Encoding: chunked", (_HI,)),
            (b"Transfer-Encoding\0: chunked", (_HI,)),
            (b"Transfer-Encoding\x0b: chunked", (_HI,)),
            (b"Transfer-Encoding\xff: chunked", (_HI,)),
            (b"\0Transfer-Encoding: chunked", (_HI,)),
            (b"Transfer Encoding: chunked", (_HI,)),
            (b"X: 1\rTransfer-Encoding: chunked", (_HI,)),
            (b"X: 1\nTransfer-Encoding: chunked", ()),
            (b"Transfer-Encoding: chunked\nX: 1", ()),
            (b"Transfer-Encoding:\n chunked", ()),
            (b"Transfer-Encoding:\r\n chunked", ()),
            (b"Transfer-Encoding", (_HI,)),
            (b"Transfer-Encoding chunked", (_HI,)),
        )
    ),
    *(
        case(
            f"a coding of {value!r}",
            "RFC 9112 6.1",
            post(b"Transfer-Encoding:" + value, body=b"2\r\nhi\r\n0\r\n\r\n"),
            _BAD,
            _ANY,
            *outcomes,
        )
        for value, outcomes in (
            (b" chunked, chunked", ()),
            (b" chunked,chunked", ()),
            (b" chunked,", (_HI,)),  # empty elements of a list count for nothing (RFC 9110 section 5.6.1)
            (b" ,chunked", (_HI,)),
            (b" , ,chunked, ,", (_HI,)),
            (b" chunked;", ()),
            (b" chunked;q=1", ()),
            (b" chunked; a=b", ()),
            (b" identity", ()),
            (b" identity, chunked", ()),
            (b" chunked, identity", ()),
            (b" gzip", ()),
            (b" gzip, chunked", (forwarded(message(b"POST", body=b"hi")),)),
            (b" chunked, gzip", ()),
            (b" deflate, chunked", (_HI,)),
            (b" compress, chunked", (_HI,)),
            (b" xchunked", ()),
            (b" chunkedx", ()),
            (b" x-chunked", ()),
            (b" chunk", ()),
            (b" chunked chunked", ()),
            (b" chun ked", ()),
            (b' "chunked"', ()),
            (b" 'chunked'", ()),
            (b" [chunked]", ()),
            (b" chunked\x0b", ()),
            (b"\x0bchunked", ()),
            (b" chunked\x0c", ()),
            (b" \x0cchunked", ()),
            (b" chunked\0", ()),
            (b" \0chunked", ()),
            (b" chunked\xa0", ()),
            (b" \x85chunked", ()),
            (b" ch\xfcnked", ()),
            (b" chun\xc2\xadked", ()),
            (b" chunKed\xe2\x84\xaa", ()),
            (b" chun\xe2\x84\xaaed", ()),  # the Kelvin sign, whose lower case is a k
            (b" chunked\r", (_HI,)),
            (b"", ()),
            (b" ", ()),
            (b" ,", ()),
            (b" trailers", ()),
            (b" none", ()),
            (b" 0", ()),
            (b" true", ()),
        )
    ),
]

# A body whose end does not come: it must not end at the app, either.
_LOST = (Closed(late=True), refused(late=True))
_CHUNKS = chunked(b"5\r\nhel")
CUT: list[Case] = [
    case("a body of a length, cut by a FIN", "RFC 9112 8", [_length(b" 5"), Pause(), HalfClose()], *_LOST),
    case("a body of a length, cut by a reset", "RFC 9112 8", [_length(b" 5"), Pause(), Reset()], *_LOST),
    case(
        "a body of which nothing came", "RFC 9112 8", [_length(b" 5", body=b""), Pause(), HalfClose()], *_LOST
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

CASES = {"content-length": CONTENT_LENGTH, "transfer-encoding": TRANSFER_ENCODING, "request cut": CUT}

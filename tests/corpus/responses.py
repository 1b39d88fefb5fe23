"""What the app answers: status lines, fields, interim responses, framing, and ends that are none."""

from tests.corpus.case import (
    Await,
    Case,
    Close,
    Closed,
    Cut,
    Followed,
    HalfClose,
    Outcome,
    Passed,
    Pause,
    Reply,
    Reset,
    Step,
    case,
    get,
    head,
    ok,
    pieces,
    post,
    refused,
    replaced,
    reply,
)

_BAD = replaced(502)
_ANY = replaced()
_OK = b"HTTP/1.1 200 OK"
_POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-App: poison\r\n\r\npoison"
_SECOND = get(target=b"/2")


def _answer(
    name: str,
    rfc: str,
    response: bytes | tuple[Step, ...],
    *outcomes: Outcome,
    request: bytes = b"",
    never: tuple[bytes, ...] = (),
) -> Case:
    steps = (response,) if isinstance(response, bytes) else response
    return case(name, rfc, request or get(), *outcomes, app=reply(*steps), never=never)


def _status_line(line: bytes, *outcomes: Outcome, name: str = "") -> Case:
    """With a close behind it: whatever it is, the next response does not stand behind it."""
    steps: tuple[Step, ...] = (head(line, b"Content-Length: 2") + b"ok", Close())
    return case(
        name or f"a status line of {line!r}",
        "RFC 9112 4",
        get(),
        *outcomes,
        app=(reply(*steps), reply(*steps)),
    )


STATUS_LINE: list[Case] = [
    _answer("a plain response", "RFC 9112 4", ok(), Passed()),
    _answer("no reason phrase", "RFC 9112 4", ok(status=b"200 "), Passed()),
    _status_line(b"HTTP/1.1 200", Passed(), _BAD, _ANY),
    _status_line(b"HTTP/1.0 200 OK", Passed()),
    _status_line(b"HTTP/1.9 200 OK", Passed(), _BAD, _ANY),
    _status_line(b"HTTP/1.1 200 caf\xe9 \t x", Passed(), Passed(200)),
    *(
        _status_line(b"HTTP/1.1 %d Odd" % status, Passed(status), _ANY)
        for status in (299, 418, 451, 499, 599)
    ),
    *(
        _status_line(line, _BAD, _ANY, *outcomes)
        for line, outcomes in (
            (b"HTTP/2.0 200 OK", (Passed(),)),
            (b"HTTP/0.9 200 OK", (Passed(),)),
            (b"HTTP/1.1 099 Odd", ()),
            (b"HTTP/1.1 000 Odd", ()),
            (b"HTTP/1.1 600 Odd", (Passed(600),)),
            (b"HTTP/1.1 999 Odd", (Passed(999),)),
            (b"HTTP/1.1 20 OK", ()),
            (b"HTTP/1.1 2000 OK", ()),
            (b"HTTP/1.1 2x0 OK", ()),
            (b"HTTP/1.1 +20 OK", ()),
            (b"HTTP/1.1 -200 OK", ()),
            (b"HTTP/1.1 0x8 OK", ()),
            (b"HTTP/1.1  200 OK", (Passed(),)),
            (b"HTTP/1.1\t200\tOK", (Passed(),)),
            (b"HTTP/1.1 200OK", (Passed(),)),
            (b" HTTP/1.1 200 OK", (Passed(),)),
            (b"http/1.1 200 OK", (Passed(),)),
            (b"HTTP/11 200 OK", (Passed(),)),
            (b"HTTP/1.1", ()),
            (b"HTTP/1.1 OK", ()),
            (b"200 OK", ()),
            (b"ICY 200 OK", ()),
            (b"HTTP/1.1 200 O\0K", (Passed(),)),
            (b"HTTP/1.1 200 O\x01K", (Passed(),)),
            (b"HTTP/1.1 200 O\rK", (Passed(),)),
            (b"HTTP/1.1 200 O\x7fK", (Passed(),)),
            (b"GET / HTTP/1.1", ()),
            (b"<html>", ()),
            (b"\r\nHTTP/1.1 200 OK", (Passed(),)),
        )
    ),
    _answer(
        "every line ends in LF",
        "RFC 9112 2.2",
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Close()),
        _BAD,
        Passed(),
        _ANY,
    ),
    _answer("a head byte by byte", "RFC 9112 4", pieces(ok(), *range(1, 20)), Passed()),
    _answer("a body without a head", "RFC 9112 4", (b"<html>hello</html>", Close()), _BAD, _ANY, Cut()),
    _answer(
        "a head of 100,000 bytes",
        "RFC 9110 5.4",
        (head(_OK, b"X: " + b"a" * 100_000, b"Content-Length: 2") + b"ok", Close()),
        _BAD,
        _ANY,
        Passed(),
    ),
    _answer(
        "a head that never ends",
        "RFC 9110 5.4",
        (_OK + b"\r\n" + b"X: 1\r\n" * 100_000, Close()),
        _BAD,
        _ANY,
        Cut(),
    ),
    case(
        "a head cut short",
        "RFC 9112 8",
        post(b"Content-Length: 0"),
        _BAD,
        _ANY,
        app=reply(_OK + b"\r\nContent-Le", Close()),
    ),
    case(
        "no response but a FIN",
        "RFC 9110 9.2.2",
        post(b"Content-Length: 0"),
        replaced(502, requests=(1,)),
        replaced(requests=(1,)),
        app=reply(Close()),
    ),
    case(
        "no response but a reset",
        "RFC 9110 9.2.2",
        post(b"Content-Length: 0"),
        replaced(502, requests=(1,)),
        replaced(requests=(1,)),
        app=reply(Reset()),
    ),
    case(
        "no response to a GET, again and again",
        "RFC 9110 9.2.2",
        get(),
        replaced(502),
        replaced(),
        app=(reply(Close()), reply(Close()), reply(Close())),
    ),
]


def _field(name: str, line: bytes, *outcomes: Outcome, rfc: str = "RFC 9112 5") -> Case:
    return _answer(name, rfc, (head(_OK, line, b"Content-Length: 2") + b"ok", Close()), *outcomes)


_CLEAN = Passed(lacks=(b"x",))
FIELDS: list[Case] = [
    _field("a field", b"X: 1", Passed(has={b"x": b"1"})),
    _field("obs-text in a value", b"X: caf\xe9", Passed(has={b"x": b"caf\xe9"})),
    _field(
        "a space before the colon", b"X : 1", _BAD, _ANY, Passed(has={b"x": b"1"}), _CLEAN, rfc="RFC 9112 5.1"
    ),
    _field("a fold", b"X: a\r\n b", _BAD, _ANY, Passed(), rfc="RFC 9112 5.2"),
    _field("a line without a colon", b"X", _BAD, _ANY, _CLEAN, Passed()),
    _field("an empty name", b": 1", _BAD, _ANY, _CLEAN),
    _field("a space inside a name", b"X Y: 1", _BAD, _ANY, _CLEAN),
    _field("a NUL in a name", b"X\0: 1", _BAD, _ANY, _CLEAN),
    _field("a byte beyond ASCII in a name", b"X\xe9: 1", _BAD, _ANY, _CLEAN),
    _field(
        "a NUL in a value", b"X: a\0b", _BAD, _ANY, _CLEAN, Passed(has={b"x": b"a b"}), rfc="RFC 9110 5.5"
    ),
    _field("a control byte in a value", b"X: a\x01b", _BAD, _ANY, _CLEAN, Passed(), rfc="RFC 9110 5.5"),
    _field(
        "a bare CR in a value", b"X: a\rY: b", _BAD, _ANY, _CLEAN, Passed(lacks=(b"y",)), rfc="RFC 9112 2.2"
    ),
    _field("a bare LF in a value", b"X: a\nY: b", _BAD, _ANY, Passed(has={b"y": b"b"}), rfc="RFC 9112 2.2"),
    _field("a second status line", b"HTTP/1.1 200 OK", _BAD, _ANY, _CLEAN),
    _field("a field that Connection names", b"Connection: X\r\nX: 1", _CLEAN, rfc="RFC 9110 7.6.1"),
    _field(
        "Keep-Alive", b"Keep-Alive: timeout=5", Passed(lacks=(b"keep-alive",)), Passed(), rfc="RFC 9110 7.6.1"
    ),
    _field(
        "Proxy-Connection",
        b"Proxy-Connection: close",
        Passed(lacks=(b"proxy-connection",)),
        Passed(),
        rfc="RFC 9110 7.6.1",
    ),
    _field("Upgrade on a 200", b"Upgrade: h2c", Passed(), rfc="RFC 9110 7.8"),
    _field(
        "Connection names Content-Length",
        b"Connection: Content-Length",
        Passed(has={b"content-length": b"2"}),
        Passed(),
        _ANY,
        rfc="RFC 9110 7.6.1",
    ),
    _field(
        "several cookies stay apart",
        b"Set-Cookie: a=1\r\nX: 1",
        Passed(has={b"set-cookie": b"a=1"}),
        rfc="RFC 9110 5.3",
    ),
    _answer("a Date where the app sent none", "RFC 9110 6.6.1", ok(), Passed(present=(b"date",))),
    _answer(
        "the app's Date stays",
        "RFC 9110 6.6.1",
        ok(b"ok", b"Date: Thu, 01 Jan 1970 00:00:00 GMT"),
        Passed(has={b"date": b"Thu, 01 Jan 1970 00:00:00 GMT"}),
        Passed(),
    ),
]

_HINTS = head(b"HTTP/1.1 103 Early Hints", b"Link: </a>; rel=preload")
_CONTINUE = head(b"HTTP/1.1 100 Continue")
INTERIM: list[Case] = [
    # An intermediary must pass 1xx on (RFC 9110 section 15.2); that is the case for 103 least of all in the field.
    _answer("103 and a response", "RFC 9110 15.2", _HINTS + ok(), Passed(interim=(103,))),
    _answer("103, a pause, and a response", "RFC 9110 15.2", (_HINTS, Pause(), ok()), Passed(interim=(103,))),
    _answer("103 twice", "RFC 9110 15.2", _HINTS + _HINTS + ok(), Passed(interim=(103, 103))),
    _answer(
        "102 and a response", "RFC 9110 15.2", head(b"HTTP/1.1 102 Processing") + ok(), Passed(interim=(102,))
    ),
    _answer(
        "199 and a response",
        "RFC 9110 15.2",
        head(b"HTTP/1.1 199 Odd") + ok(),
        Passed(interim=(199,)),
        Passed(interim=()),
    ),
    _answer(
        "100 that nobody waits for",
        "RFC 9110 15.2.1",
        _CONTINUE + ok(),
        Passed(interim=(100,)),
        Passed(interim=()),
    ),
    _answer(
        "103 with a length",
        "RFC 9110 15.2",
        head(b"HTTP/1.1 103 Early Hints", b"Content-Length: 2") + ok(),
        Passed(interim=(103,)),
        Passed(interim=()),
        _ANY,
    ),
    _answer(
        "103 with a coding",
        "RFC 9112 6.1",
        head(b"HTTP/1.1 103 Early Hints", b"Transfer-Encoding: chunked") + ok(),
        Passed(interim=(103,)),
        Passed(interim=()),
        _ANY,
    ),
    _answer(
        "103 to HTTP/1.0", "RFC 9110 15.2", _HINTS + ok(), Passed(interim=()), request=get(version=b"1.0")
    ),
    _answer("a flood of 103", "RFC 9110 15.2", (_HINTS * 100_000 + ok(), Close()), _BAD, _ANY, Cut()),
    _answer(
        "a flood of 100",
        "RFC 9110 15.2",
        (_CONTINUE * 100_000 + ok(), Close()),
        _BAD,
        _ANY,
        Cut(),
        Passed(interim=()),
    ),
    _answer(
        "103 and an end",
        "RFC 9110 15.2",
        (_HINTS, Close()),
        _BAD,
        _ANY,
        Cut(),
        request=post(b"Content-Length: 0"),
    ),
    _answer(
        "103 split inside its head",
        "RFC 9110 15.2",
        pieces(_HINTS + ok(), 5, len(_HINTS) - 2, len(_HINTS) + 3),
        Passed(interim=(103,)),
    ),
]


def _chunks(body: bytes, *lines: bytes) -> bytes:
    return head(_OK, b"Transfer-Encoding: chunked", *lines) + body


_HI = Passed(200, b"hi")
FRAMING: list[Case] = [
    _answer("chunks", "RFC 9112 7.1", _chunks(b"2\r\nhi\r\n0\r\n\r\n"), _HI),
    _answer(
        "chunks in pieces",
        "RFC 9112 7.1",
        pieces(
            _chunks(b"2\r\nhi\r\n0\r\n\r\n"), *range(len(_chunks(b"")), len(_chunks(b"2\r\nhi\r\n0\r\n\r\n")))
        ),
        _HI,
    ),
    _answer(
        "chunks with extensions and trailers",
        "RFC 9112 7.1",
        _chunks(b"2;a=b\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", b"Trailer: X-Sum"),
        _HI,
    ),
    _answer("a body of 300,000 bytes", "RFC 9112 6.2", ok(b"x" * 300_000), Passed(200, b"x" * 300_000)),
    _answer("a body that ends with the connection", "RFC 9112 6.3", (head(_OK) + b"hi", Close()), _HI),
    _answer(
        "a body that ends with the connection, in HTTP/1.0",
        "RFC 9112 6.3",
        (head(b"HTTP/1.0 200 OK") + b"hi", Close()),
        _HI,
    ),
    _answer(
        "an empty body that ends with the connection", "RFC 9112 6.3", (head(_OK), Close()), Passed(200, b"")
    ),
    _answer(
        "a length in HTTP/1.0 that is kept",
        "RFC 9112 9.3",
        head(b"HTTP/1.0 200 OK", b"Connection: keep-alive", b"Content-Length: 2") + b"hi",
        _HI,
    ),
    _answer(
        "HEAD with a length",
        "RFC 9110 9.3.2",
        head(_OK, b"Content-Length: 5"),
        Passed(200, b"", has={b"content-length": b"5"}),
        request=get(method=b"HEAD"),
    ),
    _answer(
        "HEAD with a coding",
        "RFC 9110 9.3.2",
        head(_OK, b"Transfer-Encoding: chunked"),
        Passed(200, b""),
        request=get(method=b"HEAD"),
    ),
    _answer(
        "HEAD without a length", "RFC 9110 9.3.2", head(_OK), Passed(200, b""), request=get(method=b"HEAD")
    ),
    _answer("204", "RFC 9110 15.3.5", head(b"HTTP/1.1 204 No Content"), Passed(204, b"")),
    _answer(
        "204 with a length of 0",
        "RFC 9110 8.6",
        head(b"HTTP/1.1 204 No Content", b"Content-Length: 0"),
        Passed(204, b"", lacks=(b"content-length",)),
        Passed(204, b""),
        _ANY,
    ),
    _answer(
        "204 with a coding and no chunk",
        "RFC 9112 6.1",
        (head(b"HTTP/1.1 204 No Content", b"Transfer-Encoding: chunked"), Close()),
        Passed(204, b"", lacks=(b"transfer-encoding",)),
        _ANY,
    ),
    _answer(
        "304 with a length",
        "RFC 9110 15.4.5",
        head(b"HTTP/1.1 304 Not Modified", b"Content-Length: 5"),
        Passed(304, b""),
    ),
    _answer(
        "205 with a length of 0", "RFC 9110 15.3.6", ok(b"", status=b"205 Reset Content"), Passed(205, b"")
    ),
    # Two readings of one response.
    _answer(
        "a length and a coding",
        "RFC 9112 6.3",
        (_chunks(b"2\r\nhi\r\n0\r\n\r\n", b"Content-Length: 5"), Close()),
        _BAD,
        _ANY,
        _HI,
    ),
    _answer(
        "two equal lengths",
        "RFC 9112 6.3",
        (head(_OK, b"Content-Length: 2", b"Content-Length: 2") + b"hi", Close()),
        _BAD,
        _ANY,
        _HI,
    ),
    _answer(
        "two lengths that differ",
        "RFC 9112 6.3",
        (head(_OK, b"Content-Length: 2", b"Content-Length: 3") + b"hi!", Close()),
        _BAD,
        _ANY,
    ),
    _answer(
        "a list of equal lengths",
        "RFC 9112 6.3",
        (head(_OK, b"Content-Length: 2, 2") + b"hi", Close()),
        _BAD,
        _ANY,
        _HI,
    ),
    _answer(
        "a list of lengths that differ",
        "RFC 9112 6.3",
        (head(_OK, b"Content-Length: 2, 3") + b"hi!", Close()),
        _BAD,
        _ANY,
    ),
    *(
        _answer(
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
        _answer(
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
    _answer(
        "a coding in two fields",
        "RFC 9112 6.1",
        (
            head(_OK, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n",
            Close(),
        ),
        _BAD,
        _ANY,
    ),
    _answer(
        "a coding in HTTP/1.0",
        "RFC 9112 6.1",
        (head(b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n", Close()),
        _BAD,
        _ANY,
        _HI,
    ),
    _answer(
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
    _answer(
        "a length cut by a FIN",
        "RFC 9112 8",
        (head(_OK, b"Content-Length: 5") + b"hel", Pause(), Close()),
        *_CUT,
    ),
    _answer(
        "a length cut by a reset",
        "RFC 9112 8",
        (head(_OK, b"Content-Length: 5") + b"hel", Pause(), Reset()),
        *_CUT,
    ),
    _answer(
        "a length of which nothing came",
        "RFC 9112 8",
        (head(_OK, b"Content-Length: 5"), Pause(), Close()),
        *_CUT,
    ),
    _answer("chunks cut by a FIN inside data", "RFC 9112 8", (_chunks(b"5\r\nhel"), Pause(), Close()), *_CUT),
    _answer(
        "chunks cut by a reset inside data", "RFC 9112 8", (_chunks(b"5\r\nhel"), Pause(), Reset()), *_CUT
    ),
    _answer("chunks cut behind a chunk", "RFC 9112 8", (_chunks(b"5\r\nhello\r\n"), Pause(), Close()), *_CUT),
    _answer(
        "chunks cut behind the last size",
        "RFC 9112 8",
        (_chunks(b"5\r\nhello\r\n0\r\n"), Pause(), Close()),
        Cut(b"hello"),
        Passed(200, b"hello"),
        _ANY,
    ),
    _answer("chunks cut before the first", "RFC 9112 8", (_chunks(b""), Pause(), Close()), *_CUT),
    _answer(
        "a close-delimited body cut by a reset",
        "RFC 9112 8",
        (head(_OK) + b"hel", Pause(), Reset()),
        *_CUT,
        Passed(200, b"hel"),
    ),
    _answer(
        "chunks to HTTP/1.0, cut",
        "RFC 9112 8",
        (_chunks(b"5\r\nhel"), Pause(), Close()),
        Cut(b"hello"),
        _ANY,
        Passed(200, b"hel"),
        request=get(version=b"1.0"),
    ),
    _answer(
        "a length to HTTP/1.0, cut",
        "RFC 9112 8",
        (head(_OK, b"Content-Length: 5") + b"hel", Pause(), Close()),
        *_CUT,
        request=get(version=b"1.0"),
    ),
    *(
        _answer(f"chunks with {name}", "RFC 9112 7.1", (_chunks(body), Close()), _BAD, _ANY, Cut(b"hello"))
        for name, body in _BROKEN
    ),
    *(
        _answer(
            f"chunks with {name}, behind a good one",
            "RFC 9112 7.1",
            (_chunks(b"1\r\n!\r\n"), Await(), body, Close()),
            Cut(b"!hello"),
            _ANY,
        )
        for name, body in _BROKEN
    ),
    _answer(
        "a LF behind a size",
        "RFC 9112 7.1",
        (_chunks(b"5\nhello\r\n0\r\n\r\n"), Close()),
        _BAD,
        _ANY,
        Cut(b"hello"),
        Passed(200, b"hello"),
    ),
    _answer(
        "a trailer that frames",
        "RFC 9110 6.5.1",
        (_chunks(b"2\r\nhi\r\n0\r\nContent-Length: 5\r\n\r\n"), Close()),
        _BAD,
        _ANY,
        Cut(b"hi"),
        Passed(200, b"hi"),
    ),
    _answer(
        "a malformed trailer",
        "RFC 9112 7.1.2",
        (_chunks(b"2\r\nhi\r\n0\r\nX\0: 1\r\n\r\n"), Close()),
        _BAD,
        _ANY,
        Cut(b"hi"),
        Passed(200, b"hi"),
    ),
]


def _next(
    name: str, app: Reply, *outcomes: Outcome, request: bytes = b"", never: tuple[bytes, ...] = (b"poison",)
) -> Case:
    """The second request gets its own answer, an error, or the end: never what stood behind the first."""
    send: tuple[Step, ...] = (request or get(target=b"/1"), Await(), Pause(0.01), _SECOND)
    return case(name, "RFC 9112 9.2", send, *(outcomes or (Followed(),)), app=app, answers=2, never=never)


_HEAD = get(method=b"HEAD", target=b"/1")
_DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT"
AFTER: list[Case] = [
    _next("a second response in the same read", reply(ok() + _POISON)),
    _next("a second response in a read of its own", reply(ok(), Pause(), _POISON)),
    _next("a second response to a head that is known", reply(ok(b"ok", _DATE) + _POISON)),
    _next("a second response on an idle connection", reply(ok(), afterwards=_POISON)),
    _next("a body longer than its length", reply(ok() + b"poison")),
    _next("bytes behind the last chunk", reply(_chunks(b"2\r\nok\r\n0\r\n\r\n") + _POISON)),
    _next("CRLF behind a body", reply(ok() + b"\r\n")),
    _next("a body behind 204", reply(head(b"HTTP/1.1 204 No Content") + _POISON), Followed(204, b"")),
    _next(
        "a length and a body behind 204",
        reply(head(b"HTTP/1.1 204 No Content", b"Content-Length: 6") + b"poison"),
        Followed(204, b""),
        Followed(502, None),
    ),
    _next(
        "chunks behind 204",
        reply(head(b"HTTP/1.1 204 No Content", b"Transfer-Encoding: chunked") + b"6\r\npoison\r\n0\r\n\r\n"),
        Followed(204, b""),
        Followed(502, None),
    ),
    _next(
        "a body behind 304",
        reply(head(b"HTTP/1.1 304 Not Modified", b"Content-Length: 6") + b"poison"),
        Followed(304, b""),
    ),
    _next(
        "a body behind HEAD",
        reply(head(_OK, b"Content-Length: 6") + b"poison"),
        Followed(200, b""),
        request=_HEAD,
    ),
    _next(
        "chunks behind HEAD",
        reply(head(_OK, b"Transfer-Encoding: chunked") + b"6\r\npoison\r\n0\r\n\r\n"),
        Followed(200, b""),
        request=_HEAD,
    ),
    _next(
        "a response behind HEAD",
        reply(head(_OK, b"Content-Length: 6") + _POISON),
        Followed(200, b""),
        request=_HEAD,
    ),
    _next(
        "408 on an idle connection, and a close",
        reply(
            ok(),
            Pause(),
            head(b"HTTP/1.1 408 Request Timeout", b"X-App: poison", b"Connection: close"),
            Close(),
        ),
    ),
    _next(
        "102 on an idle connection", reply(ok(), Pause(), head(b"HTTP/1.1 102 Processing", b"X-App: poison"))
    ),
    # Before any request was read it cannot be told from an answer to the first; it must not be the second's.
    _next("a response before any request", reply(on_accept=_POISON), Followed(None, None), never=()),
    _next("a FIN behind a response", reply(ok(), Close())),
    _next("a reset behind a response", reply(ok(), Pause(), Reset())),
    _next("Connection: close, and no close", reply(ok(b"ok", b"Connection: close"))),
]

_UPLOAD = post(b"Content-Length: 5", target=b"/1")
_LARGE = post(b"Content-Length: 3000000", target=b"/1", body=b"x" * 3_000_000)
EARLY: list[Case] = [
    case(
        "a response before the body, and the body",
        "RFC 9110 7.5",
        [_UPLOAD, Await(), b"hello"],
        Passed(requests=(0, 1)),
        app=reply(ok(), early=True),
    ),
    case(
        "a response before the body, the body, and another request",
        "RFC 9110 7.5",
        [_UPLOAD, Await(), b"hello", _SECOND],
        Followed(),
        app=reply(ok(), early=True),
        answers=2,
    ),
    case(
        "an error before the body, and a close",
        "RFC 9112 9.5",
        [_UPLOAD, Await(), b"hello"],
        Passed(401, b"no", requests=(0, 1)),
        app=reply(ok(b"no", b"Connection: close", status=b"401 Unauthorized"), Close(), early=True),
    ),
    case(
        "an error in the middle of a large body, and a close",
        "RFC 9112 9.5",
        _LARGE,
        Passed(413, b"no", requests=(0,)),
        refused(413, late=True),
        app=reply(
            ok(b"no", b"Connection: close", status=b"413 Content Too Large"), Pause(), Close(), early=True
        ),
        asks=False,
    ),
    case(
        "a response before chunks that turn out malformed",
        "RFC 9112 7.1",
        [post(b"Transfer-Encoding: chunked"), Await(), b"x\r\n"],
        Passed(requests=(0,)),
        refused(late=True),
        app=reply(ok(), early=True),
        asks=False,
    ),
    case(
        "the client leaves before its body is whole",
        "RFC 9112 8",
        [_UPLOAD, Pause(), HalfClose()],
        Closed(late=True),
        refused(late=True),
    ),
    case(
        "a client that has sent its FIN is answered",
        "RFC 9112 9.6",
        [get(), HalfClose()],
        Passed(),
        Cut(requests=(0, 1)),
        app=reply(Pause(), ok()),
    ),
]

CASES = {
    "status line": STATUS_LINE,
    "response field": FIELDS,
    "interim": INTERIM,
    "response framing": FRAMING,
    "response end": ENDS,
    "after a response": AFTER,
    "early response": EARLY,
}

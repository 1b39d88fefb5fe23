"""What the app answers: status lines, fields, interim responses."""

from tests.corpus.case import (
    Case,
    Close,
    Cut,
    Outcome,
    Passed,
    Pause,
    Reset,
    Step,
    case,
    get,
    head,
    ok,
    pieces,
    post,
    replaced,
    reply,
    response_case,
)

_BAD = replaced(502)

_ANY = replaced()

_OK = b"HTTP/1.1 200 OK"


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
    response_case("a plain response", "RFC 9112 4", ok(), Passed()),
    response_case("no reason phrase", "RFC 9112 4", ok(status=b"200 "), Passed()),
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
    response_case(
        "every line ends in LF",
        "RFC 9112 2.2",
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Close()),
        _BAD,
        Passed(),
        _ANY,
    ),
    response_case("a head byte by byte", "RFC 9112 4", pieces(ok(), *range(1, 20)), Passed()),
    response_case("a body without a head", "RFC 9112 4", (b"<html>hello</html>", Close()), _BAD, _ANY, Cut()),
    response_case(
        "a head of 100,000 bytes",
        "RFC 9110 5.4",
        (head(_OK, b"X: " + b"a" * 100_000, b"Content-Length: 2") + b"ok", Close()),
        _BAD,
        _ANY,
        Passed(),
    ),
    response_case(
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
    return response_case(name, rfc, (head(_OK, line, b"Content-Length: 2") + b"ok", Close()), *outcomes)


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
        "Keep-Alive",
        b"Keep-Alive: timeout=5",
        Passed(has={b"keep-alive": b"timeout=74"}),  # ours, for the client's connection
        Passed(),
        rfc="RFC 9110 7.6.1",
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
    response_case("a Date where the app sent none", "RFC 9110 6.6.1", ok(), Passed(present=(b"date",))),
    response_case(
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
    response_case("103 and a response", "RFC 9110 15.2", _HINTS + ok(), Passed(interim=(103,))),
    response_case(
        "103, a pause, and a response", "RFC 9110 15.2", (_HINTS, Pause(), ok()), Passed(interim=(103,))
    ),
    response_case("103 twice", "RFC 9110 15.2", _HINTS + _HINTS + ok(), Passed(interim=(103, 103))),
    response_case(
        "102 and a response", "RFC 9110 15.2", head(b"HTTP/1.1 102 Processing") + ok(), Passed(interim=(102,))
    ),
    response_case(
        "199 and a response",
        "RFC 9110 15.2",
        head(b"HTTP/1.1 199 Odd") + ok(),
        Passed(interim=(199,)),
        Passed(interim=()),
    ),
    response_case(
        "100 that nobody waits for",
        "RFC 9110 15.2.1",
        _CONTINUE + ok(),
        Passed(interim=(100,)),
        Passed(interim=()),
    ),
    response_case(
        "103 with a length",
        "RFC 9110 15.2",
        head(b"HTTP/1.1 103 Early Hints", b"Content-Length: 2") + ok(),
        Passed(interim=(103,)),
        Passed(interim=()),
        _ANY,
    ),
    response_case(
        "103 with a coding",
        "RFC 9112 6.1",
        head(b"HTTP/1.1 103 Early Hints", b"Transfer-Encoding: chunked") + ok(),
        Passed(interim=(103,)),
        Passed(interim=()),
        _ANY,
    ),
    response_case(
        "103 to HTTP/1.0", "RFC 9110 15.2", _HINTS + ok(), Passed(interim=()), request=get(version=b"1.0")
    ),
    response_case("a flood of 103", "RFC 9110 15.2", (_HINTS * 100_000 + ok(), Close()), _BAD, _ANY, Cut()),
    response_case(
        "a flood of 100",
        "RFC 9110 15.2",
        (_CONTINUE * 100_000 + ok(), Close()),
        _BAD,
        _ANY,
        Cut(),
        Passed(interim=()),
    ),
    response_case(
        "103 and an end",
        "RFC 9110 15.2",
        (_HINTS, Close()),
        _BAD,
        _ANY,
        Cut(),
        request=post(b"Content-Length: 0"),
    ),
    response_case(
        "103 split inside its head",
        "RFC 9110 15.2",
        pieces(_HINTS + ok(), 5, len(_HINTS) - 2, len(_HINTS) + 3),
        Passed(interim=(103,)),
    ),
]

CASES = {"status line": STATUS_LINE, "response field": FIELDS, "interim": INTERIM}

"""Upgrades, WebSocket's above all, and what a 101 may make of them; Expect."""

from tests.corpus.case import (
    Await,
    AwaitBytes,
    Case,
    Close,
    Echo,
    Followed,
    HalfClose,
    Outcome,
    Passed,
    Pause,
    Reply,
    Step,
    Switched,
    case,
    forwarded,
    get,
    head,
    message,
    ok,
    post,
    refused,
    replaced,
    reply,
)

_BAD = refused(400)

_ANY = refused()

_ANY_OPEN = refused(closes=False)

_KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

_ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3

_VERSION = b"Sec-WebSocket-Version: 13"

_UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")

_HANDSHAKE = get(*_UPGRADE, _KEY, _VERSION)

_SWITCH = head(b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket", _ACCEPT)

_TO_X = head(b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: x")

# What a client would send to the app past the proxy, if this took the connection for a tunnel: read as a request,
# it is refused, as every proxy refuses a space before the colon.
_PAST = head(b"GET /past HTTP/1.1", b"Host: a.example", b"X : 1")

_READ = range(400, 600)


def _tunnel(*lines: bytes, switch: bytes = _SWITCH) -> tuple[tuple[Step, ...], Reply]:
    return (get(*lines), Await(), b"ping", AwaitBytes(b"ping"), HalfClose()), reply(switch, Echo())


def _no_handshake(name: str, request: bytes, *others: Outcome) -> Case:
    """RFC 6455 section 4.2.1: an error; or not an upgrade at all, and then no part of one goes on."""
    return case(
        name,
        "RFC 6455 4.2.1",
        [request, Await(), _PAST],
        _BAD,
        _ANY_OPEN,
        forwarded(message(), then=_READ),
        *others,
        answers=2,
    )


_WS, _WS_APP = _tunnel(*_UPGRADE, _KEY, _VERSION)

_X, _X_APP = _tunnel(b"Connection: Upgrade", b"Upgrade: x", switch=_TO_X)

_SWITCHED = Switched(b"websocket", b"ping")

# An error in place of a 101, over a connection that serves the next request.
_WENT_ON = Followed(502, None)

UPGRADE: list[Case] = [
    case("a WebSocket", "RFC 6455 4", _WS, _SWITCHED, app=_WS_APP),
    case(
        "a WebSocket beside keep-alive",
        "RFC 6455 4",
        _tunnel(b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", _KEY, _VERSION)[0],
        _SWITCHED,
        app=_WS_APP,
    ),
    case(
        "bytes right behind the handshake",
        "RFC 6455 4",
        [_HANDSHAKE + b"ping", AwaitBytes(b"ping"), HalfClose()],
        _SWITCHED,
        Switched(b"websocket", None),
        app=_WS_APP,
    ),
    case(
        "the app's first bytes behind its 101",
        "RFC 6455 4",
        [_HANDSHAKE, AwaitBytes(b"pong"), HalfClose()],
        Switched(b"websocket", b"pong"),
        app=reply(_SWITCH + b"pong", Echo()),
    ),
    case("another protocol", "RFC 9110 7.8", _X, Switched(b"x", b"ping"), replaced(), app=_X_APP),
    case(
        "one of two protocols",
        "RFC 9110 7.8",
        _tunnel(b"Connection: Upgrade", b"Upgrade: y, x")[0],
        Switched(b"x", b"ping"),
        replaced(),
        app=_X_APP,
    ),
    case(
        "an upgrade that the app declines",
        "RFC 9110 7.8",
        [_HANDSHAKE, Await(), _PAST],
        forwarded(message(), then=_READ),
        answers=2,
    ),
    case(
        "an upgrade that the app declines, a request sent along",
        "RFC 9110 7.8",
        _HANDSHAKE + _PAST,
        forwarded(message(), then=_READ),
        answers=2,
    ),
    case(
        "an upgrade with a version the app does not know",
        "RFC 6455 4.4",
        get(*_UPGRADE, _KEY, b"Sec-WebSocket-Version: 8"),
        Passed(426, b"no", has={b"sec-websocket-version": b"13"}),
        _ANY_OPEN,
        app=reply(ok(b"no", b"Sec-WebSocket-Version: 13", status=b"426 Upgrade Required")),
    ),
    case(
        "a 426 that says to what",
        "RFC 9110 15.5.22",
        get(),
        Passed(426, b"no", has={b"upgrade": b"TLS/1.3"}),
        _ANY_OPEN,
        app=reply(ok(b"no", b"Upgrade: TLS/1.3", b"Connection: upgrade", status=b"426 Upgrade Required")),
    ),
    _no_handshake(
        "a WebSocket by POST",
        head(b"POST / HTTP/1.1", b"Host: a.example", *_UPGRADE, _KEY, _VERSION),
        forwarded(message(b"POST"), then=_READ),
    ),
    _no_handshake("a WebSocket without a key", get(*_UPGRADE, _VERSION)),
    _no_handshake("a WebSocket with two keys", get(*_UPGRADE, _KEY, _KEY, _VERSION)),
    *(
        _no_handshake(f"a WebSocket key of {key!r}", get(*_UPGRADE, b"Sec-WebSocket-Key: " + key, _VERSION))
        for key in (
            b"",
            b"x",
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQ==x",
            b"dGhlIHNhbXBs\x80SBub25jZQ==",
            b"AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        )
    ),
    _no_handshake("a WebSocket without a version", get(*_UPGRADE, _KEY)),
    _no_handshake(
        "a WebSocket with two versions", get(*_UPGRADE, _KEY, _VERSION, b"Sec-WebSocket-Version: 8")
    ),
    *(
        _no_handshake(
            f"a WebSocket version of {value!r}", get(*_UPGRADE, _KEY, b"Sec-WebSocket-Version: " + value)
        )
        for value in (b"", b"x", b"-1", b"1337", b"13, 8", b"0x13")
    ),
    case(
        "a WebSocket in HTTP/1.0",
        "RFC 6455 4.1",
        get(*_UPGRADE, _KEY, _VERSION, version=b"1.0"),
        Passed(200, b"ok"),
        _ANY_OPEN,
        app=(),
        answers=1,
    ),
    case(
        "an upgrade with a body",
        "RFC 9110 7.8",
        [post(*_UPGRADE, _KEY, _VERSION, b"Content-Length: 2", body=b"hi"), Await(), _PAST],
        forwarded(message(b"POST", body=b"hi", lacks=(b"upgrade",)), then=_READ),
        forwarded(message(b"POST", body=b"hi"), then=_READ),
        _ANY,
        answers=2,
    ),
    *(
        case(
            f"an upgrade to {protocol.decode()}",
            "RFC 9113 3.1",
            [
                get(
                    b"Connection: Upgrade, HTTP2-Settings",
                    b"Upgrade: " + protocol,
                    b"HTTP2-Settings: AAMAAABk",
                ),
                Await(),
                _PAST,
            ],
            forwarded(message(lacks=(b"upgrade", b"http2-settings")), then=_READ),
            _ANY_OPEN,
            forwarded(message(), then=_READ),
            answers=2,
        )
        for protocol in (b"h2c", b"H2C", b"h2c, h2c", b"h2", b"h2c/2", b"HTTP/2.0", b"HTTP/1.1")
    ),
    case(
        "h2c beside websocket",
        "RFC 9113 3.1",
        [get(b"Connection: Upgrade", b"Upgrade: h2c, websocket", _KEY, _VERSION), Await(), _PAST],
        forwarded(message(has={b"upgrade": [b"websocket"]}), then=_READ),
        forwarded(message(lacks=(b"upgrade",)), then=_READ),
        _ANY_OPEN,
        forwarded(message(), then=_READ),
        answers=2,
    ),
    *(
        case(
            f"an Upgrade of {value!r}",
            "RFC 9110 7.8",
            [get(b"Connection: Upgrade", b"Upgrade: " + value), Await(), _PAST],
            _BAD,
            _ANY_OPEN,
            forwarded(message(), then=_READ),
            forwarded(message(lacks=(b"upgrade",)), then=_READ),
            answers=2,
        )
        for value in (b"h2c h2c", b"h2c;q=1", b'"h2c"', b"h2c\xa0", b"a/b/c", b"/1")
    ),
    case(
        "101 that nobody asked for",
        "RFC 9110 15.2.2",
        [get(), Await(), _PAST],
        replaced(502),
        replaced(),
        _WENT_ON,
        app=reply(_SWITCH, Echo()),
        never=(b"HTTP/1.1 101",),
    ),
    case(
        "101 without Upgrade",
        "RFC 9110 15.2.2",
        [_HANDSHAKE, Await(), _PAST],
        replaced(502),
        replaced(),
        Switched(b"", None),
        _WENT_ON,
        app=reply(head(b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", _ACCEPT), Echo()),
    ),
    case(
        "101 to another protocol than was offered",
        "RFC 9110 15.2.2",
        [_HANDSHAKE, Await(), _PAST],
        replaced(502),
        replaced(),
        Switched(b"x", None),
        _WENT_ON,
        app=reply(_TO_X, Echo()),
    ),
    case(
        "101 to HTTP/1.0",
        "RFC 9110 15.2",
        [get(*_UPGRADE, _KEY, _VERSION, version=b"1.0"), Await(), _PAST],
        replaced(502),
        replaced(),
        _WENT_ON,
        app=reply(_SWITCH, Echo()),
        never=(b"HTTP/1.1 101",),
    ),
    # An app that is made to say 101 (by what it fetches for the client) and goes on in HTTP: the rest would go past
    # us. The RFC asks the client to look, not who stands between; nothing is lost if both do.
    *(
        case(
            f"101 to a WebSocket {name}",
            "RFC 6455 4.1",
            [_HANDSHAKE, Await(), _PAST],
            replaced(502),
            replaced(),
            Switched(b"websocket", None),
            _WENT_ON,
            app=reply(
                head(
                    b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket", *lines
                ),
                Echo(),
            ),
        )
        for name, lines in (
            ("without Sec-WebSocket-Accept", ()),
            (
                "with another key's Sec-WebSocket-Accept",
                (b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",),
            ),
            ("with two Sec-WebSocket-Accepts", (_ACCEPT, _ACCEPT)),
        )
    ),
]

EXPECT: list[Case] = [
    case(
        "100-continue, waited for",
        "RFC 9110 10.1.1",
        [post(b"Expect: 100-continue", b"Content-Length: 2"), Await(), b"hi"],
        forwarded(message(b"POST", body=b"hi")),
    ),
    case(
        "100-continue, not waited for",
        "RFC 9110 10.1.1",
        post(b"Expect: 100-continue", b"Content-Length: 2", body=b"hi"),
        forwarded(message(b"POST", body=b"hi")),
    ),
    case(
        "100-continue in odd case",
        "RFC 9110 10.1.1",
        post(b"Expect: 100-Continue", b"Content-Length: 2", body=b"hi"),
        forwarded(message(b"POST", body=b"hi")),
        _ANY,
    ),
    case(
        "100-continue with chunks",
        "RFC 9110 10.1.1",
        [post(b"Expect: 100-continue", b"Transfer-Encoding: chunked"), Await(), b"2\r\nhi\r\n0\r\n\r\n"],
        forwarded(message(b"POST", body=b"hi")),
    ),
    case(
        "100-continue without a body", "RFC 9110 10.1.1", get(b"Expect: 100-continue"), forwarded(), _ANY_OPEN
    ),
    case(
        "100-continue in HTTP/1.0 is ignored",
        "RFC 9110 10.1.1",
        post(b"Expect: 100-continue", b"Content-Length: 2", body=b"hi", version=b"1.0"),
        forwarded(message(b"POST", body=b"hi", lacks=(b"expect",))),
        forwarded(message(b"POST", body=b"hi")),
    ),
    case(
        "an expectation that nobody knows",
        "RFC 9110 10.1.1",
        get(b"Expect: the-unexpected"),
        forwarded(message(has={b"expect": [b"the-unexpected"]})),
        _ANY_OPEN,
        refused(417, closes=False),
        forwarded(),
        node_refuses="417",
    ),
    case(
        "the app refuses before the body has come",
        "RFC 9110 10.1.1",
        [post(b"Expect: 100-continue", b"Content-Length: 5"), Await(), Pause()],
        Passed(413, b"no", requests=(0,)),
        app=reply(ok(b"no", b"Connection: close", status=b"413 Content Too Large"), Close(), early=True),
        asks=False,
    ),
    case(
        "the app refuses before the body has come, and the body comes",
        "RFC 9110 10.1.1",
        [post(b"Expect: 100-continue", b"Content-Length: 5"), Await(), b"hello"],
        Passed(403, b"no", requests=(0, 1)),
        Passed(403, b"no", interim=None),
        app=reply(ok(b"no", status=b"403 Forbidden"), early=True),
    ),
]

CASES = {"upgrade": UPGRADE, "expect": EXPECT}

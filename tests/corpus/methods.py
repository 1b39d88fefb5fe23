"""Methods: tokens, CONNECT, TRACE, and Max-Forwards."""

from tests.corpus.case import (
    Answered,
    Case,
    Close,
    Closed,
    Followed,
    Passed,
    case,
    forwarded,
    get,
    head,
    message,
    ok,
    refused,
    reply,
)

_BAD = refused(400)

_ANY = refused()

_ANY_OPEN = refused(closes=False)

# Where the line means nothing, an answer is no duty.
_MUTE = Closed()

_METHODS = (
    b"HEAD POST PUT DELETE OPTIONS PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH M-SEARCH"
    b" PURGE LINK UNLINK SUBSCRIBE NOTIFY".split()
)

# A gateway may leave CONNECT to the app (RFC 9110 section 9.3.6), and there is a tunnel only if that agrees.
_DECLINES = reply(ok(b"no", b"Connection: close", status=b"405 Method Not Allowed"), Close())

_DECLINED = Passed(405, b"no", requests=(0, 1))

METHODS: list[Case] = [
    *(
        case(f"{method.decode()}", "RFC 9110 9.1", get(method=method), forwarded(message(method)), _ANY_OPEN)
        for method in _METHODS
    ),
    *(
        case(
            f"a method nobody knows: {method.decode()}",
            "RFC 9110 9.1",
            get(method=method),
            forwarded(message(method)),
            _ANY_OPEN,
            node_refuses="it knows no such method",
        )
        for method in (b"get", b"Get", b"FOO", b"G", b"GET!", b"A" * 40, b"!#$%&'*+-.^_`|~09")
    ),
    *(
        case(f"a method of {method!r}", "RFC 9110 5.6.2", get(method=method), _BAD, _ANY, _MUTE)
        for method in (
            b"G\0T",
            b"G\x01T",
            b"G\x7fT",
            b"G\x80T",
            b"GE\xd4",
            b'G"T',
            b"G(T)",
            b"G,T",
            b"G/T",
            b"G:T",
            b"G;T",
            b"G<T>",
            b"G=T",
            b"G?T",
            b"G@T",
            b"G[T]",
            b"G\\T",
            b"G{T}",
            b"",
        )
    ),
    case(
        "a method longer than any",
        "RFC 9110 9.1",
        get(method=b"M" * 30000),
        refused(414, 431),
        _ANY_OPEN,
        _ANY,
    ),
    case(
        "CONNECT in authority form",
        "RFC 9110 9.3.6",
        head(b"CONNECT a.example:443 HTTP/1.1", b"Host: a.example:443"),
        refused(501),
        _ANY_OPEN,
        _DECLINED,
        app=_DECLINES,
    ),
    case(
        "CONNECT to a path",
        "RFC 9110 9.3.6",
        get(method=b"CONNECT"),
        refused(501),
        _ANY_OPEN,
        _DECLINED,
        app=_DECLINES,
    ),
    case(
        "CONNECT with a body",
        "RFC 9110 9.3.6",
        get(b"Content-Length: 2", method=b"CONNECT") + b"hi",
        refused(501),
        _ANY_OPEN,
        _DECLINED,
        app=_DECLINES,
    ),
    case(
        "CONNECT in HTTP/1.0",
        "RFC 9110 9.3.6",
        head(b"CONNECT a.example:443 HTTP/1.0"),
        refused(501),
        _ANY_OPEN,
        _DECLINED,
        app=_DECLINES,
    ),
    case(
        "CONNECT with another request inside",
        "RFC 9110 9.3.6",
        head(b"CONNECT a.example:80 HTTP/1.1", b"Host: a.example:80") + get(target=b"/inside"),
        refused(501),
        _ANY_OPEN,
        _DECLINED,
        Followed(405, b"no"),
        app=_DECLINES,
    ),
    case(
        "connect in lower case is another method",
        "RFC 9110 9.1",
        get(method=b"connect"),
        forwarded(message(b"connect")),
        _ANY_OPEN,
        node_refuses="it knows no such method",
    ),
    case(
        "TRACE",
        "RFC 9110 9.3.8",
        get(method=b"TRACE"),
        forwarded(message(b"TRACE")),
        _ANY_OPEN,
        Answered(frozenset((200,))),
    ),
    case(
        "TRACE with a length",
        "RFC 9110 9.3.8",
        get(b"Content-Length: 2", method=b"TRACE") + b"hi",
        _BAD,
        _ANY,
        forwarded(message(b"TRACE", body=b"hi")),
    ),
    case(
        "TRACE with chunks",
        "RFC 9110 9.3.8",
        get(b"Transfer-Encoding: chunked", method=b"TRACE") + b"2\r\nhi\r\n0\r\n\r\n",
        _BAD,
        _ANY,
        forwarded(message(b"TRACE", body=b"hi")),
    ),
    case(
        "TRACE with Max-Forwards: 0 is answered, its secrets left out",
        "RFC 9110 7.6.2",
        get(
            b"Max-Forwards: 0",
            b"Cookie: id=secret",
            b"X: seen",
            b"Authorization: Basic secret",
            method=b"TRACE",
        ),
        Answered(
            frozenset((200,)),
            has=(b"Content-Type: message/http", b"TRACE / HTTP/1.1", b"X: seen"),
            lacks=(b"secret",),
        ),
        _ANY_OPEN,
        Answered(frozenset((200,))),
    ),
    case(
        "TRACE with Max-Forwards: 1 is counted down",
        "RFC 9110 7.6.2",
        get(b"Max-Forwards: 1", method=b"TRACE"),
        forwarded(message(b"TRACE", has={b"max-forwards": [b"0"]})),
        _ANY_OPEN,
    ),
    case(
        "OPTIONS with Max-Forwards: 0 is answered",
        "RFC 9110 7.6.2",
        get(b"Max-Forwards: 0", method=b"OPTIONS"),
        Answered(frozenset((200, 204))),
    ),
    case(
        "OPTIONS with Max-Forwards: 10 is counted down",
        "RFC 9110 7.6.2",
        get(b"Max-Forwards: 10", method=b"OPTIONS"),
        forwarded(message(b"OPTIONS", has={b"max-forwards": [b"9"]})),
    ),
    case(
        "OPTIONS with Max-Forwards: 0 and a body",
        "RFC 9110 7.6.2",
        get(b"Max-Forwards: 0", b"Content-Length: 2", method=b"OPTIONS") + b"hi",
        Answered(frozenset((200, 204))),
    ),
    *(
        case(
            f"OPTIONS with Max-Forwards: {value.decode()}",
            "RFC 9110 7.6.2",
            get(b"Max-Forwards: " + value, method=b"OPTIONS"),
            _BAD,
            _ANY_OPEN,
            Answered(frozenset((200, 204))),
            forwarded(message(b"OPTIONS")),
        )
        for value in (b"-1", b"+1", b"1, 2", b"0x1", b"", b"1.0")
    ),
    case(
        "Max-Forwards twice",
        "RFC 9110 7.6.2",
        get(b"Max-Forwards: 0", b"Max-Forwards: 5", method=b"OPTIONS"),
        _BAD,
        _ANY_OPEN,
        Answered(frozenset((200, 204))),
        forwarded(message(b"OPTIONS")),
    ),
    case(
        "Max-Forwards with GET is the app's",
        "RFC 9110 7.6.2",
        get(b"Max-Forwards: 0"),
        forwarded(message(has={b"max-forwards": [b"0"]})),
    ),
]

CASES = {"method": METHODS}

"""Connection and what it names, HTTP/1.0 and keep-alive, pipelining, fields that have to stay."""

from tests.corpus.case import (
    Case,
    Cut,
    HalfClose,
    Outcome,
    Passed,
    Pause,
    case,
    chunked,
    forwarded,
    get,
    head,
    message,
    ok,
    post,
    refused,
    reply,
)

_BAD = refused(400)

_ANY = refused()

_ANY_OPEN = refused(closes=False)


def _gone(
    name: str,
    *lines: bytes,
    names: tuple[bytes, ...],
    others: tuple[Outcome, ...] = (),
) -> Case:
    """What Connection names must go; what it ought to have named should (RFC 9110 section 7.6.1)."""
    return case(name, "RFC 9110 7.6.1", get(*lines), forwarded(message(lacks=names)), _ANY_OPEN, *others)


CONNECTION: list[Case] = [
    _gone("a field that Connection names", b"Connection: X-Hop", b"X-Hop: 1", names=(b"x-hop",)),
    _gone("a field named before it comes, in odd case", b"X-Hop: 1", b"connection: x-hOP", names=(b"x-hop",)),
    _gone("a field named beside close", b"Connection: close, X-Hop", b"X-Hop: 1", names=(b"x-hop",)),
    _gone(
        "fields named in two Connections",
        b"Connection: X-A",
        b"X-A: 1",
        b"Connection: X-B",
        b"X-B: 1",
        names=(b"x-a", b"x-b"),
    ),
    _gone(
        "a field named twice and sent twice", b"Connection: X-A, X-A", b"X-A: 1", b"X-A: 2", names=(b"x-a",)
    ),
    _gone("empty elements in Connection", b"Connection: ,, X-A ,", b"X-A: 1", names=(b"x-a",)),
    case("Connection names what is not there", "RFC 9110 7.6.1", get(b"Connection: X-Absent"), forwarded()),
    case("an empty Connection", "RFC 9110 7.6.1", get(b"Connection:"), forwarded()),
    _gone("Keep-Alive", b"Keep-Alive: timeout=5", names=(b"keep-alive",), others=(forwarded(),)),
    _gone(
        "Proxy-Connection",
        b"Proxy-Connection: keep-alive",
        names=(b"proxy-connection",),
        others=(forwarded(),),
    ),
    _gone(
        "TE named by Connection", b"TE: trailers", b"Connection: TE", names=(b"te",), others=(forwarded(),)
    ),
    _gone("Upgrade that Connection does not name", b"Upgrade: websocket", names=(b"upgrade",)),
    _gone(
        "HTTP2-Settings",
        b"Connection: HTTP2-Settings",
        b"HTTP2-Settings: AAMAAABk",
        names=(b"http2-settings",),
    ),
    # Its removal would change what frames or routes the message, or whom it seems to come from.
    *(
        case(
            f"Connection names {name.decode()}",
            "RFC 9110 7.6.1",
            post(
                b"Connection: " + name,
                b"X-Forwarded-For: 1.2.3.4",
                b"Forwarded: for=1.2.3.4",
                b"X-Forwarded-Proto: https",
                b"X-Forwarded-Host: b",
                b"X-Forwarded-Port: 1",
                b"X-Real-IP: 1.2.3.4",
                b"Via: 1.1 x",
                b"Expect: 100-continue",
                b"Trailer: X",
                b"Max-Forwards: 5",
                b"Content-Length: 2",
                body=b"hi",
            ),
            _BAD,
            _ANY,
            forwarded(message(b"POST", body=b"hi", has={b"host": [b"a.example"]})),
        )
        for name in (
            b"Content-Length",
            b"Host",
            b"X-Forwarded-For",
            b"X-Forwarded-Proto",
            b"X-Forwarded-Host",
            b"X-Forwarded-Port",
            b"Forwarded",
            b"X-Real-IP",
            b"Via",
            b"Trailer",
            b"Max-Forwards",
            b"close, x-forwarded-for",
        )
    ),
    case(
        "Connection names Transfer-Encoding",
        "RFC 9110 7.6.1",
        chunked(b"2\r\nhi\r\n0\r\n\r\n", b"Connection: Transfer-Encoding"),
        _BAD,
        _ANY,
        forwarded(message(b"POST", body=b"hi")),
    ),
    case(
        "Connection names a field that is there for all",
        "RFC 9110 7.6.1",
        get(b"Connection: Cookie", b"Cookie: a=b"),
        forwarded(message(lacks=(b"cookie",))),
        _ANY_OPEN,
    ),
    *(
        case(
            f"a Connection of {value!r}",
            "RFC 9110 7.6.1",
            get(b"Connection: " + value),
            _BAD,
            _ANY_OPEN,
            forwarded(),
        )
        for value in (b"a b", b"close;", b"keep-alive; x", b'"close"', b"x-a: 1", b"close\x85", b"(close)")
    ),
    case(
        "Connection: close ends it",
        "RFC 9112 9.6",
        get(b"Connection: close"),
        Passed(200, b"ok", has={b"connection": b"close"}),
    ),
    case(
        "Connection: CLOSE ends it",
        "RFC 9112 9.6",
        get(b"Connection: CLOSE"),
        Passed(200, b"ok", has={b"connection": b"close"}),
    ),
    case(
        "close beside keep-alive ends it",
        "RFC 9112 9.3",
        get(b"Connection: keep-alive, close"),
        Passed(200, b"ok", has={b"connection": b"close"}),
    ),
    case(
        "what follows a request that closes is not read",
        "RFC 9112 9.6",
        get(b"Connection: close", target=b"/1") + get(target=b"/2"),
        forwarded(message(target=b"/1")),
    ),
]

OLD: list[Case] = [
    case("HTTP/1.0 closes", "RFC 9112 9.3", get(version=b"1.0"), Passed(200, b"ok", requests=(1,))),
    case(
        "HTTP/1.0 with keep-alive",
        "RFC 9112 9.3",
        get(b"Connection: keep-alive", version=b"1.0"),
        Passed(200, b"ok"),
    ),
    case(
        "HTTP/1.0 without keep-alive, and a second request",
        "RFC 9112 9.3",
        get(target=b"/1", version=b"1.0") + get(target=b"/2", version=b"1.0"),
        forwarded(message(target=b"/1")),
    ),
    case(
        "HTTP/1.0 with keep-alive, and a second request",
        "RFC 9112 9.3",
        get(b"Connection: keep-alive", target=b"/1", version=b"1.0") + get(target=b"/2", version=b"1.0"),
        forwarded(message(target=b"/1"), message(target=b"/2")),
        forwarded(message(target=b"/1")),
        answers=2,
    ),
    case(
        "HTTP/1.0 gets no chunks",
        "RFC 9112 6.1",
        get(version=b"1.0"),
        Passed(200, b"hi", lacks=(b"transfer-encoding",)),
        app=reply(head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n"),
    ),
    case(
        "HTTP/1.0 gets no interim response",
        "RFC 9110 15.2",
        get(version=b"1.0"),
        Passed(200, b"ok", interim=()),
        app=reply(head(b"HTTP/1.1 103 Early Hints", b"Link: </a>") + ok()),
    ),
    case("HTTP/1.0 without Host", "RFC 9112 3.3", head(b"GET / HTTP/1.0"), forwarded()),
    case(
        "HTTP/1.0 with a body of no length",
        "RFC 9112 6.3",
        head(b"POST / HTTP/1.0") + b"hello",
        forwarded(message(b"POST")),
        _ANY,
    ),
]

_THREE = get(target=b"/1") + post(b"Content-Length: 2", body=b"hi", target=b"/2") + get(target=b"/3")

PIPELINE: list[Case] = [
    case(
        "two requests in one read",
        "RFC 9112 9.3.2",
        get(target=b"/1") + get(target=b"/2"),
        forwarded(message(target=b"/1"), message(target=b"/2")),
        answers=2,
    ),
    case(
        "three requests, one with a body",
        "RFC 9112 9.3.2",
        _THREE,
        forwarded(message(target=b"/1"), message(b"POST", b"/2", b"hi"), message(target=b"/3")),
        answers=3,
    ),
    case(
        "two requests, split inside the second",
        "RFC 9112 9.3.2",
        [get(target=b"/1") + get(target=b"/2")[:9], Pause(), get(target=b"/2")[9:]],
        forwarded(message(target=b"/1"), message(target=b"/2")),
        answers=2,
    ),
    case(
        "twenty requests",
        "RFC 9112 9.3.2",
        b"".join(get(target=b"/%d" % turn) for turn in range(20)),
        forwarded(*(message(target=b"/%d" % turn) for turn in range(20))),
        answers=20,
    ),
    case(
        "a request and a malformed one",
        "RFC 9112 9.3.2",
        get(target=b"/1") + get(b"X : 1", target=b"/2"),
        forwarded(message(target=b"/1"), then=(400,)),
        answers=2,
    ),
    case(
        "a request and one that is ambiguous",
        "RFC 9112 9.3.2",
        get(target=b"/1") + post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        forwarded(message(target=b"/1"), then=(400,)),
        forwarded(message(target=b"/1"), message(b"POST")),
        answers=2,
    ),
    case(
        "a malformed request and a good one",
        "RFC 9112 9.3.2",
        get(b"X : 1", target=b"/1") + get(target=b"/2"),
        _BAD,
        _ANY,
    ),
    case(
        "a request and garbage",
        "RFC 9112 9.3.2",
        get(target=b"/1") + b"\0\1\2\3\r\n\r\n",
        forwarded(message(target=b"/1"), then=(400,)),
        forwarded(message(target=b"/1")),
        answers=2,
    ),
    case(
        "two requests and a FIN",
        "RFC 9112 9.6",
        [get(target=b"/1") + get(target=b"/2"), HalfClose()],
        forwarded(message(target=b"/1"), message(target=b"/2")),
        Cut(requests=(0, 1, 2)),
        answers=2,
    ),
    case(
        "chunks, then two requests",
        "RFC 9112 9.3.2",
        chunked(b"1\r\nx\r\n0\r\n\r\n") + get(target=b"/2") + get(target=b"/3"),
        forwarded(message(b"POST", body=b"x"), message(target=b"/2"), message(target=b"/3")),
        answers=3,
    ),
    case(
        "HEAD and then GET",
        "RFC 9112 9.3.2",
        get(method=b"HEAD", target=b"/1") + get(target=b"/2"),
        forwarded(message(b"HEAD", b"/1"), message(target=b"/2")),
        answers=2,
    ),
]

# What a client may claim: pyinit trusts its loopback peer here, so that these pass (tests/unit/http1/test_forward.py
# has strangers). A gateway has to leave end-to-end fields alone.
FORWARDING: list[Case] = [
    case(
        "Via grows",
        "RFC 9110 7.6.3",
        get(b"Via: 1.0 x"),
        forwarded(message(has={b"via": [b"1.0 x", b"1.1 pyinit"]})),
        forwarded(),
    ),
    case(
        "cookies stay apart",
        "RFC 9110 5.3",
        get(b"Cookie: a=1", b"Cookie: b=2"),
        forwarded(message(has={b"cookie": [b"a=1", b"b=2"]})),
        forwarded(message(has={b"cookie": [b"a=1; b=2"]})),
        forwarded(),
    ),
    case(
        "Authorization and Cache-Control stay",
        "RFC 9110 7.7",
        get(b"Authorization: Basic eDp5", b"Cache-Control: no-cache"),
        forwarded(message(has={b"authorization": [b"Basic eDp5"], b"cache-control": [b"no-cache"]})),
    ),
    case(
        "Range and If-None-Match stay",
        "RFC 9110 7.7",
        get(b"Range: bytes=0-1", b'If-None-Match: "a"'),
        forwarded(message(has={b"range": [b"bytes=0-1"], b"if-none-match": [b'"a"']})),
    ),
    case(
        "Accept-Encoding stays",
        "RFC 9110 7.7",
        get(b"Accept-Encoding: gzip, br"),
        forwarded(message(has={b"accept-encoding": [b"gzip, br"]})),
    ),
    case(
        "Content-Type and Content-Encoding stay",
        "RFC 9110 7.7",
        post(b"Content-Type: a/b", b"Content-Encoding: x", b"Content-Length: 2", body=b"hi"),
        forwarded(message(b"POST", body=b"hi", has={b"content-type": [b"a/b"], b"content-encoding": [b"x"]})),
    ),
    case(
        "Trailer stays",
        "RFC 9110 6.6.2",
        chunked(b"0\r\nX-Sum: 1\r\n\r\n", b"Trailer: X-Sum"),
        forwarded(message(b"POST", has={b"trailer": [b"X-Sum"]})),
        forwarded(message(b"POST")),
    ),
    case(
        "a load balancer's fields pass",
        "RFC 7239 5",
        get(b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Proto: https"),
        forwarded(message(has={b"x-forwarded-for": [b"192.0.2.1"], b"x-forwarded-proto": [b"https"]})),
        forwarded(),
    ),
]

CASES = {"connection": CONNECTION, "HTTP/1.0": OLD, "pipelining": PIPELINE, "end-to-end fields": FORWARDING}

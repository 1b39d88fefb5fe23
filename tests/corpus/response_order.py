"""What the app sends when it is not its turn: behind a response, before a request, before a request's body."""

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
    chunked_ok,
    get,
    head,
    ok,
    post,
    refused,
    reply,
)

_OK = b"HTTP/1.1 200 OK"

_POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-App: poison\r\n\r\npoison"

_SECOND = get(target=b"/2")


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
    _next("bytes behind the last chunk", reply(chunked_ok(b"2\r\nok\r\n0\r\n\r\n") + _POISON)),
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

CASES = {"after a response": AFTER, "early response": EARLY}

"""The request line: its form, the method, the target, the version, and what may stand before it."""

from tests.corpus.case import (
    Answered,
    Case,
    Close,
    Closed,
    Followed,
    HalfClose,
    Http09,
    Http2,
    Passed,
    Pause,
    case,
    forwarded,
    get,
    head,
    message,
    ok,
    pieces,
    refused,
    reply,
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


def _target(name: str, target: bytes, *others: bytes) -> Case:
    return case(
        f"a target with {name}",
        "RFC 9112 3.2.1",
        get(target=target),
        forwarded(message(target=(target, *others))),
        _ANY_OPEN,
    )


_CONTROLS = [*range(0x20), 0x7F]
TARGETS: list[Case] = [
    *(
        case(
            f"byte {byte:#04x} in the target",
            "RFC 9112 3.2",
            get(target=b"/a" + bytes([byte]) + b"b"),
            _BAD,
            _ANY,
            _MUTE,
            *([Http09()] if byte == 0x0A else []),
        )
        for byte in _CONTROLS
    ),
    *(
        case(
            f"byte {byte:#04x} in the target",
            "RFC 3986 2",
            get(target=b"/a" + bytes([byte]) + b"b"),
            _BAD,
            _ANY_OPEN,
            forwarded(message(target=(b"/a%cb" % byte, b"/a%%%02xb" % byte, b"/a%%%02Xb" % byte))),
        )
        for byte in (0x80, 0x85, 0xA0, 0xC0, 0xFF)
    ),
    _target("a query", b"/a?b=c&d"),
    _target("an empty query", b"/a?"),
    _target("a question mark in the query", b"/a?b?c"),
    _target("a percent-encoded slash", b"/a%2Fb", b"/a/b", b"/a%2fb"),
    _target("a percent-encoded NUL", b"/a%00b"),
    _target(
        "percent-encoded CRLF", b"/a%0d%0aX:%201", b"/a%0D%0AX:%201", b"/a%0d%0aX%3a%201", b"/a%0D%0AX%3A%201"
    ),
    _target("a percent sign alone", b"/a%", b"/a%25"),
    _target("a percent sign and no hexadecimal", b"/a%zz", b"/a%25zz"),
    _target("dot segments", b"/a/../b", b"/b"),
    _target("dot segments above the root", b"/../a", b"/a"),
    _target("encoded dot segments", b"/a/%2e%2e/b", b"/b", b"/a/../b"),
    _target("two slashes at its beginning", b"//a.example/b", b"/a.example/b"),
    _target("two slashes inside", b"/a//b", b"/a/b"),
    _target("a backslash", b"/a\\b", b"/a%5Cb", b"/a%5cb", b"/a/b"),
    _target("pipes and braces", b"/a|{b}", b"/a%7C%7Bb%7D", b"/a%7c%7bb%7d"),
    _target("brackets in the query", b"/a?b[]=1", b"/a?b%5B%5D=1"),
    _target("quotes and angles", b'/a?"<b>', b"/a?%22%3Cb%3E"),
    _target("a colon in its first segment", b"/a:80/b"),
    _target("an at sign", b"/a@b"),
    _target("a semicolon parameter", b"/a;b=c/d"),
    _target("a caret and a backtick", b"/a^`b", b"/a%5E%60b", b"/a%5e%60b"),
    case(
        "a fragment",
        "RFC 9112 3.2",
        get(target=b"/a#b"),
        _BAD,
        _ANY_OPEN,
        forwarded(message(target=(b"/a", b"/a#b", b"/a%23b"))),
    ),
    case(
        "a fragment in the query",
        "RFC 9112 3.2",
        get(target=b"/a?b#c"),
        _BAD,
        _ANY_OPEN,
        forwarded(message(target=(b"/a?b", b"/a?b#c", b"/a?b%23c"))),
    ),
    case("a target without a slash", "RFC 9112 3.2", get(target=b"a"), _BAD, _ANY_OPEN),
    case("a target of a dot", "RFC 9112 3.2", get(target=b"."), _BAD, _ANY_OPEN),
    case("a target of a query alone", "RFC 9112 3.2", get(target=b"?a"), _BAD, _ANY_OPEN),
    case("a target of a backslash", "RFC 9112 3.2", get(target=b"\\a"), _BAD, _ANY_OPEN),
    case(
        "OPTIONS *",
        "RFC 9112 3.2.4",
        get(method=b"OPTIONS", target=b"*"),
        forwarded(message(b"OPTIONS", b"*")),
        _ANY_OPEN,
        Answered(frozenset((200, 204))),
    ),
    case("GET *", "RFC 9112 3.2.4", get(target=b"*"), _BAD, _ANY_OPEN),
    case("POST *", "RFC 9112 3.2.4", get(method=b"POST", target=b"*"), _BAD, _ANY_OPEN),
    case("OPTIONS */a", "RFC 9112 3.2.4", get(method=b"OPTIONS", target=b"*/a"), _BAD, _ANY_OPEN),
    case("OPTIONS **", "RFC 9112 3.2.4", get(method=b"OPTIONS", target=b"**"), _BAD, _ANY_OPEN),
    case("an authority as the target of GET", "RFC 9112 3.2.3", get(target=b"a.example:80"), _BAD, _ANY_OPEN),
]

CASES = {
    "request line": [*FORM, *BEFORE],
    "version": VERSIONS,
    "method": METHODS,
    "target": TARGETS,
}

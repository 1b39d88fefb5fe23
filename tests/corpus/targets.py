"""Targets: bytes that may not be in them, forms that may not, and what has to pass as it is."""

from tests.corpus.case import (
    Answered,
    Case,
    Closed,
    Http09,
    case,
    forwarded,
    get,
    message,
    refused,
)

_BAD = refused(400)

_ANY = refused()

_ANY_OPEN = refused(closes=False)

# Where the line means nothing, an answer is no duty.
_MUTE = Closed()


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

CASES = {"target": TARGETS}

"""Host, and Host against an absolute target: who the request is for may have one reading only."""

from tests.corpus.case import Answered, Case, case, forwarded, get, head, message, refused

_BAD = refused(400)
# RFC 9112 section 3.2: it must be a 400, and the message's end is known, so that the connection may go on.
_MUST = refused(400, closes=False)
_ANY_OPEN = refused(closes=False)


def _host(*lines: bytes, version: bytes = b"1.1", target: bytes = b"/") -> bytes:
    return head(b"GET %b HTTP/%b" % (target, version), *lines)


def _good(name: str, value: bytes) -> Case:
    """RFC 9110 section 7.2: uri-host, and a port; an intermediary may send an equivalent."""
    stripped = value.strip(b" \t")
    return case(
        name,
        "RFC 9110 7.2",
        _host(b"Host:" + value),
        forwarded(message(has={b"host": [stripped]})),
        _ANY_OPEN,
        forwarded(),
    )


HOST: list[Case] = [
    case("no Host", "RFC 9112 3.2", _host(b"X: 1"), _BAD, _MUST),
    case("no Host in HTTP/1.0", "RFC 9112 3.3", _host(version=b"1.0"), forwarded()),
    case("two Hosts", "RFC 9112 3.2", _host(b"Host: a.example", b"Host: b.example"), _BAD, _MUST),
    case("two equal Hosts", "RFC 9112 3.2", _host(b"Host: a.example", b"Host: a.example"), _BAD, _MUST),
    case(
        "two Hosts in HTTP/1.0",
        "RFC 9112 3.2",
        _host(b"Host: a.example", b"Host: b.example", version=b"1.0"),
        _BAD,
        _MUST,
    ),
    case("two Hosts, one empty", "RFC 9112 3.2", _host(b"Host:", b"Host: b.example"), _BAD, _MUST),
    case(
        "two Hosts, the second in odd case",
        "RFC 9112 3.2",
        _host(b"Host: a.example", b"hOsT: b.example"),
        _BAD,
        _MUST,
    ),
    case("a Host with a space before the colon", "RFC 9112 5.1", _host(b"Host : a.example"), _BAD, refused()),
    case(
        "a Host, and another with a space before the colon",
        "RFC 9112 5.1",
        _host(b"Host: a.example", b"Host : b.example"),
        _BAD,
        refused(),
    ),
    case(
        "a folded Host",
        "RFC 9112 5.2",
        _host(b"Host:", b" a.example"),
        _BAD,
        refused(),
        forwarded(message(has={b"host": [b"a.example"]})),
    ),
    _good("a Host with a port", b" a.example:8080"),
    _good("a Host in odd case", b" A.Example"),
    _good("a Host without whitespace", b"a.example"),
    _good("a Host with whitespace around", b" \t a.example \t "),
    _good("an IPv4 Host", b" 127.0.0.1:80"),
    _good("an IPv6 Host", b" [::1]:8080"),
    _good("a long IPv6 Host", b" [2001:db8:0:0:0:ffff:192.0.2.1]"),
    _good("an underscore in the Host", b" a_b.example"),
    _good("a Host with an empty port", b" a.example:"),
    _good("a Host with sub-delims", b" a!$&'()*+;=b"),
    _good("a Host with percent-encoding", b" a%2eexample"),
    _good("a Host with a dot at its end", b" a.example."),
    case("an empty Host", "RFC 9112 3.2", _host(b"Host:"), forwarded(), _ANY_OPEN),
    case(
        "a Host with a port beyond 65,535",
        "RFC 3986 3.2.3",
        _host(b"Host: a.example:99999"),
        forwarded(),
        _ANY_OPEN,
    ),
    *(
        case(f"a Host of {value!r}", "RFC 9112 3.2", _host(b"Host: " + value), _BAD, _MUST)
        for value in (
            b"a.example b.example",
            b"a.example, b.example",
            b"a.example/b",
            b"a.example?b",
            b"a.example#b",
            b"http://a.example",
            b"user@a.example",
            b"user:pass@a.example",
            b"a.example:80:80",
            b"a.example:x",
            b"a.example:-1",
            b"a.example: 80",
            b"a.example :80",
            b"[::1",
            b"::1",
            b"[::1]a",
            b"[::1]:x",
            b"[a.example]",
            b"[1:2]",
            b"[1:2:3:4:5:6:7:8:9]",
            b"[::1::2]",
            b"[:::]",
            b"[12345::]",
            b"[::256.0.0.1]",
            b"[]",
            b"a%zz",
            b"a%",
            b'"a.example"',
            b"<a>",
            b"a\\b",
            b"a^b",
            b"a{b}",
            b"a|b",
            b"a`b",
            b"a\x80b",
            b"b\xc3\xbccher.example",
            b"a\0b",
            b"a\x01b",
            b"a\x7fb",
            b"a\tb",
        )
    ),
    # A comma is a sub-delim of reg-name: well-formed to the letter, and two names to a careless reader.
    case(
        "a Host with a comma",
        "RFC 3986 3.2.2",
        _host(b"Host: a.example,b.example"),
        forwarded(message(has={b"host": [b"a.example,b.example"]})),
        _ANY_OPEN,
    ),
]

# RFC 9112 section 3.2.2: to an origin server goes the path; Host then is the target's authority.
_AS_PATH = (b"/b", b"http://a.example/b")
ABSOLUTE: list[Case] = [
    case(
        "an absolute target",
        "RFC 9112 3.2.2",
        get(target=b"http://a.example/b"),
        forwarded(message(target=_AS_PATH, has={b"host": [b"a.example"]})),
    ),
    case(
        "an absolute target in odd case",
        "RFC 9110 4.2.3",
        get(target=b"HtTp://A.Example/b"),
        forwarded(message(target=(b"/b", b"HtTp://A.Example/b"))),
        _ANY_OPEN,
    ),
    case(
        "an absolute target without a path",
        "RFC 9112 3.2.1",
        get(target=b"http://a.example"),
        forwarded(message(target=(b"/", b"http://a.example", b"http://a.example/"))),
    ),
    case(
        "an absolute target with a query and no path",
        "RFC 9112 3.2.1",
        get(target=b"http://a.example?b"),
        forwarded(message(target=(b"/?b", b"http://a.example?b", b"http://a.example/?b"))),
        _ANY_OPEN,
    ),
    case(
        "OPTIONS with an absolute target without a path is *",
        "RFC 9112 3.2.4",
        get(target=b"http://a.example", method=b"OPTIONS"),
        forwarded(message(b"OPTIONS", (b"*", b"/", b"http://a.example"))),
        Answered(frozenset((200, 204))),
    ),
    case(
        "an absolute target with a port, and Host with it",
        "RFC 9112 3.2.2",
        head(b"GET http://a.example:81/b HTTP/1.1", b"Host: a.example:81"),
        forwarded(message(target=(b"/b", b"http://a.example:81/b"), has={b"host": [b"a.example:81"]})),
        forwarded(message(target=(b"/b", b"http://a.example:81/b"))),
    ),
    case(
        "an absolute target with an IPv6 address",
        "RFC 9112 3.2.2",
        head(b"GET http://[::1]:81/b HTTP/1.1", b"Host: [::1]:81"),
        forwarded(message(target=(b"/b", b"http://[::1]:81/b"))),
        _ANY_OPEN,
    ),
    # What section 3.2.2 asks for is that the target wins; a refusal leaves nothing to be read in two ways.
    case(
        "a Host that is not the target's",
        "RFC 9112 3.2.2",
        get(target=b"http://b.example/b"),
        _BAD,
        _ANY_OPEN,
        forwarded(message(target=(b"/b", b"http://b.example/b"), has={b"host": [b"b.example"]})),
    ),
    case(
        "a Host with another port than the target",
        "RFC 9112 3.2.2",
        get(target=b"http://a.example:81/b"),
        _BAD,
        _ANY_OPEN,
        forwarded(message(target=(b"/b", b"http://a.example:81/b"), has={b"host": [b"a.example:81"]})),
        forwarded(message(target=(b"/b", b"http://a.example:81/b"), has={b"host": [b"a.example"]})),
    ),
    case(
        "an empty Host with an absolute target",
        "RFC 9112 3.2.2",
        head(b"GET http://a.example/b HTTP/1.1", b"Host:"),
        _BAD,
        _ANY_OPEN,
        forwarded(message(target=_AS_PATH, has={b"host": [b"a.example"]})),
    ),
    case(
        "an absolute target without Host",
        "RFC 9112 3.2",
        head(b"GET http://a.example/b HTTP/1.1"),
        _BAD,
        _MUST,
    ),
    case(
        "an absolute target in HTTP/1.0 without Host",
        "RFC 9112 3.2.2",
        head(b"GET http://a.example/b HTTP/1.0"),
        forwarded(message(target=_AS_PATH)),
        _ANY_OPEN,
    ),
    case(
        "an absolute target in HTTP/1.0 with another Host",
        "RFC 9112 3.2.2",
        head(b"GET http://b.example/b HTTP/1.0", b"Host: a.example"),
        _BAD,
        _ANY_OPEN,
        forwarded(message(target=(b"/b", b"http://b.example/b"), has={b"host": [b"b.example"]})),
    ),
    *(
        case(f"a target of {target!r}", "RFC 9112 3.2.2", get(target=target), _BAD, _ANY_OPEN)
        for target in (
            b"http:///b",
            b"http://",
            b"http:/b",
            b"http:b",
            b"http//a.example/b",
            b"http://:80/b",
            b"http://a.example:x/b",
            b"http://a.example:80:80/b",
            b"http://a.example\\b",
            b"http://[::1/b",
            b"http://a.example#b",
            b"://a.example/b",
        )
    ),
    # RFC 9110 section 4.2.4 asks for an error; what it must not do is hide whose the request is.
    case(
        "a target with a user",
        "RFC 9110 4.2.4",
        get(target=b"http://user@a.example/b"),
        _BAD,
        _ANY_OPEN,
        forwarded(message(target=(b"/b", b"http://user@a.example/b"), has={b"host": [b"a.example"]})),
    ),
    case(
        "a target with a user that is the Host",
        "RFC 9110 4.2.4",
        get(target=b"http://a.example@b.example/b"),
        _BAD,
        _ANY_OPEN,
        forwarded(message(target=(b"/b", b"http://a.example@b.example/b"), has={b"host": [b"b.example"]})),
    ),
    *(
        case(
            f"the scheme of {target!r}",
            "RFC 9110 4.2",
            get(target=target),
            _BAD,
            _ANY_OPEN,
            forwarded(message(target=(target, b"/b"))),
        )
        for target in (b"ftp://a.example/b", b"file:///b", b"ws://a.example/b", b"javascript://a.example/b")
    ),
]

CASES = {"host": HOST, "absolute target": ABSOLUTE}

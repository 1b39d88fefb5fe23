"""A request head through every forwarding mode, for every kind of peer.

The laws: what comes out is read by our own parser as the same request, with nothing added but what the mode adds. Of a
peer that is not believed no forwarding field survives; of one that is, each that says something passes byte for byte.
What we say of ourselves cannot be broken out of.
"""

import re
from collections import Counter
from itertools import product

from pyinit.errors import ProtocolError
from pyinit.http1.fields import FORWARDING
from pyinit.http1.forward import MODES, Forwarder
from pyinit.http1.framing import request_body
from pyinit.http1.head import HeadReader
from pyinit.http1.message import RequestHead
from pyinit.http1.request import RequestParser
from tests.fuzz import words
from tests.fuzz.target import FIELDS_MAX, HEAD_MAX_BYTES, Target

_PEERS = (b"192.0.2.1", b"2001:db8::1", b"")
# RFC 7239 section 4, as far as we write it.
_VALUE = rb'(?:[!#$%&\'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*")'
_ELEMENT = rb"for=" + _VALUE + rb"(?:;(?:host|proto)=" + _VALUE + rb")*"
_ELEMENTS = re.compile(_ELEMENT + rb"(?:, " + _ELEMENT + rb")*")


def check(data: bytes) -> None:
    """See above. ``data`` is a head without its final empty line."""
    try:
        taken = HeadReader(HEAD_MAX_BYTES).feed(data + b"\r\n\r\n")
        if taken is None:
            return
        head = RequestParser(FIELDS_MAX).parse(taken[0])
    except ProtocolError:
        return
    for mode, peer, is_trusted, via in product(MODES, _PEERS, (True, False), (b"us", b"")):
        forwarder = Forwarder(
            mode,
            via,
            peer_ip=peer,
            is_trusted=is_trusted,
            local_host=b"us:80",
            local_port=b"80" if peer else b"",
            head_max_bytes=1 << 20,
        )
        out = forwarder.request(head)
        assert forwarder.request(head) == out
        _check_same(head, out)
        _check_mode("replace" if mode == "auto" and not is_trusted else mode, head, out, peer)


def _check_same(head: RequestHead, out: bytes) -> None:
    taken = HeadReader(1 << 20).feed(out)
    assert taken is not None
    assert taken[1] == b""
    again = RequestParser(FIELDS_MAX + 10).parse(taken[0])
    assert (again.method, again.target, again.minor) == (head.method, head.target, 1)
    assert again.host == (head.host if head.minor or head.host else b"us:80")
    assert (again.content_length, again.is_chunked) == (head.content_length, head.is_chunked)
    assert (again.upgrade, again.keep_alive) == (head.upgrade, True)
    assert type(request_body(again)) is type(request_body(head))


def _check_mode(mode: str, head: RequestHead, out: bytes, peer: bytes) -> None:
    lines = out[:-4].split(b"\r\n")[1:]
    came = [line for line in head.lines if _name(line) in FORWARDING]
    passed = [line for line in lines if _name(line) in FORWARDING]
    ours = Counter(passed) - Counter(came)
    plain = [line for line in head.lines if _name(line) not in FORWARDING]
    if head.minor:
        # Order, case and repetition of the rest stay; Connection and Upgrade are written anew, Via is ours.
        rest = [line for line in lines if _name(line) not in FORWARDING]
        assert rest[: len(plain)] == plain
        assert len(rest) <= len(plain) + 3
    match mode:
        case "off":
            assert not passed
        case "keep":
            assert passed == came
        case "replace":
            assert all(_count(passed, name) <= 1 for name in FORWARDING)
            assert _values(passed, b"x-forwarded-for") == ([peer] if peer else [])
            assert _values(passed, b"x-forwarded-proto") == [b"http"]
        case "auto":
            # A field without a value is none: taken out, and set.
            said = _said(came)
            assert not Counter(line for line in came if _name(line) in said) - Counter(passed)
            assert all(_count(list(ours), name) == 0 for name in said)
            assert all(_name(line) in said for line in (Counter(passed) & Counter(came)))
        case "append":
            fors = _values(passed, b"x-forwarded-for")
            assert not peer or fors[-1].rpartition(b",")[2].strip() == peer
    for value in _values(list(ours), b"forwarded"):
        if mode != "append" or not _values(came, b"forwarded"):
            assert _ELEMENTS.fullmatch(value), value


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()


def _said(lines: list[bytes]) -> set[bytes]:
    """The names that have a value on one of their lines."""
    return {_name(line) for line in lines if line.partition(b":")[2].strip(b" \t,")}


def _count(lines: list[bytes], name: bytes) -> int:
    return sum(_name(line) == name for line in lines)


def _values(lines: list[bytes], name: bytes) -> list[bytes]:
    return [line.partition(b":")[2].strip(b" \t") for line in lines if _name(line) == name]


TARGET = Target(
    "forward_modes",
    check,
    (
        b"GET / HTTP/1.1\r\nHost: a",
        b"GET / HTTP/1.0",
        b"GET http://b/ HTTP/1.0\r\nHost: b",
        b"GET / HTTP/1.0\r\nHost:\r\nX-Forwarded-For: 1",
        b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Proto: https",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b:81\r\nx-forwarded-for: ::1\r\nX-Forwarded-For: x y",
        b'GET / HTTP/1.1\r\nHost: a\r\nForwarded: for="_a\\"b";proto=https, for=1.2.3.4\r\nForwarded:',
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Proto: a, b\r\nTransfer-Encoding: chunked",
        b'GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ";,\\\xe9\r\nX-Forwarded-Proto: ";\r\nX-Forwarded-Host: \\"',
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX_Forwarded_For: 6\r\nVia: 1.1 b",
    ),
    (*words.LINES, *words.FIELDS, *words.FORWARDING, *words.REQUESTS),
)

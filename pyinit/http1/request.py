"""What a request head says, or why it is refused.

A head is split at CRLF by one C call and each line looked up in a set of lines that were judged before: most
of a client's lines come again with its next request, whole, while one of them (a trace id) changes each time,
so a cache by line hits where a cache by head would not. A line not known goes through one strict pattern.

The few that mean something to us are looked up together: what they say, all of them, was worked out before. Where
it depends on anything else (the method, the version, other lines) it is worked out each time.
"""

import re

from pyinit.errors import ProtocolError
from pyinit.http1 import abnf
from pyinit.http1.fields import (
    FORWARDING,
    HOP_BY_HOP,
    check_chunked,
    content_length,
    name_and_value,
    options_of,
    without_ows_behind,
)
from pyinit.http1.host import is_host
from pyinit.http1.message import RequestHead, Verdict

# Lines known to be well-formed: those of no meaning to us, and as much again of the others. Full, it is emptied:
# simpler than an eviction order, and relearning a client's dozen lines costs some microseconds. Longer lines are judged
# each time.
_KNOWN_LINES_MAX = 4096
_KNOWN_LINES_BYTES = 1024 * 1024
_KNOWN_LINE_BYTES = 1024
# Lines seen once: known at the second time, or those that never come again would fill and empty the known ones.
_SEEN_LINES_MAX = 512
# Names, as they are written, that mean nothing to us. No more than so many in one head are worth an entry.
_PLAIN_NAMES_MAX = 512
_PLAIN_NAME_BYTES = 64
# Verdicts: a client's whole X-Forwarded-For is part of what one is found by, unless it is an address alone. Kept at the
# second time, too.
_VERDICTS_MAX = 1024
_VERDICT_LINES_MAX = 12
_VERDICT_BYTES = 512
_VERDICT_CUTS_MAX = 4

# Removed because Connection says so, these would change framing, routing or who the client seems to be.
_NOT_TO_BE_NAMED = FORWARDING | {
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"via",
    b"expect",
    b"trailer",
    b"max-forwards",
    b"x-real-ip",
    # What load balancers and CDNs tell apps of a client, and apps believe.
    *(b"x-client-ip", b"x-cluster-client-ip", b"cf-connecting-ip", b"true-client-ip", b"fastly-client-ip"),
    *(b"x-forwarded-ssl", b"x-forwarded-scheme", b"x-forwarded-prefix", b"x-forwarded-server"),
    *(b"x-amzn-oidc-data", b"x-amzn-oidc-identity", b"x-amzn-oidc-accesstoken"),
}
_SPECIAL = (
    HOP_BY_HOP
    | FORWARDING
    | {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"max-forwards",
        b"x-request-id",
    }
)

# Node tells "_" from "-". What stands behind it may not: mapped as in CGI (RFC 3875 section 4.1.18), X_Forwarded_For
# is X-Forwarded-For. Removed whoever sends them, as a load balancer passes its client's on; not refused, as clients
# do send X_Real_IP and the like in good faith, and nginx, which drops every "_", has taught them that it is no harm.
_LOOK_ALIKE = frozenset(name for name in _SPECIAL | _NOT_TO_BE_NAMED if b"-" in name)

# Not to be offered: behind such an upgrade come requests that we would not read any more (RFC 9113 section 3.1).
_HTTP_ITSELF = frozenset((b"h2c", b"h2", b"http"))

# Lines whose value is one of many, and changes nothing else, stand by their names in what a verdict is found by.
_ID, _LENGTH, _CLIENT = b"x-request-id", b"content-length", b"x-forwarded-for"

# Line, lower-case name, value, what stands for the line in a verdict's key, and of one of many which it is.
_Field = tuple[bytes, bytes, bytes, bytes, bytes]

_TOO_MANY = "more field lines than --fields-max"


class RequestParser:
    """Judges request heads; remembers lines between them.

    Args:
        fields_max: field lines in one head.
    """

    __slots__ = (
        "_fields_max",
        "_plain",
        "_plain_bytes",
        "_plain_names",
        "_seen",
        "_sights",
        "_special",
        "_special_bytes",
        "_verdicts",
    )

    def __init__(self, fields_max: int) -> None:
        self._fields_max = fields_max
        self._plain: set[bytes] = set()
        self._plain_bytes = 0
        self._plain_names: set[bytes] = set()
        self._seen: set[bytes] = set()
        self._special: dict[bytes, _Field] = {}
        self._special_bytes = 0
        self._sights: set[int] = set()
        self._verdicts: dict[tuple[bytes, ...], Verdict] = {}

    def parse(self, block: bytes) -> RequestHead:
        """Judge one head.

        Source: RFC 9112 sections 3, 5 and 6; RFC 9110 sections 5, 7.2, 7.6 and 10.1.1.

        Args:
            block: from the request line to the last field, without the final empty line.

        Raises:
            ProtocolError: 400, 431, 501 (CONNECT) or 505.
        """
        common = abnf.COMMON_REQUEST_LINE.match(block)
        if common is None:
            return self._parse_uncommon(block)
        fields = block[common.end() - 2 :]
        lines = fields.split(b"\r\n")
        if len(lines) > self._fields_max + 1:
            raise ProtocolError(_TOO_MANY, 431)
        plain = self._plain
        odd = [line for line in lines if line not in plain]
        del odd[0]  # the nothing before the first line end
        special = self._special
        meant = [line for line in odd if line in special or not self._is_plain(line)]
        method, target = common.groups()
        meanings = [special.get(line) or _field(line) for line in meant]
        key = tuple([meaning[3] for meaning in meanings])
        verdict = self._verdicts.get(key)
        if verdict is None and _CLIENT in key and [it[1] for it in meanings].count(_CLIENT) > 1:
            # Lines of one field are one list, and an element of it is not the client.
            key = tuple([it[0] if it[3] == _CLIENT else it[3] for it in meanings])
            verdict = self._verdicts.get(key)
        if verdict is not None:
            head = verdict.head(method, target, fields)
            if verdict.length_at >= 0:
                head.content_length = int(meanings[verdict.length_at][4])
            if verdict.client_at >= 0:
                line, _, _, _, client = meanings[verdict.client_at]
                verdict.put_client(head, client, line)
            return head
        head = RequestHead()
        head.method = method
        head.target = target
        head.minor = 1
        head.host = b""
        head.fields = fields
        del lines[0]
        cuts = _request_fields(head, meanings, lines)
        if _CLIENT in key:
            head.client = meanings[key.index(_CLIENT)][4]
        if cuts is not None and len(cuts) <= _VERDICT_CUTS_MAX:
            self._conclude(key, head, cuts)
        return head

    def _parse_uncommon(self, block: bytes) -> RequestHead:
        lines = block.split(b"\r\n")
        head = RequestHead()
        start = lines.pop(0)
        _request_line(head, start)
        head.fields = block[len(start) :]
        if len(lines) > self._fields_max:
            raise ProtocolError(_TOO_MANY, 431)
        plain, special = self._plain, self._special
        meant = [
            line for line in lines if line not in plain and (line in special or not self._is_plain(line))
        ]
        _request_fields(head, [special.get(line) or _field(line) for line in meant], lines)
        return head

    def _is_plain(self, line: bytes) -> bool:
        """Whether a line that is not known means nothing to us; checked, and in time remembered, either way."""
        colon = line.find(b":")
        name = line[:colon]
        if colon < 0 or name not in self._plain_names or not abnf.FIELD_VALUE.fullmatch(line, colon + 1):
            field = _field(line)
            if not _is_plain_name(field[1]):
                if len(line) <= _KNOWN_LINE_BYTES:
                    if len(self._special) >= _KNOWN_LINES_MAX or self._special_bytes >= _KNOWN_LINES_BYTES:
                        self._special.clear()
                        self._special_bytes = 0
                    self._special[line] = field
                    self._special_bytes += len(line)
                return False
            if len(name) <= _PLAIN_NAME_BYTES:
                if len(self._plain_names) >= _PLAIN_NAMES_MAX:
                    self._plain_names.clear()
                self._plain_names.add(name)
        if len(line) <= _KNOWN_LINE_BYTES:
            self._see(line)
        return True

    def _see(self, line: bytes) -> None:
        seen = self._seen
        if line not in seen:
            if len(seen) >= _SEEN_LINES_MAX:
                seen.clear()
            seen.add(line)
            return
        seen.discard(line)
        if len(self._plain) >= _KNOWN_LINES_MAX or self._plain_bytes >= _KNOWN_LINES_BYTES:
            self._plain.clear()
            self._plain_bytes = 0
        self._plain.add(line)
        self._plain_bytes += len(line)

    def _conclude(self, key: tuple[bytes, ...], head: RequestHead, cuts: list[bytes]) -> None:
        """Give a head its verdict, and remember it, where there was a like one before.

        That is known by a hash, as kept objects are what costs: where another's is the same, it is once too early.
        """
        sight = hash(key)
        if sight not in self._sights:
            if len(self._sights) >= _VERDICTS_MAX:
                self._sights.clear()
            self._sights.add(sight)
            return
        if len(key) > _VERDICT_LINES_MAX or sum(map(len, key)) > _VERDICT_BYTES:
            return
        verdict = Verdict()
        verdict.host = head.host
        verdict.content_length = head.content_length
        verdict.is_chunked = head.is_chunked
        verdict.keep_alive = head.keep_alive
        verdict.forwarding = head.forwarding
        verdict.request_id = head.request_id
        verdict.plans = {}
        verdict.length_at = key.index(_LENGTH) if _LENGTH in key else -1
        verdict.client_at = key.index(_CLIENT) if _CLIENT in key else -1
        verdict.cuts = tuple(b"\r\n%b\r\n" % line for line in cuts)
        if len(self._verdicts) >= _VERDICTS_MAX:
            self._verdicts.clear()
        self._verdicts[key] = head.verdict = verdict


def changing_value(line: bytes, head: RequestHead) -> re.Pattern[bytes] | None:
    """Which values this line of an accepted head may have instead with the same verdict; None for no other."""
    name, _, value = line.partition(b":")
    lower = name.lower()
    if _is_plain_name(lower):
        return abnf.FIELD_VALUE
    if lower == _ID:
        pattern = abnf.FIELD_VALUE_SAID
    elif lower == _LENGTH:
        pattern = abnf.LENGTH_LINE_VALUE
    elif lower == _CLIENT and head.client is not None:
        pattern = abnf.ADDRESS_LINE_VALUE
    else:
        return None
    return pattern if pattern.fullmatch(value) else None


def _is_plain_name(name: bytes) -> bool:
    return name not in _SPECIAL and not (b"_" in name and name.replace(b"_", b"-") in _LOOK_ALIKE)


def _field(line: bytes) -> _Field:
    name, value = name_and_value(line)
    said = None
    if name == _LENGTH:
        said = abnf.LENGTH_LINE_VALUE.fullmatch(line, len(name) + 1)
    elif name == _CLIENT:
        said = abnf.ADDRESS_LINE_VALUE.fullmatch(line, len(name) + 1)
    if said is not None:
        return line, name, value, name, said[1]
    return line, name, value, name if name == _ID and value else line, b""


def _request_line(head: RequestHead, line: bytes) -> None:
    match = abnf.REQUEST_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError("a malformed request line (RFC 9112 section 3)")
    head.method, target, major, minor = match.groups()
    if major != b"1":
        raise ProtocolError("only HTTP/1.1 and HTTP/1.0 are spoken here", 505)
    head.minor = 0 if minor == b"0" else 1
    head.host = b""
    if head.method == b"CONNECT":
        raise ProtocolError("CONNECT is not implemented: this is no forward proxy", 501)
    if target[0] == 0x2F:  # "/"
        head.target = target
    elif target == b"*":
        if head.method != b"OPTIONS":
            raise ProtocolError("the target * is for OPTIONS alone (RFC 9112 section 3.2.4)")
        head.target = target
    else:
        absolute = abnf.ABSOLUTE_TARGET.fullmatch(target)
        if absolute is None or absolute[1][:1] in (b"", b":") or not is_host(absolute[1]):
            raise ProtocolError("a malformed request target (RFC 9112 section 3.2)")
        # RFC 9112 section 3.2.1: to an origin server goes the path alone; section 3.2.4: or "*".
        head.host = absolute[1]
        path = absolute[2] or b""
        if path.startswith(b"?"):
            path = b"/" + path
        head.target = path or (b"*" if head.method == b"OPTIONS" else b"/")


def _request_fields(  # noqa: C901, PLR0912, PLR0915  one branch per field
    head: RequestHead, fields: list[_Field], lines: list[bytes]
) -> list[bytes] | None:
    """Judge the lines that mean something, and leave the end-to-end ones in ``head.fields``, which holds all.

    Returns:
        Those removed, where everything said here follows from ``fields`` alone, for a common request line; else None.
    """
    head.content_length = None
    head.is_chunked = False
    head.upgrade = head.websocket_key = None
    head.forwarding = head.client = None
    head.max_forwards = None
    head.request_id = False
    head.keep_alive = head.minor == 1
    head.verdict = None
    has_host = False
    options: list[bytes] = []
    upgrades: list[bytes] = []
    removed: list[bytes] = []
    replaced: dict[bytes, bytes] = {}  # of fields that come once
    for line, name, value, _, _ in fields:
        if name == b"host":
            if has_host:
                raise ProtocolError("Host is given twice (RFC 9112 section 3.2)")
            has_host = True
            if not is_host(value):
                raise ProtocolError("a malformed Host (RFC 9110 section 7.2)")
            if head.host and head.host.lower() != value.lower():
                raise ProtocolError("Host differs from the target's authority (RFC 9112 section 3.2.2)")
            head.host = value
        elif name == b"connection":
            options += options_of(value)
            removed.append(line)
        elif name == b"content-length":
            if head.content_length is not None:
                raise ProtocolError("Content-Length is given twice (RFC 9112 section 6.3)")
            head.content_length = content_length(value)
            if line[-1] in b" \t":
                replaced[line] = without_ows_behind(line)
        elif name == b"transfer-encoding":
            if head.is_chunked:
                raise ProtocolError("Transfer-Encoding is given twice (RFC 9112 section 6.1)")
            check_chunked(value)
            head.is_chunked = True
            if line[-1] in b" \t":
                replaced[line] = without_ows_behind(line)
        elif name == b"upgrade":
            upgrades += [protocol.strip() for protocol in value.split(b",") if protocol.strip()]
            removed.append(line)
        elif name in FORWARDING:
            if head.forwarding is None:
                head.forwarding = {}
            head.forwarding.setdefault(name, []).append(line)
        elif name == b"expect":
            if head.minor == 0:
                removed.append(line)  # RFC 9110 section 10.1.1: ignored in an HTTP/1.0 request
        elif name == b"max-forwards":
            if head.method in (b"TRACE", b"OPTIONS"):
                replaced[line] = _max_forwards(head, line, value)
        elif name == b"x-request-id" and value:
            head.request_id = True
        else:
            removed.append(line)  # an empty X-Request-Id is as good as none, and in the way of one of ours
    if head.minor == 1 and not has_host:
        raise ProtocolError("Host is missing (RFC 9112 section 3.2)")
    if head.is_chunked:
        if head.content_length is not None:
            raise ProtocolError("Content-Length beside Transfer-Encoding (RFC 9112 section 6.1)")
        if head.minor == 0:
            raise ProtocolError("Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)")
    named: set[bytes] = set()
    if options:
        if b"close" in options:
            head.keep_alive = False
        elif b"keep-alive" in options:
            head.keep_alive = True
        named = _named(options)
    if removed:
        gone = frozenset(removed)
        lines = [line for line in lines if line not in gone]
    if named:
        lines = [line for line in lines if line.partition(b":")[0].lower() not in named]
        if b"x-request-id" in named:
            head.request_id = False
    if replaced:
        lines = [replaced.get(line, line) for line in lines]
    if head.method == b"TRACE" and (head.is_chunked or head.content_length):
        raise ProtocolError("TRACE with a body (RFC 9110 section 9.3.8)")
    offers = False
    if upgrades and b"upgrade" in options and head.minor == 1:
        offers = _upgrade(head, upgrades, lines)
    if removed or named or replaced:
        head.fields = b"\r\n".join([b"", *lines])
    return removed if not (named or replaced or offers) else None


def _upgrade(head: RequestHead, upgrades: list[bytes], lines: list[bytes]) -> bool:
    """Offer what the client offered, HTTP itself aside; whether there is any."""
    offered: dict[bytes, bytes] = {}
    for protocol in upgrades:
        match = abnf.PROTOCOL.fullmatch(protocol)
        if match is None:
            raise ProtocolError("a malformed Upgrade (RFC 9110 section 7.8)")
        if match[1].lower() not in _HTTP_ITSELF:
            offered[protocol] = match[1].lower()
    # A server may ignore Upgrade (RFC 9110 section 7.8). With a body it is: whether that body is read as one
    # depends on whether the app listens for upgrades, so it could be read two ways.
    if not offered or head.is_chunked or head.content_length:
        return False
    head.upgrade = b", ".join(offered)
    if b"websocket" in offered.values():
        head.websocket_key = _websocket_key(head, lines)
    return True


def _websocket_key(head: RequestHead, lines: list[bytes]) -> bytes:
    """The key of a WebSocket handshake, which is judged as a server would (RFC 6455 section 4.2.1).

    What is none is answered with an error there too; here it must not be for the app to say, since only by the key
    can its 101 be told from one that it was made to send. Which versions it speaks is its own affair.
    """
    if head.method != b"GET":
        raise ProtocolError("a WebSocket handshake that is no GET (RFC 6455 section 4.2.1)")
    keys, versions = [], []
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            keys.append(value.strip(b" \t"))
        elif name.lower() == b"sec-websocket-version":
            versions.append(value.strip(b" \t"))
    if len(keys) != 1 or not abnf.WEBSOCKET_KEY.fullmatch(keys[0]):
        raise ProtocolError(
            "a WebSocket handshake without one Sec-WebSocket-Key of 16 bytes (RFC 6455 section 4.2.1)"
        )
    if len(versions) != 1 or not abnf.WEBSOCKET_VERSION.fullmatch(versions[0]):
        raise ProtocolError(
            "a WebSocket handshake without one Sec-WebSocket-Version (RFC 6455 section 4.2.1)"
        )
    return keys[0]


def _named(options: list[bytes]) -> set[bytes]:
    """RFC 9110 section 7.6.1: the fields that Connection names, which go too."""
    named = set(options) - {b"close", b"keep-alive", b"upgrade"} - HOP_BY_HOP
    if named & _NOT_TO_BE_NAMED:
        raise ProtocolError(
            "Connection names a field of framing, routing or forwarding (RFC 9110 section 7.6.1)"
        )
    return named


def _max_forwards(head: RequestHead, line: bytes, value: bytes) -> bytes:
    """RFC 9110 section 7.6.2: counted down for TRACE and OPTIONS; ignored for all others."""
    if head.max_forwards is not None or not value.isdigit() or len(value) > 9:
        raise ProtocolError("a malformed Max-Forwards (RFC 9110 section 7.6.2)")
    head.max_forwards = int(value)
    if not head.max_forwards:
        return line
    return line.partition(b":")[0] + b": " + str(head.max_forwards - 1).encode()

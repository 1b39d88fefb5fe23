"""What a request head says, or why it is refused.

A head is split at CRLF by one C call and each line looked up in a set of lines that were judged before: most
of a client's lines come again with its next request, whole, while one of them (a trace id) changes each time,
so a cache by line hits where a cache by head would not. A line not known goes through one strict pattern.
"""

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
from pyinit.http1.message import RequestHead

# Lines known to be well-formed and of no meaning to us. Full, it is emptied: simpler than an eviction order,
# and relearning a client's dozen lines costs some microseconds. Longer lines are judged each time.
_KNOWN_LINES_MAX = 4096
_KNOWN_LINE_BYTES = 256

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

# For the log alone: they pass as they come, and nothing believes them.
_TRACING = frozenset((b"traceparent", b"x-amzn-trace-id"))

# Node tells "_" from "-". What stands behind it may not: mapped as in CGI (RFC 3875 section 4.1.18), X_Forwarded_For
# is X-Forwarded-For. Removed whoever sends them, as a load balancer passes its client's on; not refused, as clients
# do send X_Real_IP and the like in good faith, and nginx, which drops every "_", has taught them that it is no harm.
_LOOK_ALIKE = frozenset(name for name in _SPECIAL | _NOT_TO_BE_NAMED if b"-" in name)

# Not to be offered: behind such an upgrade come requests that we would not read any more (RFC 9113 section 3.1).
_HTTP_ITSELF = frozenset((b"h2c", b"h2", b"http"))

_Fields = list[tuple[bytes, bytes, bytes]]  # line, lower-case name, value


class RequestParser:
    """Judges request heads; remembers lines between them.

    Args:
        fields_max: field lines in one head.
    """

    __slots__ = ("_fields_max", "_plain", "_special")

    def __init__(self, fields_max: int) -> None:
        self._fields_max = fields_max
        self._plain: set[bytes] = set()
        self._special: dict[bytes, tuple[bytes, bytes, bytes]] = {}

    def parse(self, block: bytes) -> RequestHead:
        """Judge one head.

        Source: RFC 9112 sections 3, 5 and 6; RFC 9110 sections 5, 7.2, 7.6 and 10.1.1.

        Args:
            block: from the request line to the last field, without the final empty line.

        Raises:
            ProtocolError: 400, 431, 501 (CONNECT) or 505.
        """
        lines = block.split(b"\r\n")
        head = RequestHead()
        _request_line(head, lines.pop(0))
        if len(lines) > self._fields_max:
            raise ProtocolError("more field lines than --fields-max", 431)
        plain = self._plain
        odd = [line for line in lines if line not in plain]
        head.lines = lines
        head.content_length = None
        head.is_chunked = False
        head.upgrade = head.websocket_key = None
        head.forwarding = None
        head.max_forwards = None
        head.request_id = head.traceparent = head.amzn_trace_id = b""
        head.keep_alive = head.minor == 1
        _request_fields(head, self._judge(odd))
        return head

    def _judge(self, odd: list[bytes]) -> _Fields:
        """The lines that mean something to us; every other one is checked and remembered."""
        found = []
        special = self._special
        for line in odd:
            field = special.get(line)
            if field is None:
                name, value = name_and_value(line)
                if name in _TRACING:
                    found.append(
                        (line, name, value)
                    )  # another one in each request: not worth being remembered
                    continue
                if name not in _SPECIAL and not (b"_" in name and name.replace(b"_", b"-") in _LOOK_ALIKE):
                    if len(line) <= _KNOWN_LINE_BYTES:
                        if len(self._plain) >= _KNOWN_LINES_MAX:
                            self._plain.clear()
                        self._plain.add(line)
                    continue
                field = (line, name, value)
                if len(line) <= _KNOWN_LINE_BYTES:
                    if len(special) >= _KNOWN_LINES_MAX:
                        special.clear()
                    special[line] = field
            found.append(field)
        return found


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
        if absolute is None or absolute[1][:1] in (b"", b":"):
            raise ProtocolError("a malformed request target (RFC 9112 section 3.2)")
        # RFC 9112 section 3.2.1: to an origin server goes the path alone; section 3.2.4: or "*".
        head.host = absolute[1]
        path = absolute[2] or b""
        if path.startswith(b"?"):
            path = b"/" + path
        head.target = path or (b"*" if head.method == b"OPTIONS" else b"/")


def _request_fields(head: RequestHead, fields: _Fields) -> None:  # noqa: C901, PLR0912, PLR0915  one branch per field
    lines = head.lines
    has_host = False
    options: list[bytes] = []
    upgrades: list[bytes] = []
    for line, name, value in fields:
        if name == b"host":
            if has_host:
                raise ProtocolError("Host is given twice (RFC 9112 section 3.2)")
            has_host = True
            if not abnf.HOST.fullmatch(value):
                raise ProtocolError("a malformed Host (RFC 9110 section 7.2)")
            if head.host and head.host.lower() != value.lower():
                raise ProtocolError("Host differs from the target's authority (RFC 9112 section 3.2.2)")
            head.host = value
        elif name == b"connection":
            options += options_of(value)
            lines.remove(line)
        elif name == b"content-length":
            if head.content_length is not None:
                raise ProtocolError("Content-Length is given twice (RFC 9112 section 6.3)")
            head.content_length = content_length(value)
            _tidy(lines, line)
        elif name == b"transfer-encoding":
            if head.is_chunked:
                raise ProtocolError("Transfer-Encoding is given twice (RFC 9112 section 6.1)")
            check_chunked(value)
            head.is_chunked = True
            _tidy(lines, line)
        elif name == b"upgrade":
            upgrades += [protocol.strip() for protocol in value.split(b",") if protocol.strip()]
            lines.remove(line)
        elif name in FORWARDING:
            if head.forwarding is None:
                head.forwarding = {}
            head.forwarding.setdefault(name, []).append(line)
        elif name == b"expect":
            if head.minor == 0:
                lines.remove(line)  # RFC 9110 section 10.1.1: ignored in an HTTP/1.0 request
        elif name == b"max-forwards":
            _max_forwards(head, line, value)
        elif name == b"x-request-id":
            _request_id(head, line, value)
        elif name in _TRACING:
            _trace(head, name, value)
        else:
            lines.remove(line)
    if head.minor == 1 and not has_host:
        raise ProtocolError("Host is missing (RFC 9112 section 3.2)")
    if head.is_chunked:
        if head.content_length is not None:
            raise ProtocolError("Content-Length beside Transfer-Encoding (RFC 9112 section 6.1)")
        if head.minor == 0:
            raise ProtocolError("Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)")
    if options:
        if b"close" in options:
            head.keep_alive = False
        elif b"keep-alive" in options:
            head.keep_alive = True
        _drop_named(head, options)
    if head.method == b"TRACE" and (head.is_chunked or head.content_length):
        raise ProtocolError("TRACE with a body (RFC 9110 section 9.3.8)")
    if upgrades and b"upgrade" in options and head.minor == 1:
        _upgrade(head, upgrades)


def _request_id(head: RequestHead, line: bytes, value: bytes) -> None:
    if value:
        head.request_id = head.request_id or value
    else:
        head.lines.remove(line)  # as good as none, and in the way of one of ours


def _trace(head: RequestHead, name: bytes, value: bytes) -> None:
    if name == b"traceparent":
        head.traceparent = head.traceparent or value
    else:
        head.amzn_trace_id = head.amzn_trace_id or value


def _tidy(lines: list[bytes], line: bytes) -> None:
    if line[-1] in b" \t":
        lines[lines.index(line)] = without_ows_behind(line)


def _upgrade(head: RequestHead, upgrades: list[bytes]) -> None:
    """Offer what the client offered, HTTP itself aside."""
    offered: dict[bytes, bytes] = {}
    for protocol in upgrades:
        match = abnf.PROTOCOL.fullmatch(protocol)
        if match is None:
            raise ProtocolError("a malformed Upgrade (RFC 9110 section 7.8)")
        if match[1].lower() not in _HTTP_ITSELF:
            offered[protocol] = match[1].lower()
    # A server may ignore Upgrade (RFC 9110 section 7.8). With a body it is: whether that body is read as one
    # depends on whether the app listens for upgrades, so it could be read two ways.
    if offered and not head.is_chunked and not head.content_length:
        head.upgrade = b", ".join(offered)
        if b"websocket" in offered.values():
            head.websocket_key = _websocket_key(head)


def _websocket_key(head: RequestHead) -> bytes:
    """The key of a WebSocket handshake, which is judged as a server would (RFC 6455 section 4.2.1).

    What is none is answered with an error there too; here it must not be for the app to say, since only by the key
    can its 101 be told from one that it was made to send. Which versions it speaks is its own affair.
    """
    if head.method != b"GET":
        raise ProtocolError("a WebSocket handshake that is no GET (RFC 6455 section 4.2.1)")
    keys, versions = [], []
    for line in head.lines:
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


def _drop_named(head: RequestHead, options: list[bytes]) -> None:
    """RFC 9110 section 7.6.1: every field that Connection names goes too."""
    named = set(options) - {b"close", b"keep-alive", b"upgrade"} - HOP_BY_HOP
    if not named:
        return
    if named & _NOT_TO_BE_NAMED:
        raise ProtocolError(
            "Connection names a field of framing, routing or forwarding (RFC 9110 section 7.6.1)"
        )
    head.lines = [line for line in head.lines if line.partition(b":")[0].lower() not in named]
    if b"x-request-id" in named:
        head.request_id = b""


def _max_forwards(head: RequestHead, line: bytes, value: bytes) -> None:
    """RFC 9110 section 7.6.2: count down for TRACE and OPTIONS; ignored for all others."""
    if head.method not in (b"TRACE", b"OPTIONS"):
        return
    if head.max_forwards is not None or not value.isdigit() or len(value) > 9:
        raise ProtocolError("a malformed Max-Forwards (RFC 9110 section 7.6.2)")
    head.max_forwards = int(value)
    if head.max_forwards:
        name = line.partition(b":")[0]
        head.lines[head.lines.index(line)] = name + b": " + str(head.max_forwards - 1).encode()

"""Heads from bytes: where one ends, and what it says. Requests and responses alike.

A head is split at CRLF by one C call and each line looked up in a set of lines that were judged before: most
of a client's lines come again with its next request, whole, while one of them (a trace id) changes each time,
so a cache by line hits where a cache by head would not. A line not known goes through one strict pattern.
"""

from pyinit.errors import ProtocolError
from pyinit.http1 import abnf
from pyinit.http1.message import RequestHead, ResponseHead

# Lines known to be well-formed and of no meaning to us. Full, it is emptied: simpler than an eviction order,
# and relearning a client's dozen lines costs some microseconds. Longer lines are judged each time.
_KNOWN_LINES_MAX = 4096
_KNOWN_LINE_BYTES = 256
_KNOWN_HEADS_MAX = 512
_KNOWN_HEAD_BYTES = 2048

# What a field line adds to a head on the wire beyond name and value (": " and CRLF), and a request line
# beyond its target. Node counts names, values and the target alone towards --max-http-header-size.
_LINE_OVERHEAD_BYTES = 4
_START_OVERHEAD_BYTES = 64

# RFC 9112 section 2.2: a server ought to ignore an empty line before a request; some clients of old sent one
# after a POST body. More than a few is no client.
_EMPTY_LINES_MAX = 4

# RFC 9110 section 7.6.1. Transfer-Encoding stays, as framing is passed on unchanged; Upgrade is apart.
_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"http2-settings"))
FORWARDING = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
)
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
}
_REQUEST_SPECIAL = (
    _HOP_BY_HOP
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
_RESPONSE_SPECIAL = _HOP_BY_HOP | {b"content-length", b"transfer-encoding", b"upgrade", b"date"}

_Fields = list[tuple[bytes, bytes, bytes]]  # line, lower-case name, value


class HeadReader:
    """Finds the end of a head in bytes that come in any split.

    Args:
        limit_bytes: of target, names and values together, as Node counts; separators come on top.
        is_response: an app's head: no empty line before it, and over the limit it is the app's fault (502).
    """

    __slots__ = ("_buffer", "_empty_bytes", "_is_response", "_limit_bytes", "_searched")

    def __init__(self, limit_bytes: int, *, is_response: bool = False) -> None:
        self._limit_bytes = limit_bytes
        self._is_response = is_response
        self._buffer = b""
        self._empty_bytes = 0  # of lines dropped before the head: in however many reads they come
        self._searched = 0

    @property
    def held_bytes(self) -> int:
        """How much of an unfinished head is kept here."""
        return len(self._buffer)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take bytes in; give a whole head out.

        Args:
            data: raw bytes as received, any split.

        Returns:
            The head without its final empty line, and the bytes after it; None while it is not whole.

        Raises:
            ProtocolError: over the limit, or a line end that is not CRLF.
        """
        if self._buffer:
            data = self._buffer + data
        if data[:1] == b"\r":
            data = self._without_empty_lines(data)
        end = data.find(b"\r\n\r\n", self._searched)
        if end >= 0:
            if end > self._limit_bytes:
                self._check_limit(data[:end])
            self._buffer = b""
            self._empty_bytes = 0
            self._searched = 0
            return data[:end], data[end + 4 :]
        if abnf.BARE_LINE_END.search(data, self._searched):
            raise ProtocolError("a line end that is not CRLF (RFC 9112 section 2.2)")
        self._check_limit(data)
        if data and data[0] != 0x0D and not abnf.TOKEN.match(data):
            # A TLS handshake, or another protocol: no head will come of it, so nothing is to be waited for.
            raise ProtocolError("no HTTP message begins with these bytes")
        self._buffer = data
        self._searched = max(0, len(data) - 3)
        return None

    def _without_empty_lines(self, data: bytes) -> bytes:
        empty = 0
        while data.startswith(b"\r\n", empty):
            empty += 2
        self._empty_bytes += empty
        if self._empty_bytes > (0 if self._is_response else 2 * _EMPTY_LINES_MAX):
            raise ProtocolError("empty lines before a message (RFC 9112 section 2.2)")
        return data[empty:]

    def _check_limit(self, data: bytes) -> None:
        data = data.rstrip(b"\r\n")  # part of the head's end where that is split: not to be counted then only
        lines = data.count(b"\r\n")
        # A name has a byte at least; without it, lines of nothing but overhead would count for nothing.
        counted = max(lines, len(data) - lines * _LINE_OVERHEAD_BYTES - _START_OVERHEAD_BYTES)
        if counted <= self._limit_bytes:
            return
        if self._is_response:
            raise ProtocolError("the response head is longer than 64 KiB", 502)
        if len(data.partition(b"\r\n")[0]) - _START_OVERHEAD_BYTES > self._limit_bytes:
            raise ProtocolError("the request target is longer than --head-max", 414)
        raise ProtocolError("the request head is longer than --head-max", 431)

    def __repr__(self) -> str:
        return f"HeadReader({len(self._buffer)} bytes held)"


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
        head.upgrade = None
        head.forwarding = None
        head.max_forwards = None
        head.request_id = False
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
                name, value = _field(line)
                if name not in _REQUEST_SPECIAL:
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


def _request_fields(head: RequestHead, fields: _Fields) -> None:  # noqa: C901, PLR0912  one branch per field
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
            options += _list(value)
            lines.remove(line)
        elif name == b"content-length":
            if head.content_length is not None:
                raise ProtocolError("Content-Length is given twice (RFC 9112 section 6.3)")
            head.content_length = _content_length(value)
        elif name == b"transfer-encoding":
            if head.is_chunked:
                raise ProtocolError("Transfer-Encoding is given twice (RFC 9112 section 6.1)")
            _check_chunked(value)
            head.is_chunked = True
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
            head.request_id = True
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


def _upgrade(head: RequestHead, upgrades: list[bytes]) -> None:
    """Offer what the client offered, h2c aside: behind it we would read nothing any more."""
    offered = [protocol for protocol in upgrades if protocol.lower() != b"h2c"]
    # A server may ignore Upgrade (RFC 9110 section 7.8). With a body it is: whether that body is read as one
    # depends on whether the app listens for upgrades, so it could be read two ways.
    if offered and not head.is_chunked and not head.content_length:
        head.upgrade = b", ".join(offered)


def _drop_named(head: RequestHead, options: list[bytes]) -> None:
    """RFC 9110 section 7.6.1: every field that Connection names goes too."""
    named = set(options) - {b"close", b"keep-alive", b"upgrade"} - _HOP_BY_HOP
    if not named:
        return
    if named & _NOT_TO_BE_NAMED:
        raise ProtocolError(
            "Connection names a field of framing, routing or forwarding (RFC 9110 section 7.6.1)"
        )
    head.lines = [line for line in head.lines if line.partition(b":")[0].lower() not in named]
    if b"x-request-id" in named:
        head.request_id = False


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


class ResponseParser:
    """Judges response heads; remembers them whole: an app's repeat until its Date moves on."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, ResponseHead] = {}

    def parse(self, block: bytes) -> ResponseHead:
        """Judge one head.

        Source: RFC 9112 sections 4, 5 and 6; RFC 9110 section 15.

        Args:
            block: from the status line to the last field, without the final empty line.

        Raises:
            ProtocolError: the app broke HTTP/1.1.
        """
        head = self._known.get(block)
        if head is None:
            head = _parse_response(block)
            if len(block) <= _KNOWN_HEAD_BYTES:
                if len(self._known) >= _KNOWN_HEADS_MAX:
                    self._known.clear()
                self._known[block] = head
        return head


def _parse_response(block: bytes) -> ResponseHead:  # noqa: C901, PLR0912  one branch per field
    lines = block.split(b"\r\n")
    status_line = lines.pop(0)
    match = abnf.STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise ProtocolError("a malformed status line (RFC 9112 section 4)", 502)
    head = ResponseHead()
    head.minor = 0 if match[1] == b"0" else 1
    head.status = int(match[2])
    head.status_line = b"HTTP/1.1 " + match[2] + b" " + (match[3] or b"")
    head.content_length = head.keep_alive_s = head.upgrade = None
    head.is_chunked = head.has_date = False
    head.keep_alive = head.minor == 1
    # RFC 9110 section 8.6, RFC 9112 section 6.1: neither in 1xx and 204. Node leaves them out, others not.
    is_bodiless = head.status < 200 or head.status == 204
    options: list[bytes] = []
    kept = []
    for line in lines:
        name, value = _field(line)
        if name not in _RESPONSE_SPECIAL:
            kept.append(line)
        elif name == b"content-length":
            if head.content_length is not None:
                raise ProtocolError("Content-Length is given twice (RFC 9112 section 6.3)", 502)
            head.content_length = _content_length(value)
            if not is_bodiless:
                kept.append(line)
        elif name == b"transfer-encoding":
            if head.is_chunked:
                raise ProtocolError("Transfer-Encoding is given twice (RFC 9112 section 6.1)", 502)
            _check_chunked(value)
            head.is_chunked = True
            if not is_bodiless:
                kept.append(line)
        elif name == b"connection":
            options += _list(value)
        elif name == b"keep-alive":
            head.keep_alive_s = _keep_alive_s(value)
        elif name == b"date":
            head.has_date = True
            kept.append(line)
        elif name == b"upgrade":
            head.upgrade = value
    if head.is_chunked and head.content_length is not None:
        raise ProtocolError("Content-Length beside Transfer-Encoding (RFC 9112 section 6.1)", 502)
    if head.is_chunked and head.minor == 0:
        raise ProtocolError("Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)", 502)
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    named = set(options) - {b"close", b"keep-alive", b"upgrade", b"content-length", b"transfer-encoding"}
    if named:
        kept = [line for line in kept if line.partition(b":")[0].lower() not in named]
    head.lines = kept
    head.wire = b"\r\n".join([head.status_line, *kept, b"", b""])
    return head


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Lower-case name and stripped value of one line. Raises ProtocolError, naming the fault."""
    match = abnf.FIELD_LINE.fullmatch(line)
    if match is not None:
        return match[1].lower(), match[2].strip(b" \t")
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        reason = "a folded field line (RFC 9112 section 5.2)"
    elif not colon:
        reason = "a field line without a colon (RFC 9112 section 5)"
    elif name != name.rstrip(b" \t"):
        reason = "a space before the colon (RFC 9112 section 5.1)"
    elif not abnf.TOKEN.fullmatch(name):
        reason = "a field name that is no token (RFC 9110 section 5.1)"
    elif b"\r" in value or b"\n" in value:
        reason = "a bare CR or LF in a field value (RFC 9112 section 2.2)"
    else:
        reason = "a control byte in a field value (RFC 9110 section 5.5)"
    raise ProtocolError(reason)


def _list(value: bytes) -> list[bytes]:
    """The lower-case tokens of Connection (RFC 9110 section 5.6.1: empty elements count for nothing)."""
    options = [option.strip(b" \t").lower() for option in value.split(b",")]
    for option in options:
        if option and not abnf.TOKEN.fullmatch(option):
            raise ProtocolError("a Connection option that is no token (RFC 9110 section 7.6.1)")
    return [option for option in options if option]


def _content_length(value: bytes) -> int:
    if not abnf.CONTENT_LENGTH.fullmatch(value):
        raise ProtocolError("a malformed Content-Length (RFC 9110 section 8.6)")
    return int(value)


def _check_chunked(value: bytes) -> None:
    if value.lower() != b"chunked":
        raise ProtocolError("a transfer coding that is not a sole chunked (RFC 9112 section 6.1)")


def _keep_alive_s(value: bytes) -> int | None:
    """The timeout of ``Keep-Alive: timeout=5, max=100``; None without one."""
    for part in value.split(b","):
        name, _, number = part.partition(b"=")
        number = number.strip(b' \t"')
        if name.strip().lower() == b"timeout" and number.isdigit() and len(number) < 9:
            return int(number)
    return None

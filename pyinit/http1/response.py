"""What a response head says, or how it breaks HTTP/1.1."""

from pyinit.errors import ProtocolError
from pyinit.http1 import abnf
from pyinit.http1.fields import (
    HOP_BY_HOP,
    check_chunked,
    content_length,
    name_and_value,
    options_of,
    without_ows_behind,
)
from pyinit.http1.message import ResponseHead
from pyinit.http1.sse import is_event_stream

# An app's heads repeat until the second of their Date is over. Known at the second time: where each is another, to keep
# them would only have every one take memory that the processor has not at hand. Full, the memory is emptied.
_KNOWN_HEADS_MAX = 512
KNOWN_HEAD_BYTES = 2048
# What is remembered of heads that came once: 4 KiB where a set of as many hashes has 32.
_SIGHTS = 512
# Of a line that COMMON_RESPONSE has one of the values of: the line end before it, its name and the colon. Both names
# happen to be as long.
_BEFORE_VALUE_BYTES = len(b"\r\nConnection:")


class ResponseParser:
    """Judges response heads; remembers them whole: an app's repeat until its Date moves on.

    Attributes:
        known: heads that were judged, by their bytes without the final empty line: KNOWN_HEAD_BYTES of them at most.
    """

    __slots__ = ("_last", "_last_block", "_sights", "known")

    def __init__(self) -> None:
        # Hashes of heads, each at its own place: where another's is the same, that one is known once too early.
        self._sights = [0] * _SIGHTS
        self._last_block = b""  # as one is asked for twice where its body has not all come
        self._last: ResponseHead | None = None
        self.known: dict[bytes, ResponseHead] = {}

    def parse(self, block: bytes) -> ResponseHead:
        """Judge one head.

        Source: RFC 9112 sections 4, 5 and 6; RFC 9110 section 15.

        Args:
            block: from the status line to the last field, without the final empty line.

        Raises:
            ProtocolError: the app broke HTTP/1.1.
        """
        head = self.known.get(block)
        if head is not None:
            return head
        if self._last is not None and block == self._last_block:
            head, self._last = self._last, None  # a third time is another head's, and counts as one
            return head
        head = _common(block) or _any(block)
        if len(block) <= KNOWN_HEAD_BYTES:
            self._last_block, self._last = block, head
            self._see(block, head)
        return head

    def _see(self, block: bytes, head: ResponseHead) -> None:
        sight = hash(block)
        at = sight % _SIGHTS
        if self._sights[at] != sight:
            self._sights[at] = sight
            return
        if len(self.known) >= _KNOWN_HEADS_MAX:
            self.known.clear()
        self.known[block] = head


def _common(block: bytes) -> ResponseHead | None:
    """The head of a response as nearly all are, judged in one pass; None for any other, be it right or wrong."""
    match = abnf.COMMON_RESPONSE.fullmatch(block)
    if match is None:
        return None
    status, connection, close, length, date, keep_alive, timeout, chunked = match.groups()
    if length is not None and chunked is not None:
        return None
    head = ResponseHead()
    head.status = int(status)
    if head.status == 204 and (length is not None or chunked is not None):
        return None
    head.content_length = None if length is None else int(length)
    head.is_chunked = chunked is not None
    head.keep_alive = close is None
    head.keep_alive_s = None if timeout is None else int(timeout)
    head.upgrade = None
    head.has_date = date is not None
    if connection is not None and keep_alive is not None:
        head.wire = _without(block, match.span(2), match.span(6))
    elif connection is not None or keep_alive is not None:
        at, end = match.span(2 if keep_alive is None else 6)
        head.wire = block[: at - _BEFORE_VALUE_BYTES] + block[end:]
    else:
        head.wire = block
    _judge_plain(head)
    return head


def _without(block: bytes, one: tuple[int, int], other: tuple[int, int]) -> bytes:
    """A head without two lines, each told by its value."""
    if one > other:
        one, other = other, one
    before, between, behind = one[0] - _BEFORE_VALUE_BYTES, other[0] - _BEFORE_VALUE_BYTES, other[1]
    if one[1] == between:  # as Node sends them
        return block[:before] + block[behind:]
    return block[:before] + block[one[1] : between] + block[behind:]


def _any(block: bytes) -> ResponseHead:  # noqa: C901, PLR0912  one branch per field
    lines = block.split(b"\r\n")
    status_line = lines.pop(0)
    match = abnf.STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise ProtocolError("a malformed status line (RFC 9112 section 4)", 502)
    head = ResponseHead()
    is_1_0 = match[1] == b"0"
    head.status = int(match[2])
    head.content_length = head.keep_alive_s = head.upgrade = None
    head.is_chunked = head.has_date = False
    head.keep_alive = not is_1_0
    # RFC 9110 section 8.6, RFC 9112 section 6.1: neither in 1xx and 204. Node leaves them out, others not.
    is_bodiless = head.status < 200 or head.status == 204
    options: list[bytes] = []
    kept = []
    for line in lines:
        name, value = name_and_value(line)
        if name == b"content-length":
            if head.content_length is not None:
                raise ProtocolError("Content-Length is given twice (RFC 9112 section 6.3)", 502)
            head.content_length = content_length(value)
            if not is_bodiless:
                kept.append(without_ows_behind(line))
        elif name == b"transfer-encoding":
            if head.is_chunked:
                raise ProtocolError("Transfer-Encoding is given twice (RFC 9112 section 6.1)", 502)
            check_chunked(value)
            head.is_chunked = True
            if not is_bodiless:
                kept.append(without_ows_behind(line))
        elif name == b"connection":
            options += options_of(value)
        elif name == b"keep-alive":
            head.keep_alive_s = _keep_alive_s(value)
        elif name == b"date":
            head.has_date = True
            kept.append(line)
        elif name == b"upgrade":
            head.upgrade = value
        elif name not in HOP_BY_HOP:
            kept.append(line)
    if head.is_chunked and head.content_length is not None:
        raise ProtocolError("Content-Length beside Transfer-Encoding (RFC 9112 section 6.1)", 502)
    if head.is_chunked and is_1_0:
        raise ProtocolError("Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)", 502)
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    named = set(options) - {
        b"close",
        b"keep-alive",
        b"upgrade",
        b"content-length",
        b"transfer-encoding",
        b"date",
    }
    if named:
        kept = [line for line in kept if line.partition(b":")[0].lower() not in named]
    if head.status == 426 and head.upgrade:
        # RFC 9110 section 15.5.22: this one has to say what to upgrade to.
        kept += (b"Upgrade: " + head.upgrade, b"Connection: upgrade")
    head.wire = b"\r\n".join([b"HTTP/1.1 %b %b" % (match[2], match[3] or b""), *kept])
    _judge_plain(head)
    return head


def _judge_plain(head: ResponseHead) -> None:
    """What follows from the rest; see ResponseHead. Bodies as framing.response_body has them."""
    head.is_event_stream = head.status == 200 and head.content_length is None and is_event_stream(head)
    has_body = head.status not in (204, 304)
    is_plain = head.status >= 200 and head.keep_alive and head.has_date
    head.plain_bytes = None
    if is_plain and not head.is_chunked:
        head.plain_bytes = head.content_length if has_body else 0
    head.is_plain_chunked = is_plain and head.is_chunked and has_body and not head.is_event_stream


def _keep_alive_s(value: bytes) -> int | None:
    """The timeout of ``Keep-Alive: timeout=5, max=100``; None without one."""
    for part in value.split(b","):
        name, _, number = part.partition(b"=")
        number = number.strip(b' \t"')
        if name.strip().lower() == b"timeout" and number.isdigit() and len(number) < 9:
            return int(number)
    return None

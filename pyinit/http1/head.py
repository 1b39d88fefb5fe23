"""Where a head ends, in bytes that come in any split. Requests and responses alike."""

from pyinit.errors import ProtocolError
from pyinit.http1 import abnf

# What a field line adds to a head on the wire beyond name and value (": " and CRLF), and a request line
# beyond its target. Node counts names, values and the target alone towards --max-http-header-size.
_LINE_OVERHEAD_BYTES = 4
_START_OVERHEAD_BYTES = 64

# RFC 9112 section 2.2: a server ought to ignore an empty line before a request; some clients of old sent one
# after a POST body. More than a few is no client.
_EMPTY_LINES_MAX = 4


class HeadReader:
    """Finds the end of a head in bytes that come in any split.

    Args:
        limit_bytes: of target, names and values together, as Node counts; separators come on top.
        is_response: an app's head: no empty line before it, and over the limit it is the app's fault (502).

    Attributes:
        has_begun: whether anything has come since the last head, be it an empty line.
    """

    __slots__ = (
        "_buffer",
        "_empty_bytes",
        "_is_response",
        "_limit_at",
        "_limit_bytes",
        "_searched",
        "has_begun",
    )

    def __init__(self, limit_bytes: int, *, is_response: bool = False) -> None:
        self._limit_bytes = limit_bytes
        self._limit_at = limit_bytes  # up to that many bytes there is nothing to count
        self._is_response = is_response
        self._buffer = b""
        self._empty_bytes = 0  # of lines dropped before the head: in however many reads they come
        self._searched = 0
        self.has_begun = False

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
        if data.startswith(b"\r"):
            data = self._without_empty_lines(data)
        end = data.find(b"\r\n\r\n", self._searched)
        if end >= 0:
            if end > self._limit_at:
                self._check_limit(data[:end])
            self._limit_at = self._limit_bytes
            self._buffer = b""
            self._empty_bytes = 0
            self._searched = 0
            self.has_begun = False
            return data[:end], data[end + 4 :] if len(data) > end + 4 else b""
        if abnf.BARE_LINE_END.search(data, self._searched):
            raise ProtocolError("a line end that is not CRLF (RFC 9112 section 2.2)")
        if len(data) > self._limit_at:
            self._check_limit(data)
        if data and data[0] != 0x0D and not abnf.TOKEN.match(data):
            # A TLS handshake, or another protocol: no head will come of it, so nothing is to be waited for.
            raise ProtocolError("no HTTP message begins with these bytes")
        self._buffer = data
        self.has_begun = bool(data or self._empty_bytes)
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
            # A byte more counts for one at most: a head that comes byte by byte is not counted anew for each.
            self._limit_at = len(data) + self._limit_bytes - counted
            return
        if self._is_response:
            raise ProtocolError("the response head is longer than 64 KiB", 502)
        if len(data.partition(b"\r\n")[0]) - _START_OVERHEAD_BYTES > self._limit_bytes:
            raise ProtocolError("the request target is longer than --head-max", 414)
        raise ProtocolError("the request head is longer than --head-max", 431)

    def __repr__(self) -> str:
        return f"HeadReader({len(self._buffer)} bytes held)"

"""Where a message body ends: framers that count bytes and judge chunk lines, and neither copy nor decode.

A framer is given what was read and where to start; it answers up to where those bytes belong to its message.
What it has passed has been judged, so it can be sent on at once: a fault raises before the message is
complete.
"""

from typing import Protocol

from pyinit.errors import ProtocolError
from pyinit.http1 import abnf

# A chunk-size line with extensions; nobody sends long ones (Node: 16 KiB for a whole message's).
_CHUNK_LINE_MAX = 4096
# Size lines per message are unbounded, extensions are not: bytes of them beyond what data came with.
_EXTENSION_BYTES_MAX = 16 * 1024
_TRAILER_BYTES_MAX = 16 * 1024
_TRAILER_LINES_MAX = 128
# What ends a chunk's data; to the patterns it is the beginning of the next chunk's line.
_DATA_END = b"\r\n"

# RFC 9110 section 6.5.1: framing, routing, controls and request modifiers, authentication, how to read the
# content; and what would make the request seem to come from elsewhere.
_FORBIDDEN_TRAILERS = frozenset(
    b"transfer-encoding content-length host connection keep-alive te trailer upgrade expect max-forwards via"
    b" proxy-connection authorization proxy-authorization proxy-authenticate www-authenticate cookie"
    b" set-cookie content-encoding content-type content-range range cache-control age date location forwarded"
    b" x-real-ip x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-request-id".split()
)


class BodyFramer(Protocol):
    """Says where a message body ends.

    Attributes:
        complete: whether its last byte was taken.
    """

    complete: bool

    def take(self, data: bytes, at: int) -> int:
        """How far ``data[at:]`` belongs to this body: an index, ``len(data)`` where all does.

        Raises:
            ProtocolError: the body breaks its framing; nothing of this read may be passed on.
        """
        ...

    def eof(self) -> None:
        """The sender has closed. Raises ProtocolError where the body is then cut short."""
        ...


class LengthBody:
    """A body of so many bytes (RFC 9112 section 6.3, rule 6).

    Args:
        remaining_bytes: above 0.
    """

    __slots__ = ("complete", "remaining_bytes")

    def __init__(self, remaining_bytes: int) -> None:
        self.remaining_bytes = remaining_bytes
        self.complete = False

    def take(self, data: bytes, at: int) -> int:
        """See BodyFramer."""
        available = len(data) - at
        if available < self.remaining_bytes:
            self.remaining_bytes -= available
            return len(data)
        at += self.remaining_bytes
        self.remaining_bytes = 0
        self.complete = True
        return at

    def eof(self) -> None:
        """See BodyFramer."""
        if not self.complete:
            raise ProtocolError("the body is shorter than its Content-Length (RFC 9112 section 8)")

    def __repr__(self) -> str:
        return f"LengthBody(remaining={self.remaining_bytes})"


class UntilCloseBody:
    """A response body that ends with the connection (RFC 9112 section 6.3, rule 8)."""

    __slots__ = ("complete",)

    def __init__(self) -> None:
        self.complete = False

    def take(self, data: bytes, at: int) -> int:  # noqa: ARG002  the framers' common shape
        """See BodyFramer."""
        return len(data)

    def eof(self) -> None:
        """See BodyFramer."""
        self.complete = True

    def __repr__(self) -> str:
        return f"UntilCloseBody(complete={self.complete})"


class ChunkedBody:
    """A chunked body (RFC 9112 section 7.1), every line of it judged.

    Args:
        forbidden: trailer names that are refused.

    Attributes:
        spans: set to a list to have each piece of chunk data noted as (start, end) of the read it came in: for
            an HTTP/1.0 client, who gets no framing, and for an event stream, whose events are looked at.
    """

    __slots__ = (
        "_extension_bytes",
        "_forbidden",
        "_in_trailers",
        "_is_first",
        "_line",
        "_remaining_bytes",
        "_trailer_bytes",
        "_trailer_lines",
        "complete",
        "data_bytes",
        "spans",
    )

    def __init__(self, forbidden: frozenset[bytes] = _FORBIDDEN_TRAILERS) -> None:
        self.complete = False
        self.data_bytes = 0
        self.spans: list[tuple[int, int]] | None = None
        self._forbidden = forbidden
        self._remaining_bytes = 0
        self._is_first = True
        self._in_trailers = False
        self._line = b""  # the part of a line that a read ended in
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._trailer_lines = 0

    def take(self, data: bytes, at: int) -> int:
        """See BodyFramer."""
        end = len(data)
        while at < end and not self.complete:
            if self._remaining_bytes:
                step = min(self._remaining_bytes, end - at)
                if self.spans is not None:
                    self.spans.append((at, at + step))
                self._remaining_bytes -= step
                at += step
            elif self._in_trailers:
                at = self._take_trailer(data, at)
            else:
                at = self._take_size(data, at)
        return at

    def _take_size(self, data: bytes, at: int) -> int:
        pattern = abnf.FIRST_CHUNK if self._is_first else abnf.NEXT_CHUNK
        if self._line:
            # The line began in an earlier read. What is held is shorter than a line, so joining is cheap.
            joined = self._line + data[at : at + _CHUNK_LINE_MAX]
            match = pattern.match(joined)
            next_at = at + match.end() - len(self._line) if match else 0
        elif len(data) - at == len(_DATA_END) and not self._is_first and data.endswith(_DATA_END):
            self._line = (
                _DATA_END  # as most reads end that bring whole chunks: it is no line yet to be looked at
            )
            return len(data)
        else:
            match = pattern.match(data, at)
            next_at = match.end() if match else 0
        if match is None:
            return self._keep_part(data, at)
        if match.end() - match.start() > _CHUNK_LINE_MAX:
            raise ProtocolError("a chunk line that is too long (RFC 9112 section 7.1.1)")
        self._remaining_bytes = int(match[1], 16)
        self.data_bytes += self._remaining_bytes
        self._extension_bytes += match.end() - match.end(1) - 2
        if self._extension_bytes > _EXTENSION_BYTES_MAX:
            raise ProtocolError("too many bytes of chunk extensions (RFC 9112 section 7.1.1)")
        self._line = b""
        self._is_first = False
        self._in_trailers = not self._remaining_bytes
        return next_at

    def _keep_part(self, data: bytes, at: int) -> int:
        """No whole chunk line here: either its beginning, which is kept, or a fault."""
        part = self._line + data[at : at + _CHUNK_LINE_MAX + 1]
        pattern = abnf.FIRST_CHUNK_PART if self._is_first else abnf.NEXT_CHUNK_PART
        if not pattern.fullmatch(part):
            raise ProtocolError("a malformed chunk (RFC 9112 section 7.1)")
        if len(part) > _CHUNK_LINE_MAX:
            raise ProtocolError("a chunk line that is too long (RFC 9112 section 7.1.1)")
        self._line = part
        return len(data)

    def _take_trailer(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        part = self._line + (data[at : end + 1] if end >= 0 else data[at:])
        self._trailer_bytes += len(part) - len(self._line)
        if self._trailer_bytes > _TRAILER_BYTES_MAX:
            raise ProtocolError("trailers that are too long (RFC 9112 section 7.1.2)")
        if end < 0:
            if not abnf.TRAILER_PART.fullmatch(part):
                raise ProtocolError("a malformed trailer (RFC 9112 section 7.1.2)")
            name, colon, _ = part.partition(b":")
            if colon:
                self._check_trailer(name)  # now: what is read is passed on
            self._line = part
            return len(data)
        self._line = b""
        if part == b"\r\n":
            self.complete = True
            return end + 1
        match = abnf.FIELD_LINE.fullmatch(part[:-2]) if part.endswith(b"\r\n") else None
        if match is None:
            raise ProtocolError("a malformed trailer (RFC 9112 section 7.1.2)")
        self._check_trailer(match[1])
        self._trailer_lines += 1
        if self._trailer_lines > _TRAILER_LINES_MAX:
            raise ProtocolError("too many trailers (RFC 9112 section 7.1.2)")
        return end + 1

    def _check_trailer(self, name: bytes) -> None:
        # A layer that maps names as CGI does (RFC 3875 section 4.1.18) reads "_" as "-".
        if name.lower().replace(b"_", b"-") in self._forbidden:
            raise ProtocolError("a trailer that is forbidden there (RFC 9110 section 6.5.1)")

    def before_next_chunk(self) -> bytes | None:
        """What is still to come before the next chunk's size, where no chunk is under way; else None.

        Where the size line has begun it cannot be taken back, so that counts as under way; so does the last chunk.
        """
        if self._remaining_bytes or self._in_trailers:
            return None
        separator = b"" if self._is_first else b"\r\n"
        return separator[len(self._line) :] if separator.startswith(self._line) else None

    def eof(self) -> None:
        """See BodyFramer."""
        if not self.complete:
            raise ProtocolError("the body ends before its last chunk (RFC 9112 section 8)")

    def __repr__(self) -> str:
        where = "trailers" if self._in_trailers else f"remaining={self._remaining_bytes}"
        return f"ChunkedBody({where}, complete={self.complete})"


def is_all_chunks(data: bytes, at: int) -> bool:
    """Whether ``data[at:]`` is a chunked body from its first byte to its last, with neither extensions nor trailers.

    What an app has sent at once and is done with. Where it is not, it may still be a body, or the beginning of one:
    that is for ChunkedBody to say.
    """
    pattern = abnf.FIRST_CHUNK
    while (match := pattern.match(data, at)) is not None:
        digits_end, at = match.end(1), match.end()
        if at != digits_end + 2:
            return False
        size_bytes = int(match[1], 16)
        if not size_bytes:
            return len(data) == at + 2 and data.endswith(b"\r\n")
        at += size_bytes
        pattern = abnf.NEXT_CHUNK
    return False

"""HTTP/1.1 read to the letter, and by none of the parsers that are under test: what it reads is beyond dispute.

Where RFC 9112 lets a recipient be lenient, this one is not: a message that two recipients could read in two ways
is a fault here. Incremental by reading anew from the start: the messages of tests are small.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([^\x00-\x20\x7f]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
# Control bytes but CR, LF and NUL may be kept in a value (RFC 9110 section 5.5).
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\r\n\x00]*?)[ \t]*")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_CHUNK_LINE_MAX = 65536


class FaultError(Exception):
    """What was read is no message. The text says why."""


@dataclass(slots=True)
class Read:
    """One message.

    Attributes:
        start: method and target; or the status as text and the reason.
        minor: of its version.
        fields: name (lower-case) and value, in order.
        framing: ``none``, ``length``, ``chunked`` or ``close``.
        body: its framing removed; as much as has come.
        trailers: name and value.
        raw: all its bytes that have come.
        is_whole: whether its end has come.
    """

    start: tuple[bytes, bytes]
    minor: int
    fields: list[tuple[bytes, bytes]]
    framing: str = "none"
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    raw: bytes = b""
    is_whole: bool = False

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start[0])

    def all(self, name: bytes) -> list[bytes]:
        """The values of a field."""
        return [value for key, value in self.fields if key == name]


def take_request(data: bytes) -> Read | None:
    """The request at the beginning of what was read.

    Returns:
        A message, whole or with as much of its body as there is; None while its head is not whole.

    Raises:
        FaultError: it is none.
    """
    split = _head(data)
    if split is None:
        return None
    lines, at = split
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise FaultError(f"request line {lines[0]!r}")
    read = Read((match[1], match[2]), int(match[3]), _fields(lines[1:]))
    hosts = read.all(b"host")
    if len(hosts) > 1 or (read.minor and not hosts):
        raise FaultError(f"Host {hosts}")
    read.framing = _framing(read, "none")
    _body(read, data, at)
    return read


def take_response(data: bytes, method: bytes, *, has_ended: bool) -> Read | None:
    """The response at the beginning of what was read; as take_request.

    Args:
        data: what came.
        method: of the request.
        has_ended: a FIN came behind it.
    """
    split = _head(data)
    if split is None:
        return None
    lines, at = split
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise FaultError(f"status line {lines[0]!r}")
    read = Read((match[2], match[3] or b""), int(match[1]), _fields(lines[1:]))
    # Rule 1 of RFC 9112 section 6.3: these end with their head, whatever it says.
    if method != b"HEAD" and read.status >= 200 and read.status not in (204, 304):
        read.framing = _framing(read, "close")
    _body(read, data, at, has_ended=has_ended)
    return read


def _head(data: bytes) -> tuple[list[bytes], int] | None:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    return data[:end].split(b"\r\n"), end + 4


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise FaultError(f"field line {line[:200]!r}")
        fields.append((match[1].lower(), match[2]))
    return fields


def _framing(read: Read, without: str) -> str:
    lengths, codings = read.all(b"content-length"), read.all(b"transfer-encoding")
    if codings:
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise FaultError(f"Transfer-Encoding {codings}")
        if lengths or not read.minor:
            raise FaultError(f"Transfer-Encoding with Content-Length {lengths}, in 1.{read.minor}")
        return "chunked"
    if not lengths:
        return without
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]):
        raise FaultError(f"Content-Length {lengths}")
    return "length"


def _body(read: Read, data: bytes, at: int, *, has_ended: bool = False) -> None:
    end = at
    if read.framing == "none":
        read.is_whole = True
    elif read.framing == "close":
        read.body, end, read.is_whole = data[at:], len(data), has_ended
    elif read.framing == "length":
        size = int(read.all(b"content-length")[0])
        read.body = data[at : at + size]
        end = at + len(read.body)
        read.is_whole = len(read.body) == size
    else:
        end = _chunks(read, data, at)
    read.raw = data[:end]


def _chunks(read: Read, data: bytes, at: int) -> int:
    while (line_end := data.find(b"\n", at, at + _CHUNK_LINE_MAX)) >= 0:
        match = _SIZE_LINE.fullmatch(data[at : line_end - 1])
        if match is None or data[line_end - 1 : line_end] != b"\r":
            raise FaultError(f"chunk line {data[at : line_end + 1]!r}")
        at = line_end + 1
        size = int(match[1], 16)
        if not size:
            return _trailers(read, data, at)
        read.body += data[at : at + size]
        if not b"\r\n".startswith(data[at + size : at + size + 2]):
            raise FaultError(f"behind a chunk: {data[at + size : at + size + 2]!r}")
        if len(data) < at + size + 2:
            return len(data)
        at += size + 2
    if at < len(data) and not re.fullmatch(rb"[0-9A-Fa-f]{1,16}(?:[ \t]*;[^\n]*)?\r?", data[at:]):
        raise FaultError(f"chunk line {data[at : at + 200]!r}")
    return len(data)


def _trailers(read: Read, data: bytes, at: int) -> int:
    while (end := data.find(b"\r\n", at)) >= 0:
        if end == at:
            read.is_whole = True
            return end + 2
        read.trailers += _fields([data[at:end]])
        at = end + 2
    return len(data)

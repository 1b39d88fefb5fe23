"""What a fuzz target is, and what several of them need."""

import random
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pyinit.errors import ProtocolError
from pyinit.http1.body import BodyFramer, ChunkedBody
from pyinit.http1.framing import request_body
from pyinit.http1.head import HeadReader
from pyinit.http1.message import RequestHead
from pyinit.http1.request import RequestParser
from tests.support.oracles import Fields

HEAD_MAX_BYTES = 16 * 1024
FIELDS_MAX = 90  # h11 has a limit of its own, 100, and we add some


class Target(NamedTuple):
    """One surface that strangers' bytes reach.

    Attributes:
        name: as it is run by.
        check: takes any bytes; an AssertionError, or any exception it does not expect, is a finding.
        seeds: well-formed and odd inputs to begin from.
        words: what a mutation may put in.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes]


def in_pieces(data: bytes) -> list[bytes]:
    """``data`` in pieces, the same each time: an input is only its bytes, so it can be read and kept."""
    at_random = random.Random(zlib.crc32(data))
    if len(data) < 2:
        return [data] if data else []
    if at_random.random() < 0.2:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted({at_random.randrange(1, len(data)) for _ in range(at_random.randint(1, 6))})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def fields_of(lines: Sequence[bytes]) -> Fields:
    """Lower-case name and value of lines that were judged; the transfer coding in lower case, as h11 gives it."""
    found = []
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        found.append((name, value.lower() if name == b"transfer-encoding" else value))
    return found


class Request(NamedTuple):
    """A request that was accepted.

    Attributes:
        head: as parsed.
        body: as on the wire.
        payload: without its framing.
    """

    head: RequestHead
    body: bytes
    payload: bytes


class Connection:
    """A client connection as the proxy reads it, without a socket.

    Attributes:
        requests: whole ones, in order.
        refusal: why the rest was refused; None where it was not.
        part: what was accepted of one that is not whole.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.refusal: ProtocolError | None = None
        self.part: Request | None = None
        self._parser = RequestParser(FIELDS_MAX)
        self._reader = HeadReader(HEAD_MAX_BYTES)
        self._framer: BodyFramer | None = None

    def read(self, pieces: Sequence[bytes]) -> "Connection":
        """Take all of it in."""
        for piece in pieces:
            if self.refusal is None:
                try:
                    self._take(piece)
                except ProtocolError as refusal:
                    self.refusal = refusal
        return self

    def _take(self, data: bytes) -> None:
        while data:
            if self.part is None:
                taken = self._reader.feed(data)
                if taken is None:
                    assert self._reader.held_bytes <= 3 * HEAD_MAX_BYTES
                    return
                block, data = taken
                head = self._parser.parse(block)
                self._framer = request_body(head)
                self.part = Request(head, b"", b"")
            data = self._body(data)

    def _body(self, data: bytes) -> bytes:
        part, framer = self.part, self._framer
        assert part is not None
        end = 0
        if framer is not None:
            end, payload = framed(framer, data)
            self.part = part = Request(part.head, part.body + data[:end], part.payload + payload)
        if framer is None or framer.complete:
            self.requests.append(part)
            self.part = None
        else:
            assert end == len(data)
        return data[end:]


def framed(framer: BodyFramer, data: bytes) -> tuple[int, bytes]:
    """One read of a body: how far it goes, and what of it is payload."""
    if not isinstance(framer, ChunkedBody):
        end = framer.take(data, 0)
        return end, data[:end]
    framer.spans = []
    end = framer.take(data, 0)
    return end, b"".join([data[first:last] for first, last in framer.spans])

"""Bytes come in any split: one helper puts a parser's case through all of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pyinit.errors import ProtocolError

# What follows a message on a kept connection, and must be left alone by whoever reads that message.
TRAILING = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"

# Beyond this a case is cut at its ends and at evenly spread places: all of them would take seconds.
_EVERY_BYTE_MAX = 1024
_PLACES = 48

T = TypeVar("T")
# The message and the bytes that do not belong to it, later pieces included; None while it is not whole.
Parse = Callable[[Sequence[bytes]], tuple[T, bytes] | None]


@dataclass(frozen=True, slots=True)
class Refused:
    """A ProtocolError as a value.

    The reason is not compared: which of two faults shows first may depend on what has been read.
    """

    status: int
    reason: str = field(compare=False, default="")


def outcome(parse: Parse[T], pieces: Sequence[bytes]) -> tuple[T, bytes] | Refused | None:
    """What becomes of bytes that come in these pieces."""
    try:
        return parse(pieces)
    except ProtocolError as fault:
        return Refused(fault.status_hint, fault.reason)


def in_every_split(parse: Parse[T], data: bytes) -> T | Refused | None:
    """Parse ``data`` whole, split at every byte, byte by byte, and with another message behind it.

    Returns:
        The message, the refusal, or None where it is not whole; asserted to be the same each time.
    """
    whole = outcome(parse, [data])
    for pieces in _splits(data):
        assert outcome(parse, pieces) == whole, pieces
    if whole is None:
        return None
    if isinstance(whole, Refused):
        assert outcome(parse, [data + TRAILING]) == whole
        return whole
    message, rest = whole
    assert outcome(parse, [data + TRAILING]) == (message, rest + TRAILING)
    assert outcome(parse, [data, TRAILING]) == (message, rest + TRAILING)
    return message


def _splits(data: bytes) -> Iterator[list[bytes]]:
    size = len(data)
    places: Sequence[int] = range(1, size)
    step = 1
    if size > _EVERY_BYTE_MAX:
        step = size // _PLACES
        places = sorted({*range(1, 9), *range(step, size, step), *range(size - 8, size)})
    for place in places:
        yield [data[:place], data[place:]]
    yield [data[at : at + step] for at in range(0, size, step)]

"""Back-pressure: who may read now, and how much is held in memory for all.

Transports are given a write limit of 0, so that ``pause_writing`` means exactly: the kernel did not take it
all, and the rest is ours. From then on the source is not read. The kernel's socket buffers do the smoothing;
what we hold is the rest of one read per direction.
"""

import asyncio
import socket
import struct
from collections.abc import Callable

# Why a side is not read; bits, as several can hold at once.
PEER_IS_FULL = 1  # the other side does not take what we have
CONNECTING = 2  # there is no other side yet
PIPELINED = 4  # the next request is here before its turn
MEMORY = 8  # --buffer-memory is used up
UNREAD = 16  # it does not take its last answer: it gets no next one


class ReadGate:
    """Reading of one transport.

    Attributes:
        reasons: not to read it, as bits; 0 while it is read.
    """

    __slots__ = ("_transport", "reasons")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.reasons = 0

    def hold(self, reason: int) -> None:
        """Stop reading until this reason, and every other, is released."""
        if not self.reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self.reasons |= reason

    def release(self, reason: int) -> None:
        """Take a reason back; harmless where it did not hold."""
        if self.reasons:
            self.reasons &= ~reason
            if not self.reasons and not self._transport.is_closing():
                self._transport.resume_reading()

    def enforce(self) -> None:
        """Stop once more: uvloop begins to read after connection_made, whatever was held in it."""
        if self._transport.is_reading():
            self._transport.pause_reading()

    def __repr__(self) -> str:
        return f"ReadGate({self.reasons:#x})"


class MemoryGauge:
    """All that connections hold, under one limit.

    Args:
        limit_bytes: at it, all reading stops; below three quarters of it, it goes on.
        on_full: called with True at the limit and with False when there is room again.
    """

    __slots__ = ("_limit_bytes", "_on_full", "held_bytes", "is_full")

    def __init__(self, limit_bytes: int, on_full: Callable[[bool], None]) -> None:
        self._limit_bytes = limit_bytes
        self._on_full = on_full
        self.held_bytes = 0
        self.is_full = False

    def add(self, change_bytes: int) -> None:
        """Count a change, up or down."""
        self.held_bytes += change_bytes
        if self.is_full:
            if self.held_bytes <= self._limit_bytes * 3 // 4:
                self.is_full = False
                self._on_full(False)  # noqa: FBT003  a callback's one argument
        elif self.held_bytes >= self._limit_bytes:
            self.is_full = True
            self._on_full(True)  # noqa: FBT003  the same

    def __repr__(self) -> str:
        return f"MemoryGauge({self.held_bytes}/{self._limit_bytes} bytes)"


def reset(transport: asyncio.Transport) -> None:
    """Close at once and visibly: with SO_LINGER at zero a close sends RST instead of FIN (socket(7))."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()

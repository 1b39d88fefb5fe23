"""What the kernel knows of a client's connection and no protocol callback tells."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

# struct tcp_info (linux/tcp.h), append-only: as far as is read here. Older kernels give less of it.
_TCP_INFO_BYTES = 156
_TOTAL_RETRANS_AT, _BYTES_RECEIVED_AT, _DATA_SEGS_IN_AT = 100, 128, 152
# An estimate forgets 1/8 with every answer (RFC 6298 section 2.3): after so many a second is no longer felt.
_SAMPLES_TO_FORGET = 10


def undelivered_bytes(transport: asyncio.Transport, sock: socket.socket | None = None) -> int:
    """What we wrote and the client's kernel has not acknowledged, our FIN included (SIOCOUTQ, tcp(7)).

    Args:
        transport: the client's connection.
        sock: its socket, where that is at hand: to make the one that uvloop shows costs a getsockname.
    """
    if sock is None:
        sock = transport.get_extra_info("socket")
    return transport.get_write_buffer_size() + _queued_bytes(sock, termios.TIOCOUTQ)


def unread_bytes(transport: asyncio.Transport) -> int:
    """What has come from the client and we have not read (FIONREAD, tcp(7))."""
    return _queued_bytes(transport.get_extra_info("socket"), termios.FIONREAD)


def _queued_bytes(sock: socket.socket | None, request: int) -> int:
    """An ioctl's answer; 0 where the socket has none to give any more."""
    if sock is None or (fd := sock.fileno()) < 0:
        return 0
    try:
        answer = fcntl.ioctl(fd, request, b"\0\0\0\0")
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


def has_reset(transport: asyncio.Transport) -> bool:
    """Whether a reset has come that nobody saw: a socket that is not read is not polled either."""
    sock = transport.get_extra_info("socket")
    return sock is not None and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def is_client_slow_to_resend(transport: asyncio.Transport) -> bool:
    """Whether our SYN-ACK may have been lost, of which the client still thinks that it took the way so long.

    The timestamp that comes back is its first SYN's: it measures a round trip of a second or more, and sends a
    lost request again after three times as much (RFC 6298 section 2.2) instead of after 0.2 s. What we have sent
    again is counted in one, SYN-ACKs and answers: where it was an answer we wait for nothing.
    """
    info = _tcp_info(transport)
    if info is None:
        return False
    resent: int = struct.unpack_from("=I", info, _TOTAL_RETRANS_AT)[0]
    segments_in: int = struct.unpack_from("=I", info, _DATA_SEGS_IN_AT)[0]
    return resent > 0 and segments_in < _SAMPLES_TO_FORGET


def received_bytes(transport: asyncio.Transport) -> int | None:
    """What has ever come from the client, read or not, its FIN included; None where the kernel does not count it."""
    info = _tcp_info(transport)
    if info is None:
        return None
    received: int = struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)[0]
    return received


def _tcp_info(transport: asyncio.Transport) -> bytes | None:
    """As much of it as is read here; None of a unix socket, one that is gone, and from an older kernel."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return None
    try:
        info: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    return info if len(info) >= _TCP_INFO_BYTES else None

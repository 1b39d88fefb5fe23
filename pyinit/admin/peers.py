"""Who is at the other end of an operator's unix socket, and what they may do (SO_PEERCRED, unix(7))."""

from __future__ import annotations

import os
import socket
import struct
from enum import Enum
from typing import NamedTuple

_UCRED = struct.Struct("=iII")
# user_namespaces(7): a user that our namespace has no number for is shown as this one (/proc/sys/kernel/overflowuid).
OVERFLOW_UID = 65534
_ALL_UIDS = 2**32 - 1


class Access(Enum):
    """What a peer may do."""

    FULL = "read and order"
    READ = "read"
    NONE = "nothing"


class Peer(NamedTuple):
    """A peer as the kernel knows it.

    Attributes:
        pid: 0 where it lives in a PID namespace that ours cannot see into.
        uid: its user.
        gid: its group.
    """

    pid: int
    uid: int
    gid: int

    @property
    def access(self) -> Access:
        """Our own user and root may do everything, but not from a container beside ours: those may read."""
        own = os.geteuid()
        if self.uid not in (0, own):
            return Access.NONE
        if self.uid == OVERFLOW_UID and not knows_every_user():
            return Access.NONE  # ours, if we are nobody; or any of the machine's
        return Access.FULL if self.pid else Access.READ

    def __str__(self) -> str:
        """As a log line has it."""
        return f"uid {self.uid}, " + (f"pid {self.pid}" if self.pid else "in another PID namespace")


def knows_every_user(uid_map: str | os.PathLike[str] = "/proc/self/uid_map") -> bool:
    """Whether our user namespace has a number for each user, so that nobody is shown as another."""
    try:
        with open(uid_map) as ranges:
            rows = [line.split() for line in ranges]
    except OSError:
        return True  # no user namespaces, or no /proc: SO_PEERCRED is all that can be known
    return sum(int(row[2]) for row in rows) >= _ALL_UIDS


def peer_of(sock: socket.socket) -> Peer | None:
    """The peer of a unix socket; None for any other socket, which does not tell."""
    if sock.family != socket.AF_UNIX:
        return None
    return Peer(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))

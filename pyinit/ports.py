"""Who listens where, as the kernel tells, to say in one line why an app cannot be reached, or can from outside.

Everything here is diagnosis: where it does not tell (another user's process, no /proc at all) the answer is
"unknown", and nothing is refused on that ground.
"""

from __future__ import annotations

import os
import socket
import struct

from pyinit.proxy.sock_diag import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp
_LISTEN_STATE = 10
# The beginning of struct inet_diag_msg: family, state, timer, retransmissions, local port, the peer's, local address;
# and its last word, after the peer's address, interface, cookie and four counters.
_DIAG = struct.Struct("!BBBBHH16s")
_DIAG_INODE = struct.Struct("=I")
_DIAG_INODE_AT = 68


class Listening:
    """One listening TCP socket.

    Attributes:
        ip: numeric; 0.0.0.0 and :: for all.
        port: its port.
        inode: names the socket in /proc/PID/fd.
    """

    __slots__ = ("inode", "ip", "port")

    def __init__(self, ip: str, port: int, inode: str) -> None:
        self.ip = ip
        self.port = port
        self.inode = inode

    @property
    def is_loopback(self) -> bool:
        """Whether it cannot be reached from another machine."""
        return self.ip.startswith(("127.", "::ffff:127.")) or self.ip == "::1"

    def __repr__(self) -> str:
        return f"Listening({self.ip}, {self.port})"


def listening() -> list[Listening]:
    """All listening TCP sockets of this network namespace."""
    found = []
    for path, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        try:
            found += _from_diag(family)
        except OSError:  # a seccomp profile
            found += _from_table(path, family)
    return found


def _from_diag(family: int) -> list[Listening]:
    """The kernel's list of those alone: a start waits for it."""
    found = []
    for message in dump(family, 1 << _LISTEN_STATE):
        if len(message) < _DIAG_INODE_AT + _DIAG_INODE.size:
            continue
        _, state, _, _, port, _, address = _DIAG.unpack_from(message)
        if state == _LISTEN_STATE:
            packed = address[:4] if family == socket.AF_INET else address
            (inode,) = _DIAG_INODE.unpack_from(message, _DIAG_INODE_AT)
            found.append(Listening(socket.inet_ntop(family, packed), port, str(inode)))
    return found


def _from_table(path: str, family: int) -> list[Listening]:
    try:
        with open(path) as table:
            next(table, None)
            return _at_its_head(table, family)
    except OSError:
        return []


def _at_its_head(table: Iterable[str], family: int) -> list[Listening]:
    """Those that listen come first (the kernel's proc_net_tcp), and the rest may be tens of thousands."""
    found = []
    for row in table:
        fields = row.split()
        if fields[3] != _LISTEN:
            break
        hexadecimal, _, port = fields[1].partition(":")
        found.append(Listening(_ip(hexadecimal, family), int(port, 16), fields[9]))
    return found


def inodes(pids: set[int]) -> set[str] | None:
    """The socket inodes that these processes hold; None where one of them does not let us look."""
    found: set[str] = set()
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except FileNotFoundError:
            continue
        except OSError:
            return None
        for name in names:
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found


def _ip(hexadecimal: str, family: int) -> str:
    """The address from /proc/net/tcp, which prints each 32-bit word in host order."""
    words = [hexadecimal[i : i + 8] for i in range(0, len(hexadecimal), 8)]
    packed = b"".join(bytes.fromhex(word)[::-1] for word in words)
    return socket.inet_ntop(family, packed)

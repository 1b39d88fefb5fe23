"""How many handshakes are under way on a port: asked of the kernel over NETLINK_SOCK_DIAG (sock_diag(7)).

Needs no privilege. Where it is missing (a seccomp profile, a kernel without INET_DIAG) the caller waits a fixed
time instead. Those answered with a SYN cookie have no socket that could be counted: that there were any is all that
the kernel tells.
"""

from __future__ import annotations

import struct

from pyinit.proxy.sock_diag import dump

_TCP_SYN_RECV, _TCP_NEW_SYN_RECV = 3, 12
# The beginning of struct inet_diag_msg: family, state, timer, retransmissions, local port, the peer's.
_MESSAGE = struct.Struct("!BBBBHH")

_COUNTERS = "/proc/net/netstat"


def cookies_sent() -> int:
    """SYN cookies that this network namespace has ever sent, on any port; 0 where it cannot be known."""
    try:
        with open(_COUNTERS) as counters:
            rows = [line.split() for line in counters if line.startswith("TcpExt:")]
        return int(dict(zip(*rows, strict=True))["SyncookiesSent"])
    except (OSError, KeyError, TypeError, ValueError):
        return 0


def count_handshakes(family: int, port: int) -> int:
    """SYN_RECV sockets whose local port is this one.

    Args:
        family: AF_INET or AF_INET6; a dual-stack listener's IPv4 handshakes are AF_INET6's to the kernel or
            AF_INET's, depending on its version: ask for both and add.
        port: the listener's.

    Raises:
        OSError: not to be had here.
    """
    found = dump(family, 1 << _TCP_SYN_RECV | 1 << _TCP_NEW_SYN_RECV, port)
    return sum(_is_handshake(message, port) for message in found)


def _is_handshake(message: bytes, port: int) -> bool:
    if len(message) < _MESSAGE.size:
        return False
    _, state, _, _, local_port, _ = _MESSAGE.unpack_from(message)
    return bool(local_port == port and state in (_TCP_SYN_RECV, _TCP_NEW_SYN_RECV))

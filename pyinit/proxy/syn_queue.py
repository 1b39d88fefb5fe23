"""How many handshakes are under way on a port: asked of the kernel over NETLINK_SOCK_DIAG (sock_diag(7)).

Needs no privilege. Where it is missing (a seccomp profile, a kernel without INET_DIAG) the caller waits a fixed
time instead. Those answered with a SYN cookie have no socket that could be counted: that there were any is all that
the kernel tells.
"""

from __future__ import annotations

import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_TCP_SYN_RECV, _TCP_NEW_SYN_RECV = 3, 12
# struct nlmsghdr: length, type, flags, sequence, port id.
_HEADER = struct.Struct("=IHHII")
# struct inet_diag_req_v2: family, protocol, extensions, padding, states; then struct inet_diag_sockid, with both
# ports in network order, of which only the source port is given.
_REQUEST = struct.Struct("=BBBxI")
_SOCKID_BYTES = 48
# struct inet_diag_msg: family, state, timer, retransmissions; then the sockid, which begins with the ports.
_MESSAGE = struct.Struct("=BBBB")

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
    states = 1 << _TCP_SYN_RECV | 1 << _TCP_NEW_SYN_RECV
    sockid = struct.pack("!HH", port, 0) + bytes(_SOCKID_BYTES - 4)
    payload = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, states) + sockid
    header = _HEADER.pack(
        _HEADER.size + len(payload), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as link:
        # The kernel answers a dump as it is read; the timeout is for one that does not.
        link.settimeout(0.2)
        link.send(header + payload)
        count = 0
        while True:
            answer = link.recv(65536)
            found, is_last = _count(answer, port)
            count += found
            if is_last:
                return count


def _count(answer: bytes, port: int) -> tuple[int, bool]:
    """Sockets in one datagram of the dump, and whether it was the last."""
    count, at = 0, 0
    while at + _HEADER.size <= len(answer):
        length, kind, _, _, _ = _HEADER.unpack_from(answer, at)
        if kind == _NLMSG_DONE:
            return count, True
        if kind == _NLMSG_ERROR:
            number = -struct.unpack_from("=i", answer, at + _HEADER.size)[0]
            raise OSError(number, "sock_diag refused the query")
        state = _MESSAGE.unpack_from(answer, at + _HEADER.size)[1]
        local_port = struct.unpack_from("!H", answer, at + _HEADER.size + _MESSAGE.size)[0]
        count += local_port == port and state in (_TCP_SYN_RECV, _TCP_NEW_SYN_RECV)
        at += max(_HEADER.size, (length + 3) & ~3)
    return count, False

"""The kernel's TCP sockets by state, over NETLINK_SOCK_DIAG (sock_diag(7)): needs no privilege, and may be missing.

/proc/net/tcp has the same, but walks every socket of the network namespace and each bucket of the machine's table.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
# struct nlmsghdr: length, type, flags, sequence, port id.
_HEADER = struct.Struct("=IHHII")
# struct inet_diag_req_v2: family, protocol, extensions, padding, states; then struct inet_diag_sockid, with both
# ports in network order, of which only the source port is given.
_REQUEST = struct.Struct("=BBBxI")
_SOCKID_BYTES = 48
# The kernel answers a dump as it is read; this is for one that does not.
_ANSWER_S = 0.2


def dump(family: int, states: int, port: int = 0) -> Iterator[bytes]:
    """Each socket as a struct inet_diag_msg.

    Args:
        family: AF_INET or AF_INET6.
        states: a bit for each.
        port: the local one; 0 for any. A kernel may send others too, and other states.

    Raises:
        OSError: not to be had here.
    """
    sockid = struct.pack("!HH", port, 0) + bytes(_SOCKID_BYTES - 4)
    payload = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, states) + sockid
    header = _HEADER.pack(
        _HEADER.size + len(payload), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(_ANSWER_S)
        link.send(header + payload)
        is_last = False
        while not is_last:
            found, is_last = messages(link.recv(65536))
            yield from found


def messages(answer: bytes) -> tuple[list[bytes], bool]:
    """The sockets in one datagram of a dump, and whether it was the last. Raises OSError for a refusal."""
    found: list[bytes] = []
    at = 0
    while at + _HEADER.size <= len(answer):
        length, kind, _, _, _ = _HEADER.unpack_from(answer, at)
        if kind == _NLMSG_DONE:
            return found, True
        begin = at + _HEADER.size
        if kind == _NLMSG_ERROR:
            number = -struct.unpack_from("=i", answer, begin)[0]
            raise OSError(number, "sock_diag refused the query")
        at += max(_HEADER.size, (length + 3) & ~3)
        found.append(answer[begin:at])
    return found, False

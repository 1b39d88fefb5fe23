"""sock_diag's answers, as the kernel sends them: how many handshakes, and whether that was all."""

import errno
import struct
from typing import Self

import pytest

from pyinit.proxy import sock_diag, syn_queue

HEADER = struct.Struct("=IHHII")
SOCK_DIAG_BY_FAMILY, DONE, ERROR = 20, 3, 2
ESTABLISHED, SYN_RECV, NEW_SYN_RECV = 1, 3, 12
MULTI = 2
# A dump's last message, recorded: 20 bytes, NLMSG_DONE, NLM_F_MULTI, and a status of 0.
RECORDED_DONE = bytes.fromhex("14000000 0300 0200 01000000 02090000 00000000".replace(" ", ""))


def message(kind: int, payload: bytes, *, flags: int = MULTI) -> bytes:
    """One netlink message, padded to four bytes as in a datagram."""
    whole = HEADER.pack(HEADER.size + len(payload), kind, flags, 1, 0) + payload
    return whole + bytes(-len(whole) % 4)


def sock(state: int, port: int, *, family: int = 2, attributes: bytes = b"") -> bytes:
    """A struct inet_diag_msg of 72 bytes: family, state, timer, retrans; ports and addresses; counters."""
    ports = struct.pack("!HH", port, 40000)
    body = struct.pack("=BBBB", family, state, 1, 0) + ports + bytes(44) + bytes(20)
    return message(SOCK_DIAG_BY_FAMILY, body + attributes)


# (sentence, datagram, count, whether it is the last)
DATAGRAMS = [
    ("an empty dump", RECORDED_DONE, 0, True),
    ("a datagram with nothing in it", b"", 0, False),
    ("one handshake, more to come", sock(SYN_RECV, 8080), 1, False),
    ("one handshake and the end", sock(SYN_RECV, 8080) + RECORDED_DONE, 1, True),
    ("a request socket of newer kernels", sock(NEW_SYN_RECV, 8080), 1, False),
    ("IPv6", sock(SYN_RECV, 8080, family=10), 1, False),
    ("another port", sock(SYN_RECV, 8081), 0, False),
    ("the same number as the peer's port alone", sock(SYN_RECV, 40001), 0, False),
    ("an established one, by a kernel that ignores the state mask", sock(ESTABLISHED, 8080), 0, False),
    (
        "several of each",
        sock(SYN_RECV, 8080) + sock(SYN_RECV, 1) + sock(NEW_SYN_RECV, 8080) + sock(SYN_RECV, 8080),
        3,
        False,
    ),
    (
        "attributes whose length is no multiple of four",
        sock(SYN_RECV, 8080, attributes=b"\x05\x00\x08\x00\x01") + sock(SYN_RECV, 8080) + RECORDED_DONE,
        2,
        True,
    ),
    ("what follows the end is not read", RECORDED_DONE + sock(SYN_RECV, 8080), 0, True),
    ("less than a header is left", sock(SYN_RECV, 8080) + bytes(8), 1, False),
]


@pytest.mark.parametrize(
    ("datagram", "count", "is_last"), [row[1:] for row in DATAGRAMS], ids=[row[0] for row in DATAGRAMS]
)
def test_a_datagram_of_the_dump(datagram: bytes, count: int, *, is_last: bool) -> None:
    found, was_last = sock_diag.messages(datagram)
    assert sum(syn_queue._is_handshake(it, 8080) for it in found) == count
    assert was_last is is_last


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOENT, errno.EOPNOTSUPP])
def test_a_refusal_is_an_error_with_its_number(number: int) -> None:
    """The caller then waits a fixed time instead of believing that there are none."""
    refusal = message(ERROR, struct.pack("=i", -number) + bytes(16))
    with pytest.raises(OSError, match="sock_diag refused") as refused:
        sock_diag.messages(refusal)
    assert refused.value.errno == number


def test_a_message_that_claims_no_length_does_not_hold_us_up() -> None:
    broken = HEADER.pack(0, SOCK_DIAG_BY_FAMILY, 0, 1, 0) + bytes(72)
    found, _ = sock_diag.messages(broken + RECORDED_DONE)
    assert not any(syn_queue._is_handshake(it, 8080) for it in found)


class Link:
    """A netlink socket made of the datagrams that it gives."""

    def __init__(self, *datagrams: bytes) -> None:
        self.datagrams = list(datagrams)
        self.sent: list[bytes] = []
        self.timeout_s: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def settimeout(self, timeout_s: float) -> None:
        """So that a kernel that says nothing is no hang."""
        self.timeout_s = timeout_s

    def send(self, data: bytes) -> None:
        """The query."""
        self.sent.append(data)

    def recv(self, _size: int) -> bytes:
        """The next datagram."""
        return self.datagrams.pop(0)


def test_a_dump_is_read_to_its_end_and_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(
        sock(SYN_RECV, 8080) + sock(SYN_RECV, 8080), sock(SYN_RECV, 8080), RECORDED_DONE, sock(SYN_RECV, 8080)
    )
    monkeypatch.setattr("pyinit.proxy.sock_diag.socket.socket", lambda *_: link)
    assert syn_queue.count_handshakes(2, 8080) == 3
    assert link.timeout_s
    (query,) = link.sent
    length, kind, flags, _, _ = HEADER.unpack_from(query)
    # struct inet_diag_req_v2 is 56 bytes; linux/inet_diag.h.
    assert (length, kind, flags) == (len(query), SOCK_DIAG_BY_FAMILY, 0x301)
    assert len(query) == HEADER.size + 56
    family, protocol, _, states = struct.unpack_from("=BBBxI", query, HEADER.size)
    assert (family, protocol, states) == (2, 6, 1 << SYN_RECV | 1 << NEW_SYN_RECV)
    assert struct.unpack_from("!HH", query, HEADER.size + 8) == (8080, 0)

"""Diagnosis from /proc: the table's own form, and "unknown" where it does not tell."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from pyinit import ports
from pyinit.ports import Listening

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("hexadecimal", "family", "ip"),
    [
        ("0100007F", socket.AF_INET, "127.0.0.1"),
        ("00000000", socket.AF_INET, "0.0.0.0"),
        ("0500A8C0", socket.AF_INET, "192.168.0.5"),
        ("00000000000000000000000001000000", socket.AF_INET6, "::1"),
        ("0000000000000000FFFF00000100007F", socket.AF_INET6, "::ffff:127.0.0.1"),
        ("B80D0120000000000000000001000000", socket.AF_INET6, "2001:db8::1"),
    ],
)
def test_an_address_is_read_word_by_word(hexadecimal: str, family: socket.AddressFamily, ip: str) -> None:
    assert ports._ip(hexadecimal, family) == ip


@pytest.mark.parametrize(
    ("ip", "is_loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("::ffff:10.0.0.1", False)],
)  # fmt: skip
def test_loopback_cannot_be_reached_from_outside(ip: str, *, is_loopback: bool) -> None:
    assert Listening(ip, 80, "1").is_loopback is is_loopback


def test_no_such_process() -> None:
    gone = 1 << 30  # above PID_MAX_LIMIT, 2^22 (proc(5))
    assert ports.inodes({gone}) == set()
    assert repr(Listening("::1", 80, "5")) == "Listening(::1, 80)"


def test_of_the_table_what_stands_before_the_first_connection_is_read() -> None:
    """On a busy machine the rest is tens of thousands of rows, and a start waits for it."""
    listens = "0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1 0\n"
    connected = listens.replace(" 0A ", " 01 ")

    def table() -> Iterator[str]:
        yield listens
        yield connected
        raise AssertionError("read on")

    (found,) = ports._at_its_head(table(), socket.AF_INET)
    assert (found.ip, found.port, found.inode) == ("127.0.0.1", 3000, "77")

"""Where a storm takes place: this machine's loopback, or the two ends of a link."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from link import End, Link, missing

_CLONE_NEWNET = 0x40000000  # os.setns begins with Python 3.12
_NAMESPACES = Path("/run/netns")
# Below where the kernel takes clients' ports from: thousands of them come and go in each stop.
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class Condition:
    """What lies between clients and server.

    Attributes:
        name: in the table.
        delay_s: one way; None for loopback.
        loss: share of packets lost, each way.
    """

    name: str
    delay_s: float | None = None
    loss: float = 0.0


CONDITIONS = {
    "loopback": Condition("loopback"),
    "rtt": Condition("20 ms round trip", 0.01),
    "loss": Condition("20 ms, 2 % of packets lost", 0.01, 0.02),
}


class Place:
    """A condition set up.

    Attributes:
        condition: which.
        host: the server's address.
    """

    def __init__(self, condition: Condition, link: Link | None) -> None:
        self.condition = condition
        self.host = link.server.address if link else "127.0.0.1"
        self._client: End | None = link.client if link else None
        self._server: End | None = link.server if link else None

    def command(self, words: list[str]) -> list[str]:
        """The same, run on the server's side."""
        return self._server.command(words) if self._server else words

    def client_side(self) -> contextlib.AbstractContextManager[None]:
        """Sockets that this thread makes are the clients'."""
        return _inside(self._client)

    def free_port(self) -> int:
        """One that a server can listen on, at its address and at its loopback."""
        with _inside(self._server):
            for port in random.sample(_PORTS, len(_PORTS)):
                with contextlib.suppress(OSError), socket.socket() as sock:
                    sock.bind(("", port))
                    return port
        raise OSError("no free port")


@contextlib.contextmanager
def place(condition: Condition) -> Iterator[Place]:
    """Set it up; a link needs what ``link.missing()`` names."""
    if condition.delay_s is None:
        yield Place(condition, None)
        return
    with Link(condition.delay_s, condition.loss) as link:
        yield Place(condition, link)


def refusal(condition: Condition) -> str | None:
    """Why it cannot be had here; None where it can."""
    return None if condition.delay_s is None else missing()


@contextlib.contextmanager
def _inside(end: End | None) -> Iterator[None]:
    if end is None:
        yield
        return
    with (
        Path("/proc/thread-self/ns/net").open("rb") as own,
        (_NAMESPACES / end.namespace).open("rb") as other,
    ):
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(fd: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""A pyinit at the server's end of a link, and connections to it from the client's."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyinit.proxy.syn_queue import count_handshakes
from tests.support.front import DEADLINE_S, Front
from tests.support.http_client import Client
from tests.support.namespace import inside
from tests.support.process import SCRIPT_PATH, children_of, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from link import Link

_PID_NAMESPACE = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")
_PROLOGUE = "const http=require('http');process.on('SIGTERM',()=>process.exit(0));"
_EPILOGUE = ".listen(process.env.PORT,'127.0.0.1');"


class FarFront(Front):
    """A pyinit in the server's namespace.

    Args:
        link: whose server it is.
        arguments: for pyinit.
        before: words in front of it, inside the namespace.
        is_pid_1: of a PID namespace of its own.
    """

    def __init__(
        self, link: Link, arguments: Sequence[str], *, before: Sequence[str] = (), is_pid_1: bool = False
    ) -> None:
        prefix = [*_PID_NAMESPACE, *before] if is_pid_1 else [*before]
        self._prefix = link.server.command(prefix)
        self._is_pid_1 = is_pid_1
        super().__init__(arguments)

    def _command(self, arguments: list[str]) -> list[str]:
        return [*self._prefix, SCRIPT_PATH, *arguments]

    @property
    def init_pid(self) -> int:
        """Pyinit's pid as seen from here."""
        return children_of(self.process.pid)[0] if self._is_pid_1 else self.process.pid

    def signal(self, signum: int = signal.SIGTERM) -> None:
        """Send pyinit a signal, from outside."""
        os.kill(self.init_pid, signum)

    def close(self) -> None:
        """End it whatever its state."""
        if self._is_pid_1 and self.process.poll() is None:
            self.process.kill()  # and with it the namespace
        super().close()


@contextmanager
def far_node(
    link: Link,
    server: str,
    *arguments: str,
    before: Sequence[str] = (),
    is_pid_1: bool = False,
) -> Iterator[FarFront]:
    """A Node server behind a pyinit across the link.

    Args:
        link: whose server it is.
        server: an expression of a server, with ``http`` at hand; SIGTERM ends it with 0.
        arguments: for pyinit, ``--listen`` among them.
        before: see FarFront.
        is_pid_1: the same.
    """
    command = [*arguments, "--", "node", "-e", _PROLOGUE + server + _EPILOGUE]
    running = FarFront(link, command, before=before, is_pid_1=is_pid_1)
    try:
        yield running
    finally:
        running.close()


def client_socket(link: Link, family: socket.AddressFamily) -> socket.socket:
    """A socket at the client's end."""
    with inside(link.client.namespace):
        return socket.socket(family)


def connected(link: Link, address: tuple[str, int]) -> Client:
    """A connection from the client's end."""
    sock = client_socket(link, family_of(address))
    sock.settimeout(DEADLINE_S)
    sock.connect(address)
    return Client.over(sock)


def family_of(address: tuple[str, int]) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def handshakes(link: Link, port: int) -> int:
    """How many are under way at the server's end."""
    with inside(link.server.namespace):
        return sum(count_handshakes(family, port) for family in (socket.AF_INET, socket.AF_INET6))


def connecting(link: Link, address: tuple[str, int], count: int) -> list[socket.socket]:
    """So many connects whose SYN has arrived, and whose ACK has not: give the link time enough."""
    socks = [client_socket(link, family_of(address)) for _ in range(count)]
    for sock in socks:
        sock.settimeout(0)
        assert sock.connect_ex(address) == errno.EINPROGRESS
    eventually(lambda: handshakes(link, address[1]) == count, what=lambda: handshakes(link, address[1]))
    return socks


def syns_sent_again(sock: socket.socket) -> int:
    """How often the kernel had to send a segment once more: 0 for a connect that was answered at once."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", info, 100)[0])  # tcpi_total_retrans


def is_refused_at_once(link: Link, address: tuple[str, int]) -> bool:
    """Whether a connect is answered by a reset, and the first of its SYNs is."""
    with client_socket(link, family_of(address)) as sock:
        sock.settimeout(DEADLINE_S)
        return sock.connect_ex(address) == errno.ECONNREFUSED and not syns_sent_again(sock)

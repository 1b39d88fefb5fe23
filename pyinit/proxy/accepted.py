"""Accepted connections on their way to a transport."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class AcceptedSocket:
    """As much of a socket as uvloop asks for.

    Python's own costs a getsockname and six conversions to enums, which were 5 % of what a connection with one request
    took. asyncio's loop reads and writes by it, and gets a real one.

    Args:
        fd: from accept; of the transport once there is one.
        family: its listener's.

    Attributes:
        family: as given.
        type: a stream's.
    """

    __slots__ = ("_fd", "family")

    type = int(socket.SOCK_STREAM)

    def __init__(self, fd: int, family: int) -> None:
        self._fd = fd
        self.family = family

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed, as a socket's."""
        return self._fd

    def detach(self) -> int:
        """Give it up: the descriptor is the caller's."""
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        """By uvloop, when it has closed the descriptor: whose number that is by now is not known."""
        self._fd = -1

    def __repr__(self) -> str:
        return f"AcceptedSocket({self._fd})"


def accepted_socket(fd: int, family: int, loop: asyncio.AbstractEventLoop) -> socket.socket:
    """What a loop needs of an accepted descriptor."""
    if isinstance(loop, asyncio.BaseEventLoop):
        sock = socket.socket(family, socket.SOCK_STREAM, fileno=fd)
        sock.setblocking(False)  # noqa: FBT003  the library's signature
        return sock
    return cast("socket.socket", AcceptedSocket(fd, family))


def attach(
    work: Coroutine[asyncio.Future[None], None, object],
    sock: socket.socket,
    on_end: Callable[[Exception | None], None],
) -> None:
    """Make a transport of an accepted socket: as a task would do it, for less of what a connection costs.

    Args:
        work: the loop's connect_accepted_socket.
        sock: what it works on.
        on_end: called when it is done, with what it has raised.
    """
    try:
        waiter = work.send(None)
    except StopIteration:
        on_end(None)
    except Exception as problem:  # noqa: BLE001  it is handed on
        os.close(sock.detach())  # up to the first wait no transport has it
        on_end(problem)
    else:
        waiter.add_done_callback(lambda _: _go_on(work, on_end))


def _go_on(
    work: Coroutine[asyncio.Future[None], None, object], on_end: Callable[[Exception | None], None]
) -> None:
    try:
        waiter = work.send(None)
    except StopIteration:
        on_end(None)
    except Exception as problem:  # noqa: BLE001  it is handed on
        on_end(problem)
    else:
        waiter.add_done_callback(lambda _: _go_on(work, on_end))

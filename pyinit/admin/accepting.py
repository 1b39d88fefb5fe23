"""Accepts at an operator's socket, with a descriptor in reserve for when the proxy has used up all others."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_PER_TURN = 16
# Out of descriptors, and the one in reserve in use: the queue stays readable, and would be looked at without end.
_PAUSE_S = 0.2
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Reserve:
    """A descriptor that is held to be given up: one operator at a time is served by it."""

    def __init__(self) -> None:
        self._fd = -1
        self.restore()

    def is_last(self) -> bool:
        """Whether no other descriptor is to be had now."""
        try:
            os.close(os.open("/", os.O_PATH | os.O_CLOEXEC))
        except OSError:
            return True
        return False

    def give_up(self) -> bool:
        """Make room for one more descriptor; False where there is none to give."""
        if self._fd < 0:
            return False
        os.close(self._fd)
        self._fd = -1
        return True

    def restore(self) -> None:
        """Hold one again, where there is one to be had."""
        if self._fd < 0:
            try:
                self._fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
            except OSError:
                return  # at the next chance

    def __repr__(self) -> str:
        return f"Reserve(held={self._fd >= 0})"


class Accepting:
    """Accepts on one listening socket, on the running loop.

    Args:
        sock: the caller's to close.
        on_accept: takes each connection; its to close.
        reserve: for when there is no descriptor left.
    """

    def __init__(
        self, sock: socket.socket, on_accept: Callable[[socket.socket], None], reserve: Reserve
    ) -> None:
        self._sock = sock
        self._on_accept = on_accept
        self._reserve = reserve
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._is_reading = False
        self.resume()

    def _accept_some(self) -> None:
        try:
            for _ in range(_PER_TURN):
                if not self._is_reading or not self._accept_one():
                    return
        finally:
            # The kernel wants a descriptor before it looks whether anybody waits, so it may be given up for nobody.
            self._reserve.restore()

    def _accept_one(self) -> bool:
        """Accept one; False where none waits, or none can be had now."""
        try:
            accepted, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as problem:
            if problem.errno in _OUT_OF_RESOURCES and self._reserve.give_up():
                return True  # again, with what was given up
            self._pause_for_a_moment()
            return False
        self._on_accept(accepted)
        self._reserve.restore()
        return True

    def _pause_for_a_moment(self) -> None:
        self.pause()
        self._retry = self._loop.call_later(_PAUSE_S, self._again)

    def _again(self) -> None:
        self._reserve.restore()
        self.resume()

    def pause(self) -> None:
        """Leave who comes in the kernel's queue."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._sock.fileno())
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def resume(self) -> None:
        """Accept."""
        if not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._sock.fileno(), self._accept_some)

    def __repr__(self) -> str:
        return f"Accepting({self._sock!r}, reading={self._is_reading})"

"""One end of the socketpair between PID 1 and a worker: messages in, messages out, never waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pyinit.proxy import ipc

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_READ_BYTES = 64 * 1024
# What the other end has not read. A control connection that is so far behind has nobody at its end.
_PENDING_MAX_BYTES = 8 << 20
_FLUSH_POLL_S = 0.005


class Link:
    """Messages over one socket, on the running loop.

    Args:
        sock: one of a stream socketpair; ours from here on.
        on_message: takes each message, in order.
        on_end: called once when the other end is gone, or of no use any more (with the reason); never for a
            close of ours.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_message: Callable[[ipc.Message], None],
        on_end: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)  # noqa: FBT003  the library's signature
        self._sock = sock
        self._on_message = on_message
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._decoder = ipc.Decoder()
        self._pending = bytearray()
        self.is_open = True
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, message: ipc.Message) -> None:
        """Send a message; what the socket does not take now follows when it does."""
        if not self.is_open:
            return
        was_empty = not self._pending
        self._pending += ipc.encode(message)
        if len(self._pending) > _PENDING_MAX_BYTES:
            self._end("it does not read")
        elif was_empty:
            self._flush()
            if self._pending:
                self._loop.add_writer(self._sock.fileno(), self._flush)

    def read_rest(self) -> None:
        """Take what is there to be read: the last words of an end that is gone already."""
        while self.is_open and self._read():
            pass

    async def flushed(self, limit_s: float) -> None:
        """Wait until nothing is pending, so long at most."""
        end_s = self._loop.time() + limit_s
        while self.is_open and self._pending and self._loop.time() < end_s:  # noqa: ASYNC110  the end, once
            await asyncio.sleep(_FLUSH_POLL_S)

    def close(self) -> None:
        """Close; what is pending is lost."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()

    def _readable(self) -> None:
        self._read()

    def _read(self) -> bool:
        """Read once; False where nothing is there, or nothing will be."""
        try:
            data = self._sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as problem:
            self._end(problem.strerror or str(problem))
            return False
        if not data:
            self._end("it has ended")
            return False
        try:
            messages = self._decoder.feed(data)
        except ValueError as problem:
            self._end(str(problem))
            return False
        for message in messages:
            if self.is_open:  # one of them may have closed us
                self._on_message(message)
        return True

    def _flush(self) -> None:
        try:
            sent = self._sock.send(self._pending)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # Whatever it wrote before it went is still to be read: the reader meets the end, in its order.
            self._pending.clear()
            self._loop.remove_writer(self._sock.fileno())
            return
        del self._pending[:sent]
        if not self._pending:
            self._loop.remove_writer(self._sock.fileno())

    def _end(self, reason: str) -> None:
        self.close()
        self._on_end(reason)

    def __repr__(self) -> str:
        return f"Link(open={self.is_open}, pending={len(self._pending)} bytes)"

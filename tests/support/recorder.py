"""A recording app: it keeps every byte that a proxy sends it, reads them to the letter, answers by script."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field

from tests.corpus.case import Await, AwaitBytes, Close, Echo, HalfClose, Pause, Reply, Reset, Step
from tests.support.strict_http import FaultError, Read, take_request

# The request that asks, behind each case, whether the connection is still in order.
_SENTINEL_TARGET = b"/sentinel"
SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: sentinel.example\r\nConnection: close\r\n\r\n"
# In every answer that no script has replaced: told from the proxy's own by it.
APP_FIELD = b"x-app"
_READ_BYTES = 1 << 16
_DELIVERED_S = 0.5


@dataclass(eq=False, slots=True)
class AppSide:
    """One connection that the proxy made.

    Attributes:
        sock: ours.
        data: every byte that came.
        at: where the next message begins.
        fault: what is no message in them.
        has_ended: the proxy closed or reset it.
        partial: a message whose end did not come.
        messages: whole ones, in order.
    """

    sock: socket.socket
    data: bytearray = field(default_factory=bytearray)
    at: int = 0
    fault: str = ""
    has_ended: bool = False
    partial: Read | None = None
    messages: list[Read] = field(default_factory=list)

    async def more(self) -> bool:
        """Wait for bytes; False at the end."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, _READ_BYTES)
        except OSError:
            data = b""
        self.data += data
        self.has_ended = self.has_ended or not data
        return bool(data)

    async def send(self, data: bytes) -> None:
        """Send; raises OSError where the proxy has closed."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    @property
    def unread(self) -> bytes:
        """From the next message on."""
        return bytes(self.data[self.at :])


def is_sentinel(read: Read) -> bool:
    """Whether a request is the sentinel, and not one that has swallowed it."""
    return read.start[1].endswith(_SENTINEL_TARGET)


class _EndedError(Exception):
    """The script has ended the connection."""


class Recorder:
    """A listening app. One case at a time: ``begin``, then ``end``.

    Attributes:
        port: on 127.0.0.1.
        requests: whole messages of this case, in the order of their end; the sentinel aside.
        sentinels: how often the sentinel came, as it was sent.
        connections: those that a byte came on.
        delivered: set once the client has got a byte.
    """

    def __init__(self) -> None:
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.listen(64)
        self._sock.settimeout(0)
        self.port = int(self._sock.getsockname()[1])
        self.requests: list[Read] = []
        self.sentinels = 0
        self.connections: list[AppSide] = []
        self.delivered = asyncio.Event()
        self._replies: tuple[Reply, ...] = ()
        self._heads = 0
        self._serving: dict[asyncio.Task[None], AppSide] = {}
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def begin(self, replies: tuple[Reply, ...]) -> None:
        """A new case."""
        self.requests, self.connections = [], []
        self.delivered.clear()
        self.sentinels = self._heads = 0
        self._replies = replies

    async def end(self, settle_s: float) -> None:
        """Close all connections, the proxy's idle ones too: what one case leaves behind is no other's fault.

        Args:
            settle_s: how long the proxy may take to close its side, so that it reuses none of them.
        """
        for side in self._serving.values():
            with contextlib.suppress(OSError):
                side.sock.shutdown(socket.SHUT_WR)
        if self._serving:
            await asyncio.wait(self._serving, timeout=settle_s)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def stop(self) -> None:
        """Close everything."""
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        await self.end(0)
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side = AppSide(sock)
            task = loop.create_task(self._serve(side))
            self._serving[task] = side
            task.add_done_callback(self._serving.pop)

    async def _serve(self, side: AppSide) -> None:
        try:
            following = self._replies[self._heads : self._heads + 1]
            if following and following[0].on_accept:
                await side.send(following[0].on_accept)
            while await self._one(side):
                pass
        except (_EndedError, OSError):
            pass
        except FaultError as fault:
            side.fault = str(fault)
            with contextlib.suppress(OSError):
                await side.send(
                    b"HTTP/1.1 400 Bad Request\r\nX-App: fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
        finally:
            if side.data and side not in self.connections:
                self.connections.append(side)
            side.sock.close()

    async def _one(self, side: AppSide) -> bool:
        """One request and its answer; whether another may follow."""
        while (read := take_request(side.unread)) is None:
            came = await side.more()
            if side.data and side not in self.connections:
                self.connections.append(side)
            if not came:
                return False
        asks = is_sentinel(read)
        answer = Reply(()) if asks else self._next_reply()
        closes = not read.minor or b"close" in b",".join(read.all(b"connection")).lower()
        if answer.early:
            await self._perform(side, answer.steps)
        elif not answer.steps and not read.is_whole and b"100-continue" in read.all(b"expect"):
            await side.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        read = await self._rest(side, read)
        if read is None:
            return False
        if asks:
            self.sentinels += 1
        else:
            self.requests.append(read)
        if answer.steps and not answer.early:
            await self._perform(side, answer.steps)
        elif not answer.steps:
            await side.send(
                _default(read, b"sentinel" if asks else b"%d" % len(self.requests), closes=closes)
            )
        if answer.afterwards:
            await asyncio.sleep(0.005)
            await side.send(answer.afterwards)
        return not closes

    def _next_reply(self) -> Reply:
        turn = self._heads
        self._heads += 1
        return self._replies[turn] if turn < len(self._replies) else Reply(())

    async def _rest(self, side: AppSide, read: Read) -> Read | None:
        """The message to its end; None, and noted as a part, where that does not come."""
        while not read.is_whole:
            side.partial = read
            if not await side.more():
                return None
            again = take_request(side.unread)
            assert again is not None
            read = again
        side.partial = None
        side.messages.append(read)
        side.at += len(read.raw)
        return read

    async def _perform(self, side: AppSide, steps: tuple[Step, ...]) -> None:
        for step in steps:
            match step:
                case bytes():
                    await side.send(step)
                case Pause():
                    await asyncio.sleep(step.seconds)
                case AwaitBytes():
                    while step.marker not in side.unread:
                        if not await side.more():
                            raise _EndedError
                case Close():
                    raise _EndedError
                case HalfClose():
                    side.sock.shutdown(socket.SHUT_WR)
                case Reset():
                    side.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    raise _EndedError
                case Echo():
                    await self._echo(side)
                case Await():
                    with contextlib.suppress(TimeoutError):  # a proxy may hold back what it has
                        await asyncio.wait_for(self.delivered.wait(), _DELIVERED_S)

    async def _echo(self, side: AppSide) -> None:
        while True:
            if data := side.unread:
                side.at = len(side.data)
                await side.send(data)
            if not await side.more():
                raise _EndedError


def _default(read: Read, number: bytes, *, closes: bool) -> bytes:
    lines = [
        b"HTTP/1.1 200 OK",
        b"X-App: " + number,
        b"X-Target: " + read.start[1][-20:],
        b"Content-Length: 2",
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
    ]
    if closes:
        lines.append(b"Connection: close")
    return b"\r\n".join([*lines, b"", b"" if read.start[0] == b"HEAD" else b"ok"])

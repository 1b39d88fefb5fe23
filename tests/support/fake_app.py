r"""An app made of a script: for each connection a coroutine that reads, writes, waits, closes or resets.

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\nok")
        it.reset()

What a script does not close is closed when it ends.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from tests.support.raw_client import RawSocket, dechunked


class AppRequest:
    """A request as the app got it.

    Attributes:
        method: and target, of the request line.
        lines: the field lines, in order.
        body: framing removed.
    """

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *self.lines = head.split(b"\r\n")
        self.method, self.target, _ = first.split(b" ")
        self.body = body

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return field(self.lines, name)


def field(lines: list[bytes], name: bytes) -> bytes | None:
    """The first value of a field, by its lower-case name."""
    for line in lines:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


class AppConnection(RawSocket):
    """One connection that the proxy made.

    Attributes:
        number: from 0, in the order of accepting.
        requests: read so far.
        ending: how the proxy ended it, once a read has seen it: ``fin`` or ``reset``.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        super().__init__(sock)
        self.number = number
        self.requests: list[AppRequest] = []

    async def head(self) -> bytes:
        """A request head, without its empty line."""
        return (await self.until(b"\r\n\r\n"))[:-4]

    async def request(self) -> AppRequest:
        """A whole request. Raises EOFError where none comes any more."""
        head = await self.head()
        lines = head.split(b"\r\n")[1:]
        length = field(lines, b"content-length")
        if length is not None:
            body = await self.exactly(int(length))
        elif field(lines, b"transfer-encoding") == b"chunked":
            body, _ = await dechunked(self)
        else:
            body = b""
        request = AppRequest(head, body)
        self.requests.append(request)
        return request


Script = Callable[[AppConnection], Awaitable[None]]


class FakeApp:
    """A listening app on a loopback port, a free one unless told otherwise.

    Attributes:
        port: where it listens.
        connections: all that were made, in order.
        faults: exceptions of scripts, a connection's end aside.
    """

    def __init__(self, script: Script, *, receive_bytes: int | None = None, port: int = 0) -> None:
        self._script = script
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an app that is started again
        if receive_bytes is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._sock.bind(("127.0.0.1", port))
        self._sock.listen(1000)
        self._sock.settimeout(0)
        self.port = int(self._sock.getsockname()[1])
        self.connections: list[AppConnection] = []
        self.faults: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._sock)
            connection = AppConnection(sock, len(self.connections))
            self.connections.append(connection)
            self._tasks.add(loop.create_task(self._run(connection)))

    async def _run(self, connection: AppConnection) -> None:
        try:
            await self._script(connection)
        except (EOFError, ConnectionError):
            pass  # the proxy has closed
        except Exception as fault:  # noqa: BLE001  told by stop(), where a test sees it
            self.faults.append(fault)
        finally:
            connection.close()

    @property
    def requests(self) -> list[AppRequest]:
        """All requests of all connections."""
        return [request for connection in self.connections for request in connection.requests]

    async def stop(self) -> None:
        """End all scripts and connections; raise what a script has raised."""
        for task in (self._accepting, *self._tasks):
            task.cancel()
        await asyncio.gather(self._accepting, *self._tasks, return_exceptions=True)
        for connection in self.connections:
            connection.close()
        self._sock.close()
        for fault in self.faults:
            raise fault


def response(
    body: bytes = b"", *lines: bytes, status: bytes = b"200 OK", version: bytes = b"1.1", length: bool = True
) -> bytes:
    """A response with its Content-Length, unless told otherwise."""
    framing = [b"Content-Length: %d" % len(body)] if length else []
    return b"\r\n".join([b"HTTP/%b %b" % (version, status), *framing, *lines, b"", body])


def answering(*responses: bytes) -> Script:
    """A script that answers each request of a connection with the next of these; the last one repeats."""

    async def script(it: AppConnection) -> None:
        turn = 0
        while True:
            await it.request()
            await it.send(responses[min(turn, len(responses) - 1)])
            turn += 1

    return script


def echoing() -> Script:
    """A script that answers each request with its own body, chunked where it came so."""

    async def script(it: AppConnection) -> None:
        while True:
            request = await it.request()
            await it.send(response(request.body, b"X-Method: " + request.method))

    return script

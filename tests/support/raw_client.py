"""A raw connection on the running loop: sends bytes in any split, reads only when told, tells FIN from RST.

No transport: nothing is read behind the test's back, so a client that does not read is just one that is not
asked to.
"""

import asyncio
import socket
import struct
from collections.abc import Iterable

READ_BYTES = 1 << 16


class RawSocket:
    """One end of a connection.

    Attributes:
        sock: non-blocking.
        ending: how the peer ended it, once a read has seen it: ``fin`` or ``reset``.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self.sock = sock
        self.ending: str | None = None
        self._buffer = b""

    # -- writing ---------------------------------------------------------------------------------------------

    async def send(self, *pieces: bytes) -> None:
        """Send, each piece in a segment of its own (TCP_NODELAY); waits while the peer does not take it."""
        loop = asyncio.get_running_loop()
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            await loop.sock_sendall(self.sock, piece)

    def send_some(self, data: bytes) -> int:
        """Send what the kernel takes now; how much that was."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def half_close(self) -> None:
        """FIN; we still read."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Close."""
        self.sock.close()

    # -- reading ---------------------------------------------------------------------------------------------

    def widen(self) -> None:
        """Take much at a time from here on, after a small SO_RCVBUF has done its work."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    async def some(self) -> bytes:
        """What there is, or comes next; empty at the end, whichever way it came (see ``ending``)."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, READ_BYTES)
        except ConnectionResetError:
            self.ending = "reset"
            return b""
        if not data:
            self.ending = "fin"
        return data

    async def exactly(self, size: int) -> bytes:
        """So many bytes. Raises EOFError, with what came."""
        data = bytearray()
        while len(data) < size:
            piece = await self.some()
            if not piece:
                raise EOFError(bytes(data))
            data += piece
        self._buffer = bytes(data[size:]) + self._buffer
        return bytes(data[:size])

    async def until(self, marker: bytes) -> bytes:
        """Everything up to a marker, with it. Raises EOFError, with what came."""
        data = b""
        while marker not in data:
            piece = await self.some()
            if not piece:
                raise EOFError(data)
            data += piece
        end = data.index(marker) + len(marker)
        data, self._buffer = data[:end], data[end:] + self._buffer
        return data

    async def rest(self) -> bytes:
        """All that comes until the end."""
        data = b""
        while piece := await self.some():
            data += piece
        return data

    async def end(self) -> str:
        """How it ends: ``fin`` or ``reset``; bytes before that are dropped."""
        await self.rest()
        assert self.ending is not None
        return self.ending

    def is_silent(self) -> bool:
        """Whether neither data nor an end is here now."""
        if self._buffer or self.ending is not None:
            return False
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        return False


async def dechunked(source: RawSocket) -> tuple[bytes, list[bytes]]:
    """A chunked body, framing removed, and its trailer lines. Raises EOFError where it is cut."""
    body, trailers = b"", []
    while size := int((await source.until(b"\r\n")).split(b";")[0], 16):
        body += await source.exactly(size)
        assert await source.exactly(2) == b"\r\n"
    while (line := await source.until(b"\r\n")) != b"\r\n":
        trailers.append(line[:-2])
    return body, trailers


class Response:
    """One response as the client got it.

    Attributes:
        status: of the status line.
        lines: the field lines, in order.
        body: framing removed.
        interim: statuses of the 1xx before it.
        trailers: field lines after a chunked body.
        is_cut: it ended before its end.
    """

    def __init__(self, status: int, lines: list[bytes], interim: list[int]) -> None:
        self.status = status
        self.lines = lines
        self.interim = interim
        self.body = b""
        self.trailers: list[bytes] = []
        self.is_cut = False

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field, by its lower-case name."""
        for line in self.lines:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends with it."""
        return self.get(b"connection") == b"close"

    def __repr__(self) -> str:
        return f"Response({self.status}, {self.lines}, {self.body[:200]!r}, cut={self.is_cut})"


class RawClient(RawSocket):
    """A client of the proxy."""

    @classmethod
    async def connect(cls, port: int, *, receive_bytes: int | None = None) -> "RawClient":
        """Connect to a loopback port.

        Args:
            port: of the listener.
            receive_bytes: SO_RCVBUF, for a client that is soon full.
        """
        sock = socket.socket()
        sock.settimeout(0)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def response(self, *, method: bytes = b"GET") -> Response:
        """One response to its end; ``is_cut`` where it ends before. Raises EOFError where none begins."""
        interim: list[int] = []
        while True:
            head = await self.until(b"\r\n\r\n")
            lines = head[:-4].split(b"\r\n")
            status = int(lines[0].split(b" ")[1])
            if status >= 200 or status == 101:
                break
            interim.append(status)
        answer = Response(status, lines[1:], interim)
        try:
            await self._body(answer, method)
        except EOFError as cut:
            answer.is_cut = True
            answer.body += cut.args[0]
        return answer

    async def _body(self, answer: Response, method: bytes) -> None:
        if method == b"HEAD" or answer.status in (101, 204, 304):
            return
        length = answer.get(b"content-length")
        if answer.get(b"transfer-encoding") == b"chunked":
            answer.body, answer.trailers = await dechunked(self)
        elif length is not None:
            answer.body = await self.exactly(int(length))
        else:
            answer.body = await self.rest()
            answer.is_cut = self.ending == "reset"

    async def ask(
        self, target: bytes = b"/", *lines: bytes, method: bytes = b"GET", body: bytes | None = None
    ) -> Response:
        """A request and its response."""
        await self.send(request(target, *lines, method=method, body=body))
        return await self.response(method=method)


def request(
    target: bytes = b"/",
    *lines: bytes,
    method: bytes = b"GET",
    body: bytes | None = None,
    version: bytes = b"1.1",
    host: bool = True,
) -> bytes:
    """A request; with a body, its Content-Length too."""
    start = [b"%b %b HTTP/%b" % (method, target, version)]
    if host:
        start.append(b"Host: app.example")
    framing = [] if body is None else [b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*start, *lines, *framing, b"", body or b""])


def chunks(pieces: Iterable[bytes], *trailers: bytes) -> bytes:
    """A chunked body of these pieces."""
    coded = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return b"".join([*coded, b"0\r\n", *(line + b"\r\n" for line in trailers), b"\r\n"])

"""What the clients of soak.py do: each story is one connection, and checks its answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable

_LINE = b"0123456789abcde\n"
_BAD_HEADS = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


class Wrong(Exception):
    """An answer is not what it has to be."""


class Client:
    """One connection, with a reader that knows HTTP/1.1 well enough."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._asked_count = 0

    @classmethod
    async def connect(cls, port: int, *, receive_bytes: int | None = None) -> Client:
        """Over loopback."""
        sock = socket.socket()
        sock.setblocking(False)  # noqa: FBT003  the library's signature
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        limit = 1 << 16 if receive_bytes is None else receive_bytes
        return cls(*await asyncio.open_connection(sock=sock, limit=limit))

    def ask(self, method: str, target: str, *lines: str, version: str = "1.1") -> None:
        """A request head."""
        head = [
            f"{method} {target} HTTP/{version}",
            "Host: soak.example",
            f"X-Trace: {id(self)}-{self._asked_count}",
            *lines,
        ]
        self._asked_count += 1
        self.writer.write("\r\n".join([*head, "", ""]).encode())

    async def answer(self, *, expected: int = 200, bodiless: bool = False) -> bytes:
        """One response's body. Raises Wrong for another status."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        status = int(head[0].split(" ")[1])
        if status != expected:
            raise Wrong(f"status {status}, not {expected}")
        fields = dict(line.split(": ", 1) for line in head[1:-2])
        if bodiless:
            return b""
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
            return body
        if "content-length" in fields:
            return await self.reader.readexactly(int(fields["content-length"]))
        return await self.reader.read()

    async def is_over(self) -> None:
        """Read to the end. Raises Wrong where more comes."""
        if await self.reader.read(1):
            raise Wrong("bytes behind the end")

    def reset(self) -> None:
        """Close with an RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        """Close."""
        self.writer.close()


Story = Callable[[Client, random.Random], Awaitable[None]]


async def keeps_alive(it: Client, at_random: random.Random) -> None:
    """A few requests with pauses."""
    for _ in range(at_random.randint(2, 6)):
        it.ask("GET", "/")
        if not (await it.answer()).startswith(b"Hello from process"):
            raise Wrong("another's answer")
        await asyncio.sleep(at_random.uniform(0, 0.05))


async def pipelines(it: Client, at_random: random.Random) -> None:
    """Several at once."""
    count = at_random.randint(3, 20)
    for number in range(count):
        it.ask("GET", f"/headers?n={number}")
    for number in range(count):
        if json.loads(await it.answer())["url"] != f"/headers?n={number}":
            raise Wrong("out of order")


async def uploads(it: Client, at_random: random.Random) -> None:
    """By length."""
    body = at_random.randbytes(at_random.randint(1, 300_000))
    it.ask("POST", "/upload", f"Content-Length: {len(body)}")
    it.writer.write(body)
    await _check_upload(it, body)


async def uploads_in_chunks(it: Client, at_random: random.Random) -> None:
    """Chunked, in pieces of any size."""
    body = at_random.randbytes(at_random.randint(1, 100_000))
    it.ask("PUT", "/upload", "Transfer-Encoding: chunked")
    at = 0
    while at < len(body):
        piece = body[at : at + at_random.randint(1, 20_000)]
        it.writer.write(b"%x;n=%d\r\n%b\r\n" % (len(piece), at, piece))
        at += len(piece)
        await asyncio.sleep(at_random.uniform(0, 0.01))
    it.writer.write(b"0\r\nX-Sum: 1\r\n\r\n")
    await _check_upload(it, body)


async def _check_upload(it: Client, body: bytes) -> None:
    said = json.loads(await it.answer())
    if said != {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}:
        raise Wrong("another body than was sent")


async def downloads(it: Client, at_random: random.Random) -> None:
    """By length or chunked."""
    size = at_random.randint(0, 400_000)
    it.ask("GET", f"/download?bytes={size}&chunked={at_random.randint(0, 1)}")
    if await it.answer() != (_LINE * (size // 16 + 1))[:size]:
        raise Wrong("another body than was asked for")


async def has_odd_requests(it: Client, at_random: random.Random) -> None:
    """HEAD, 404, and what we answer ourselves."""
    it.ask("HEAD", "/")
    await it.answer(bodiless=True, expected=404)
    it.ask("GET", "/nothing")
    await it.answer(expected=404)
    it.ask(at_random.choice(("TRACE", "OPTIONS")), "/", "Max-Forwards: 0")
    await it.answer()


async def is_of_old(it: Client, at_random: random.Random) -> None:
    """HTTP/1.0."""
    it.ask("GET", f"/download?bytes={at_random.randint(0, 50_000)}&chunked=1", version="1.0")
    await it.answer()
    await it.is_over()


async def waits(it: Client, at_random: random.Random) -> None:
    """For a slow answer."""
    it.ask("GET", f"/slow?ms={at_random.randint(50, 1500)}")
    await it.answer()


async def streams(it: Client, at_random: random.Random) -> None:
    """Some events, then leaves."""
    it.ask("GET", "/stream?ms=50")
    for _ in range(at_random.randint(1, 8)):
        await it.reader.readuntil(b"\n\n")
    if at_random.random() < 0.5:
        it.reset()


async def talks_over_a_websocket(it: Client, at_random: random.Random) -> None:
    """Echoes, then a close: proper, by FIN, or by RST."""
    key = base64.b64encode(at_random.randbytes(16)).decode()
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    it.ask("GET", "/ws", *upgrade, f"Sec-WebSocket-Key: {key}")
    await it.answer(expected=101, bodiless=True)
    for _ in range(at_random.randint(1, 10)):
        text = at_random.randbytes(8).hex().encode()
        it.writer.write(_frame(0x81, text))
        if await it.reader.readexactly(2 + len(text)) != bytes((0x81, len(text))) + text:
            raise Wrong("another message than was sent")
    how = at_random.randrange(3)
    if how == 0:
        it.writer.write(_frame(0x88, b"\x03\xe8"))
        await it.reader.read()
    elif how == 1:
        it.reset()


def _frame(first: int, payload: bytes) -> bytes:
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes((first, 0x80 | len(payload))) + mask + masked


async def breaks_the_rules(it: Client, at_random: random.Random) -> None:
    """Is answered, and closed."""
    it.writer.write(at_random.choice(_BAD_HEADS))
    head = await it.reader.readuntil(b"\r\n\r\n")
    if head[9:10] not in (b"4", b"5"):
        raise Wrong(f"{head[:20]!r} for a malformed head")
    await it.reader.read()


async def half_closes(it: Client, at_random: random.Random) -> None:
    """After whole requests: both are answered."""
    it.ask("GET", f"/slow?ms={at_random.randint(0, 200)}")
    it.ask("GET", "/")
    it.writer.write_eof()
    await it.answer()
    await it.answer()
    await it.is_over()


async def leaves_in_a_head(it: Client, at_random: random.Random) -> None:
    """By FIN or RST."""
    it.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX: y"[: at_random.randint(0, 28)])
    await asyncio.sleep(at_random.uniform(0, 0.1))
    if at_random.random() < 0.5:
        it.reset()


async def leaves_in_an_upload(it: Client, at_random: random.Random) -> None:
    """By FIN or RST."""
    it.ask("POST", "/upload", "Content-Length: 10000000")
    it.writer.write(bytes(at_random.randint(0, 200_000)))
    await asyncio.sleep(at_random.uniform(0, 0.1))
    if at_random.random() < 0.7:
        it.reset()


async def leaves_in_a_download(it: Client, at_random: random.Random) -> None:
    """By RST, more of it under way."""
    it.ask("GET", f"/download?bytes={50_000_000}")
    await it.reader.readexactly(at_random.randint(1, 300_000))
    it.reset()


async def leaves_while_it_waits(it: Client, at_random: random.Random) -> None:
    """By RST; sometimes with another request behind, so that nobody reads it any more."""
    it.ask("GET", "/slow?ms=2000")
    if at_random.random() < 0.5:
        it.ask("GET", "/")
    await asyncio.sleep(at_random.uniform(0, 0.3))
    it.reset()


async def reads_slowly(it: Client, at_random: random.Random) -> None:
    """Then leaves."""
    it.ask("GET", "/download?bytes=8000000")
    for _ in range(at_random.randint(1, 20)):
        await it.reader.read(2000)
        await asyncio.sleep(0.1)
    if at_random.random() < 0.5:
        it.reset()


async def does_not_read(it: Client, at_random: random.Random) -> None:
    """For longer than --write-timeout, which is 3 s here."""
    it.ask("GET", "/download?bytes=20000000")
    it.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
    await asyncio.sleep(at_random.uniform(1, 7))


async def writes_slowly(it: Client, at_random: random.Random) -> None:
    """Byte by byte, head and body."""
    raw = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"
    for byte in range(len(raw)):
        it.writer.write(raw[byte : byte + 1])
        await asyncio.sleep(at_random.uniform(0, 0.02))
    await _check_upload(it, b"0123456789")


async def is_idle(_it: Client, at_random: random.Random) -> None:
    """Says nothing."""
    await asyncio.sleep(at_random.uniform(0, 6))


STORIES: dict[Story, int] = {
    keeps_alive: 10,
    pipelines: 5,
    uploads: 5,
    uploads_in_chunks: 5,
    downloads: 6,
    has_odd_requests: 3,
    is_of_old: 3,
    waits: 4,
    streams: 3,
    talks_over_a_websocket: 5,
    breaks_the_rules: 6,
    half_closes: 4,
    leaves_in_a_head: 4,
    leaves_in_an_upload: 4,
    leaves_in_a_download: 2,
    leaves_while_it_waits: 4,
    reads_slowly: 2,
    does_not_read: 2,
    writes_slowly: 3,
    is_idle: 3,
}
# Whose SO_RCVBUF is small, or all of it would fit in.
SLOW_READERS: tuple[Story, ...] = (reads_slowly, does_not_read)

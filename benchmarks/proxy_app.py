"""The app behind the proxies of proxy_cost.py: constant answers at the least cost, so that it is no bottleneck.

``proxy_app.py HOST PORT``. Heads are those of an Express app; Date moves, and each of the items has an ETag and a
length of its own, as a proxy that remembers heads should meet what it would; /fresh has an ETag that nobody has seen
before, as where each answer has an id or a cookie. What it is sent is framed and not checked. Frames on its WebSocket
all have the length that proxy_clients.py sends.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
import time
from email.utils import formatdate
from typing import cast

import uvloop

MIB = 1024 * 1024
ITEMS = 16
EVENTS_PER_S = 10
EVENT = b'id: 1234567\nevent: price\ndata: {"symbol":"ABCD","bid":101.25,"ask":101.5,"at":1764169200}\n\n'
FRAME_PAYLOAD_BYTES = 64
MASKED_FRAME_BYTES = FRAME_PAYLOAD_BYTES + 6
_FRAME = bytes((0x82, FRAME_PAYLOAD_BYTES)) + b"x" * FRAME_PAYLOAD_BYTES
_SLOW_BYTES = 16 * MIB
_CHUNK_BYTES = 64 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_COMMON = (
    b"X-Powered-By: Express\r\nStrict-Transport-Security: max-age=15552000; includeSubDomains\r\n"
    b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: SAMEORIGIN\r\nVary: Accept-Encoding\r\n"
    b"Cache-Control: private, no-cache\r\nDate: %s\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
)
_CHUNK = b"%x\r\n%s\r\n" % (_CHUNK_BYTES, b"x" * _CHUNK_BYTES)
_CHUNKED = _CHUNK * (MIB // _CHUNK_BYTES) + b"0\r\n\r\n"
_SIZED = b"x" * MIB
_SLOW = b"x" * _SLOW_BYTES


class Answers:
    """All that is ever answered, by target; made again each second, as Date changes."""

    def __init__(self) -> None:
        self.made: dict[bytes, tuple[bytes, ...]] = {}
        self.streams: set[asyncio.WriteTransport] = set()
        self.fresh_count = 0

    def make(self) -> None:
        """With the time as it is now."""
        common = _COMMON % formatdate(time.time(), usegmt=True).encode()
        ok = b"HTTP/1.1 200 OK\r\n" + common
        binary = ok + b"Content-Type: application/octet-stream\r\n"
        sized = binary + b"Content-Length: %d\r\n\r\n"
        self.made = {
            b"/": (_item(ok, 0),),
            b"/mib": (sized % MIB, _SIZED),
            b"/slow": (sized % _SLOW_BYTES, _SLOW),
            b"/chunked": (binary + b"Transfer-Encoding: chunked\r\n\r\n", _CHUNKED),
            b"/events": (
                ok + b"Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n",
            ),
        } | {b"/api/items/%d" % number: (_item(ok, number),) for number in range(ITEMS)}

    def fresh(self) -> bytes:
        """What nobody was answered before."""
        self.fresh_count += 1
        return self.made[b"/"][0].replace(b'ETag: W/"', b'ETag: W/"%x-' % self.fresh_count, 1)

    def send_event(self) -> None:
        """To everybody."""
        chunk = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
        for stream in self.streams:
            stream.write(chunk)


def _item(head: bytes, number: int) -> bytes:
    body = b'{"id":%d,"name":"item","tags":["a","b"],"text":"%s"}' % (number, b"x" * (400 + number))
    return head + (
        b'Content-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\nETag: W/"%x-%s"\r\n\r\n%s'
        % (len(body), len(body), hashlib.sha1(body, usedforsecurity=False).hexdigest().encode(), body)
    )


class App(asyncio.Protocol):
    """One connection."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._transport: asyncio.Transport
        self._kept = b""
        self._target = b""
        self._body_left = 0
        self._frame_bytes: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _problem: Exception | None) -> None:
        """No more events for it."""
        self._answers.streams.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        if self._frame_bytes is not None:
            self._echo(data)
            return
        if self._body_left:
            self._body_left -= len(data)
            if self._body_left <= 0:
                self._answer(self._target)
            return
        if self._kept:
            data = self._kept + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._kept = data
            return
        self._kept = b""
        method, target, _ = data.split(b" ", 2)
        if method == b"POST":
            self._begin_body(data, end, target)
        elif target == b"/ws":
            self._upgrade(data[:end])
        else:
            # Only http-proxy, and who comes without one, asks the app for it.
            self._answer(target, is_last=b"\r\nconnection: close\r\n" in data[: end + 2].lower())

    def _begin_body(self, data: bytes, end: int, target: bytes) -> None:
        head = data[:end].lower()
        _, found, after = head.partition(b"\r\ncontent-length:")
        if not found:
            self._transport.write(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()
            return
        self._target = target
        self._body_left = int(after.partition(b"\r\n")[0]) - (len(data) - end - 4)
        if self._body_left <= 0:
            self._answer(target)

    def _answer(self, target: bytes, *, is_last: bool = False) -> None:
        parts = self._answers.made.get(target)
        if target == b"/fresh":
            parts = (self._answers.fresh(),)
        if parts is None:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        if is_last:
            self._transport.write(parts[0].replace(b"Connection: keep-alive", b"Connection: close"))
            self._transport.writelines(parts[1:])
            self._transport.close()
            return
        for part in parts:
            self._transport.write(part)
        if target == b"/events":
            self._answers.streams.add(self._transport)

    def _upgrade(self, head: bytes) -> None:
        lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        at = head.lower().index(b"\r\nsec-websocket-key: ") + 21
        key = head[at : at + len(lines[b"sec-websocket-key"])]
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        self._frame_bytes = 0

    def _echo(self, data: bytes) -> None:
        whole, self._frame_bytes = divmod((self._frame_bytes or 0) + len(data), MASKED_FRAME_BYTES)
        if whole:
            self._transport.write(_FRAME * whole)


async def serve(host: str, port: int) -> None:
    """Until killed."""
    loop = asyncio.get_running_loop()
    answers = Answers()
    answers.make()
    await loop.create_server(lambda: App(answers), host, port, backlog=4096)
    while True:
        for _ in range(EVENTS_PER_S):
            await asyncio.sleep(1 / EVENTS_PER_S)
            answers.send_event()
        answers.make()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))

"""The app and clients of steady.py: ``steady_load.py app`` says its port, ``steady_load.py clients PORT COUNT STEPS``.

No two requests are alike: target, cookie, trace id, forwarded address, a field's name, and the client's own address,
one of loopback's 16 million, differ; nor are two response heads. Each answer is checked to be its request's. The
clients say the number of requests that are done, STEPS times on the way, and what was wrong at the end, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import cast

import uvloop

_CLIENTS = 32
_PATIENCE_S = 60.0
_ECHO = b"said twice " * 9
# What one connection asks for in turn, so often; the last of a connection is what ends it.
_KEPT = (
    "get",
    "get",
    "chunked",
    "post",
    "get",
    "head",
    "post-chunked",
    "get",
    "events",
    "get",
    "chunked",
    "get",
)
_LAST = ("close", "get-1.0", "until-close", "bad", "upgrade", "leave", "leave-in-body")
_STATUSES = {"bad": b"400", "upgrade": b"101"}


# -- the app -------------------------------------------------------------------------------------------------


class App(asyncio.Protocol):
    """One connection; one request at a time, as from a proxy."""

    def __init__(self) -> None:
        self._kept = b""
        self._is_tunnel = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        if self._is_tunnel:
            self._transport.write(data)
            return
        self._kept += data
        head, ends, body = self._kept.partition(b"\r\n\r\n")
        if not ends:
            return
        fields = head.lower()
        if b"\r\ntransfer-encoding: chunked" in fields:
            if not body.endswith(b"0\r\n\r\n"):
                return
        elif b"\r\ncontent-length: " in fields:
            length = fields.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
            if len(body) < int(length):
                return
        self._kept = b""
        self._answer(head.split(b" ", 2)[1])

    def _answer(self, target: bytes) -> None:
        kind, _, number = target.partition(b"?")[0].removeprefix(b"/").partition(b"/")
        count = int(number)
        head = b'HTTP/1.1 200 OK\r\nETag: "%d"\r\nSet-Cookie: seen=%d; Path=/\r\nX-Cost-%d: %d\r\n' % (
            *(count, count, count % 2000, count % 97),
        )
        body = b"%d " % count * (count % 150 + 1)
        if kind == b"upgrade":
            self._is_tunnel = True
            head = head.replace(b"200 OK", b"101 Switching Protocols", 1)
            self._transport.write(head + b"Connection: upgrade\r\nUpgrade: echo\r\n\r\n")
        elif kind == b"until-close":
            self._transport.write(head + b"Connection: close\r\n\r\n" + body)
            self._transport.close()
        elif kind == b"events":
            event = b"id: %d\ndata: {}\n\n" % count
            chunk = b"%x\r\n%s\r\n" % (len(event), event)
            self._transport.write(
                head
                + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunk * 3
                + b"0\r\n\r\n"
            )
        elif kind in {b"chunked", b"leave-in-body"}:
            chunk = b"%x;n=%d\r\n%s\r\n" % (len(body), count % 7, body)
            self._transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2 + b"0\r\n\r\n")
        else:
            sized = b"Content-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head + sized + (b"" if kind == b"head" else body))


async def serve() -> None:
    """Until killed."""
    server = await asyncio.get_running_loop().create_server(App, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# -- the clients ---------------------------------------------------------------------------------------------


class Load:
    """All requests of a run.

    Args:
        port: the proxy's.
        count: how many requests; those of a connection are finished, so that there may be a few more.
        steps: how often it says how many are done.

    Attributes:
        wrong: answers that were not as they have to be, by what it was.
    """

    def __init__(self, port: int, count: int, steps: int) -> None:
        self._port = port
        self._count = count
        self._step = max(1, count // steps)
        self._done = 0
        self._connections = 0
        self.kinds: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    async def run(self) -> None:
        """Until the count is reached."""
        await asyncio.gather(*(self._client() for _ in range(_CLIENTS)))

    async def _client(self) -> None:
        while self._done < self._count:
            self._connections += 1
            number = self._connections
            address = (f"127.{1 + number // 62500 % 250}.{number // 250 % 250}.{1 + number % 250}", 0)
            loop = asyncio.get_running_loop()
            transport, client = await loop.create_connection(
                Client, "127.0.0.1", self._port, local_addr=address
            )
            try:
                for kind in (*_KEPT, _LAST[number % len(_LAST)]):
                    await self._ask(client, kind)
            finally:
                transport.abort()

    async def _ask(self, client: Client, kind: str) -> None:
        number = self._done
        self._done += 1
        try:
            async with asyncio.timeout(_PATIENCE_S):
                problem = await client.ask(kind, number)
        except (OSError, TimeoutError) as error:
            problem = repr(error)
        self.kinds[kind] += 1
        if problem:
            self.wrong[f"{kind}: {problem}"] += 1
        if number % self._step == self._step - 1:
            print(json.dumps({"done": number + 1}), flush=True)


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer = b""
        self._is_over = False
        self._news: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep it, and tell who waits."""
        self._answer += data
        self._tell()

    def connection_lost(self, _problem: Exception | None) -> None:
        """Tell who waits."""
        self._is_over = True
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _more(self) -> None:
        if not self._is_over:
            self._news = asyncio.get_running_loop().create_future()
            await self._news

    async def ask(self, kind: str, number: int) -> str:
        """One request and its answer; what was wrong with it. Raises ConnectionError where there is none."""
        self._transport.write(request(kind, number))
        if kind == "leave":
            self._transport.abort()
            return ""
        while b"\r\n\r\n" not in self._answer:
            if self._is_over:
                raise ConnectionResetError(f"no answer, but {self._answer[:100]!r}")
            await self._more()
        head, _, self._answer = self._answer.partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1]
        if status != _STATUSES.get(kind, b"200"):
            return f"status {status.decode()}"
        if kind == "bad":
            return await self._body(None, b"")
        if b'\r\netag: "%d"\r\n' % number not in head.lower() + b"\r\n":
            return "another's answer"
        if kind == "leave-in-body":
            self._transport.abort()
            return ""
        if kind == "upgrade":
            self._transport.write(_ECHO)
            return await self._body(len(_ECHO), _ECHO)
        if kind == "head":
            return ""
        fields = head.lower()
        if b"\r\ntransfer-encoding: chunked" in fields:
            while not self._answer.endswith(b"\r\n0\r\n\r\n") and not self._is_over:
                await self._more()
            is_right = self._answer.count(b"%d" % number) >= 2 and self._answer.endswith(b"\r\n0\r\n\r\n")
            self._answer = b""
            return "" if is_right else "another body"
        _, has_length, after = fields.partition(b"\r\ncontent-length: ")
        return await self._body(int(after.partition(b"\r\n")[0]) if has_length else None, b"%d " % number)

    async def _body(self, length: int | None, begins: bytes) -> str:
        """A sized body, or all until the end."""
        while (length is None or len(self._answer) < length) and not self._is_over:
            await self._more()
        body, self._answer = self._answer, b""
        if length is not None and len(body) != length:
            return f"{len(body)} bytes of {length}"
        return "" if body.startswith(begins) else "another body"


def request(kind: str, number: int) -> bytes:
    """One that there was not before."""
    version = "1.0" if kind == "get-1.0" else "1.1"
    method = {"post": "POST", "post-chunked": "POST", "head": "HEAD"}.get(kind, "GET")
    lines = [
        f"{method} /{kind}/{number}?token={number * 2654435761 % (1 << 32):08x} HTTP/{version}",
        f"Host: shop-{number % 900}.example.com",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Accept: " + ("text/event-stream" if kind == "events" else "text/html,application/json;q=0.9"),
        f"X-Amzn-Trace-Id: Root=1-67891233-{number:024x}",
        f"X-Forwarded-For: 203.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        f"Cookie: session={number * 40503:032x}",
        f"X-Tag-{number % 6000}: {number % 11}",
    ]
    body = b""
    if kind == "post":
        body = b"x" * (number % 3000)
        lines.append(f"Content-Length: {len(body)}")
    elif kind == "post-chunked":
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (number % 1000 + 1, b"y" * (number % 1000 + 1))
        lines.append("Transfer-Encoding: chunked")
    elif kind == "upgrade":
        lines += ["Connection: Upgrade", "Upgrade: echo"]
    elif kind == "close":
        lines.append("Connection: close")
    elif kind == "bad":
        lines.append(f"X Bad {number}: 1")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask_all(port: int, count: int, steps: int) -> None:
    """Run the load; its end as JSON."""
    load = Load(port, count, steps)
    await load.run()
    print(json.dumps({"kinds": load.kinds, "wrong": load.wrong}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "app":
        uvloop.run(serve())
    else:
        uvloop.run(ask_all(*(int(word) for word in sys.argv[2:])))

"""A reverse proxy as one is usually written with aiohttp: a server's handler, a client session, the body streamed.

``aiohttp_proxy.py HOST PORT APP_PORT``. No access log, kept connections to the app, no limit on their number.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, ClientWebSocketResponse, TCPConnector, WSMsgType, web
from multidict import CIMultiDict, CIMultiDictProxy

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_APP = web.AppKey("app", ClientSession)
_ORIGIN = web.AppKey("origin", str)
_BLOCK_BYTES = 64 * 1024


async def handle(request: web.Request) -> web.StreamResponse:
    """Pass one request on."""
    session, url = request.app[_APP], request.app[_ORIGIN] + request.raw_path
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await _tunnel(request, session, url)
    headers = _end_to_end(request.headers)
    headers["X-Forwarded-For"] = ", ".join(
        filter(None, (request.headers.get("X-Forwarded-For"), request.remote))
    )
    headers["X-Forwarded-Proto"] = request.scheme
    body = request.content if request.body_exists else None
    async with session.request(
        request.method, url, headers=headers, data=body, allow_redirects=False
    ) as answer:
        response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
        await response.prepare(request)
        async for block in answer.content.iter_any():
            await response.write(block)
        await response.write_eof()
        return response


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)


async def _tunnel(request: web.Request, session: ClientSession, url: str) -> web.WebSocketResponse:
    client = web.WebSocketResponse()
    await client.prepare(request)
    async with session.ws_connect(url) as app:
        copies = [asyncio.create_task(_copy(app, client)), asyncio.create_task(_copy(client, app))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for copy in copies:
            copy.cancel()
    return client


_End = ClientWebSocketResponse | web.WebSocketResponse


async def _copy(source: _End, sink: _End) -> None:
    async for message in source:
        if message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)


def main(host: str, port: int, app_port: int) -> None:
    """Until killed."""

    async def session(app: web.Application) -> AsyncIterator[None]:
        connector = TCPConnector(limit=0)
        async with ClientSession(
            connector=connector, auto_decompress=False, timeout=ClientTimeout(), read_bufsize=_BLOCK_BYTES
        ) as app[_APP]:
            yield

    app = web.Application(client_max_size=0)
    app[_ORIGIN] = f"http://{host}:{app_port}"
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", handle)
    web.run_app(
        app,
        host=host,
        port=port,
        access_log=None,
        backlog=4096,
        print=None,
        keepalive_timeout=3600,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

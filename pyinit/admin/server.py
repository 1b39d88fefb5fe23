"""HTTP on the operator's sockets: who may ask what, and the routes. aiohttp's, so loaded when first asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from pyinit.admin import metrics, page, views
from pyinit.admin.peers import Access, peer_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from pyinit.admin.peers import Peer
    from pyinit.admin.state import Operator
    from pyinit.log import EventLog

_BODY_MAX_BYTES = 4096
_KEEP_ALIVE_S = 15.0
_STOP_S = 0.2


class Server:
    """The aiohttp application.

    Args:
        operator: whom it asks.
        on_refused: told of a peer who may not.
        log: for events.
    """

    def __init__(self, operator: Operator, *, on_refused: Callable[[Peer], None], log: EventLog) -> None:
        self._operator = operator
        self._on_refused = on_refused
        self._log = log
        self._page: page.Page | None = None
        self._is_ending = asyncio.Event()
        app = web.Application(middlewares=[self._judge], client_max_size=_BODY_MAX_BYTES)
        app.add_routes(
            [
                web.get("/", self._front_page),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/status", self._status),
                web.get("/metrics", self._metrics),
                web.get("/status/end", self._status_at_the_end),
                web.post("/drain", self._drain),
                web.post("/stop", self._stop),
                web.post("/log-level", self._log_level),
            ]
        )
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE_S,
            shutdown_timeout=_STOP_S,
            handler_cancellation=True,  # who waits for our end and leaves is not waited with
        )

    async def start(self, listening: list[socket.socket]) -> None:
        """Serve on these."""
        await self._runner.setup()
        for sock in listening:
            await web.SockSite(self._runner, sock).start()

    async def stop(self) -> None:
        """Answer who waited for the end, and close every connection."""
        self._is_ending.set()
        await self._runner.cleanup()

    @web.middleware
    async def _judge(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse who may not."""
        transport = request.transport
        sock = None if transport is None else transport.get_extra_info("socket")
        if sock is None:
            raise web.HTTPForbidden(text="the connection is gone\n")
        peer = peer_of(sock)
        # A TCP socket does not tell who asks: the read-only part.
        access = Access.READ if peer is None else peer.access
        if access is Access.NONE:
            if peer is not None:
                self._on_refused(peer)
            raise web.HTTPForbidden(text="our own user or root may ask\n")
        if access is Access.READ and request.method not in ("GET", "HEAD"):
            where = "over TCP" if peer is None else "from another PID namespace"
            raise web.HTTPForbidden(text=f"{where} this can be read, not ordered\n")
        return await handler(request)

    async def _front_page(self, _: web.Request) -> web.Response:
        if self._page is None:
            self._page = page.load()
        return web.Response(body=self._page.body, headers=self._page.fields)

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        code, text = views.readiness(self._operator.not_ready)
        return web.Response(status=code, text=text)

    async def _status(self, _: web.Request) -> web.Response:
        try:
            return web.json_response(views.status(await self._operator.state()))
        except TimeoutError:
            return web.Response(status=504, text="a worker does not answer\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        try:
            state = await self._operator.state()
        except TimeoutError:
            return web.Response(status=504, text="a worker does not answer\n")
        body, media_type = metrics.exposition(state, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type})

    async def _status_at_the_end(self, request: web.Request) -> web.Response:
        """The last state, when it is the last: what was cut is known then, and a second later nobody answers."""
        await self._is_ending.wait()
        return await self._status(request)

    async def _drain(self, _: web.Request) -> web.Response:
        self._operator.drain()
        return web.Response(status=202, text="draining\n")

    async def _stop(self, _: web.Request) -> web.Response:
        self._operator.stop()
        return web.Response(status=202, text="stopping\n")

    async def _log_level(self, request: web.Request) -> web.Response:
        level = (await request.text()).strip()
        try:
            self._operator.set_log_level(level)
        except ValueError as problem:
            return web.Response(status=400, text=f"{problem}\n")
        return web.Response(text=f"{level}\n")

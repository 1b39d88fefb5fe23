"""HTTP on the operator's sockets: who may ask what, and the routes. aiohttp's, so loaded when first asked."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import traceback
from typing import TYPE_CHECKING

from aiohttp import web

import pyinit.admin.state  # noqa: F401  what an answer is made of: there may be no descriptor left to load it with then
from pyinit.admin import metrics, page, views
from pyinit.admin.peers import Access
from pyinit.admin.visitors import NEXT_REQUEST_S, WAITING_MAX, Visitors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pyinit.admin.accepting import Reserve
    from pyinit.admin.peers import Peer
    from pyinit.admin.state import Operator
    from pyinit.admin.visitors import Door, Visitor
    from pyinit.log import EventLog

    _Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BODY_MAX_BYTES = 4096
_BODY_S = 5.0
# What is left of a body that nobody reads: so long, then the connection is closed over it.
_LINGER_S = 1.0
_END_PATH = "/status/end"
# At our exit: what is being answered has so long.
_STOP_S = 0.05
# Another site's page in an operator's browser gets to see none of it.
_FIELDS = {
    "Server": "pyinit",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """The aiohttp application.

    Args:
        operator: whom it asks.
        on_refused: told of a peer who may not.
        reserve: for when there is no descriptor left.
        log: for events.
    """

    def __init__(
        self, operator: Operator, *, on_refused: Callable[[Peer], None], reserve: Reserve, log: EventLog
    ) -> None:
        self._operator = operator
        self._on_refused = on_refused
        self._reserve = reserve
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
                web.get(_END_PATH, self._status_at_the_end),
                web.post("/drain", self._drain),
                web.post("/stop", self._stop),
                web.post("/log-level", self._log_level),
            ]
        )
        self._paths = "".join(
            f"{route.method} {route.resource.canonical}\n"
            for route in app.router.routes()
            if route.method != "HEAD" and route.resource is not None
        )
        # It has nothing to say that is not said here, and the standard library's logging would write to stderr itself.
        silent = logging.getLogger("pyinit.admin")
        silent.disabled = True
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=silent,
            keepalive_timeout=NEXT_REQUEST_S,
            lingering_time=_LINGER_S,
            handler_cancellation=True,  # who waits for our end and leaves is not waited with
        )
        self._visitors: Visitors | None = None

    async def start(self, listening: list[socket.socket]) -> None:
        """Serve on these."""
        await self._runner.setup()
        make = self._runner.server
        assert make is not None  # noqa: S101  it is set up
        self._visitors = Visitors(make, reserve=self._reserve, log=self._log)
        for sock in listening:
            self._visitors.admit(sock)

    async def stop(self) -> None:
        """Answer who waited for the end, and close every connection; what is being answered has a moment."""
        self._is_ending.set()
        if self._visitors is not None:
            self._visitors.close()
        try:
            if self._runner.server is not None:
                await self._runner.server.shutdown(_STOP_S)
            await self._runner.cleanup()
        finally:
            if self._visitors is not None:
                self._visitors.abort()

    @web.middleware
    async def _judge(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse who may not; answer for what fails."""
        visitors, protocol = self._visitors, request.protocol
        visitor = None if visitors is None else visitors.begun(protocol)
        if visitors is None or visitor is None:
            raise web.HTTPForbidden(text="the connection is gone\n")
        try:
            response = self._refusal(request, visitor) or await self._answer_in_turn(
                request, handler, visitor.door
            )
        finally:
            visitors.ended(protocol)
        if not response.prepared:
            for name, value in _FIELDS.items():
                response.headers.setdefault(name, value)
        return response

    async def _answer_in_turn(
        self, request: web.Request, handler: _Handler, door: Door
    ) -> web.StreamResponse:
        # An order is awaited by nobody else's looking, and waits for its body; the end comes when it comes.
        is_look = request.method in ("GET", "HEAD") and request.path != _END_PATH
        if not is_look or self._is_ending.is_set():
            return await self._answer(request, handler)
        async with door.pace.turn():
            return await self._answer(request, handler)

    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return web.Response(status=404, text=f"no such path; these are there:\n{self._paths}")
        except web.HTTPMethodNotAllowed as problem:
            allowed = ", ".join(sorted(problem.allowed_methods))
            return web.Response(
                status=405, text=f"{request.path} takes {allowed}\n", headers={"Allow": allowed}
            )
        except web.HTTPException as answer:
            return web.Response(status=answer.status, text=f"{answer.reason}\n")
        except Exception:  # noqa: BLE001  one view's fault: said, counted, and no harm to the proxy
            self._operator.count_fault()
            self._log.error("control.failed", target=request.path, traceback=traceback.format_exc())
            return web.Response(status=500, text="a fault of pyinit's own; its log has the traceback\n")

    def _refusal(self, request: web.Request, visitor: Visitor) -> web.Response | None:
        peer = visitor.peer
        if visitor.access is Access.NONE:
            if peer is not None:
                self._on_refused(peer)
            answer = web.Response(status=403, text="our own user or root may ask\n")
            answer.force_close()
            return answer
        if visitor.access is Access.READ and request.method not in ("GET", "HEAD"):
            where = "over TCP" if peer is None else "from another PID namespace"
            return web.Response(status=403, text=f"{where} this can be read, not ordered\n")
        # Not request.host, which without the field asks DNS for our name, and waits. A browser always sends it.
        host = request.headers.get("Host")
        if (
            peer is None
            and host is not None
            and not is_host_expected(host, visitor.door.sock.getsockname()[0])
        ):
            return web.Response(
                status=421, text="on a loopback address this is asked for by address, or as localhost\n"
            )
        return None

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
        return web.json_response(views.status(await self._operator.state()))

    async def _metrics(self, request: web.Request) -> web.Response:
        state = await self._operator.state()
        body, media_type = metrics.exposition(state, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type})

    async def _status_at_the_end(self, request: web.Request) -> web.Response:
        """The last state, when it is the last: what was cut is known then, and a second later nobody answers."""
        door = None if self._visitors is None else self._visitors.door_of(request.protocol)
        if door is not None:
            if door.waiting_count >= WAITING_MAX:
                # Nobody else could ask by this socket, for as long as we run.
                return web.Response(status=503, text=f"{WAITING_MAX} wait for the end here already\n")
            door.waiting_count += 1
        try:
            await self._is_ending.wait()
        finally:
            if door is not None:
                door.waiting_count -= 1
        return await self._status(request)

    async def _drain(self, _: web.Request) -> web.Response:
        return web.Response(status=202, text=f"{self._operator.drain()}\n")

    async def _stop(self, _: web.Request) -> web.Response:
        return web.Response(status=202, text=f"{self._operator.stop()}\n")

    async def _log_level(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_BODY_S):
                level = (await request.text()).strip()
        except TimeoutError:
            return web.Response(status=408, text="the body did not come\n")
        except UnicodeDecodeError:
            level = ""
        try:
            self._operator.set_log_level(level)
        except ValueError as problem:
            return web.Response(status=400, text=f"{problem}\n")
        return web.Response(text=f"{level}\n")


def is_host_expected(host: str, bound: str) -> bool:
    """Whether a Host can be an operator's own.

    A name that leads to a loopback address is what a page of another site has made of its own name (DNS rebinding), to
    read from us with its visitor's browser. On any other address names are how monitoring asks (a service's, a
    task's), and there is no telling them apart; what is there can be read by whoever reaches the port anyway.

    Args:
        host: as the request has it, with its port.
        bound: the address that the socket listens on.
    """
    if not ipaddress.ip_address(bound).is_loopback:
        return True
    is_v6 = host.startswith("[")
    name = host[1:].partition("]")[0] if is_v6 else host.partition(":")[0].lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 section 6.3: never anybody else's
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""A ProxyServer in this process, with fake apps and raw clients around it, on either loop.

    @on_both_loops
    async def test_something(world: World) -> None:
        await world.serve(answering(response(b"ok")))
        client = await world.client()
        assert (await client.ask()).body == b"ok"

Time is the test's own: ``world.advance(16)`` is sixteen seconds later for every limit of the proxy's.
At the end nothing may be left: no connection, task, descriptor or fault.
"""

import asyncio
import gc
import inspect
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Concatenate, ParamSpec

import pytest
import uvloop

from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.downstream import Downstream
from pyinit.proxy.server import ProxyServer
from tests.support.fake_app import FakeApp, Script
from tests.support.raw_client import RawClient

TIME_SCALE = float(os.environ.get("PYINIT_TEST_TIME_SCALE", "1"))
DEADLINE_S = 20.0 * TIME_SCALE

# libuv opens a pipe for the whole process with its first loop.
uvloop.new_event_loop().close()

NewLoop = Callable[[], asyncio.AbstractEventLoop]
P = ParamSpec("P")


class Recorded:
    """A log that keeps its events.

    Attributes:
        events: (level, event, fields), in order.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, event: str, **fields: object) -> None:
        """See EventLog."""
        self.events.append(("debug", event, fields))

    def info(self, event: str, **fields: object) -> None:
        """See EventLog."""
        self.events.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """See EventLog."""
        self.events.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """See EventLog."""
        self.events.append(("error", event, fields))

    def access(self, **fields: object) -> None:
        """See ProxyLog."""
        self.events.append(("info", "request.finished", fields))

    def set_level(self, level: str) -> None:
        """See ProxyLog."""

    def of(self, name: str) -> list[dict[str, object]]:
        """The fields of each event of that name."""
        return [fields for _, event, fields in self.events if event == name]


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until a condition holds, up to the tests' deadline."""
    end_s = asyncio.get_running_loop().time() + DEADLINE_S
    while not condition():
        assert asyncio.get_running_loop().time() < end_s, f"never: {what or inspect.getsource(condition)}"
        await asyncio.sleep(0.001)


class World:
    """A proxy and what is around it.

    Attributes:
        log: what the proxy has logged.
        quiet_count: how often it said that it is quiet.
        newcomers: how often it said that a new client came.
        faults: how many of the proxy's callbacks may have failed; each more fails the test.
        loop_faults: what reached the loop's exception handler.
    """

    server: ProxyServer
    app: FakeApp

    def __init__(self) -> None:
        self.log = Recorded()
        self.quiet_count = 0
        self.newcomers = 0
        self.faults = 0
        self.loop_faults: list[dict[str, object]] = []
        self.port = 0
        self._clients: list[RawClient] = []
        self._apps: list[FakeApp] = []
        self._offset_s = 0.0

    async def serve(
        self,
        script: Script | None = None,
        *,
        raw: bool = False,
        upstream: UpstreamAddress | None = None,
        receive_bytes: int | None = None,
        send_bytes: int | None = None,
        **config: object,
    ) -> None:
        """Start the proxy in front of an app.

        Args:
            script: of the app's connections; None for no app at all.
            raw: a ``tcp:`` listener.
            upstream: where the app is, if not there.
            receive_bytes: the app's SO_RCVBUF.
            send_bytes: SO_SNDBUF of the proxy's client connections, who have it from the listener.
            config: fields of ProxyConfig.
        """
        if script is not None:
            self.app = FakeApp(script, receive_bytes=receive_bytes)
            self._apps.append(self.app)
            upstream = UpstreamAddress(hosts=("127.0.0.1",), port=self.app.port)
        assert upstream is not None
        self.server = ProxyServer(
            ProxyConfig(upstream=upstream, **config),  # type: ignore[arg-type]  # told by name
            self.log,
            on_quiet=self._on_quiet,
            on_new_connection=self._on_new_connection,
        )
        loop = asyncio.get_running_loop()
        self.server.now_s = lambda: loop.time() + self._offset_s
        sock = socket.socket()
        if send_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
        sock.bind(("127.0.0.1", 0))
        self.port = int(sock.getsockname()[1])
        self.server.listen([(sock, raw)])

    def _on_quiet(self) -> None:
        self.quiet_count += 1

    def _on_new_connection(self) -> None:
        self.newcomers += 1

    async def client(self, *, receive_bytes: int | None = None) -> RawClient:
        """A connection to the proxy."""
        client = await RawClient.connect(self.port, receive_bytes=receive_bytes)
        self._clients.append(client)
        return client

    def kept(self, client: RawClient) -> RawClient:
        """A client made elsewhere, closed at the end."""
        self._clients.append(client)
        return client

    async def downstream(self, count: int = 1) -> Downstream:
        """The proxy's end of the only client connection, once there are so many."""
        await eventually(lambda: len(self.server.connections) == count)
        return next(iter(self.server.connections))

    def advance(self, seconds: float) -> None:
        """So much later, and the look at all connections that comes with it."""
        self._offset_s += seconds
        self.server._sweep()

    async def close(self) -> None:
        """End everything; what is left behind fails the test."""
        for client in self._clients:
            client.close()
        if hasattr(self, "server"):
            server = self.server
            server.abort()
            await eventually(lambda: not server.connections and not server.upstreams, "connections left")
            await eventually(lambda: not server._tasks, "tasks left")
            assert not server.listeners
            assert server._sweep_timer is None or server._sweep_timer.cancelled()
            assert server.gauge.held_bytes == 0
            assert not server._held
        for app in self._apps:
            await app.stop()
        failed = self.log.of("callback.failed")
        assert len(failed) == self.faults, failed
        assert self.loop_faults == []


def _sockets() -> dict[str, str]:
    """Open sockets: number -> inode. Other descriptors may be the loop's own (libuv keeps /dev/null open)."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except FileNotFoundError:
            continue  # the one that lists them
        if target.startswith("socket:"):
            found[path.name] = target
    return found


async def _story(test: Callable[[World], Awaitable[None]]) -> None:
    world = World()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: world.loop_faults.append(context))
    try:
        async with asyncio.timeout(DEADLINE_S * 2):
            await test(world)
    finally:
        await world.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left


def on_both_loops(test: Callable[Concatenate[World, P], Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a coroutine function whose first argument is a World: one on asyncio, one on uvloop."""

    def run(new_loop: NewLoop, *args: P.args, **kwargs: P.kwargs) -> None:
        loop = new_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(asyncio.sleep(0))  # what the loop's first use opens
            before = _sockets()
            loop.run_until_complete(_story(lambda world: test(world, *args, **kwargs)))
            loop.run_until_complete(asyncio.sleep(0))
            gc.collect()  # what is only reachable by a cycle is a leak that its ResourceWarning tells
            after = _sockets()
            assert after == before, set(after.items()) ^ set(before.items())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    signature = inspect.signature(test)
    _, *others = signature.parameters.values()
    first = inspect.Parameter("new_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(parameters=[first, *others])  # type: ignore[attr-defined]
    run.__name__ = run.__qualname__ = test.__name__
    run.__doc__ = test.__doc__
    run.__module__ = test.__module__
    return pytest.mark.parametrize(
        "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )(run)

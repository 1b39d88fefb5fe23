"""A fault of our own in any callback costs the one connection it happened on, on both loops.

Each case makes one function below a callback raise once. Whoever was on that connection sees it end; everybody
else is served, the fault is in the log with its traceback, and nothing is left behind.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from pyinit.errors import DrainAborted
from pyinit.proxy.downstream import Downstream
from pyinit.proxy.exchange import Exchange
from pyinit.proxy.server import ProxyServer
from pyinit.proxy.tunnel import Tunnel
from pyinit.proxy.upstream import Upstream
from tests.support.fake_app import AppConnection, response
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, request

HUGE_BYTES = 24 << 20
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
OFFER = request(b"/tunnel", b"Connection: Upgrade", b"Upgrade: echo")


async def app(it: AppConnection) -> None:
    """Does what the target says."""
    while True:
        head = await it.head()
        target = head.split(b" ")[1]
        if target == b"/huge":
            await it.send(response(bytes(HUGE_BYTES)))
        elif target == b"/until-close":
            await it.send(response(b"x", length=False))
            return
        elif target == b"/dies":
            return
        elif target == b"/resets":
            it.reset()
            return
        elif target == b"/silent":
            await it.rest()
        elif target == b"/unread":
            await it.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await asyncio.get_running_loop().create_future()
        elif target == b"/reads-later":
            await it.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await world_of[it.sock.getsockname()[1]].wait()
            it.widen()
            await it.rest()
        elif target == b"/tunnel":
            await it.send(SWITCH)
            while data := await it.some():
                await it.send(data)
                if data == b"end":
                    it.half_close()
                if data == b"reset":
                    it.reset()
                    return
        else:
            await it.send(response(b"ok"))


# The app's port -> when /reads-later goes on.
world_of: dict[int, asyncio.Event] = {}


# -- what the client does ------------------------------------------------------------------------------------

Story = Callable[[World, RawClient], Awaitable[None]]


async def connects(_world: World, _client: RawClient) -> None:
    """Nothing more."""


async def asks(_world: World, client: RawClient) -> None:
    await client.send(request())


async def pipelines(_world: World, client: RawClient) -> None:
    await client.send(request() * 2)


async def asks_and_half_closes(world: World, client: RawClient) -> None:
    await client.send(request(b"/silent"))
    await eventually(lambda: any(_exchanges(world)))
    client.half_close()


async def asks_and_resets(world: World, client: RawClient) -> None:
    await client.send(request(b"/silent"))
    await eventually(lambda: len(world.server.upstreams) == 2)
    client.reset()


async def asks_for_more_than_it_reads(_world: World, client: RawClient) -> None:
    await client.send(request(b"/huge"))


async def reads_late(world: World, client: RawClient) -> None:
    await client.send(request(b"/huge"))
    await eventually(lambda: world.server._held)
    client.widen()
    while not world.server.stats.callback_faults and await client.some():
        pass


async def sends_more_than_is_read(_world: World, client: RawClient) -> None:
    await client.send(request(b"/unread", b"Content-Length: %d" % HUGE_BYTES, method=b"POST"))
    await client.until(b"\r\n\r\n")
    await _send_until_it_ends(client)


async def is_read_late(world: World, client: RawClient) -> None:
    await client.send(request(b"/reads-later", b"Content-Length: %d" % HUGE_BYTES, method=b"POST"))
    await client.until(b"\r\n\r\n")
    sending = asyncio.ensure_future(_send_until_it_ends(client))
    await eventually(lambda: world.server._held)
    world_of[world.app.port].set()
    await sending


async def _send_until_it_ends(client: RawClient) -> None:
    try:
        await client.send(bytes(HUGE_BYTES // 2), bytes(HUGE_BYTES // 2))
    except ConnectionError:
        client.ending = "reset"


async def waits_for_an_app_that_ends_it(_world: World, client: RawClient) -> None:
    await client.send(request(b"/until-close"))


async def waits_for_an_app_that_resets(_world: World, client: RawClient) -> None:
    await client.send(request(b"/resets"))


async def is_idle_too_long(world: World, client: RawClient) -> None:
    await client.ask()
    world.advance(100)


async def waits(world: World, client: RawClient) -> None:
    await client.send(request(b"/silent"))
    await eventually(lambda: len(world.server.upstreams) == 2)


async def is_cut(world: World, client: RawClient) -> None:
    await client.send(request(b"/silent"))
    await eventually(lambda: len(world.server.upstreams) == 2)
    world.server.cut(DrainAborted("this server is stopping", 503))


async def is_asked_to_leave(world: World, client: RawClient) -> None:
    await client.send(request(b"/silent"))
    await eventually(lambda: len(world.server.upstreams) == 2)
    world.server.close_streams()


async def asks_for_an_app_that_is_gone(world: World, client: RawClient) -> None:
    world.app._accepting.cancel()
    world.app._sock.close()
    await client.send(request(b"/silent"))


def tunnels(*pieces: bytes, half_closes: bool = False) -> Story:
    """Upgrades, then sends pieces, each once the one before has come back."""

    async def story(_world: World, client: RawClient) -> None:
        await client.send(OFFER)
        await client.response()
        for piece in pieces:
            await client.send(piece)
        if half_closes:
            client.half_close()

    return story


class Case(NamedTuple):
    """Where it fails.

    Attributes:
        name: the callback, as the log names it, and what is special.
        where: the log's field.
        owner: of the function that raises.
        function: its name.
        story: what the client does.
        only_for: the class of the first argument, where it matters.
        ends: whether the client's connection is ended by the fault; else it was over anyway.
        kills_app: whether the app is gone afterwards.
    """

    name: str
    where: str
    owner: type
    function: str
    story: Story
    only_for: type | None = None
    ends: bool = True
    kills_app: bool = False


CASES = [
    Case("connection_made", "downstream.connection_made", ProxyServer, "identify", connects),
    Case("connection_made, counted already", "downstream.connection_made", ProxyServer, "entered", connects),
    Case("a request begins", "downstream.buffer_updated", Exchange, "begin", asks),
    Case("a request without a pooled connection", "downstream.buffer_updated", ProxyServer, "connect", asks),
    Case("a pipelined request", "downstream.buffer_updated", Downstream, "hold", pipelines),
    Case("its turn", "downstream.next_pending", Downstream, "_head_data", pipelines),
    Case("a request body", "downstream.buffer_updated", Exchange, "client_data", sends_more_than_is_read),
    Case("eof_received", "downstream.eof_received", Exchange, "client_eof", asks_and_half_closes),
    Case(
        "connection_lost", "downstream.connection_lost", Exchange, "client_lost", asks_and_resets, ends=False
    ),
    Case(
        "pause_writing",
        "downstream.pause_writing",
        ProxyServer,
        "writes_paused",
        asks_for_more_than_it_reads,
        only_for=Downstream,
    ),
    Case(
        "resume_writing",
        "downstream.resume_writing",
        ProxyServer,
        "writes_resumed",
        reads_late,
        only_for=Downstream,
    ),
    Case("check", "downstream.check", Downstream, "check_idle", is_idle_too_long),
    Case("check of an exchange", "downstream.check", Exchange, "check", waits),
    Case("cut", "server.cut", Exchange, "cut", is_cut),
    Case("leave", "server.close_streams", Exchange, "leave", is_asked_to_leave),
    Case("connected", "upstream.connection_made", Exchange, "connected", asks),
    Case("connect", "server.connect", ProxyServer, "_open_upstream", asks),
    Case(
        "connect_failed",
        "server.connect",
        Exchange,
        "connect_failed",
        asks_for_an_app_that_is_gone,
        kills_app=True,
    ),
    Case("a response", "upstream.buffer_updated", Exchange, "app_data", asks),
    Case("the app's FIN", "upstream.eof_received", Exchange, "app_eof", waits_for_an_app_that_ends_it),
    Case("the app's RST", "upstream.connection_lost", Exchange, "app_lost", waits_for_an_app_that_resets),
    Case(
        "the app is full",
        "upstream.pause_writing",
        ProxyServer,
        "writes_paused",
        sends_more_than_is_read,
        only_for=Upstream,
    ),
    Case(
        "the app has room",
        "upstream.resume_writing",
        ProxyServer,
        "writes_resumed",
        is_read_late,
        only_for=Upstream,
    ),
    Case("an upgrade", "upstream.buffer_updated", Downstream, "start_tunnel", tunnels()),
    Case("tunnel: client_data", "downstream.buffer_updated", Tunnel, "client_data", tunnels(b"x")),
    Case("tunnel: app_data", "upstream.buffer_updated", Tunnel, "app_data", tunnels(b"x")),
    Case("tunnel: client_eof", "downstream.eof_received", Tunnel, "client_eof", tunnels(half_closes=True)),
    Case("tunnel: app_eof", "upstream.eof_received", Tunnel, "app_eof", tunnels(b"end")),
    Case("tunnel: app_lost", "upstream.connection_lost", Tunnel, "app_lost", tunnels(b"reset")),
]


class Bomb:
    """Makes a function raise at its next call, once armed."""

    def __init__(self, patch: pytest.MonkeyPatch, case: Case) -> None:
        self.is_armed = False
        self.count = 0
        real = getattr(case.owner, case.function)

        def raising(self_: Any, *args: Any, **kwargs: Any) -> Any:
            is_meant = case.only_for is None or isinstance(args[0], case.only_for)
            if case.function == "writes_resumed":
                # Not the release that a connection's end makes without having held anything.
                is_meant = is_meant and args[0] in self_._held
            if self.is_armed and is_meant:
                self.is_armed = False
                self.count += 1
                raise RuntimeError("injected")
            return real(self_, *args, **kwargs)

        patch.setattr(case.owner, case.function, raising)


def _exchanges(world: World) -> list[object]:
    return [it.relay for it in world.server.connections if it.relay is not None]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@on_both_loops
async def test_a_fault_costs_one_connection(
    world: World, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    bomb = Bomb(monkeypatch, case)
    world.faults = 1
    await world.serve(app, receive_bytes=4096)
    world_of[world.app.port] = asyncio.Event()
    # A bystander's connection, idle, its connection to the app taken: every fault is in the middle of something.
    bystander = await world.client()
    await bystander.send(OFFER)
    assert (await bystander.response()).status == 101
    bomb.is_armed = case.function in ("identify", "entered")
    client = await world.client(receive_bytes=4096)
    await eventually(lambda: bomb.count or len(world.server.connections) == 2)
    if case.function == "_head_data":
        # The first request's head is read by the same function: its turn comes after that.
        _arm_at_first_request(monkeypatch, bomb)
    elif not bomb.count:
        bomb.is_armed = True
    await case.story(world, client)
    if case.function == "check":
        world.server._sweep()
    await eventually(lambda: bomb.count)
    if case.ends:
        await client.end()
    await eventually(lambda: len(world.server.connections) == (case.function != "cut"))
    await eventually(lambda: len(world.server.upstreams) <= 1 + len(world.server.pool))
    (failed,) = world.log.of("callback.failed")
    assert failed["where"] == case.where
    assert "RuntimeError: injected" in str(failed["traceback"])
    assert world.server.stats.callback_faults == 1
    if case.function == "writes_resumed":
        # asyncio's own: an abort inside resume_writing has connection_lost called twice. We run on uvloop.
        world.loop_faults = [it for it in world.loop_faults if "_call_connection_lost" not in str(it)]
    await _serves_others(world, bystander, case)


def _arm_at_first_request(patch: pytest.MonkeyPatch, bomb: Bomb) -> None:
    real = Exchange.begin

    def begin(self: Exchange, rest: bytes) -> None:
        bomb.is_armed = not bomb.count
        real(self, rest)

    patch.setattr(Exchange, "begin", begin)


async def _serves_others(world: World, bystander: RawClient, case: Case) -> None:
    if case.function == "cut":
        return  # that was everybody's end
    await bystander.send(b"still here")
    assert await bystander.until(b"here") == b"still here"
    if not case.kills_app:
        other = await world.client()
        assert [(await other.ask()).body for _ in range(2)] == [b"ok", b"ok"]


@on_both_loops
async def test_a_fault_in_taking_a_connection_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a protocol was made: there is an exception that nobody waits for, and a socket to be closed."""
    await world.serve(app)
    world.faults = 1
    real = Downstream.__init__

    def raising(*_: object, **__: object) -> None:
        monkeypatch.setattr(Downstream, "__init__", real)
        raise RuntimeError("injected")

    monkeypatch.setattr(Downstream, "__init__", raising)
    client = await world.client()
    assert await client.end() in ("fin", "reset")
    await eventually(lambda: world.server.stats.callback_faults == 1)
    assert (await (await world.client()).ask()).body == b"ok"


@on_both_loops
async def test_running_out_of_descriptors_pauses_accepting_for_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.serve(app)
    monkeypatch.setattr("pyinit.proxy.listener._EMFILE_PAUSE_S", 0.01)
    listener = world.server.listeners[0]

    class Exhausted:
        """A listening socket whose accept fails three times."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.left = 3

        def _accept(self) -> Any:
            if self.left:
                self.left -= 1
                raise OSError(24, "Too many open files")
            return self.sock._accept()  # type: ignore[attr-defined]  # socket.accept's own

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

    listener.sock = Exhausted(listener.sock)  # type: ignore[assignment]  # the same but for accept
    client = await world.client()
    assert (await client.ask()).body == b"ok"
    assert len(world.log.of("listener.out_of_descriptors")) == 1

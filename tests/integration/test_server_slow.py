"""Clients that are slow, or many, or gone without a word, on both loops: what they may pin, and for how long."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from pyinit.drain.tracker import State
from pyinit.proxy.config import UpstreamAddress
from pyinit.proxy.flow import UNREAD, MemoryGauge
from pyinit.proxy.kernel import undelivered_bytes
from tests.support.fake_app import AppConnection, answering, echoing, response
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, chunks, request

HUGE_BYTES = 24 << 20
ONE_READ = 1 << 16
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
OFFER = request(b"/tunnel", b"Connection: Upgrade", b"Upgrade: echo")


@asynccontextmanager
async def nobody_answers() -> AsyncIterator[UpstreamAddress]:
    """An app's address whose connects neither succeed nor fail: a backlog of 0 that is full drops SYNs."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield UpstreamAddress(hosts=("127.0.0.1",), port=port)


# -- byte by byte --------------------------------------------------------------------------------------------


@on_both_loops
async def test_a_head_that_dribbles_within_its_time_is_answered(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    downstream = await world.downstream()
    raw = request(b"/", b"X-Slow: very")
    for sent in range(len(raw) - 1):
        await client.send(raw[sent : sent + 1])
        await eventually(lambda: downstream._reader.held_bytes == sent + 1)  # noqa: B023  asked at once
        world.advance(14.5 / len(raw))
    await client.send(raw[-1:])
    assert (await client.response()).status == 200


@on_both_loops
async def test_a_head_has_no_more_time_for_coming_byte_by_byte(world: World) -> None:
    """Each byte is progress; the whole of it is what is limited."""
    await world.serve(answering(response(b"x")))
    client = await world.client()
    downstream = await world.downstream()
    for sent in range(20):
        if downstream.state is State.LINGERING:
            break
        await client.send(b"GET / HTTP/1.1\r\nHost: a"[sent : sent + 1])
        await eventually(lambda: downstream._reader.held_bytes == sent + 1)  # noqa: B023  asked at once
        world.advance(1)
    assert 15 <= sent <= 16
    assert (await client.response()).status == 408


@on_both_loops
async def test_a_body_that_comes_byte_by_byte_is_passed_on(world: World) -> None:
    got: list[bytes] = []

    async def script(it: AppConnection) -> None:
        await it.head()
        for _ in range(8):
            got.append(await it.exactly(1))  # noqa: PERF401  seen as it grows
        await it.send(response(b"all"))

    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/", b"Content-Length: 8", method=b"POST"))
    for sent in range(8):
        world.advance(59)
        await client.send(b"x")
        await eventually(lambda: len(got) == sent + 1)  # noqa: B023  asked at once
    assert (await client.response()).body == b"all"


@on_both_loops
async def test_a_body_that_we_do_not_read_has_not_stopped(world: World) -> None:
    """At the memory limit nobody is read, for as long as others take: that is no fault of an upload's."""

    async def script(it: AppConnection) -> None:
        while True:
            if (await it.head()).startswith(b"GET"):
                await it.send(response(bytes(HUGE_BYTES)))
            else:
                await it.exactly(10)
                await it.send(response(b"all"))

    await world.serve(script, buffer_memory_bytes=1000, write_timeout_s=300)
    uploading, slow = await world.client(), await world.client(receive_bytes=4096)
    await uploading.send(request(b"/", b"Content-Length: 10", method=b"POST"), b"12345")
    await eventually(lambda: world.server.pool or world.server.upstreams)
    await slow.send(request())
    await eventually(lambda: world.server.gauge.is_full)
    await uploading.send(b"67890")
    world.advance(100)
    world.advance(100)
    assert uploading.is_silent()
    slow.reset()
    assert (await uploading.response()).body == b"all"


# -- clients that do not read --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"TRACE", b"OPTIONS"])
@on_both_loops
async def test_answers_of_ours_are_not_piled_up_for_a_client_that_does_not_read(
    world: World, method: bytes
) -> None:
    """No app is held back for these: one connection would fill all memory within --write-timeout."""
    await world.serve(echoing(), send_bytes=4096)
    client = await world.client(receive_bytes=4096)
    one = request(b"/", b"Max-Forwards: 0", b"X: " + b"y" * 8000, method=method)
    count = 4000 if method == b"OPTIONS" else 1000
    sending = asyncio.ensure_future(client.send(one * count))
    downstream = await world.downstream()
    await eventually(lambda: downstream.gate.reasons & UNREAD)
    await asyncio.sleep(0.05)
    assert not sending.done()
    assert downstream.transport.get_write_buffer_size() <= ONE_READ
    assert world.server.gauge.held_bytes <= 2 * ONE_READ
    world.advance(59)
    assert downstream in tuple(world.server.connections)
    await eventually(lambda: not _advanced(world, 61))
    await asyncio.gather(sending, return_exceptions=True)


def _advanced(world: World, seconds: float) -> int:
    """How many connections there are so much later."""
    world.advance(seconds)
    return len(world.server.connections)


@on_both_loops
async def test_a_client_that_reads_late_gets_every_answer_in_order(world: World) -> None:
    await world.serve(echoing(), send_bytes=4096)
    client = await world.client(receive_bytes=4096)
    bodies = [b"%d" % turn * 1000 for turn in range(10, 40)]
    await client.send(b"".join([request(method=b"POST", body=body) for body in bodies]))
    downstream = await world.downstream()
    await eventually(lambda: downstream.gate.reasons & UNREAD)
    world.advance(50)
    client.widen()
    assert [(await client.response()).body for _ in bodies] == bodies
    assert not downstream.gate.reasons


@on_both_loops
async def test_a_client_that_reads_late_is_not_idle(world: World) -> None:
    """The idle time begins when it has its answer; what it has asked for meanwhile is not dropped."""

    async def script(it: AppConnection) -> None:
        while True:
            target = (await it.request()).target
            await it.send(response(b"next" if target == b"/next" else bytes(50_000)))

    await world.serve(script, send_bytes=4096)
    client = await world.client(receive_bytes=4096)
    await client.send(request() + request(b"/next"))
    downstream = await world.downstream()
    await eventually(lambda: downstream.gate.reasons & UNREAD)
    got = b""
    for _ in range(3):
        got += await client.exactly(5000)
        world.advance(50)
    assert downstream.gate.reasons & UNREAD
    client.widen()
    while not got.endswith(b"next"):
        got += await client.some()
    assert got.count(b"HTTP/1.1 200 OK") == 2


@on_both_loops
async def test_a_client_that_does_not_read_frees_the_apps_connection_when_it_is_cut(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"", b"Content-Length: %d" % HUGE_BYTES, length=False))
        try:
            await it.send(bytes(HUGE_BYTES))
        except ConnectionError:
            endings.append("reset")

    await world.serve(script, write_timeout_s=5, send_bytes=4096)
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    await eventually(lambda: world.server._held)
    world.advance(4)
    assert len(world.server.upstreams) == 1
    await eventually(lambda: not _advanced(world, 6))
    await eventually(lambda: not world.server.upstreams)
    await eventually(lambda: endings == ["reset"])
    assert await client.end() == "reset"


@on_both_loops
async def test_a_tunnel_whose_client_does_not_read_is_cut_at_both_ends(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(SWITCH)
        try:
            await it.send(bytes(HUGE_BYTES))
        except ConnectionError:
            endings.append("reset")

    await world.serve(script, write_timeout_s=5, send_bytes=4096)
    client = await world.client(receive_bytes=4096)
    await client.send(OFFER)
    await eventually(lambda: world.server._held)
    await eventually(lambda: not _advanced(world, 6))
    await eventually(lambda: not world.server.upstreams)
    await eventually(lambda: endings == ["reset"])
    assert await client.end() == "reset"


@on_both_loops
async def test_many_that_do_not_read_stay_under_the_memory_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 2 << 20
    await world.serve(
        answering(response(bytes(400_000))), buffer_memory_bytes=limit, write_timeout_s=5, send_bytes=4096
    )
    highest = 0
    real = MemoryGauge.add

    def add(gauge: MemoryGauge, change_bytes: int) -> None:
        nonlocal highest
        real(gauge, change_bytes)
        highest = max(highest, gauge.held_bytes)

    monkeypatch.setattr(MemoryGauge, "add", add)
    clients = [await world.client(receive_bytes=4096) for _ in range(200)]
    for client in clients:
        await client.send(request())
    await eventually(lambda: world.server.gauge.is_full)
    await asyncio.sleep(0.1)
    written = sum(it.transport.get_write_buffer_size() for it in world.server.connections)
    assert written <= world.server.gauge.held_bytes
    assert highest <= limit + ONE_READ
    # Whoever was not read yet is served once those are gone; then it is their turn to be cut.
    await eventually(lambda: not _advanced(world, 6))
    assert highest <= limit + ONE_READ


@pytest.mark.parametrize("limit", [1 << 30, 1000], ids=["there is memory", "it is used up"])
@on_both_loops
async def test_a_byte_now_and_then_keeps_hold_of_memory_only_while_there_is_some(
    world: World, limit: int
) -> None:
    """At the bound everybody waits, so that a few who read just enough could make it last."""
    size = 4 << 20
    await world.serve(
        answering(response(bytes(size))), buffer_memory_bytes=limit, write_timeout_s=5, send_bytes=4096
    )
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    await eventually(lambda: world.server._held)
    downstream = await world.downstream()
    for _ in range(3):
        before = undelivered_bytes(downstream.transport)
        await client.some()
        await eventually(lambda: undelivered_bytes(downstream.transport) != before)  # noqa: B023  asked at once
        world.advance(6)
        if downstream.state is State.CLOSED:
            break
    assert (downstream.state is State.ACTIVE) is (limit > size)


@on_both_loops
async def test_uploads_that_wait_for_a_connection_count_as_memory(world: World) -> None:
    async with nobody_answers() as upstream:
        await world.serve(upstream=upstream, buffer_memory_bytes=100_000, connect_timeout_s=0.4)
        clients = [await world.client() for _ in range(4)]
        for client in clients:
            await client.send(request(method=b"POST", body=bytes(60_000))[:50_000])
        await eventually(lambda: world.server.gauge.is_full)
        held = [len(it.relay._first) for it in world.server.connections if it.relay]  # type: ignore[attr-defined]
        assert world.server.gauge.held_bytes >= sum(held) >= 100_000
        assert [(await client.response()).status for client in clients] == [504] * 4
        assert world.server.gauge.held_bytes == 0


@on_both_loops
async def test_a_response_is_read_at_the_memory_limit_over_a_pooled_connection_too(world: World) -> None:
    """It was idle as the limit was reached: held back then, it would be for ever, with what waits behind it."""

    async def script(it: AppConnection) -> None:
        while True:
            target = (await it.request()).target
            if target in events:
                await events[target].wait()
            await it.send(response(target))

    events = {b"/warm": asyncio.Event(), b"/one": asyncio.Event(), b"/others": asyncio.Event()}
    await world.serve(script, buffer_memory_bytes=20_000, pool_is_fifo=True)
    clients = [await world.client() for _ in range(6)]
    for client in clients:
        await client.send(request(b"/warm"))
    await eventually(lambda: len(world.app.requests) == 6)
    events[b"/warm"].set()
    for client in clients:
        assert (await client.response()).status == 200
    assert len(world.server.pool) == 6
    one, *others = clients[:4]
    await one.send(request(b"/one") + request(b"/more" + b"x" * 1800) * 2)
    for client in others:  # above three quarters of the limit by themselves: it stays full
        await client.send(request(b"/others") + request(b"/more" + b"x" * 5500))
    await eventually(lambda: world.server.gauge.is_full)
    assert len(world.server.pool) == 2
    events[b"/one"].set()
    assert (await one.response()).body == b"/one"
    assert (await one.response()).body.startswith(b"/more")  # over one that was idle
    events[b"/others"].set()
    for client in clients[:4]:
        assert (await client.response()).status == 200
    for client in others:
        assert (await client.response()).status == 200
    assert world.server.gauge.held_bytes == 0


# -- floods --------------------------------------------------------------------------------------------------


async def ask_without_reading(client: RawClient, raw: bytes, count: int) -> list[bytes]:
    """All requests at once, and the bodies of all answers."""
    sending = asyncio.ensure_future(client.send(raw))
    bodies = [(await client.response()).body for _ in range(count)]
    await sending
    return bodies


@on_both_loops
async def test_ten_thousand_requests_at_once_are_answered_in_order(world: World) -> None:
    count = 10_000

    async def script(it: AppConnection) -> None:
        while True:
            head = await it.head()
            await it.send(response(head.split(b" ", 2)[1]))

    await world.serve(script)
    client = await world.client()
    raw = b"".join([b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % turn for turn in range(count)])
    assert await ask_without_reading(client, raw, count) == [b"/%d" % turn for turn in range(count)]
    assert len(world.app.connections) == 1
    assert world.server.stats.requests == count


@on_both_loops
async def test_a_thousand_requests_with_bodies_at_once(world: World) -> None:
    await world.serve(echoing())
    client = await world.client()
    raw, expected = b"", []
    for turn in range(1000):
        body = b"%d" % turn * (turn % 7)
        if turn % 2:
            raw += request(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunks(
                [body] if body else []
            )
        else:
            raw += request(method=b"POST", body=body)
        expected.append(body)
    assert await ask_without_reading(client, raw, 1000) == expected


@on_both_loops
async def test_a_flood_behind_a_slow_answer_holds_one_read_and_nobody_else_up(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            got = await it.request()
            if got.target == b"/slow":
                await later.wait()
            await it.send(response(got.target))

    later = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    sending = asyncio.ensure_future(client.send(request(b"/slow") + request(b"/quick") * 5000))
    downstream = await world.downstream()
    await eventually(lambda: downstream.pending)
    other = await world.client()
    for _ in range(20):
        assert (await other.ask()).status == 200
    assert len(downstream.pending) <= ONE_READ
    later.set()
    assert (await client.response()).body == b"/slow"
    for _ in range(2000):
        assert (await client.response()).body == b"/quick"
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


# -- gone, in every state ------------------------------------------------------------------------------------


class Situation(NamedTuple):
    """Where a connection is when its client goes.

    Attributes:
        name: of it.
        sent: by the client, up to there.
        state: it is in then.
        is_gated: whether it is not being read.
        answers: whether a FIN, unlike a reset, still gets an answer from the app.
        is_raw: over a ``tcp:`` listener.
        has_app: whether somebody accepts our connects.
    """

    name: str
    sent: bytes
    state: State
    is_gated: bool = False
    answers: bool = False
    is_raw: bool = False
    has_app: bool = True


SITUATIONS = [
    Situation("before a byte", b"", State.NEW),
    Situation("in a request line", b"GET /", State.ACTIVE),
    Situation("in a field", b"GET / HTTP/1.1\r\nHost: a\r", State.ACTIVE),
    Situation("waiting for a connect", request(), State.ACTIVE, has_app=False),
    Situation(
        "in a body, waiting for a connect",
        request(method=b"POST", body=b"12345")[:-2],
        State.ACTIVE,
        is_gated=True,
        has_app=False,
    ),
    Situation("in a body", request(b"/body", method=b"POST", body=b"12345")[:-2], State.ACTIVE),
    Situation(
        "in a chunk",
        request(b"/body", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\na",
        State.ACTIVE,
    ),
    Situation(
        "in a body that the app does not read",
        request(b"/unread", b"Content-Length: %d" % HUGE_BYTES, method=b"POST"),
        State.ACTIVE,
        is_gated=True,
    ),
    Situation("waiting for a response", request(b"/silent"), State.ACTIVE, answers=True),
    Situation(
        "waiting, with more behind it",
        request(b"/silent") + request(b"/next"),
        State.ACTIVE,
        is_gated=True,
        answers=True,
    ),
    Situation("in a response", request(b"/part"), State.ACTIVE, answers=True),
    Situation("in a response that it does not read", request(b"/huge"), State.ACTIVE),
    Situation("between requests", request(), State.IDLE),
    Situation("in the next head", request() + b"GET", State.ACTIVE),
    Situation("in a tunnel", OFFER, State.TUNNEL),
    Situation("after a fault", b"GET / HTTP/9.9\r\n\r\n", State.LINGERING),
    Situation("on a tcp listener", b"x", State.TUNNEL, is_raw=True),
    Situation(
        "on a tcp listener, waiting for a connect",
        b"x",
        State.TUNNEL,
        is_gated=True,
        is_raw=True,
        has_app=False,
    ),
]


def app_of_situations(later: asyncio.Event) -> Callable[[AppConnection], Awaitable[None]]:
    """Does what the target says; ``later`` lets it go on."""

    async def script(it: AppConnection) -> None:
        while True:
            head = await it.head()
            target = head.split(b" ")[1]
            if target == b"/silent":
                await later.wait()
                await it.send(response(b"at last"))
            elif target == b"/body":
                await it.rest()
                return
            elif target == b"/unread":
                await asyncio.get_running_loop().create_future()
            elif target == b"/part":
                await it.send(response(b"", b"Content-Length: 10", length=False) + b"12345")
                await later.wait()
                await it.send(b"67890")
            elif target == b"/huge":
                await it.send(response(bytes(HUGE_BYTES)))
            elif target == b"/tunnel":
                await it.send(SWITCH)
                await it.rest()
                return
            else:
                await it.send(response(b"ok"))

    async def tcp(it: AppConnection) -> None:
        await it.rest()

    async def either(it: AppConnection) -> None:
        first = await it.exactly(1)
        it._buffer = first + it._buffer
        await (tcp(it) if first == b"x" else script(it))

    return either


async def brought_there(world: World, situation: Situation) -> RawClient:
    """A client whose connection is in that situation."""
    client = await world.client(receive_bytes=4096)
    downstream = await world.downstream()
    if situation.state is State.IDLE or situation.name == "in the next head":
        await client.ask()
        if situation.state is not State.IDLE:
            await client.send(situation.sent.removeprefix(request()))
    else:
        await client.send(situation.sent)
    if b"/unread" in situation.sent:
        sending = asyncio.ensure_future(client.send(bytes(HUGE_BYTES)))
        await eventually(lambda: world.server._held)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    if b"/part" in situation.sent:
        await client.until(b"12345")
    if b"/huge" in situation.sent:
        await eventually(lambda: world.server._held)
    if situation.state is State.TUNNEL and not situation.is_raw:
        await client.until(b"\r\n\r\n")
    await eventually(lambda: downstream.state is situation.state)
    await eventually(lambda: bool(downstream.gate.reasons) >= situation.is_gated)
    if b"/silent" in situation.sent:
        await eventually(lambda: world.app.connections)
    return client


@pytest.mark.parametrize("situation", SITUATIONS, ids=[it.name for it in SITUATIONS])
@on_both_loops
async def test_a_client_that_resets_leaves_nothing(world: World, situation: Situation) -> None:
    later = asyncio.Event()
    async with nobody_answers() as nobody:
        script = app_of_situations(later) if situation.has_app else None
        await world.serve(script, upstream=nobody, raw=situation.is_raw, connect_timeout_s=0.2)
        client = await brought_there(world, situation)
        client.reset()
        await asyncio.sleep(0.01)
        world.advance(0)
        # Not even a silent app keeps it: nobody is there for its answer.
        await eventually(lambda: not world.server.connections)
        await eventually(lambda: len(world.server.upstreams) == len(world.server.pool))
        await eventually(lambda: not world.server._tasks)
        assert world.server.gauge.held_bytes == 0


@pytest.mark.parametrize("situation", SITUATIONS, ids=[it.name for it in SITUATIONS])
@on_both_loops
async def test_a_client_that_half_closes_leaves_nothing(world: World, situation: Situation) -> None:
    later = asyncio.Event()
    async with nobody_answers() as nobody:
        script = app_of_situations(later) if situation.has_app else None
        await world.serve(
            script, upstream=nobody, raw=situation.is_raw, connect_timeout_s=0.2, write_timeout_s=5
        )
        client = await brought_there(world, situation)
        client.half_close()
        await asyncio.sleep(0.01)
        if situation.answers:
            assert client.is_silent()
            later.set()
            answer = await client.until(b"67890" if b"/part" in situation.sent else b"at last")
            assert answer
            if situation.is_gated:
                assert (await client.response()).body == b"ok"
            assert await client.end() == "fin"
        elif not situation.has_app and not situation.is_raw and not situation.is_gated:
            assert (await client.response()).status == 504
        elif b"/unread" in situation.sent:
            # An app that reads nothing has no limit; its end is the end of it.
            for connection in world.app.connections:
                connection.reset()
        for _ in range(3):
            world.advance(6)
            await asyncio.sleep(0.01)
        await eventually(lambda: not world.server.connections)
        await eventually(lambda: len(world.server.upstreams) == len(world.server.pool))
        assert world.server.gauge.held_bytes == 0

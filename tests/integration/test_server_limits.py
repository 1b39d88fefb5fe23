"""The proxy's limits, on both loops: back-pressure, memory, times and the number of connections."""

import asyncio
import socket

import pytest

from pyinit.drain.tracker import State
from pyinit.proxy.config import UpstreamAddress
from pyinit.proxy.downstream import Downstream
from pyinit.proxy.kernel import undelivered_bytes
from tests.support.fake_app import AppConnection, answering, echoing, response
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, chunks, request

# Above what two kernels' buffers and ours take together, whatever tcp_wmem and tcp_rmem say.
HUGE_BYTES = 24 << 20
PIECE = bytes(1 << 16)


async def send_until_stuck(it: AppConnection | RawClient, stuck: asyncio.Event) -> int:
    """Send until the proxy has stopped reading us; how much it took until then."""
    sent = 0
    while not stuck.is_set() and sent < HUGE_BYTES:
        taken = it.send_some(PIECE)
        sent += taken
        await asyncio.sleep(0 if taken else 0.001)
    return sent


# -- back-pressure -------------------------------------------------------------------------------------------


@on_both_loops
async def test_an_app_is_not_read_for_a_client_that_does_not_read(world: World) -> None:
    sent: list[int] = []

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"", b"Content-Length: %d" % HUGE_BYTES, length=False))
        sent.append(await send_until_stuck(it, stuck))
        await it.send(bytes(HUGE_BYTES - sent[0]))
        await it.request()

    stuck = asyncio.Event()
    await world.serve(script)
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    downstream = await world.downstream()
    await eventually(lambda: downstream.is_write_paused)
    (upstream,) = world.server.upstreams
    assert upstream.gate.reasons
    held = downstream.transport.get_write_buffer_size()
    assert 0 < held <= 1 << 17
    assert world.server.gauge.held_bytes == held
    stuck.set()
    await eventually(lambda: sent)
    assert sent[0] < HUGE_BYTES
    client.widen()
    assert len((await client.response()).body) == HUGE_BYTES
    await eventually(lambda: not upstream.gate.reasons)
    assert world.server.gauge.held_bytes == 0


@on_both_loops
async def test_a_client_is_not_read_for_an_app_that_does_not_read(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await stuck.wait()
        it.widen()
        got = 0
        while got < size:
            got += len(await it.some())
        await it.send(response(b"%d" % got))

    stuck = asyncio.Event()
    size = 16 << 20
    await world.serve(script, receive_bytes=4096)
    client = await world.client()
    sending = asyncio.ensure_future(
        client.send(request(b"/", b"Content-Length: %d" % size, method=b"POST"), bytes(size))
    )
    downstream = await world.downstream()
    await eventually(lambda: downstream.gate.reasons and world.server._held)
    assert not sending.done()
    assert 0 < world.server.gauge.held_bytes <= 1 << 17
    stuck.set()
    assert (await client.response()).body == b"%d" % size
    await sending
    assert world.server.gauge.held_bytes == 0
    assert not downstream.gate.reasons


@on_both_loops
async def test_what_a_client_sends_before_its_turn_is_one_read_at_most(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await stuck.wait()
        await it.send(response(b"first"))
        while True:
            await it.request()
            await it.send(response(b"next"))

    stuck = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    count = 1 << 12
    whole = request() + request(b"/" + b"x" * 8000) * count
    sending = asyncio.ensure_future(client.send(whole))
    downstream = await world.downstream()
    await eventually(lambda: downstream.pending)
    assert len(downstream.pending) <= 1 << 16
    await eventually(lambda: world.server.gauge.held_bytes == len(downstream.pending))
    assert not sending.done()
    stuck.set()
    assert (await client.response()).body == b"first"
    for _ in range(20):
        assert (await client.response()).body == b"next"
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@on_both_loops
async def test_a_tcp_client_is_not_read_while_the_connect_is_under_way(world: World) -> None:
    with socket.socket() as full:
        # A backlog of 0 that is full drops SYNs, as a host that is not there does.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            await world.serve(
                upstream=UpstreamAddress(hosts=("127.0.0.1",), port=port), connect_timeout_s=60, raw=True
            )
            client = await world.client()
            client.send_some(bytes(1 << 20))
            downstream = await world.downstream()
            taken = 0
            # The kernel's buffers fill up: what can be sent on top of them is what we have read.
            for _ in range(200):
                taken += client.send_some(PIECE)
                await asyncio.sleep(0)
            tunnel = downstream.relay
            assert tunnel is not None
            assert len(tunnel._first) <= 1 << 16  # type: ignore[attr-defined]  # a Tunnel's


@on_both_loops
async def test_at_the_memory_limit_nobody_is_read_until_there_is_room(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            got = await it.request()
            size = HUGE_BYTES if got.target == b"/huge" else 5
            await it.send(response(bytes(size)))

    await world.serve(script, buffer_memory_bytes=1)
    slow, other = await world.client(receive_bytes=4096), await world.client()
    assert (await other.ask()).status == 200
    await slow.send(request(b"/huge"))
    await eventually(lambda: world.server.gauge.is_full)
    assert world.log.of("memory.full")
    await other.send(request())
    late = await world.client()
    await late.send(request())
    await eventually(lambda: len(world.server.connections) == 3)
    assert other.is_silent()
    assert all(it.gate.reasons for it in world.server.connections)
    slow.widen()
    assert len((await slow.response()).body) == HUGE_BYTES
    assert (await other.response()).status == 200
    assert (await late.response()).status == 200
    assert not world.server.gauge.is_full
    assert world.server.gauge.held_bytes == 0


@on_both_loops
async def test_a_client_that_leaves_gives_its_memory_back(world: World) -> None:
    await world.serve(answering(response(bytes(HUGE_BYTES))))
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    await eventually(lambda: world.server.gauge.held_bytes)
    client.reset()
    await eventually(lambda: not world.server.connections)
    assert world.server.gauge.held_bytes == 0


@on_both_loops
async def test_an_app_that_is_gone_gives_its_memory_back(world: World) -> None:
    """Else each one takes a little of --buffer-memory for good, until nobody is read any more."""

    async def script(it: AppConnection) -> None:
        await it.head()
        await stuck.wait()
        it.reset()

    stuck = asyncio.Event()
    await world.serve(script, receive_bytes=4096)
    client = await world.client()
    sending = asyncio.ensure_future(client.send(request(method=b"POST", body=bytes(16 << 20))))
    await eventually(lambda: world.server._held)
    stuck.set()
    await eventually(lambda: not world.server.upstreams)
    assert world.server.gauge.held_bytes == 0
    assert (await client.response()).status == 502
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@on_both_loops
async def test_requests_that_wait_for_their_turn_do_not_hold_up_the_response_before_them(
    world: World,
) -> None:
    """They are memory that only that response can free: not read, it would never come."""

    async def script(it: AppConnection) -> None:
        await it.request()
        await full.wait()
        await it.send(response(b"first"))
        while True:
            await it.request()
            await it.send(response(b"next"))

    full = asyncio.Event()
    await world.serve(script, buffer_memory_bytes=20_000)
    clients = [await world.client() for _ in range(2)]
    for client in clients:
        await client.send(request() + request(b"/" + b"x" * 11_000))
    await eventually(lambda: world.server.gauge.is_full)
    full.set()
    for client in clients:
        assert (await client.response()).body == b"first"
        assert (await client.response()).body == b"next"
    assert world.server.gauge.held_bytes == 0


@on_both_loops
async def test_an_app_that_wants_its_response_read_first_is_read_at_the_memory_limit(world: World) -> None:
    """It answers as it reads: not read, it never takes the rest of the body, and the memory is never free."""

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(response(b"", b"Content-Length: %d" % size, length=False))
        await full.wait()
        await it.send(bytes(size))  # more than the kernel's buffers hold
        it.widen()
        await it.exactly(size)

    full = asyncio.Event()
    size = HUGE_BYTES
    await world.serve(script, receive_bytes=4096, buffer_memory_bytes=1000)
    client = await world.client()
    sending = asyncio.ensure_future(client.send(request(method=b"POST", body=bytes(size))))
    await eventually(lambda: world.server.gauge.is_full)
    full.set()
    assert len((await client.response()).body) == size
    await sending
    await eventually(lambda: world.server.gauge.held_bytes == 0)


# -- times ---------------------------------------------------------------------------------------------------


@on_both_loops
async def test_a_connection_without_a_byte_is_closed_without_a_word(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    downstream = await world.downstream()
    world.advance(74)
    assert downstream.state is State.NEW
    world.advance(2)
    assert await client.rest() == b""
    assert client.ending == "fin"
    await eventually(lambda: not world.server.connections)


@on_both_loops
async def test_an_idle_connection_gets_a_fin(world: World) -> None:
    await world.serve(answering(response(b"x")), idle_timeout_s=10)
    client = await world.client()
    await client.ask()
    world.advance(9)
    assert client.is_silent()
    world.advance(2)
    assert await client.rest() == b""
    assert client.ending == "fin"


@on_both_loops
async def test_a_client_that_never_closes_its_side_is_closed_after_a_second(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.ask(b"/", b"Connection: close")
    assert await client.end() == "fin"
    downstream = await world.downstream()
    await eventually(lambda: not undelivered_bytes(downstream.transport))
    world.advance(0)  # the clock on its FIN begins when all we wrote was taken
    assert len(world.server.connections) == 1
    world.advance(1)
    await eventually(lambda: not world.server.connections)


@on_both_loops
async def test_the_clock_on_a_head_starts_at_its_first_byte(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    downstream = await world.downstream()
    world.advance(60)
    await client.send(b"GET / HTTP/1.1\r\nHo")
    await eventually(lambda: downstream.state is State.ACTIVE)
    world.advance(14)
    await client.send(b"st: x\r\n")
    world.advance(2)
    answer = await client.response()
    assert (answer.status, answer.closes) == (408, True)
    assert b"--head-timeout" in answer.body
    assert await client.end() == "fin"


@on_both_loops
async def test_a_body_that_stops_is_a_408(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.exactly(5)
        half.set()
        await it.exactly(3)
        more.set()
        endings.append(await it.end())

    half, more = asyncio.Event(), asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/", b"Content-Length: 10", method=b"POST"), b"12345")
    await half.wait()
    world.advance(50)
    await client.send(b"678")
    await more.wait()
    world.advance(50)  # since its last bytes
    assert client.is_silent()
    world.advance(11)
    answer = await client.response()
    assert answer.status == 408
    assert b"--body-timeout" in answer.body
    await eventually(lambda: endings == ["reset"])


@on_both_loops
async def test_a_client_is_not_blamed_for_an_app_that_does_not_read(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await stuck.wait()
        it.widen()
        await it.exactly(size)
        await it.send(response(b"all"))

    stuck = asyncio.Event()
    size = 16 << 20
    await world.serve(script, receive_bytes=4096)
    client = await world.client()
    sending = asyncio.ensure_future(client.send(request(method=b"POST", body=bytes(size))))
    await eventually(lambda: world.server._held)
    world.advance(61)
    world.advance(61)
    stuck.set()
    assert (await client.response()).body == b"all"
    await sending


@on_both_loops
async def test_a_silent_app_has_no_limit_by_default(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        got.set()
        await later.wait()
        await it.send(response(b"at last"))

    got, later = asyncio.Event(), asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request())
    await got.wait()
    world.advance(100_000)
    assert client.is_silent()
    later.set()
    assert (await client.response()).body == b"at last"


@on_both_loops
async def test_a_silent_app_above_its_limit_is_a_504(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.request()
        got.set()
        endings.append(await it.end())

    got = asyncio.Event()
    await world.serve(script, response_timeout_s=5)
    client = await world.client()
    await client.send(request())
    await got.wait()
    world.advance(4)
    assert client.is_silent()
    world.advance(2)
    answer = await client.response()
    assert answer.status == 504
    assert b"--response-timeout" in answer.body
    await eventually(lambda: endings)


@on_both_loops
async def test_a_response_that_has_begun_has_no_such_limit(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"", b"Transfer-Encoding: chunked", length=False))
        await later.wait()
        await it.send(chunks([b"x"]))

    later = asyncio.Event()
    await world.serve(script, response_timeout_s=5)
    client = await world.client()
    await client.send(request())
    await client.until(b"chunked\r\n")
    world.advance(100)
    later.set()
    await client.until(b"0\r\n\r\n")


@on_both_loops
async def test_a_client_that_takes_nothing_is_cut(world: World) -> None:
    await world.serve(answering(response(bytes(HUGE_BYTES))))
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    downstream = await world.downstream()
    await eventually(lambda: downstream.is_write_paused and downstream.gate)
    # What it takes on the way in is progress: the clock starts again until nothing moves any more.
    await eventually(lambda: _is_stuck(world, downstream))
    assert await client.end() == "reset"
    assert world.log.of("client.not_reading")
    await eventually(lambda: not world.server.upstreams, "the app is told, not held back for ever")


def _is_stuck(world: World, downstream: Downstream) -> bool:
    world.advance(61)
    return downstream not in tuple(world.server.connections)


@on_both_loops
async def test_a_client_that_reads_slowly_is_not_cut(world: World) -> None:
    await world.serve(answering(response(bytes(HUGE_BYTES))))
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    downstream = await world.downstream()
    await eventually(lambda: downstream.is_write_paused)
    got = 0
    for _ in range(5):
        before = undelivered_bytes(downstream.transport)
        while undelivered_bytes(downstream.transport) == before:
            got += len(await client.some())
        world.advance(61)
    assert len(world.server.connections) == 1
    assert world.log.of("client.not_reading") == []


@on_both_loops
async def test_a_tunnel_has_no_limit(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.send(await it.exactly(4))
        await it.end()

    await world.serve(script, raw=True)
    client = await world.client()
    await world.downstream()
    world.advance(100_000)
    await client.send(b"ping")
    assert await client.exactly(4) == b"ping"


# -- sizes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status", "named"),
    [
        (request(b"/", *[b"X: y"] * 2000), 431, b"--fields-max"),  # and Host
        (request(b"/", b"X: " + b"y" * 17_000), 431, b"--head-max"),
        (request(b"/" + b"y" * 17_000), 414, b"--head-max"),
        (request(method=b"POST", body=b"123456"), 413, b"--body-max"),
    ],
    ids=["fields", "head", "target", "body"],
)
@on_both_loops
async def test_above_a_size_is_an_answer_that_names_the_option(
    world: World, raw: bytes, status: int, named: bytes
) -> None:
    await world.serve(echoing(), body_max_bytes=5)
    client = await world.client()
    await client.send(raw)
    answer = await client.response()
    assert (answer.status, answer.closes) == (status, True)
    assert named in answer.body
    assert world.app.connections == []


@on_both_loops
async def test_at_a_size_everything_passes(world: World) -> None:
    await world.serve(echoing(), body_max_bytes=5)
    client = await world.client()
    assert (await client.ask(b"/", *[b"X: y"] * 1999)).status == 200
    assert (await client.ask(b"/", b"X: " + b"y" * 16_000)).status == 200
    assert (await client.ask(b"/" + b"y" * 16_000)).status == 200
    assert (await client.ask(method=b"POST", body=b"12345")).body == b"12345"


# -- how many ------------------------------------------------------------------------------------------------


@on_both_loops
async def test_at_the_limit_new_connections_wait_for_one_to_end(world: World) -> None:
    await world.serve(echoing(), max_connections=2)
    first, second = await world.client(), await world.client()
    await first.ask()
    await second.ask()
    third = await world.client()  # accepted by the kernel alone
    await third.send(request())
    await first.ask()
    assert third.is_silent()
    assert len(world.server.connections) == 2
    assert len(world.log.of("listener.at_limit")) == 1
    first.close()
    assert (await third.response()).status == 200
    assert not any(listener._is_reading for listener in world.server.listeners)


@on_both_loops
async def test_connections_that_come_at_once_count_once(world: World) -> None:
    """Counted as being accepted and as accepted, little more than half of them reached the limit."""
    await world.serve(echoing(), max_connections=201)
    # All in the kernel's queue before the loop has a turn: more than one turn accepts.
    sockets = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(200)]
    clients = [world.kept(RawClient(sock)) for sock in sockets]
    await asyncio.gather(*(client.ask() for client in clients))
    assert len(world.server.connections) == 200
    assert world.log.of("listener.at_limit") == []


@on_both_loops
async def test_the_limit_is_named_rarely_however_often_it_is_reached(world: World) -> None:
    """At a limit under load every connection reaches it anew: one line in a while says so, and how often it did."""
    await world.serve(echoing(), max_connections=1)
    for _ in range(5):
        client = await world.client()
        await client.ask()
        client.close()
    assert len(world.log.of("listener.at_limit")) == 1
    world.advance(11)
    client = await world.client()
    await client.ask()
    assert world.log.of("listener.at_limit")[-1]["unsaid"] == 4


@pytest.mark.parametrize("count", [50])
@on_both_loops
async def test_many_clients_at_once(world: World, count: int) -> None:
    await world.serve(echoing())

    async def one(number: int) -> bytes:
        client = await world.client()
        body = b"%d" % number * 100
        answers = [await client.ask(method=b"POST", body=body) for _ in range(3)]
        assert all(answer.body == body for answer in answers)
        return body

    bodies = await asyncio.gather(*(one(number) for number in range(count)))
    assert len(set(bodies)) == count

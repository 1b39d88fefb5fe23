"""The proxy in a drain, on both loops: what becomes of each connection, and when it is quiet."""

import asyncio
import socket

import pytest

from pyinit.drain.tracker import State
from pyinit.errors import DrainAborted
from pyinit.proxy.config import UpstreamAddress
from pyinit.proxy.flow import MEMORY
from pyinit.proxy.kernel import undelivered_bytes, unread_bytes
from tests.support.fake_app import AppConnection, answering, response
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, chunks, request

STOPPING = DrainAborted("this server is stopping", 503)
OFFER = request(b"/ws", b"Connection: Upgrade", b"Upgrade: echo")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


async def quiet(world: World) -> None:
    """Wait for on_quiet, and see that it comes once."""
    await eventually(lambda: world.quiet_count)
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.quiet_count == 1


# -- lame duck -----------------------------------------------------------------------------------------------


@on_both_loops
async def test_from_the_announcement_on_every_response_closes(world: World) -> None:
    await world.serve(answering(response(b"x")))
    idle, new = await world.client(), await world.client()
    assert not (await idle.ask()).closes
    world.server.announce_stop()
    for client in (idle, new, await world.client()):  # still accepting
        answer = await client.ask()
        assert (answer.status, answer.closes) == (200, True)
        assert await client.end() == "fin"
    assert world.server.outcomes.exchanges_finished == 3
    assert world.quiet_count == 0


@on_both_loops
async def test_the_request_that_is_under_way_closes_too(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        world.server.announce_stop()  # exactly then
        await it.send(response(b"x"))

    await world.serve(script)
    assert (await (await world.client()).ask()).closes


@on_both_loops
async def test_requests_that_are_here_already_are_all_answered(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            await it.request()
            world.server.announce_stop()
            await it.send(response(b"x"))

    await world.serve(script)
    client = await world.client()
    await client.send(request() * 3)
    assert [(await client.response()).closes for _ in range(3)] == [False, False, True]
    assert await client.end() == "fin"


@on_both_loops
async def test_a_client_that_pipelines_for_ever_has_a_last_answer_once_the_grace_is_over(
    world: World,
) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            await it.request()
            await client.send(request())  # there is always one more
            await it.send(response(b"x"))

    await world.serve(script)
    client = await world.client()
    await client.send(request() * 3)
    world.server.announce_stop()
    world.server.close_idle()
    assert not any([(await client.response()).closes for _ in range(20)])
    world.advance(world.server.config.idle_grace_s)
    answers = 1
    while not (await client.response()).closes:
        answers += 1
    assert 3 <= answers <= 6  # those that were here when it ended
    assert await client.end() == "fin"


@on_both_loops
async def test_a_request_that_the_kernel_has_and_we_do_not_is_here_too(world: World) -> None:
    """Not read yet, as memory was used up, or the loop busy: a close before it would leave it without an answer."""

    async def script(it: AppConnection) -> None:
        await it.request()
        await later.wait()
        await it.send(response(b"one"))
        await it.request()
        await it.send(response(b"two"))

    later = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request())
    downstream = await world.downstream()
    await eventually(lambda: world.app.requests)
    downstream.gate.hold(MEMORY)
    await client.send(request())
    assert not downstream.pending
    world.server.announce_stop()
    later.set()
    assert not (await client.response()).closes
    downstream.gate.release(MEMORY)
    answer = await client.response()
    assert (answer.body, answer.closes) == (b"two", True)
    assert await client.end() == "fin"


@on_both_loops
async def test_only_new_clients_that_are_no_probes_prolong_the_lame_duck(world: World) -> None:
    await world.serve(answering(response(b"x")))
    old = await world.client()
    await old.ask()
    world.server.announce_stop()
    await old.ask()
    assert world.newcomers == 0
    probe = await world.client()
    await probe.ask(b"/", b"User-Agent: ELB-HealthChecker/2.0")
    await world.client()  # sends nothing
    assert world.newcomers == 0
    await (await world.client()).ask()
    assert world.newcomers == 1


# -- stop accepting ------------------------------------------------------------------------------------------


@on_both_loops
async def test_connections_that_the_kernel_has_accepted_are_served(world: World) -> None:
    """A close would reset every one of them, as they wait in the listener's queue."""
    await world.serve(answering(response(b"x")))
    world.server.listeners[0].pause()  # too busy to accept
    clients = [await world.client() for _ in range(20)]
    for client in clients:
        await client.send(request())
    world.server.announce_stop()
    world.server.stop_accepting(3)
    for client in clients:
        assert (await client.response()).status == 200
        assert await client.end() == "fin"
        client.close()
    await quiet(world)
    with pytest.raises(ConnectionRefusedError):
        await world.client()


@on_both_loops
async def test_over_the_limit_too(world: World) -> None:
    await world.serve(answering(response(b"x")), max_connections=1)
    first = await world.client()
    await first.ask()
    clients = [await world.client() for _ in range(5)]
    for client in clients:
        await client.send(request())
    world.server.announce_stop()
    world.server.stop_accepting(3)
    for client in clients:
        assert (await client.response()).status == 200


@on_both_loops
async def test_without_a_connection_it_is_quiet_at_once(world: World) -> None:
    await world.serve(answering(response(b"x")))
    world.server.announce_stop()
    world.server.stop_accepting(3)
    await quiet(world)
    assert world.server.listeners == []


@on_both_loops
async def test_it_is_not_quiet_while_a_connection_is_open(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await later.wait()
        await it.send(response(b"late"))

    later = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request())
    await eventually(lambda: world.app.connections)
    world.server.announce_stop()
    world.server.stop_accepting(3)
    await eventually(lambda: not world.server.listeners)
    await asyncio.sleep(0)
    assert world.quiet_count == 0
    later.set()
    assert (await client.response()).body == b"late"
    client.close()
    await quiet(world)


@on_both_loops
async def test_connections_that_end_before_the_listener_stops_are_not_quiet(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.ask()
    client.close()
    await eventually(lambda: not world.server.connections)
    assert world.quiet_count == 0
    world.server.stop_accepting(3)
    await quiet(world)


# -- idle connections ----------------------------------------------------------------------------------------


@on_both_loops
async def test_an_idle_connection_may_send_one_last_request(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.ask()
    world.server.announce_stop()
    world.server.close_idle()
    world.advance(0.9)
    assert client.is_silent()
    answer = await client.ask()
    assert (answer.status, answer.closes) == (200, True)
    assert await client.end() == "fin"


@on_both_loops
async def test_an_idle_connection_gets_a_fin_after_its_grace(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.ask()
    world.server.announce_stop()
    world.server.close_idle()
    world.advance(1.1)
    assert await client.end() == "fin"
    # The request that crossed our FIN on the wire is read, so that nothing is reset, and not answered.
    await client.send(request())
    client.half_close()
    await eventually(lambda: not world.server.connections)
    assert world.server.outcomes.connections_closed_idle == 1
    assert len(world.app.requests) == 1


@on_both_loops
async def test_the_grace_begins_when_the_client_has_its_answer(world: World) -> None:
    """Lost on the way and sent again, it is late, and so is the next request."""
    await world.serve(answering(response(bytes(100_000))))
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    downstream = await world.downstream()
    await eventually(lambda: downstream.state is State.IDLE)
    assert undelivered_bytes(downstream.transport)
    world.server.announce_stop()
    world.server.close_idle()
    world.advance(5)
    assert len((await client.response()).body) == 100_000
    await eventually(lambda: not undelivered_bytes(downstream.transport))
    world.advance(0.9)
    answer = await client.ask()
    assert (len(answer.body), answer.closes) == (100_000, True)


@on_both_loops
async def test_without_a_grace_it_goes_at_once(world: World) -> None:
    await world.serve(answering(response(b"x")), idle_grace_s=0)
    client = await world.client()
    await client.ask()
    world.server.announce_stop()
    world.server.close_idle()
    assert await client.end() == "fin"


@pytest.mark.parametrize("grace_s", [0.0, 1.0])
@on_both_loops
async def test_a_request_that_is_here_when_the_grace_ends_is_answered(world: World, grace_s: float) -> None:
    """The look at ten thousand connections takes its time, and what comes meanwhile is read after it."""
    await world.serve(answering(response(b"x")), idle_grace_s=grace_s)
    client = await world.client()
    await client.ask()
    downstream = await world.downstream()
    downstream.gate.hold(MEMORY)
    await client.send(request())
    await eventually(lambda: unread_bytes(downstream.transport))
    world.server.announce_stop()
    world.server.close_idle()
    world.advance(grace_s * 2)
    assert downstream.state is State.IDLE
    downstream.gate.release(MEMORY)
    assert (await client.response()).closes
    assert await client.end() == "fin"


@on_both_loops
async def test_one_that_becomes_idle_in_the_drain_has_its_grace_too(world: World) -> None:
    """Its head had gone out before the stop, without Connection: close: a next request may be on its way."""

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"", b"Transfer-Encoding: chunked", length=False))
        begun.set()
        await later.wait()
        await it.send(chunks([b"x"]))
        await it.request()
        await it.send(response(b"last"))

    begun, later = asyncio.Event(), asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request())
    await begun.wait()
    downstream = await world.downstream()
    await client.until(b"\r\n\r\n")
    world.server.announce_stop()
    world.server.close_idle()
    world.advance(5)
    later.set()
    await client.until(b"0\r\n\r\n")
    await eventually(lambda: downstream.state is State.IDLE)
    world.advance(0.5)
    assert (await client.ask()).body == b"last"


@on_both_loops
async def test_a_connection_without_a_byte_has_three_seconds_from_its_accept(world: World) -> None:
    """So long a lost first request may be on its way again; an older connection is silent because it is."""
    await world.serve(answering(response(b"x")))
    old = await world.client()
    await world.downstream()
    world.advance(10)
    young, silent = await world.client(), await world.client()
    await world.downstream(3)
    world.server.announce_stop()
    world.server.close_idle()
    assert await old.end() == "fin"
    world.advance(3)
    assert (await young.ask()).status == 200
    assert silent.is_silent()
    world.advance(0.3)
    assert await silent.end() == "fin"


@on_both_loops
async def test_the_listener_is_kept_until_no_handshake_is_under_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed earlier, it would reset them: each of the kernel's counts is waited on until it is 0."""
    await world.serve(answering(response(b"x")))
    counts = iter((2, 1, 1))
    asked: list[int] = []

    def count(family: int, _port: int) -> int:
        asked.append(family)
        return next(counts, 0)

    monkeypatch.setattr("pyinit.proxy.listener.count_handshakes", count)
    (listener,) = world.server.listeners
    world.server.stop_accepting(3.0)
    await eventually(lambda: listener.sock.fileno() < 0)
    assert next(counts, None) is None, "closed while one was under way"
    assert len(asked) >= 4


@on_both_loops
async def test_half_a_head_is_waited_for(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.send(request()[:-2])
    downstream = await world.downstream()
    await eventually(lambda: downstream.state is State.ACTIVE)
    world.server.announce_stop()
    world.server.close_idle()
    world.advance(5)
    await client.send(b"\r\n")
    assert (await client.response()).status == 200


# -- the deadline --------------------------------------------------------------------------------------------


@on_both_loops
async def test_a_request_without_an_answer_gets_a_503(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.request()
        world.server.cut(STOPPING)
        endings.append(await it.end())

    await world.serve(script)
    client = await world.client()
    world.server.announce_stop()
    answer = await client.ask(b"/slow?token=secret", method=b"POST", body=b"x")
    assert (answer.status, answer.closes, answer.get(b"retry-after")) == (503, True, b"1")
    assert b"stopping" in answer.body
    assert await client.end() == "fin"
    await eventually(lambda: endings)
    (cut,) = world.server.outcomes.cut
    assert (cut.method, cut.target) == ("POST", "/slow")
    assert cut.peer.startswith("127.0.0.1:")
    assert world.server.outcomes.cut_count == 1


@on_both_loops
async def test_a_request_whose_connect_is_under_way_gets_a_503(world: World) -> None:
    with socket.socket() as full:
        # A backlog of 0 that is full drops SYNs, as a host that is not there does.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.create_connection(address):
            await world.serve(upstream=UpstreamAddress(hosts=("127.0.0.1",), port=address[1]))
            client = await world.client()
            await client.send(request())
            downstream = await world.downstream()
            await eventually(lambda: downstream.relay is not None)
            world.server.cut(STOPPING)
            assert (await client.response()).status == 503
            client.close()
            await eventually(lambda: not world.server.connections)


@pytest.mark.parametrize(
    ("head", "ending"),
    [
        (response(b"", b"Content-Length: 10", length=False), "fin"),
        (response(b"", b"Transfer-Encoding: chunked", length=False) + b"a\r\n", "fin"),
        (response(b"", length=False), "reset"),
    ],
    ids=["a length", "chunked", "until close"],
)
@on_both_loops
async def test_a_response_that_has_begun_is_visibly_cut(world: World, head: bytes, ending: str) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(head + b"half")
        await it.end()

    await world.serve(script)
    client = await world.client()
    await client.send(request())
    got = await client.until(b"half")
    world.server.announce_stop()
    world.server.cut(STOPPING)
    got += await client.rest()
    assert got.endswith(b"half")
    assert client.ending == ending
    assert world.server.outcomes.cut_count == 1


@on_both_loops
async def test_tunnels_are_cut(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(SWITCH)
        endings.append(await it.end())

    await world.serve(script)
    client = await world.client()
    await client.send(OFFER)
    await client.response()
    world.server.announce_stop()
    world.server.close_idle()
    world.advance(5)
    assert client.is_silent()  # it is no idle connection
    world.server.cut(STOPPING)
    assert await client.end() == "reset"
    await eventually(lambda: endings == ["reset"])
    assert [cut.target for cut in world.server.outcomes.cut] == ["/ws"]


@on_both_loops
async def test_a_tunnel_that_ends_by_itself_is_counted_as_finished(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.end()

    await world.serve(script, raw=True)
    client = await world.client()
    await eventually(lambda: world.app.connections)
    world.server.announce_stop()
    world.server.stop_accepting(3)
    client.half_close()
    assert await client.end() == "fin"
    client.close()
    await quiet(world)
    assert world.server.outcomes.tunnels_finished == 1
    assert world.server.outcomes.cut_count == 0


@on_both_loops
async def test_after_the_cut_it_becomes_quiet(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.end()

    await world.serve(script)
    clients = [await world.client() for _ in range(3)]
    for client in clients[:2]:
        await client.send(request())
    await eventually(lambda: len(world.app.requests) == 2)
    await world.downstream(3)
    world.server.announce_stop()
    world.server.stop_accepting(3)
    world.server.close_idle()
    await eventually(lambda: not world.server.listeners)
    world.server.cut(STOPPING)
    for client in clients:
        assert await client.end() == "fin"
        client.close()
    await quiet(world)
    assert world.server.outcomes.cut_count == 2


@on_both_loops
async def test_a_closed_pool_keeps_nothing(world: World) -> None:
    """The app's own server.close() waits for our connections."""

    async def script(it: AppConnection) -> None:
        while True:
            got = await it.request()
            if got.target == b"/slow":
                await later.wait()
            await it.send(response(b"x"))

    later = asyncio.Event()
    await world.serve(script)
    first, second = await world.client(), await world.client()
    await first.send(request(b"/slow"))
    await eventually(lambda: len(world.app.requests) == 1)
    await second.ask()
    world.server.close_pool()
    await eventually(lambda: len(world.server.upstreams) == 1)
    later.set()
    assert (await first.response()).status == 200
    await eventually(lambda: not world.server.upstreams)


@on_both_loops
async def test_a_client_that_does_not_take_its_last_answer_holds_the_drain_until_it_does(
    world: World,
) -> None:
    """What the kernel has not delivered is lost with the container's network."""
    await world.serve(answering(response(bytes(1 << 20))))
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    await world.downstream()
    await eventually(lambda: not world.server.upstreams or len(world.server.pool) == 1 or world.server._held)
    world.server.announce_stop()
    world.server.stop_accepting(3)
    world.server.close_idle()
    await eventually(lambda: not world.server.listeners)
    world.advance(5)
    world.advance(5)
    assert world.quiet_count == 0
    assert len((await client.response()).body) == 1 << 20
    await client.end()
    client.close()
    await quiet(world)


@pytest.mark.parametrize("when", ["in the stop", "before it"])
@on_both_loops
async def test_an_answer_that_is_not_taken_by_our_end_counts_as_cut(world: World, when: str) -> None:
    """The app was done with it long ago; but what the kernel still holds goes with the container's network."""
    await world.serve(answering(response(bytes(50_000))), idle_grace_s=0)
    client = await world.client(receive_bytes=4096)
    taken = await world.client()
    await world.downstream(2)
    if when == "before it":
        await client.send(request(b"/large?secret"))
        await eventually(lambda: {it.state for it in world.server.connections} == {State.NEW, State.IDLE})
    world.server.announce_stop()
    if when == "in the stop":
        await client.send(request(b"/large?secret"))
        await eventually(lambda: State.LINGERING in {it.state for it in world.server.connections})
    assert (await taken.ask()).status == 200
    assert await taken.end() == "fin"
    taken.close()
    await eventually(lambda: len(world.server.connections) == 1)
    world.server.stop_accepting(3)
    world.server.close_idle()
    world.server.cut(STOPPING)
    assert world.server.outcomes.cut_count == 0
    world.server.abort()
    outcomes = world.server.outcomes
    assert (outcomes.exchanges_finished, outcomes.connections_closed_idle) == (1, 0)
    (cut,) = outcomes.cut
    assert (cut.method, cut.target) == (("GET", "/large") if when == "in the stop" else ("", ""))
    assert cut.peer == f"127.0.0.1:{client.sock.getsockname()[1]}"


@on_both_loops
async def test_a_request_that_the_app_leaves_in_a_stop_counts_as_cut(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        it.reset()

    await world.serve(script)
    client = await world.client()
    world.server.announce_stop()
    assert (await client.ask(b"/left", method=b"POST", body=b"x")).status == 502
    world.server.cut(STOPPING)
    assert [cut.target for cut in world.server.outcomes.cut] == ["/left"]


@on_both_loops
async def test_one_that_has_got_its_503_is_not_counted_twice(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(bytes(50_000)))
        await it.end()

    await world.serve(script)
    client = await world.client(receive_bytes=4096)
    await client.send(request(b"/1") + request(b"/2"))
    world.server.announce_stop()
    await eventually(lambda: world.server.outcomes.exchanges_finished == 1)
    await eventually(lambda: world.server.stats.requests == 2)
    world.server.cut(STOPPING)
    world.server.abort()
    assert [cut.target for cut in world.server.outcomes.cut] == ["/2"]


@on_both_loops
async def test_half_a_head_gets_a_503_in_the_end(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.send(request()[:-2])
    downstream = await world.downstream()
    await eventually(lambda: downstream.state is State.ACTIVE)
    world.server.announce_stop()
    world.server.cut(STOPPING)
    answer = await client.response()
    assert (answer.status, answer.closes, answer.get(b"retry-after")) == (503, True, b"1")
    assert await client.end() == "fin"
    (cut,) = world.server.outcomes.cut
    assert (cut.method, cut.target) == ("", "")


@on_both_loops
async def test_an_answer_of_ours_counts_as_one(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    world.server.announce_stop()
    assert (await client.ask(b"*", b"Max-Forwards: 0", method=b"OPTIONS")).closes
    assert world.server.outcomes.exchanges_finished == 1


@on_both_loops
async def test_new_connects_during_the_stop_are_refused_or_served(world: World) -> None:
    """Never reset: whoever gets a connection gets an answer."""
    await world.serve(answering(response(b"x")))
    outcomes: list[str] = []

    async def hammer() -> None:
        while not world.quiet_count:
            try:
                client = await RawClient.connect(world.port)
            except ConnectionRefusedError:
                outcomes.append("refused")
                await asyncio.sleep(0)
                continue
            try:
                answer = await client.ask()
                outcomes.append(f"{answer.status}")
            finally:
                client.close()

    hammers = [asyncio.ensure_future(hammer()) for _ in range(5)]
    await eventually(lambda: len(outcomes) > 20)
    world.server.announce_stop()
    world.server.stop_accepting(3)
    world.server.close_idle()
    await asyncio.gather(*hammers)
    assert set(outcomes) <= {"200", "refused"}


@on_both_loops
async def test_a_bound_socket_refuses_until_listen(world: World) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        world.port = bound.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            await world.client()

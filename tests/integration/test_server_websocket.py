"""WebSockets in a drain, on both loops: both ends get a Close 1001 between frames, and what each may do then."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from pyinit.drain.tracker import State
from pyinit.errors import DrainAborted
from pyinit.proxy.websocket import APP_FIN_S, ECHO_S
from tests.support.fake_app import AppConnection
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, RawSocket, request

STOPPING = DrainAborted("this server is stopping", 503)
# RFC 6455 section 1.3: the key and the answer to it.
OFFER = request(
    b"/ws?token=secret",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
GOING_AWAY = Close(1001, "").serialize()
LARGE = 300_000


def text(payload: bytes, *, fin: bool = True, opcode: Opcode = Opcode.TEXT) -> Frame:
    return Frame(opcode, payload, fin=fin)


def close(code: int = 1001, reason: str = "") -> Frame:
    return Frame(Opcode.CLOSE, Close(code, reason).serialize())


class End:
    """One end of a WebSocket: sends and reads frames, and checks that what comes are nothing but frames.

    Args:
        sock: after the handshake.
        is_client: then it masks, and what comes is not masked.
    """

    def __init__(self, sock: RawSocket, *, is_client: bool) -> None:
        self.sock = sock
        self._is_client = is_client

    async def send(self, *frames: Frame) -> None:
        await self.sock.send(b"".join(self.coded(frame) for frame in frames))

    def coded(self, frame: Frame) -> bytes:
        return frame.serialize(mask=self._is_client)

    async def read(self) -> Frame:
        """The next frame. Raises EOFError at the end of the connection."""
        head = await self.sock.exactly(2)
        short = head[1] & 0x7F
        head += await self.sock.exactly({126: 2, 127: 8}.get(short, 0))
        length = int.from_bytes(head[2:]) if short > 125 else short
        data = head + await self.sock.exactly(length if self._is_client else 4 + length)
        reader = StreamReader()
        reader.feed_data(data)
        steps = Frame.parse(reader.read_exact, mask=not self._is_client)
        try:
            next(steps)
        except StopIteration as done:
            frame: Frame = done.value
            return frame
        raise AssertionError("no frame")

    async def closes(self, code: int = 1001) -> None:
        """The next frame is a Close with this code."""
        frame = await self.read()
        assert frame.opcode is Opcode.CLOSE, frame
        assert Close.parse(frame.data).code == code

    async def finishes(self) -> None:
        """A server's end: reads up to the Close, echoes it and ends the connection, as `ws` does."""
        await self.closes()
        await self.send(close())
        self.sock.half_close()
        assert await self.sock.end() == "fin"


Talk = Callable[[End], Awaitable[None]]


async def opened(world: World, talk: Talk, *, close_spread_s: float = 0.0) -> End:
    """A WebSocket through the proxy; its client's end. ``talk`` is what the app does after its 101."""

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(SWITCH)
        await talk(End(it, is_client=False))

    if not hasattr(world, "server"):
        await world.serve(script, close_spread_s=close_spread_s)
    return await joined(world, await world.client())


async def joined(world: World, client: RawClient) -> End:
    count = len([it for it in world.server.connections if it.state is State.TUNNEL])
    await client.send(OFFER)
    assert (await client.response()).status == 101
    await eventually(
        lambda: len([it for it in world.server.connections if it.state is State.TUNNEL]) == count + 1
    )
    return End(client, is_client=True)


def leave(world: World) -> None:
    """The drain begins."""
    world.server.announce_stop()
    world.server.stop_accepting(3)
    world.server.close_idle()
    world.server.close_streams()


async def over(world: World, *, closed: int = 1) -> None:
    """Both ends are gone, nothing was cut, the drain is over."""
    await eventually(lambda: world.quiet_count)
    await eventually(lambda: not world.server.upstreams)
    outcomes = world.server.outcomes
    assert (outcomes.websockets_closed, outcomes.tunnels_finished, outcomes.cut_count) == (closed, 0, 0)


async def echo(end: End) -> None:
    """Sends back what comes; ends as `ws` does."""
    while True:
        frame = await end.read()
        await end.send(frame)
        if frame.opcode is Opcode.CLOSE:
            end.sock.half_close()
            assert await end.sock.end() == "fin"
            return


@on_both_loops
async def test_both_ends_get_1001_and_a_clean_end(world: World) -> None:
    client = await opened(world, echo)
    await client.send(text(b"hello"))
    assert (await client.read()).data == b"hello"
    leave(world)
    await client.closes()
    await client.send(close())
    assert await client.sock.end() == "fin", "the server ends TCP first"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_before_a_word_was_said_too(world: World) -> None:
    client = await opened(world, echo)
    leave(world)
    await client.closes()
    await client.send(close())
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_an_upgrade_that_completes_in_the_drain_is_asked_at_once(world: World) -> None:
    later = asyncio.Event()

    async def script(it: AppConnection) -> None:
        await it.head()
        await later.wait()
        await it.send(SWITCH + text(b"greeting").serialize(mask=False))
        await End(it, is_client=False).finishes()

    await world.serve(script)
    client = await world.client()
    await client.send(OFFER)
    await eventually(lambda: world.app.connections)
    leave(world)
    later.set()
    assert (await client.response()).status == 101
    end = End(client, is_client=True)
    assert (await end.read()).data == b"greeting"
    await end.closes()
    await end.send(close())
    assert await client.end() == "fin"
    client.close()
    await over(world)


@on_both_loops
async def test_in_the_middle_of_a_large_frame_the_close_comes_after_it(world: World) -> None:
    """In both directions: each frame arrives whole, then the Close, then nothing."""
    got: list[Frame] = []
    go_on = asyncio.Event()

    async def talk(end: End) -> None:
        data = end.coded(text(b"a" * LARGE))
        await end.sock.send(data[: LARGE // 2])
        await go_on.wait()
        reading = asyncio.ensure_future(end.read())
        await end.sock.send(data[LARGE // 2 :] + end.coded(text(b"dropped")))
        got.append(await reading)
        await end.finishes()

    client = await opened(world, talk)
    data = client.coded(text(b"c" * LARGE))
    begun = await client.sock.exactly(10)
    await client.sock.send(data[:100])
    await eventually(lambda: _followers(world)[0]._left_bytes and _followers(world)[1]._left_bytes)
    leave(world)
    world.advance(ECHO_S * 2)
    assert world.quiet_count == 0
    assert b"\x88\x02\x03\xe9" not in begun
    go_on.set()
    sending = asyncio.ensure_future(client.sock.send(data[100:] + client.coded(text(b"dropped")) * 3))
    client.sock._buffer = begun + client.sock._buffer
    assert (await client.read()).data == b"a" * LARGE
    await client.closes()
    await sending
    await client.send(close())
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)
    assert [frame.data for frame in got] == [b"c" * LARGE]


def _followers(world: World) -> tuple:  # type: ignore[type-arg]  # the tunnel's own
    (downstream,) = world.server.connections
    relay = downstream.relay
    return relay._from_client, relay._from_app  # type: ignore[union-attr]  # a WebSocketTunnel's


@pytest.mark.parametrize("at", [1, 2, 5])
@on_both_loops
async def test_in_the_middle_of_a_frames_head_it_comes_after_the_frame(world: World, at: int) -> None:
    async def talk(end: End) -> None:
        assert (await end.read()).data == b"whole"
        await end.finishes()

    client = await opened(world, talk)
    data = client.coded(text(b"whole"))
    await client.sock.send(data[:at])
    await eventually(lambda: not _followers(world)[0].is_at_boundary)
    leave(world)
    await client.closes()
    await client.sock.send(data[at:], client.coded(close()))
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_between_the_fragments_of_a_message_it_is_sent_at_once(world: World) -> None:
    """A Close is a control frame, and these may stand there (RFC 6455 section 5.4)."""
    seen: list[bytes] = []

    async def talk(end: End) -> None:
        await end.send(text(b"half a mess", fin=False))
        seen.append(bytes((await end.read()).data))
        await end.finishes()

    client = await opened(world, talk)
    assert (await client.read()).data == b"half a mess"
    await client.send(text(b"anoth", fin=False))
    await eventually(lambda: seen == [b"anoth"])
    leave(world)
    await client.closes()
    await client.send(text(b"er", opcode=Opcode.CONT), close())
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_compressed_frames_pass_as_they_are(world: World) -> None:
    """RSV1 and the payload are the extension's; a Close is never compressed (RFC 7692 section 6.1)."""
    seen: list[bytes] = []
    client_data = bytes.fromhex("c187 00000000") + bytes.fromhex("f248cdc9c90700")
    app_data = bytes.fromhex("c107") + bytes.fromhex("f248cdc9c90700")

    async def talk(end: End) -> None:
        seen.append(await end.sock.exactly(len(client_data)))
        await end.sock.send(app_data)
        await end.finishes()

    client = await opened(world, talk)
    await client.sock.send(client_data[:7], client_data[7:])
    assert await client.sock.exactly(len(app_data)) == app_data
    assert seen == [client_data]
    leave(world)
    await client.closes()
    await client.send(close())
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_nothing_follows_our_close_whatever_the_app_says(world: World) -> None:
    async def talk(end: End) -> None:
        await end.closes()
        await end.send(text(b"late"), text(b"x" * LARGE), close(), text(b"after its own Close"))
        end.sock.half_close()
        assert await end.sock.end() == "fin"

    client = await opened(world, talk)
    leave(world)
    await client.closes()
    await client.send(close())
    assert await client.sock.rest() == b""
    assert client.sock.ending == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_what_a_client_still_sends_is_dropped_up_to_its_echo(world: World) -> None:
    async def talk(end: End) -> None:
        await end.closes()
        await end.send(close())
        end.sock.half_close()
        assert await end.sock.rest() == b""

    client = await opened(world, talk)
    leave(world)
    await client.send(*[text(b"x" * LARGE)] * 5)
    await client.closes()
    await eventually(lambda: _followers(world)[1].has_closed)
    world.advance(ECHO_S - 0.5)
    read = world.server.now_s()
    await client.send(text(b"more"))
    (downstream,) = world.server.connections
    await eventually(lambda: downstream.relay._client_heard_s >= read)  # type: ignore[union-attr]  # the tunnel's
    world.advance(0.6)
    assert client.sock.is_silent(), "the wait is for silence: what is queued goes before the echo"
    await client.send(close())
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_a_client_that_never_echoes_is_half_closed_after_a_while(world: World) -> None:
    client = await opened(world, echo)
    leave(world)
    await client.closes()
    await eventually(lambda: _followers(world)[1].has_closed)
    world.advance(ECHO_S - 0.1)
    assert client.sock.is_silent()
    world.advance(0.2)
    assert await client.sock.end() == "fin"
    world.advance(0.1)
    world.advance(1.1)
    await over(world)


@on_both_loops
async def test_a_client_that_ends_its_half_instead_of_an_echo_is_done(world: World) -> None:
    client = await opened(world, echo)
    leave(world)
    await client.closes()
    client.sock.half_close()
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_a_client_that_is_gone_at_our_close_does_not_cost_the_app_its_own(world: World) -> None:
    client = await opened(world, lambda end: end.closes())
    leave(world)
    await client.closes()
    client.sock.reset()
    await over(world)


@on_both_loops
async def test_an_app_that_never_echoes_is_left_after_a_while(world: World) -> None:
    endings: list[str] = []

    async def talk(end: End) -> None:
        await end.closes()
        endings.append(await end.sock.end())

    client = await opened(world, talk)
    leave(world)
    await client.closes()
    await client.send(close())
    await eventually(lambda: _followers(world)[0].has_closed)
    world.advance(ECHO_S - 0.1)
    assert client.sock.is_silent()
    assert endings == []
    world.advance(0.2)
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)
    await eventually(lambda: endings == ["fin"])


@on_both_loops
async def test_an_app_that_speaks_on_instead_of_an_echo_is_left_as_soon(world: World) -> None:
    async def talk(end: End) -> None:
        await end.closes()
        with suppress(ConnectionError):
            while True:
                await end.send(text(b"tick"))
                await asyncio.sleep(0.05)

    client = await opened(world, talk)
    leave(world)
    await client.closes()
    await client.send(close())
    await eventually(lambda: _followers(world)[0].has_closed)
    world.advance(ECHO_S - 0.5)
    await asyncio.sleep(0.2)
    assert client.sock.is_silent()
    world.advance(0.5)
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_an_app_that_echoes_and_stays_is_left_sooner(world: World) -> None:
    endings: list[str] = []

    async def talk(end: End) -> None:
        await end.closes()
        await end.send(close())
        endings.append(await end.sock.end())

    client = await opened(world, talk)
    leave(world)
    await client.closes()
    await client.send(close())
    await eventually(lambda: all(it.has_closed for it in _followers(world)))
    world.advance(APP_FIN_S + 0.1)
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)
    await eventually(lambda: endings == ["fin"])


@on_both_loops
async def test_an_app_that_resets_at_our_close_does_not_cost_the_client_its_echo(world: World) -> None:
    async def talk(end: End) -> None:
        await end.closes()
        end.sock.reset()

    client = await opened(world, talk)
    leave(world)
    await client.closes()
    await eventually(lambda: not world.server.upstreams)
    assert client.sock.is_silent()
    await client.send(close())
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_an_apps_own_close_passes_and_is_not_followed_by_ours(world: World) -> None:
    """It had gone out before ours could: the client gets the app's code, and the app a Close for its own."""
    codes: list[int] = []

    async def talk(end: End) -> None:
        await end.send(text(b"bye"), close(4001, "replaced"))
        codes.append(Close.parse((await end.read()).data).code)
        end.sock.half_close()
        assert await end.sock.end() == "fin"

    client = await opened(world, talk)
    assert (await client.read()).data == b"bye"
    await eventually(lambda: _followers(world)[1].has_closed)
    leave(world)
    await client.closes(4001)
    await client.send(close(4001))
    assert await client.sock.rest() == b""
    assert client.sock.ending == "fin"
    client.sock.close()
    await over(world)
    assert codes == [1001]


@on_both_loops
async def test_a_close_of_the_apps_that_is_half_here_is_finished_instead_of_ours(world: World) -> None:
    go_on = asyncio.Event()

    async def talk(end: End) -> None:
        data = end.coded(close(4002, "my own reason"))
        await end.sock.send(data[:5])
        await go_on.wait()
        await end.sock.send(data[5:])
        await end.closes()
        end.sock.half_close()
        assert await end.sock.end() == "fin"

    client = await opened(world, talk)
    await eventually(lambda: not _followers(world)[1].is_at_boundary)
    leave(world)
    go_on.set()
    await client.closes(4002)
    await client.send(close(4002))
    assert await client.sock.rest() == b""
    client.sock.close()
    await over(world)


@on_both_loops
async def test_a_clients_own_close_passes_too(world: World) -> None:
    go_on = asyncio.Event()

    async def talk(end: End) -> None:
        await end.closes(4003)
        await go_on.wait()
        await end.send(close(4003))
        end.sock.half_close()
        assert await end.sock.end() == "fin"

    client = await opened(world, talk)
    await client.send(close(4003))
    await eventually(lambda: _followers(world)[0].has_closed)
    leave(world)
    await client.closes()
    assert client.sock.is_silent(), "the app's end is not done"
    go_on.set()
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_a_handshake_of_their_own_that_is_over_is_none_of_ours(world: World) -> None:
    client = await opened(world, echo)
    world.server.announce_stop()
    await client.send(close(1000))
    await client.closes(1000)
    client.sock.half_close()
    assert await client.sock.end() == "fin"
    client.sock.close()
    await eventually(lambda: not world.server.connections)
    leave(world)
    await eventually(lambda: world.quiet_count)
    outcomes = world.server.outcomes
    assert (outcomes.websockets_closed, outcomes.tunnels_finished, outcomes.cut_count) == (0, 1, 0)


@on_both_loops
async def test_what_was_relayed_before_arrives_though_the_client_reads_late(world: World) -> None:
    """Behind all that we hold for it comes the Close; and a client that does not read keeps the app from nothing."""
    done = asyncio.Event()

    async def talk(end: End) -> None:
        for number in range(60):
            await end.send(text(bytes([number]) * LARGE))
        done.set()
        await end.finishes()

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(SWITCH)
        await talk(End(it, is_client=False))

    await world.serve(script)
    client = await joined(world, await world.client(receive_bytes=4096))
    downstream = await world.downstream()
    await eventually(lambda: downstream.is_write_paused)
    assert not done.is_set()
    leave(world)
    client.sock.widen()
    last = -1
    while (frame := await client.read()).opcode is Opcode.TEXT:
        last += 1
        assert frame.data == bytes([last]) * LARGE
    assert Close.parse(frame.data).code == 1001
    await client.send(close())
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)
    assert done.is_set(), "what came after our Close was read, though the client did not"


@on_both_loops
async def test_a_client_is_read_after_our_close_though_the_app_does_not(world: World) -> None:
    """Its echo is behind all that the app does not take."""
    go_on = asyncio.Event()

    async def talk(end: End) -> None:
        await go_on.wait()
        while (await end.read()).opcode is not Opcode.CLOSE:
            pass
        await end.send(close())
        end.sock.half_close()
        assert await end.sock.end() == "fin"

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(SWITCH)
        await talk(End(it, is_client=False))

    await world.serve(script, receive_bytes=4096)
    client = await joined(world, await world.client())
    sending = asyncio.ensure_future(client.send(*[text(b"x" * 1000)] * 10_000, close()))
    downstream = await world.downstream()
    await eventually(lambda: downstream.gate.reasons)
    assert not sending.done()
    leave(world)
    await client.closes()
    if downstream.gate.reasons:
        world.advance(0.1)
    # The frame that was under way is the app's; the rest is read whether the app reads or not.
    go_on.set()
    await sending
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_they_leave_within_the_spread(world: World) -> None:
    count = 12
    clients = [await opened(world, echo, close_spread_s=4.0) for _ in range(count)]
    leave(world)
    world.advance(0.0)
    waiting = [sum(it.sock.is_silent() for it in clients)]
    for _ in range(4):
        world.advance(1.0)
        await asyncio.sleep(0.01)
        waiting.append(sum(it.sock.is_silent() for it in clients))
    assert waiting == sorted(waiting, reverse=True)
    assert waiting[0] > count // 2
    for client in clients:
        await client.closes()
        await client.send(close())
    for client in clients:
        assert await client.sock.end() == "fin"
        client.sock.close()
    await over(world, closed=count)


@on_both_loops
async def test_a_delay_is_a_part_of_the_spread(world: World) -> None:
    await world.serve(lambda it: it.head(), close_spread_s=10.0)  # type: ignore[arg-type, return-value]
    delays = [world.server.leave_delay_s() for _ in range(300)]
    assert 0 <= min(delays) < 2
    assert 8 < max(delays) < 10


@on_both_loops
async def test_while_it_waits_for_its_turn_it_works_as_before(world: World) -> None:
    client = await opened(world, echo, close_spread_s=1000.0)
    leave(world)
    await client.send(text(b"still there"))
    assert (await client.read()).data == b"still there"
    world.advance(1000)
    await client.closes()
    await client.send(close())
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


# -- no proper end -------------------------------------------------------------------------------------------


@on_both_loops
async def test_another_upgrade_waits_for_the_deadline(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(SWITCH.replace(b"WebSocket", b"echo"))
        await it.end()

    await world.serve(script)
    client = await world.client()
    await client.send(OFFER.replace(b"websocket", b"echo"))
    await client.response()
    leave(world)
    world.advance(10)
    assert client.is_silent()
    world.server.cut(STOPPING)
    assert await client.end() == "reset"


@pytest.mark.parametrize("speaker", ["client", "app"])
@on_both_loops
async def test_what_are_no_frames_is_relayed_and_waits_for_the_deadline(world: World, speaker: str) -> None:
    """Masked by the wrong side: two ends may well agree on that, or on something else altogether."""
    wrong = text(b"odd").serialize(mask=speaker == "app")

    async def talk(end: End) -> None:
        if speaker == "app":
            await end.sock.send(wrong)
        else:
            assert await end.sock.exactly(len(wrong)) == wrong
            await end.sock.send(b"ok")
        assert await end.sock.rest() == b""

    client = await opened(world, talk)
    if speaker == "app":
        assert await client.sock.exactly(len(wrong)) == wrong
    else:
        await client.sock.send(wrong)
        assert await client.sock.exactly(2) == b"ok"
    leave(world)
    world.advance(10)
    assert client.sock.is_silent()
    world.server.cut(STOPPING)
    assert await client.sock.end() == "reset"
    assert world.server.outcomes.cut_count == 1


@on_both_loops
async def test_a_frame_that_is_not_finished_at_the_deadline_is_cut(world: World) -> None:
    """Visibly for who waits for it; who has got its Close has lost nothing."""
    endings: list[str] = []

    async def talk(end: End) -> None:
        endings.append(await end.sock.end())

    client = await opened(world, talk)
    await client.sock.send(client.coded(text(b"never whole"))[:-1])
    await eventually(lambda: not _followers(world)[0].is_at_boundary)
    leave(world)
    await client.closes()
    world.server.cut(STOPPING)
    assert await client.sock.end() == "fin"
    await eventually(lambda: endings == ["reset"])
    assert [(it.method, it.target) for it in world.server.outcomes.cut] == [("GET", "/ws")]
    client.sock.close()


@on_both_loops
async def test_the_apps_unfinished_frame_is_cut_for_the_client(world: World) -> None:
    async def talk(end: End) -> None:
        await end.sock.send(end.coded(text(b"never whole"))[:-1])
        await end.closes()
        await end.sock.end()

    client = await opened(world, talk)
    await eventually(lambda: not _followers(world)[1].is_at_boundary)
    leave(world)
    world.server.cut(STOPPING)
    assert await client.sock.end() == "reset"
    assert world.server.outcomes.cut_count == 1


@on_both_loops
async def test_at_the_deadline_an_echo_that_is_missing_is_no_loss(world: World) -> None:
    client = await opened(world, echo)
    leave(world)
    await client.closes()
    await eventually(lambda: _followers(world)[1].has_closed)
    world.server.cut(STOPPING)
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_a_half_closed_one_waits_for_the_deadline(world: World) -> None:
    """A FIN without a Close: whatever these two do, they do not close as WebSockets do."""

    async def talk(end: End) -> None:
        assert await end.sock.rest() == b""
        await end.send(text(b"still talking"))
        await asyncio.Event().wait()

    client = await opened(world, talk)
    client.sock.half_close()
    assert (await client.read()).data == b"still talking"
    leave(world)
    assert client.sock.is_silent()
    world.server.cut(STOPPING)
    assert await client.sock.end() == "reset"


@on_both_loops
async def test_an_app_that_goes_in_the_middle_of_its_frame_is_a_cut(world: World) -> None:
    async def talk(end: End) -> None:
        await end.sock.send(end.coded(text(b"never whole"))[:-1])
        await end.closes()
        end.sock.reset()

    client = await opened(world, talk)
    await eventually(lambda: not _followers(world)[1].is_at_boundary)
    leave(world)
    with pytest.raises((EOFError, ProtocolError)):
        await client.read()
    assert client.sock.ending == "reset"


@on_both_loops
async def test_a_client_that_ends_in_the_middle_of_its_frame_ends_the_tunnel(world: World) -> None:
    """The app never gets to a place for its Close, but it hears the FIN."""

    async def talk(end: End) -> None:
        await end.sock.rest()

    client = await opened(world, talk)
    await client.sock.send(client.coded(text(b"never whole"))[:-1])
    await eventually(lambda: not _followers(world)[0].is_at_boundary)
    leave(world)
    await client.closes()
    client.sock.half_close()
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)


@on_both_loops
async def test_an_app_that_goes_in_the_middle_of_the_clients_frame_leaves_it_its_close(world: World) -> None:
    go = asyncio.Event()

    async def talk(end: End) -> None:
        await go.wait()
        end.sock.reset()

    client = await opened(world, talk)
    await client.sock.send(client.coded(text(b"never whole"))[:-1])
    await eventually(lambda: not _followers(world)[0].is_at_boundary)
    leave(world)
    await client.closes()
    go.set()
    await eventually(lambda: not world.server.upstreams)
    await client.sock.send(b"x", client.coded(close()))
    assert await client.sock.end() == "fin"
    client.sock.close()
    await over(world)

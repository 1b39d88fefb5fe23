"""Event streams in a drain, on both loops: which are ended between two events, when, and what both ends see."""

import asyncio
import socket

import pytest

from pyinit.errors import DrainAborted
from tests.support.event_source import EventParser
from tests.support.fake_app import AppConnection, Script, response
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, chunks, request

STOPPING = DrainAborted("this server is stopping", 503)
ACCEPT = b"Accept: text/event-stream"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n"
CHUNKED_HEAD = HEAD % b"Transfer-Encoding: chunked\r\n"
E1, E2, E3 = b"id: 1\ndata: a\n\n", b"id: 2\ndata: b\n\n", b"id: 3\ndata: c\n\n"
END = b"0\r\n\r\n"


def chunked(*parts: bytes) -> bytes:
    """Chunks without the last one."""
    return chunks(parts)[: -len(END)]


class Stream:
    """An app that answers each request with a head and what it is told to send, and sees how that ends.

    Attributes:
        ending: how the proxy ended the connection.
    """

    def __init__(self, *first: bytes) -> None:
        self._first = first
        self._connection: AppConnection | None = None
        self.ending: str | None = None

    @property
    def script(self) -> Script:
        """For World.serve."""

        async def script(it: AppConnection) -> None:
            await it.request()
            self._connection = it
            await it.send(*self._first)
            self.ending = await it.end()

        return script

    async def send(self, *pieces: bytes) -> None:
        """Send more."""
        assert self._connection is not None
        await self._connection.send(*pieces)


def drain(world: World) -> None:
    """The actions that begin a drain, in their order."""
    world.server.announce_stop()
    world.server.stop_accepting(3)
    world.server.close_idle()
    world.server.close_streams()


async def begun(
    world: World, upto: bytes, *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1"
) -> tuple[RawClient, bytes]:
    """A client that has read its response up to some bytes; those after the head."""
    client = await world.client()
    await client.send(request(b"/events", *(lines or (ACCEPT,)), method=method, version=version))
    head = await client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return client, await client.until(upto) if upto else b""


async def is_ended(world: World, client: RawClient, stream: Stream, rest: bytes) -> None:
    """The client gets this and no more, then a FIN; the app is told; the report counts it."""
    assert await client.rest() == rest
    assert client.ending == "fin"
    client.close()
    await eventually(lambda: stream.ending)
    assert stream.ending == "reset"
    await eventually(lambda: world.quiet_count)
    assert (world.server.outcomes.streams_ended, world.server.outcomes.cut_count) == (1, 0)
    assert world.server.outcomes.exchanges_finished == 0


@on_both_loops
async def test_an_idle_stream_ends_at_once(world: World) -> None:
    """At no time of its own is there another chance: it may say nothing for hours."""
    stream = Stream(CHUNKED_HEAD, chunked(E1))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(E1))
    drain(world)
    await is_ended(world, client, stream, END)


@on_both_loops
async def test_one_that_has_sent_its_head_alone_ends_too(world: World) -> None:
    stream = Stream(CHUNKED_HEAD)
    await world.serve(stream.script)
    client, _ = await begun(world, b"")
    drain(world)
    await is_ended(world, client, stream, END)


@on_both_loops
async def test_behind_a_heartbeat_it_is_as_idle(world: World) -> None:
    stream = Stream(CHUNKED_HEAD, chunked(E1, b":\n"))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(b":\n"))
    drain(world)
    await is_ended(world, client, stream, END)


@on_both_loops
async def test_in_the_middle_of_an_event_its_end_is_waited_for(world: World) -> None:
    stream = Stream(CHUNKED_HEAD, chunked(E1, E2[:9]))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(E2[:9]))
    drain(world)
    world.advance(1)
    assert client.is_silent()
    await stream.send(chunked(E2[9:]))
    await is_ended(world, client, stream, chunked(E2[9:]) + END)


@on_both_loops
async def test_an_event_that_ends_within_a_chunk(world: World) -> None:
    """The client gets a chunk of ours, as the app's has more in it than is to be sent."""
    stream = Stream(CHUNKED_HEAD, chunked(E1[:4]))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(E1[:4]))
    drain(world)
    await stream.send(chunked(E1[4:] + E2[:5]))
    await is_ended(world, client, stream, chunked(E1[4:]) + END)


@on_both_loops
async def test_in_a_chunk_whose_size_has_gone_out_its_end_is_waited_for(world: World) -> None:
    two = chunked(E1 + E2)
    at = two.index(E2)
    stream = Stream(CHUNKED_HEAD, two[:at])
    await world.serve(stream.script)
    client, _ = await begun(world, two[:at])
    drain(world)
    world.advance(1)
    assert client.is_silent()
    await stream.send(two[at:])
    await is_ended(world, client, stream, two[at:] + END)


@on_both_loops
async def test_a_crlf_that_comes_in_two_reads(world: World) -> None:
    event = b"data: a\r\n\r\n"
    stream = Stream(CHUNKED_HEAD, chunked(event[:-1]))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(event[:-1]))
    drain(world)
    assert client.is_silent()
    await stream.send(chunked(b"\n"))
    await is_ended(world, client, stream, chunked(b"\n") + END)


@on_both_loops
async def test_a_stream_that_never_pauses(world: World) -> None:
    """Each read is full and ends somewhere in an event, in the middle of a chunk."""
    event = b"data: " + b"x" * 700 + b"\n\n"

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(CHUNKED_HEAD)
        while True:
            await it.send(chunked(event, event, event) * 50)

    await world.serve(script)
    client, _ = await begun(world, event)
    drain(world)
    rest = await client.rest()
    assert (client.ending, rest[-len(END) :]) == ("fin", END)
    assert rest[: -len(END)].endswith(event + b"\r\n")
    assert world.server.outcomes.streams_ended == 1


@on_both_loops
async def test_to_an_http_1_0_client_the_end_is_a_fin(world: World) -> None:
    stream = Stream(CHUNKED_HEAD, chunked(E1, E2[:5]))
    await world.serve(stream.script)
    client, _ = await begun(world, E1 + E2[:5], version=b"1.0")
    drain(world)
    assert client.is_silent()
    await stream.send(chunked(E2[5:] + E3[:5]))
    await is_ended(world, client, stream, E2[5:])


@on_both_loops
async def test_where_the_app_ends_by_closing_so_do_we(world: World) -> None:
    stream = Stream(HEAD % b"", E1 + E2[:5])
    await world.serve(stream.script)
    client, _ = await begun(world, E1 + E2[:5])
    drain(world)
    assert client.is_silent()
    await stream.send(E2[5:])
    await is_ended(world, client, stream, E2[5:])


@on_both_loops
async def test_a_stream_that_ends_by_itself_is_finished(world: World) -> None:
    stream = Stream(CHUNKED_HEAD, chunked(E1[:4]))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(E1[:4]))
    drain(world)
    await stream.send(chunked(E1[4:], E2) + END)
    rest = await client.rest()
    assert rest.endswith(END)
    assert E2 in rest
    outcomes = world.server.outcomes
    assert (outcomes.streams_ended, outcomes.exchanges_finished) == (0, 1)


@on_both_loops
async def test_a_client_that_comes_back_at_once_is_refused(world: World) -> None:
    """It would be ended again and again until the listener stops; refused, it goes elsewhere."""
    stream = Stream(CHUNKED_HEAD, chunked(E1))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(E1))
    drain(world)
    # The very next thing that happens: not a turn of the loop later.
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(("127.0.0.1", world.port))
    await is_ended(world, client, stream, END)


# -- which ones ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "lines", "head"),
    [
        pytest.param(b"POST", (ACCEPT,), CHUNKED_HEAD, id="a chat's answer to a POST"),
        pytest.param(b"GET", (b"Accept: */*",), CHUNKED_HEAD, id="a GET that did not ask for one"),
        pytest.param(
            b"GET",
            (ACCEPT,),
            HEAD % b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n",
            id="one that is compressed",
        ),
        pytest.param(b"GET", (ACCEPT,), HEAD % b"Content-Length: 1000\r\n", id="one with a length"),
        pytest.param(
            b"GET",
            (ACCEPT,),
            CHUNKED_HEAD.replace(b"text/event-stream", b"application/x-ndjson"),
            id="another stream",
        ),
    ],
)
@on_both_loops
async def test_every_other_stream_has_until_the_deadline_and_is_cut(
    world: World, method: bytes, lines: tuple[bytes, ...], head: bytes
) -> None:
    """Nobody comes back for it, so that a clean end would pass for the whole answer."""
    stream = Stream(head, chunked(E1))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(E1), *lines, method=method)
    drain(world)
    for _ in range(20):
        world.advance(1)
    await stream.send(chunked(E2))
    assert await client.until(chunked(E2)) == chunked(E2)
    world.server.cut(STOPPING)
    assert END not in await client.rest()
    outcomes = world.server.outcomes
    assert (outcomes.streams_ended, outcomes.cut_count) == (0, 1)


@on_both_loops
async def test_head_has_no_stream_to_end(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(CHUNKED_HEAD)
        await it.end()

    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/events", ACCEPT, method=b"HEAD"))
    assert (await client.response(method=b"HEAD")).status == 200
    drain(world)
    world.advance(5)
    assert await client.rest() == b""
    assert world.server.outcomes.streams_ended == 0


# -- when ----------------------------------------------------------------------------------------------------


@on_both_loops
async def test_they_are_left_alone_for_their_grace(world: World) -> None:
    stream = Stream(CHUNKED_HEAD, chunked(E1))
    await world.serve(stream.script, stream_grace_s=3.0)
    client, _ = await begun(world, chunked(E1))
    drain(world)
    world.advance(2.9)
    await stream.send(chunked(E2))
    assert await client.until(chunked(E2))
    assert client.is_silent()
    world.advance(0.2)
    await is_ended(world, client, stream, END)


@on_both_loops
async def test_without_an_end_to_the_grace_they_are_cut_at_the_deadline(world: World) -> None:
    stream = Stream(CHUNKED_HEAD, chunked(E1))
    await world.serve(stream.script, stream_grace_s=None)
    client, _ = await begun(world, chunked(E1))
    drain(world)
    world.advance(1000)
    assert client.is_silent()
    world.server.cut(STOPPING)
    assert await client.rest() == b""
    outcomes = world.server.outcomes
    assert (outcomes.streams_ended, outcomes.cut_count) == (0, 1)


@on_both_loops
async def test_each_leaves_at_a_moment_of_its_own(world: World) -> None:
    """All at once they would be back all at once."""
    delays = iter((0.0, 2.0, 4.0))
    stream = Stream(CHUNKED_HEAD, chunked(E1))
    await world.serve(stream.script, stream_grace_s=1.0)
    clients = [(await begun(world, chunked(E1)))[0] for _ in range(3)]
    world.server.leave_delay_s = lambda: next(delays)  # type: ignore[method-assign]
    drain(world)
    for count, seconds in enumerate((1.1, 2.0, 2.0), 1):
        assert world.server.outcomes.streams_ended == count - 1
        world.advance(seconds)
        assert world.server.outcomes.streams_ended == count
    for client in clients:
        assert await client.rest() == END


@on_both_loops
async def test_one_that_begins_in_the_drain_leaves_likewise(world: World) -> None:
    """Its head says that the connection closes, and the drain's grace is over as it is for the others."""
    stream = Stream(CHUNKED_HEAD, chunked(E1, E2[:5]))
    await world.serve(stream.script, stream_grace_s=0.5)
    client = await world.client()
    await client.send(request(b"/events", ACCEPT)[:20])
    await eventually(
        lambda: world.server.connections and (next(iter(world.server.connections))._reader.held_bytes)
    )
    drain(world)
    world.advance(1)
    await client.send(request(b"/events", ACCEPT)[20:])
    head = await client.until(b"\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in head
    await client.until(chunked(E2[:5]))
    world.advance(0.1)
    await stream.send(chunked(E2[5:]))
    await is_ended(world, client, stream, chunked(E2[5:]) + END)


@on_both_loops
async def test_a_request_that_waits_for_its_response_when_the_drain_begins(world: World) -> None:
    stream = Stream()
    await world.serve(stream.script)
    client = await world.client()
    await client.send(request(b"/events", ACCEPT))
    await eventually(lambda: world.app.requests)
    drain(world)
    await stream.send(CHUNKED_HEAD + chunked(E1))
    await client.until(b"\r\n\r\n")
    assert await client.until(chunked(E1))
    await is_ended(world, client, stream, END)


@on_both_loops
async def test_requests_behind_a_stream_are_answered(world: World) -> None:
    async def script(it: AppConnection) -> None:
        if (await it.request()).target == b"/events":
            await it.send(CHUNKED_HEAD, chunked(E1))
            await it.end()
        else:
            await it.send(response(b"last"))

    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/events", ACCEPT) + request(b"/last"))
    await client.until(chunked(E1))
    drain(world)
    assert await client.until(END) == END
    answer = await client.response()
    assert (answer.body, answer.closes) == (b"last", True)
    assert await client.end() == "fin"


@on_both_loops
async def test_what_the_app_sends_after_the_end_reaches_nobody(world: World) -> None:
    stream = Stream(CHUNKED_HEAD, chunked(E1[:4]))
    await world.serve(stream.script)
    client, _ = await begun(world, chunked(E1[:4]))
    drain(world)
    await stream.send(chunked(E1[4:]) + chunked(E2[:3]) + chunked(E2[3:6]))
    await is_ended(world, client, stream, chunked(E1[4:]) + END)


@on_both_loops
async def test_a_client_that_does_not_read_gets_it_all_before_the_end(world: World) -> None:
    event = b"data: " + bytes(b"y" * 60_000) + b"\n\n"

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(CHUNKED_HEAD)
        while True:
            await it.send(chunked(event))

    await world.serve(script)
    client = await world.client(receive_bytes=4096)
    await client.send(request(b"/events", ACCEPT))
    downstream = await world.downstream()
    await eventually(lambda: downstream.is_write_paused)
    drain(world)
    client.widen()
    await client.until(b"\r\n\r\n")
    raw = await client.rest()
    assert (client.ending, raw[-len(END) :]) == ("fin", END)
    parser = EventParser()
    at = 0
    while size := int(raw[at : raw.index(b"\r\n", at)], 16):
        start = raw.index(b"\r\n", at) + 2
        parser.feed(raw[start : start + size])
        at = start + size + 2
    assert parser.is_between
    assert {len(it.data) for it in parser.events} == {60_000}


@on_both_loops
async def test_an_access_log_has_its_line(world: World) -> None:
    stream = Stream(CHUNKED_HEAD, chunked(E1))
    await world.serve(stream.script, access_log=True)
    client, _ = await begun(world, chunked(E1))
    drain(world)
    await is_ended(world, client, stream, END)
    (line,) = world.log.of("request.finished")
    assert (line["status"], line["target"]) == (200, "/events")
    assert "failed" not in line


@on_both_loops
async def test_while_serving_nothing_is_changed(world: World) -> None:
    """Chunks as the app made them, extensions and trailers too."""
    raw = b"f;a=b\r\n" + E1 + b"\r\n" + b"00f\r\n" + E2 + b"\r\n0\r\nX-Sum: 1\r\n\r\n"

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(CHUNKED_HEAD, *(raw[at : at + 1] for at in range(len(raw))))
        await asyncio.Event().wait()

    await world.serve(script)
    client, _ = await begun(world, b"")
    assert await client.exactly(len(raw)) == raw

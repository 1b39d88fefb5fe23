"""What a proxy counts, on both loops: each exchange once, whatever ended it; bytes as they pass; what is in flight."""

import asyncio
import socket

from pyinit.drain.outcomes import Kind
from pyinit.errors import DrainAborted
from pyinit.proxy import survey
from pyinit.proxy.config import UpstreamAddress
from pyinit.proxy.stats import DURATION_BOUNDS_S
from tests.support.fake_app import AppConnection, answering, response
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import request

OFFER = request(b"/chat", b"Connection: Upgrade", b"Upgrade: echo")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
ACCEPT = b"Accept: text/event-stream"


async def silent(it: AppConnection) -> None:
    """An app that takes requests and never answers."""
    await it.request()
    await it.end()


async def echo(it: AppConnection) -> None:
    """An upgrade, and every byte back."""
    await it.head()
    await it.send(SWITCH)
    while data := await it.some():
        await it.send(data)


async def events(it: AppConnection) -> None:
    """An event stream that does not end by itself."""
    await it.request()
    await it.send(STREAM, b"data: 1\n\n")
    await it.end()


def dead() -> UpstreamAddress:
    """Where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return UpstreamAddress(hosts=("127.0.0.1",), port=int(sock.getsockname()[1]))


def ended(world: World) -> int:
    """How many exchanges have a duration."""
    return sum(world.server.stats.durations)


# -- how long ------------------------------------------------------------------------------------------------


@on_both_loops
async def test_a_duration_lands_where_it_belongs(world: World) -> None:
    """Of a second, by the test's clock: while the app thinks it is its wait as well."""
    held = asyncio.Event()

    async def script(it: AppConnection) -> None:
        await it.request()
        await held.wait()
        await it.send(response(b"12"))
        await it.request()
        await it.send(response(b"12")[:-1])
        await held.wait()
        await it.send(b"2")

    await world.serve(script)
    client = await world.client()
    await client.send(request())
    await eventually(lambda: world.app.requests)
    world.advance(20)
    held.set()
    await client.response()
    stats = world.server.stats
    in_bucket = DURATION_BOUNDS_S.index(30.0)
    assert (stats.durations[in_bucket], stats.app_waits[in_bucket]) == (1, 1)
    assert 20 <= stats.durations_sum_s < 30
    held.clear()
    await client.send(request())
    await client.until(b"\r\n\r\n1")
    world.advance(20)
    held.set()
    await client.exactly(1)
    await eventually(lambda: ended(world) == 2)
    assert (stats.durations[in_bucket], stats.app_waits[in_bucket]) == (2, 1), (
        "the body is not the app's wait"
    )
    assert sum(stats.app_waits) == 2


@on_both_loops
async def test_an_upload_is_no_wait_for_the_app(world: World) -> None:
    await world.serve(answering(response()))
    client = await world.client()
    await client.send(request(method=b"POST", body=b"ab")[:-1])
    await eventually(lambda: world.server.stats.bytes_in == 1)
    world.advance(20)
    await client.send(b"b")
    await client.response(method=b"POST")
    stats = world.server.stats
    assert (stats.bytes_in, stats.durations_sum_s >= 20, stats.app_waits_sum_s < 20) == (2, True, True)


# -- every way to end ----------------------------------------------------------------------------------------


@on_both_loops
async def test_a_client_that_leaves_is_counted_once(world: World) -> None:
    await world.serve(silent)
    client = await world.client()
    await client.send(request())
    await eventually(lambda: world.app.requests)
    world.advance(20)
    client.reset()
    await eventually(lambda: not world.server.connections)
    stats = world.server.stats
    assert (stats.requests, ended(world), stats.clients_lost) == (1, 1, 1)
    assert sum(stats.app_waits) == 1
    assert stats.app_waits_sum_s >= 20, "an app that hangs is what it left for"


@on_both_loops
async def test_what_the_app_fails_at_is_counted_once(world: World) -> None:
    async def breaks_off(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"12345")[:-1])

    await world.serve(breaks_off)
    assert (await (await world.client()).ask()).is_cut
    stats = world.server.stats
    assert (ended(world), stats.upstream_failures, stats.upstream_connect_failures) == (1, 1, 0)
    assert stats.bytes_out == 4


@on_both_loops
async def test_a_connect_that_fails_is_told_from_a_response_that_does(world: World) -> None:
    await world.serve(upstream=dead())
    assert (await (await world.client()).ask()).status == 502
    stats = world.server.stats
    assert (ended(world), stats.upstream_failures, stats.upstream_connect_failures) == (1, 1, 1)
    assert sum(stats.app_waits) == 0


@on_both_loops
async def test_a_tunnel_without_an_app_is_a_failed_connect_too(world: World) -> None:
    await world.serve(upstream=dead(), raw=True)
    assert await (await world.client()).end() == "reset"
    stats = world.server.stats
    assert (stats.upstream_failures, stats.upstream_connect_failures) == (1, 1)


@on_both_loops
async def test_a_response_that_does_not_come_in_time_is_counted_once(world: World) -> None:
    await world.serve(silent, response_timeout_s=5.0)
    client = await world.client()
    await client.send(request())
    await eventually(lambda: world.app.requests)
    world.advance(6)
    assert (await client.response()).status == 504
    stats = world.server.stats
    assert (ended(world), stats.upstream_failures, stats.upstream_connect_failures) == (1, 1, 0)


@on_both_loops
async def test_a_body_that_breaks_the_rules_is_counted_once(world: World) -> None:
    await world.serve(silent)
    client = await world.client()
    await client.send(request(b"/", b"Transfer-Encoding: chunked", method=b"POST"), b"1\r\na\r\n")
    await eventually(lambda: world.server.stats.requests)
    await client.send(b"no length\r\n")
    assert (await client.response()).status == 400
    assert (world.server.stats.requests, ended(world), world.server.stats.refused) == (1, 1, 1)


@on_both_loops
async def test_what_the_drain_cuts_is_counted_once(world: World) -> None:
    await world.serve(silent)
    client = await world.client()
    await client.send(request(b"/long?token=1", method=b"DELETE"))
    await eventually(lambda: world.app.requests)
    world.advance(2)
    world.server.announce_stop()
    world.server.cut(DrainAborted("this server is stopping", 503))
    assert (await client.response()).status == 503
    (cut,) = world.server.outcomes.cut
    assert (cut.method, cut.target, cut.kind) == ("DELETE", "/long", Kind.EXCHANGE)
    assert cut.age_s >= 2
    assert ended(world) == 1


@on_both_loops
async def test_options_that_we_answer_have_a_duration(world: World) -> None:
    await world.serve(silent)
    client = await world.client()
    await client.ask(b"*", b"Max-Forwards: 0", method=b"OPTIONS")
    assert (world.server.stats.requests, ended(world), sum(world.server.stats.app_waits)) == (1, 1, 0)


@on_both_loops
async def test_streams_and_upgrades_have_none(world: World) -> None:
    """Their length says how long a client stayed; one of an hour would be the p99 of a quiet service."""
    turn = 0

    async def script(it: AppConnection) -> None:
        nonlocal turn
        turn += 1
        await (events if turn == 1 else echo)(it)

    await world.serve(script)
    stream, upgrade = await world.client(), await world.client()
    await stream.send(request(b"/events", ACCEPT))
    await stream.until(b"data: 1")
    await upgrade.send(OFFER)
    await upgrade.until(b"\r\n\r\n")
    for client in (stream, upgrade):
        client.reset()
    await eventually(lambda: not world.server.connections)
    assert (world.server.stats.requests, ended(world)) == (2, 0)
    assert world.server.stats.clients_lost == 0, "nobody waits for a stream's end"


# -- bytes ---------------------------------------------------------------------------------------------------


@on_both_loops
async def test_bytes_of_what_runs_for_ever_are_counted_as_they_pass(world: World) -> None:
    turn = 0

    async def script(it: AppConnection) -> None:
        nonlocal turn
        turn += 1
        await (events if turn == 1 else echo)(it)

    await world.serve(script)
    stats = world.server.stats
    stream, upgrade = await world.client(), await world.client()
    await stream.send(request(b"/events", ACCEPT))
    await stream.until(b"data: 1\n\n")
    assert (stats.bytes_in, stats.bytes_out) == (0, 9)
    await upgrade.send(OFFER)
    await upgrade.until(b"\r\n\r\n")
    await upgrade.send(b"x" * 1000)
    await upgrade.exactly(1000)
    assert (stats.bytes_in, stats.bytes_out) == (1000, 1009)


@on_both_loops
async def test_bytes_of_a_tcp_tunnel_are_counted(world: World) -> None:
    async def greeting(it: AppConnection) -> None:
        await it.send(b"220 hello")
        await it.exactly(4)
        await it.send(b"ok")
        await it.end()

    await world.serve(greeting, raw=True)
    client = await world.client()
    await client.exactly(9)
    await client.send(b"quit")
    await client.exactly(2)
    assert (world.server.stats.bytes_in, world.server.stats.bytes_out) == (4, 11)


# -- in flight -----------------------------------------------------------------------------------------------


@on_both_loops
async def test_what_is_in_flight_is_told_by_kind_the_oldest_first(world: World) -> None:
    async def script(it: AppConnection) -> None:
        head = await it.head()
        if b"/chat" in head:
            await it.send(SWITCH)
        elif b"/events" in head:
            await it.send(STREAM, b"data: 1\n\n")
        await it.end()

    await world.serve(script)
    assert survey.in_flight(world.server) == ({}, ())
    asked = ((b"/slow?a=b", ()), (b"/events", (ACCEPT,)), (b"/chat", OFFER.split(b"\r\n")[2:4]))
    for count, (target, lines) in enumerate(asked, 1):
        client = await world.client()
        await client.send(request(target, *lines))
        if target != b"/slow?a=b":
            await client.until(b"\r\n\r\n")
        await eventually(
            lambda count=count: sum(survey.in_flight(world.server)[0].values()) == count  # type: ignore[misc]
        )
        world.advance(10)
    await world.client()  # idle, and in no list
    await eventually(lambda: len(world.server.connections) == 4)
    counts, oldest = survey.in_flight(world.server)
    assert counts == {"exchange": 1, "stream": 1, "tunnel": 1}
    assert [(it.method, it.target, it.kind) for it in oldest] == [
        ("GET", "/slow", Kind.EXCHANGE),
        ("GET", "/events", Kind.STREAM),
        ("GET", "/chat", Kind.TUNNEL),
    ]
    ages_s = [it.age_s for it in oldest]
    assert all(age_s >= least_s for age_s, least_s in zip(ages_s, (30, 20, 10), strict=True))
    assert ages_s == sorted(ages_s, reverse=True)
    assert all(it.peer.startswith("127.0.0.1:") for it in oldest)


@on_both_loops
async def test_no_more_are_listed_than_a_person_reads(world: World) -> None:
    await world.serve(silent)
    for number in range(survey.OLDEST_MAX + 3):
        client = await world.client()
        await client.send(request(b"/%d" % number))
        await eventually(lambda number=number: len(world.app.requests) == number + 1)  # type: ignore[misc]
        world.advance(1)
    counts, oldest = survey.in_flight(world.server)
    assert counts == {"exchange": survey.OLDEST_MAX + 3}
    assert [it.target for it in oldest] == [f"/{number}" for number in range(survey.OLDEST_MAX)]


@on_both_loops
async def test_who_only_has_a_proxy_header_to_send_is_not_in_flight(world: World) -> None:
    await world.serve(silent, reads_proxy_header=True, trusted=(Everyone(),))
    client = await world.client()
    await client.send(b"PROXY TCP4")
    downstream = await world.downstream()
    await eventually(lambda: downstream.relay is not None)
    assert survey.in_flight(world.server) == ({}, ())


class Everyone:
    """A network that holds all addresses."""

    def __contains__(self, packed: bytes) -> bool:
        return True


@on_both_loops
async def test_levels_are_those_of_the_moment(world: World) -> None:
    async def floods(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"x" * (32 << 20)))

    await world.serve(floods, max_connections=7, send_bytes=4096)
    client = await world.client(receive_bytes=4096)
    await client.send(request())
    await eventually(lambda: survey.levels(world.server).clients_not_reading)
    levels = survey.levels(world.server)
    assert (levels.max_connections, levels.upstreams, levels.upstreams_idle) == (7, 1, 0)
    assert (levels.clients_not_reading, levels.app_not_reading) == (1, 0)
    assert 0 < levels.buffered_bytes < levels.buffer_max_bytes

"""The proxy over real sockets, on both loops: requests and responses, whole and broken."""

import asyncio
import socket
import tempfile

import pytest

from pyinit.drain.tracker import State
from pyinit.proxy.config import UpstreamAddress
from pyinit.proxy.exchange import Exchange
from pyinit.proxy.stats import Stats
from tests.support.fake_app import AppConnection, FakeApp, answering, echoing, response
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, chunks, request

_DATE = b"Date: Thu, 26 Nov 2026 12:00:00 GMT"
_PLAIN = response(b"12345", _DATE, b"ETag: 1", b"Keep-Alive: timeout=5")
_ASKED = request()

# -- connections are kept ------------------------------------------------------------------------------------


@on_both_loops
async def test_a_second_request_goes_over_both_connections_again(world: World) -> None:
    await world.serve(answering(response(b"one"), response(b"two")))
    client = await world.client()
    assert (await client.ask(b"/1")).body == b"one"
    assert (await client.ask(b"/2")).body == b"two"
    assert [len(connection.requests) for connection in world.app.connections] == [2]
    assert (world.server.stats.connections, world.server.stats.upstream_connects) == (1, 1)


@on_both_loops
async def test_a_head_known_by_the_last_one_is_as_good_as_any(world: World) -> None:
    await world.serve(echoing())
    client = await world.client()
    for number in range(5, 11):
        head = request(b"/%d" % number, b"T: %d" % number, b"Content-Length: %d" % number, method=b"PUT")
        body = b"x" * number
        await client.send((b"\r\n" if number == 9 else b"") + head + body[:3], body[3:])
        assert (await client.response()).body == body
        assert world.app.requests[-1].get(b"t") == b"%d" % number
    downstream = await world.downstream()
    assert repr(downstream._last_head) == "LastHead(known=True, changes=2, passing=0)"
    await client.send(request(b"/", b"T: 1", b"Content-Length: x", method=b"PUT"))
    assert (await client.response()).status == 400


@on_both_loops
async def test_an_idle_connection_forgets_its_last_head(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    for _ in range(4):
        await client.ask()
    downstream = await world.downstream()
    assert repr(downstream._last_head) == "LastHead(known=True, changes=0, passing=0)"
    world.advance(6)
    assert repr(downstream._last_head) == "LastHead(known=False, changes=0, passing=0)"
    assert (await client.ask()).body == b"x"


def _chunked(body: bytes) -> bytes:
    return response(b"", _DATE, b"Transfer-Encoding: chunked", length=False) + body


@pytest.mark.parametrize(
    ("asked", "answer", "is_at_once"),
    [
        pytest.param(_ASKED, _PLAIN, True, id="a length and a date"),
        pytest.param(_ASKED, response(b"", _DATE), True, id="no body"),
        pytest.param(_ASKED, response(b"", _DATE, status=b"304 Not Modified", length=False), True, id="304"),
        pytest.param(
            _ASKED,
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n%b\r\n\r\n" % _DATE,
            True,
            id="304 with the length of another's",
        ),
        pytest.param(_ASKED, response(b"", _DATE, status=b"204 No Content", length=False), True, id="204"),
        pytest.param(
            _ASKED, response(b"1", _DATE, b"Connection: keep-alive", version=b"1.0"), True, id="1.0, kept"
        ),
        pytest.param(request(method=b"DELETE"), _PLAIN, True, id="a method without a body"),
        pytest.param(request(method=b"POST", body=b"12"), _PLAIN, True, id="a request with a body"),
        pytest.param(request(b"/", b"Connection: close"), _PLAIN, True, id="the client closes"),
        pytest.param(_ASKED, response(b"1"), False, id="no date"),
        pytest.param(_ASKED, response(b"1", _DATE, version=b"1.0"), False, id="1.0, not kept"),
        pytest.param(_ASKED, response(b"1", _DATE, b"Connection: close"), False, id="the app closes"),
        pytest.param(_ASKED, _PLAIN + b"x", False, id="a byte too many"),
        pytest.param(_ASKED, _PLAIN + _PLAIN, False, id="two responses"),
        pytest.param(_ASKED, response(b"1" * 20_000, _DATE), True, id="a large one"),
        pytest.param(_ASKED, _chunked(b"2\r\n12\r\n0\r\n\r\n"), True, id="chunked"),
        pytest.param(_ASKED, _chunked(b"0\r\n\r\n"), True, id="chunked, empty"),
        pytest.param(_ASKED, _chunked(b"1\r\n1\r\n1\r\n2\r\n0\r\n\r\n"), True, id="chunked, in two"),
        pytest.param(_ASKED, _chunked(b"2;a\r\n12\r\n0\r\n\r\n"), False, id="chunked, with an extension"),
        pytest.param(
            _ASKED, _chunked(b"2\r\n12\r\n0\r\nX-A: b\r\n\r\n"), False, id="chunked, with a trailer"
        ),
        pytest.param(_ASKED, _chunked(b"2\r\n12\r\n0\r\n\r\nx"), False, id="chunked, a byte too many"),
        pytest.param(_ASKED, _chunked(b"2\r\n123\r\n0\r\n\r\n"), False, id="chunked, a chunk too long"),
        pytest.param(request(version=b"1.0"), _chunked(b"0\r\n\r\n"), False, id="chunked, to 1.0"),
        pytest.param(request(method=b"HEAD"), _chunked(b""), False, id="chunked, to HEAD"),
        pytest.param(request(version=b"1.0"), _PLAIN, False, id="a client of 1.0"),
        pytest.param(
            request(b"/", b"Connection: upgrade", b"Upgrade: echo"), _PLAIN, False, id="an upgrade declined"
        ),
        pytest.param(
            request(method=b"HEAD"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n%b\r\n\r\n" % _DATE,
            False,
            id="HEAD",
        ),
        pytest.param(request(method=b"HEAD"), response(b"", _DATE), False, id="HEAD of what is empty"),
    ],
)
@on_both_loops
async def test_a_response_that_comes_whole_is_what_it_is_in_pieces(
    world: World,
    asked: bytes,
    answer: bytes,
    is_at_once: bool,  # noqa: FBT001  a case
) -> None:
    """There is a shorter way for it, which must lead to the same: bytes, counts, and what becomes of both ends."""

    async def script(it: AppConnection) -> None:
        while True:
            await it.request()
            if len(world.app.requests) == 2:
                await it.send(answer[:1])
                await eventually(lambda: any(one.reader.has_begun for one in world.server.upstreams))
                await it.send(answer[1:])
            else:
                await it.send(answer)

    await world.serve(script)
    server, method = world.server, asked.partition(b" ")[0]
    whole: list[bool] = []
    is_all = Exchange._is_all

    def seen(exchange: Exchange, data: bytes) -> bool:
        taken = is_all(exchange, data)
        if data == answer:
            whole.append(taken)
        return taken

    async def outcome() -> list[object]:
        client = await world.client()
        await client.send(asked)
        got = await client.response(method=method)
        stats = server.stats
        counts = [sum(stats.durations), sum(stats.app_waits), stats.bytes_out, stats.responses]
        left = [server.connections.census()[State.IDLE], len(server.pool), len(server.upstreams)]
        for downstream in server.connections:
            downstream.cut()
        await eventually(lambda: not server.connections)
        server.stats = Stats()
        server.pool.close()
        server.pool.is_closed = False
        await eventually(lambda: not server.upstreams)
        # A Date of ours is the second's.
        lines = [line for line in got.lines if _DATE in answer or not line.startswith(b"Date:")]
        return [got.status, lines, got.body, got.is_cut, counts, left]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Exchange, "_is_all", seen)
        never_seen, in_pieces, known = [await outcome() for _ in range(3)]
        assert never_seen == in_pieces == known
    assert whole == [is_at_once] * 2


@on_both_loops
async def test_another_client_takes_the_pooled_connection(world: World) -> None:
    await world.serve(answering(response(b"x")))
    for _ in range(3):
        await (await world.client()).ask()
    assert len(world.app.connections) == 1


@on_both_loops
async def test_a_pooled_connection_is_not_used_in_its_last_second(world: World) -> None:
    await world.serve(answering(response(b"x", b"Keep-Alive: timeout=5")))
    client = await world.client()
    await client.ask()
    world.advance(3.9)
    await client.ask()
    assert len(world.app.connections) == 1
    world.advance(4)
    await client.ask()
    assert len(world.app.connections) == 2


@on_both_loops
async def test_an_app_that_says_close_is_not_asked_again(world: World) -> None:
    await world.serve(answering(response(b"x", b"Connection: close")))
    client = await world.client()
    first, second = await client.ask(), await client.ask()
    assert not first.closes
    assert not second.closes
    assert len(world.app.connections) == 2


@on_both_loops
async def test_a_client_that_says_close_gets_a_close(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    answer = await client.ask(b"/", b"Connection: close")
    assert answer.closes
    assert await client.end() == "fin"
    assert len(world.server.pool) == 1  # the app's connection is not the client's to close


@on_both_loops
async def test_bytes_from_an_idle_app_end_its_connection(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            await it.request()
            await it.send(response(b"x"))
            if it.number == 0:
                await said.wait()
                await it.send(response(b"nobody asked"))

    said = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.ask()
    said.set()
    await eventually(lambda: not world.server.upstreams)
    assert world.log.of("upstream.unexpected_bytes")
    assert (await client.ask()).body == b"x"
    assert len(world.app.connections) == 2


# -- replay --------------------------------------------------------------------------------------------------


async def dies_when_reused(it: AppConnection) -> None:
    """Answers the first request of each connection, and closes without a byte on the second of the first."""
    while True:
        await it.request()
        if it.number == 0 and len(it.requests) == 2:
            return
        await it.send(response(b"from %d" % it.number))


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
@on_both_loops
async def test_a_request_without_a_body_is_replayed_once(world: World, method: bytes) -> None:
    await world.serve(dies_when_reused)
    client = await world.client()
    await client.ask()
    answer = await client.ask(b"/again", method=method)
    assert answer.status == 200
    assert [it.target for it in world.app.requests] == [b"/", b"/again", b"/again"]
    assert world.server.stats.replays == 1


@pytest.mark.parametrize(
    ("method", "body"), [(b"POST", b""), (b"POST", b"x"), (b"PUT", b"x"), (b"PATCH", b"")]
)
@on_both_loops
async def test_what_is_not_safe_to_repeat_is_never_replayed(world: World, method: bytes, body: bytes) -> None:
    await world.serve(dies_when_reused)
    client = await world.client()
    await client.ask()
    answer = await client.ask(b"/again", method=method, body=body)
    assert answer.status == 502
    assert [it.target for it in world.app.requests] == [b"/", b"/again"]
    assert world.server.stats.replays == 0


@on_both_loops
async def test_a_replay_is_not_replayed(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        if it.number == 0:
            await it.send(response(b"x"))
            await it.request()

    await world.serve(script)
    client = await world.client()
    await client.ask()
    assert (await client.ask()).status == 502
    assert len(world.app.requests) == 3


@on_both_loops
async def test_a_fresh_connection_that_dies_is_not_replayed(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()

    await world.serve(script)
    assert (await (await world.client()).ask()).status == 502
    assert len(world.app.requests) == 1


@on_both_loops
async def test_one_byte_of_a_response_rules_a_replay_out(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"x"))
        await it.request()
        await it.send(b"H")

    await world.serve(script)
    client = await world.client()
    await client.ask()
    assert (await client.ask()).status == 502
    assert len(world.app.requests) == 2


@on_both_loops
async def test_a_reset_counts_as_a_death(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"x"))
        await it.request()
        if it.number == 0:
            it.reset()

    await world.serve(script)
    client = await world.client()
    await client.ask()
    asked = asyncio.ensure_future(client.ask())
    await eventually(lambda: len(world.app.connections) == 2)
    assert (await asked).body == b"x"


# -- bodies --------------------------------------------------------------------------------------------------


@on_both_loops
async def test_a_body_of_a_length_goes_both_ways_in_any_split(world: World) -> None:
    await world.serve(echoing())
    client = await world.client()
    whole = request(b"/", method=b"POST", body=b"0123456789" * 10)
    for step in (1, 7, len(whole)):
        await client.send(*(whole[at : at + step] for at in range(0, len(whole), step)))
        assert (await client.response()).body == b"0123456789" * 10


@on_both_loops
async def test_a_chunked_body_goes_both_ways_in_any_split(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            got = await it.request()
            body = chunks([got.body[:3], got.body[3:]], b"X-Sum: 1")
            whole = response(b"", b"Transfer-Encoding: chunked", b"Trailer: X-Sum", length=False) + body
            step = 1 if it.requests[1:] else len(whole)
            await it.send(*(whole[at : at + step] for at in range(0, len(whole), step)))

    await world.serve(script)
    client = await world.client()
    whole = request(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunks([b"hello ", b"world"])
    for step in (len(whole), 1, 5):
        await client.send(*(whole[at : at + step] for at in range(0, len(whole), step)))
        answer = await client.response()
        assert (answer.body, answer.trailers) == (b"hello world", [b"X-Sum: 1"])
    assert [it.body for it in world.app.requests] == [b"hello world"] * 3
    assert len(world.app.connections) == 1


@on_both_loops
async def test_a_large_body_goes_both_ways(world: World) -> None:
    await world.serve(echoing())
    client = await world.client()
    body = bytes(range(256)) * 8192
    asked = asyncio.ensure_future(client.send(request(method=b"POST", body=body)))
    answer = await client.response()
    await asked
    assert answer.body == body


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
    ids=["HEAD with a length", "HEAD chunked", "HEAD", "204", "304 with a length", "304"],
)
@on_both_loops
async def test_a_response_without_a_body_ends_with_its_head(
    world: World, method: bytes, answer: bytes
) -> None:
    await world.serve(answering(answer, answer, response(b"next")))
    client = await world.client()
    for _ in range(2):
        got = await client.ask(method=method)
        assert (got.body, got.is_cut, got.closes) == (b"", False, False)
    assert (await client.ask()).body == b"next"
    assert len(world.app.connections) == 1


@on_both_loops
async def test_a_close_delimited_body_ends_with_a_fin(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"to the ", length=False), b"end")

    await world.serve(script)
    client = await world.client()
    answer = await client.ask()
    assert (answer.body, answer.is_cut, answer.closes) == (b"to the end", False, True)
    assert client.ending == "fin"


@on_both_loops
async def test_a_close_delimited_body_that_the_app_resets_is_reset(world: World) -> None:
    """A FIN would be its proper end, and the client would take half a body for a whole one."""

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"half", length=False))
        await seen.wait()
        it.reset()

    seen = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request())
    await client.until(b"half")
    seen.set()
    assert await client.end() == "reset"


@pytest.mark.parametrize("ending", ["fin", "reset"])
@pytest.mark.parametrize(
    "begun",
    [
        response(b"", b"Content-Length: 10", length=False) + b"half",
        response(b"", b"Transfer-Encoding: chunked", length=False) + b"a\r\nhalf",
        response(b"", b"Transfer-Encoding: chunked", length=False) + b"4\r\nhalf\r\n",
    ],
    ids=["in its length", "in a chunk", "before the last chunk"],
)
@on_both_loops
async def test_a_body_cut_short_by_the_app_is_cut_for_the_client(
    world: World, begun: bytes, ending: str
) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(begun)
        await seen.wait()
        if ending == "reset":
            it.reset()

    seen = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request())
    got = await client.until(b"half")
    seen.set()
    rest = await client.rest()
    assert b"0\r\n\r\n" not in got + rest
    assert world.server.stats.upstream_failures == 1
    (failed,) = world.log.of("request.failed")
    assert (failed["status"], failed["failed"]) == (200, "upstream")


@on_both_loops
async def test_bytes_after_the_end_go_to_nobody(world: World) -> None:
    """Response splitting: what follows a whole response must not become somebody's next one."""

    async def script(it: AppConnection) -> None:
        while True:
            await it.request()
            poison = response(b"poison") if it.number == 0 else b""
            await it.send(response(b"mine") + poison)

    await world.serve(script)
    client = await world.client()
    assert (await client.ask()).body == b"mine"
    assert (await client.ask()).body == b"mine"
    assert world.log.of("upstream.extra_bytes")
    assert len(world.app.connections) == 2


@on_both_loops
async def test_bytes_after_a_response_without_a_body_go_to_nobody(world: World) -> None:
    await world.serve(answering(b"HTTP/1.1 204 No Content\r\n\r\nbody", response(b"next")))
    client = await world.client()
    assert (await client.ask()).status == 204
    assert (await client.ask()).status == 204
    assert len(world.app.connections) == 2


@on_both_loops
async def test_a_final_response_may_come_before_the_body_is_whole(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            await it.head()
            await it.send(response(b"enough", status=b"200 OK"))
            await it.exactly(10)

    await world.serve(script)
    client = await world.client()
    head = request(b"/", b"Content-Length: 10", method=b"POST")
    await client.send(head, b"12345")
    assert (await client.response()).body == b"enough"
    await client.send(b"67890", head, b"1234567890")
    assert (await client.response()).body == b"enough"
    assert len(world.app.connections) == 1


@on_both_loops
async def test_an_early_response_that_closes_ends_the_upload(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(response(b"no", b"Connection: close", status=b"413 Content Too Large"))

    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/", b"Content-Length: 1000000", method=b"POST"), b"begin")
    answer = await client.response()
    assert (answer.status, answer.body, answer.closes) == (413, b"no", True)
    # What the client still sends is read and dropped: a reset could destroy the answer on its way to it.
    await client.send(b"x" * 100_000)
    client.half_close()
    assert await client.end() == "fin"


@on_both_loops
async def test_an_app_that_answers_before_it_has_read_all_keeps_no_client_waiting(world: World) -> None:
    """The rest of that body waits in our buffer; the client's next request must not wait behind it."""

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"first"))
        if it.number == 0:
            await it.head()
            await it.send(response(b"early"))
            await done.wait()  # it never reads that body
        await it.request()
        await it.send(response(b"next"))

    done = asyncio.Event()
    await world.serve(script, receive_bytes=4096)
    client = await world.client()
    await client.ask()
    (upstream,) = world.server.upstreams
    upstream.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    assert (await client.ask(method=b"POST", body=bytes(60_000))).body == b"early"
    assert (await client.ask()).body == b"first"
    assert len(world.app.connections) == 2
    done.set()


# -- interim responses and upgrades --------------------------------------------------------------------------


@on_both_loops
async def test_interim_responses_are_passed_on(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await it.exactly(4)
        await it.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"done"))

    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/", b"Expect: 100-continue", b"Content-Length: 4", method=b"POST"))
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"body")
    answer = await client.response()
    assert (answer.interim, answer.body) == ([103], b"done")


@on_both_loops
async def test_interim_responses_are_not_for_http_1_0(world: World) -> None:
    await world.serve(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(b"done")))
    client = await world.client()
    await client.send(request(version=b"1.0"))
    answer = await client.response()
    assert (answer.interim, answer.body) == ([], b"done")


@on_both_loops
async def test_a_flood_of_interim_responses_is_refused(world: World) -> None:
    await world.serve(answering(b"HTTP/1.1 102 Processing\r\n\r\n" * 101 + response(b"done")))
    answer = await (await world.client()).ask()
    assert answer.status == 502
    assert len(answer.interim) == 100


@on_both_loops
async def test_a_101_that_nobody_asked_for_is_refused(world: World) -> None:
    await world.serve(
        answering(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
    )
    assert (await (await world.client()).ask()).status == 502


@on_both_loops
async def test_a_101_for_another_protocol_than_was_offered_is_refused(world: World) -> None:
    await world.serve(
        answering(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: y\r\n\r\n")
    )
    client = await world.client()
    assert (await client.ask(b"/", b"Connection: Upgrade", b"Upgrade: x")).status == 502


@on_both_loops
async def test_h2c_is_not_offered_to_the_app(world: World) -> None:
    await world.serve(answering(response(b"plain")))
    client = await world.client()
    answer = await client.ask(
        b"/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"
    )
    assert answer.body == b"plain"
    assert world.app.requests[0].get(b"upgrade") is None


# -- pipelining ----------------------------------------------------------------------------------------------


@on_both_loops
async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            got = await it.request()
            await it.send(response(got.target + got.body))

    await world.serve(script)
    client = await world.client()
    parts = [
        request(b"/1"),
        request(b"/2", method=b"POST", body=b"-body"),
        request(b"/3", b"Transfer-Encoding: chunked", method=b"POST") + chunks([b"-chunks"]),
        request(b"/4"),
    ]
    await client.send(b"".join(parts))
    assert [(await client.response()).body for _ in parts] == [b"/1", b"/2-body", b"/3-chunks", b"/4"]
    assert [it.target for it in world.app.requests] == [b"/1", b"/2", b"/3", b"/4"]


@on_both_loops
async def test_many_pipelined_requests_are_no_recursion(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    sending = asyncio.ensure_future(client.send(request(b"/", b"Max-Forwards: 0", method=b"OPTIONS") * 2000))
    for _ in range(2000):
        assert (await client.response()).status == 200
    await sending
    assert world.app.requests == []


@on_both_loops
async def test_a_fault_in_a_pipelined_request_leaves_the_answers_before_it(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.send(request() + b"GET / HTTP/1.1\r\n\r\n")
    assert (await client.response()).body == b"x"
    refused = await client.response()
    assert (refused.status, refused.closes) == (400, True)
    assert b"Host" in refused.body
    assert await client.end() == "fin"


# -- HTTP/1.0 ------------------------------------------------------------------------------------------------


@on_both_loops
async def test_http_1_0_is_closed_after_its_response(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.send(request(version=b"1.0"))
    answer = await client.response()
    assert (answer.body, answer.closes) == (b"x", True)
    assert await client.end() == "fin"


@on_both_loops
async def test_http_1_0_may_ask_to_be_kept(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    for _ in range(2):
        await client.send(request(b"/", b"Connection: keep-alive", version=b"1.0"))
        answer = await client.response()
        assert answer.get(b"connection") == b"keep-alive"
    assert client.is_silent()


@on_both_loops
async def test_http_1_0_gets_no_chunks(world: World) -> None:
    whole = response(b"", b"Transfer-Encoding: chunked", length=False) + chunks([b"one ", b"two"], b"X-T: 1")

    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(*(whole[at : at + 1] for at in range(len(whole))))
        await it.request()

    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/", b"Connection: keep-alive", version=b"1.0"))
    answer = await client.response()
    assert (answer.body, answer.is_cut, answer.closes) == (b"one two", False, True)
    assert answer.get(b"transfer-encoding") is None
    assert client.ending == "fin"


@on_both_loops
async def test_a_cut_is_a_reset_for_http_1_0(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(response(b"", b"Transfer-Encoding: chunked", length=False) + b"4\r\nhalf\r\n")
        await seen.wait()

    seen = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request(version=b"1.0"))
    await client.until(b"half")
    seen.set()
    assert await client.end() == "reset"


# -- clients that leave --------------------------------------------------------------------------------------


@on_both_loops
async def test_a_client_that_half_closes_is_still_answered(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await ended.wait()
        await it.send(response(b"late"))

    ended = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request())
    client.half_close()
    downstream = await world.downstream()
    await eventually(lambda: downstream.has_ended)
    ended.set()
    assert (await client.response()).body == b"late"
    assert await client.end() == "fin"
    await eventually(lambda: not world.server.connections)


@on_both_loops
async def test_a_client_that_half_closes_behind_pipelined_requests_gets_all_answers(world: World) -> None:
    await world.serve(echoing())
    client = await world.client()
    await client.send(request() + request(method=b"POST", body=b"x") + request(method=b"POST", body=b"y"))
    client.half_close()
    assert [(await client.response()).body for _ in range(3)] == [b"", b"x", b"y"]
    assert await client.end() == "fin"


@on_both_loops
async def test_a_client_that_ends_in_the_middle_of_a_request_gets_nothing(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.send(b"GET / HT")
    client.half_close()
    assert await client.rest() == b""
    await eventually(lambda: not world.server.connections)
    assert world.app.connections == []


@on_both_loops
async def test_a_client_that_ends_in_the_middle_of_a_body_aborts_the_request(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.exactly(5)
        endings.append(await it.end())

    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/", b"Content-Length: 10", method=b"POST"), b"12345")
    await eventually(lambda: world.app.connections)
    client.half_close()
    await eventually(lambda: endings)
    assert not world.server.upstreams


@on_both_loops
async def test_a_client_that_resets_aborts_the_request(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.request()
        got.set()
        endings.append(await it.end())

    got = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request())
    await got.wait()
    client.reset()
    await eventually(lambda: endings)
    await eventually(lambda: not world.server.connections and not world.server.upstreams)


@on_both_loops
async def test_a_client_that_has_left_before_it_is_accepted_is_trusted_with_nothing(world: World) -> None:
    """Its address cannot be asked for any more; it must not pass for a unix socket's peer, who is trusted."""
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.ask()  # a connection to the app is at hand
    gone = RawClient(socket.create_connection(("127.0.0.1", world.port)))
    gone.sock.send(request(b"/", b"X-Forwarded-For: 6.6.6.6"))
    gone.reset()  # all of it before the loop has had a turn to accept
    await (await world.client()).ask()
    assert [it.get(b"x-forwarded-for") for it in world.app.requests] == [b"127.0.0.1"] * 2


@on_both_loops
async def test_a_connection_accepted_in_the_turn_of_our_end_is_ended_too(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = world.kept(RawClient(socket.create_connection(("127.0.0.1", world.port))))
    assert world.server.listeners[0]._accept_one()
    world.server.abort()
    assert await client.end() in ("fin", "reset")


# -- requests that break the rules ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (request(b"/", b"Content-Length: 1", b"Transfer-Encoding: chunked", method=b"POST"), 400),
        (request(b"/", b"Content-Length: 1", b"Content-Length: 1", method=b"POST"), 400),
        (request(b"/", b"X : y"), 400),
        (request(b"/", b"X: y\r\n folded"), 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (request(b"/", b"Transfer-Encoding: gzip, chunked", method=b"POST"), 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (request(b"/", b"X: " + b"y" * 20_000), 431),
        (request(b"/" + b"y" * 20_000), 414),
    ],
)
@on_both_loops
async def test_a_fault_in_a_head_never_reaches_the_app(world: World, head: bytes, status: int) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.send(head)
    answer = await client.response()
    assert (answer.status, answer.closes) == (status, True)
    assert await client.end() == "fin"
    assert world.app.connections == []
    assert world.log.of("request.refused")[0]["status"] == status


@on_both_loops
async def test_refusals_are_logged_once_for_each_rule_and_then_counted(world: World) -> None:
    """Anybody can bring about any number of them; what they look like is there at debug."""

    async def refuse(line: bytes) -> None:
        client = await world.client()
        await client.send(request(b"/", line))
        await client.response()

    await world.serve(answering(response(b"x")))
    for line in (b"X : y", b"X : z", b"Host: b", b"X : y"):
        await refuse(line)
    world.advance(11)
    await refuse(b"X : y")
    said = [(level, fields) for level, event, fields in world.log.events if event == "request.refused"]
    assert [level for level, _ in said] == ["info", "debug", "info", "debug", "info"]
    assert [fields.get("unsaid") for _, fields in said] == [0, None, 0, None, 2]
    assert all(str(fields["peer"]).startswith("127.0.0.1:") for _, fields in said)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((b"X : y",), id="in the head"),
        pytest.param((b"Transfer-Encoding: chunked",), id="in the body"),
    ],
)
@on_both_loops
async def test_a_refusal_of_head_has_no_content(world: World, lines: tuple[bytes, ...]) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.send(request(b"/", *lines, method=b"HEAD") + b"x\r\n")
    assert (await client.response(method=b"HEAD")).status == 400
    assert await client.rest() == b""


@on_both_loops
async def test_a_fault_in_a_body_aborts_the_request_before_it_is_whole(world: World) -> None:
    endings: list[tuple[bytes, str | None]] = []

    async def script(it: AppConnection) -> None:
        await it.head()
        got.set()
        endings.append((await it.rest(), it.ending))

    got = asyncio.Event()
    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/", b"Transfer-Encoding: chunked", method=b"POST"), b"3\r\nabc\r\n")
    await got.wait()
    await client.send(b"x\r\n0\r\n\r\n")
    answer = await client.response()
    assert (answer.status, answer.closes) == (400, True)
    await eventually(lambda: endings)
    assert b"0\r\n\r\n" not in endings[0][0]
    assert endings[0][1] == "reset"


@on_both_loops
async def test_a_fault_in_a_body_after_the_response_has_begun_is_a_cut(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(response(b"", b"Content-Length: 10", length=False) + b"half")
        await it.rest()

    await world.serve(script)
    client = await world.client()
    await client.send(request(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
    await client.until(b"half")
    await client.send(b"x\r\n")
    assert await client.end() == "reset"


@on_both_loops
async def test_a_body_above_the_limit_is_refused(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.rest()

    await world.serve(script, body_max_bytes=5)
    client = await world.client()
    assert (await client.ask(method=b"POST", body=b"123456")).status == 413
    assert world.app.connections == []
    client = await world.client()
    await client.send(request(b"/", b"Transfer-Encoding: chunked", method=b"POST"), chunks([b"123", b"456"]))
    assert (await client.response()).status == 413


@on_both_loops
async def test_tls_on_an_http_listener_is_named_in_the_log(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert (await client.response()).status == 400
    assert "tcp:" in str(world.log.of("request.not_http"))


@on_both_loops
async def test_an_empty_line_after_a_request_is_not_a_request(world: World) -> None:
    """RFC 9112 section 2.2. Browsers of old sent one after a POST: the connection is as idle as before."""
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.ask()
    await client.send(b"\r\n")
    downstream = await world.downstream()
    await eventually(lambda: bytes(world.server.read_buffer[:2]) == b"\r\n")
    world.advance(16)
    assert downstream.state.value == "idle"
    assert (await client.ask()).body == b"x"


# -- an app that cannot be reached ---------------------------------------------------------------------------


def _dead_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@on_both_loops
async def test_an_app_that_refuses_is_a_502(world: World) -> None:
    await world.serve(upstream=UpstreamAddress(hosts=("127.0.0.1",), port=_dead_port()))
    client = await world.client()
    answer = await client.ask()
    assert (answer.status, answer.closes) == (502, True)
    assert b"Connection refused" in answer.body
    assert world.server.stats.upstream_failures == 1


@on_both_loops
async def test_a_host_name_without_an_address_is_a_502_with_its_reason(world: World) -> None:
    await world.serve(upstream=UpstreamAddress(hosts=("no-such-host.invalid",), port=80))
    answer = await (await world.client()).ask()
    assert answer.status == 502
    assert b"Success" not in answer.body
    assert b"Unknown error" not in answer.body


@on_both_loops
async def test_the_second_host_is_tried(world: World) -> None:
    app = FakeApp(answering(response(b"six")))
    try:
        await world.serve(upstream=UpstreamAddress(hosts=("127.0.0.2", "127.0.0.1"), port=app.port))
        assert (await (await world.client()).ask()).body == b"six"
    finally:
        await app.stop()


@on_both_loops
async def test_a_connect_that_takes_too_long_is_a_504(world: World) -> None:
    with socket.socket() as full:
        # A backlog of 0 that is full drops SYNs, as a host that is not there does.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            await world.serve(
                upstream=UpstreamAddress(hosts=("127.0.0.1",), port=port), connect_timeout_s=0.05
            )
            answer = await (await world.client()).ask()
    assert answer.status == 504
    assert b"--connect-timeout" in answer.body


@on_both_loops
async def test_an_app_that_closes_at_once_is_a_502(world: World) -> None:
    """Node's server.maxConnections does that: before our connect has been told of, the end is there."""

    async def script(it: AppConnection) -> None:
        if it.number % 2:
            it.reset()

    await world.serve(script)
    for _ in range(6):
        assert (await (await world.client()).ask()).status == 502


@on_both_loops
async def test_a_response_that_breaks_http_is_a_502(world: World) -> None:
    await world.serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"))
    answer = await (await world.client()).ask()
    assert answer.status == 502
    assert world.log.of("request.failed")


@on_both_loops
async def test_a_response_head_above_64_kib_is_a_502(world: World) -> None:
    await world.serve(answering(response(b"x", b"X: " + b"y" * 70_000)))
    assert (await (await world.client()).ask()).status == 502


@on_both_loops
async def test_over_a_unix_socket_to_the_app(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/app")
        listening.listen()
        listening.settimeout(0)
        await world.serve(upstream=UpstreamAddress(path=f"{folder}/app"))
        client = await world.client()
        asked = asyncio.ensure_future(client.ask())
        sock, _ = await asyncio.get_running_loop().sock_accept(listening)
        app = AppConnection(sock, 0)
        await app.request()
        await app.send(response(b"unix"))
        assert (await asked).body == b"unix"
        app.close()
        await eventually(lambda: not world.server.upstreams)


# -- tunnels -------------------------------------------------------------------------------------------------

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
OFFER = request(b"/ws?token=secret", b"Connection: Upgrade", b"Upgrade: echo")


async def echo_tunnel(it: AppConnection) -> None:
    """Accepts the upgrade, then sends back what comes until the client's FIN, and a last word after it."""
    await it.head()
    await it.send(SWITCH + b"hello ")
    while data := await it.some():
        await it.send(data)
    await it.send(b"bye")


@on_both_loops
async def test_an_upgrade_becomes_a_tunnel_with_half_close(world: World) -> None:
    await world.serve(echo_tunnel)
    client = await world.client()
    await client.send(OFFER + b"early ")
    assert (await client.response()).status == 101
    await client.until(b"early ")
    await client.send(b"one ", b"two ")
    await client.until(b"two ")
    client.half_close()
    assert await client.rest() == b"bye"
    assert client.ending == "fin"
    await eventually(lambda: not world.server.connections and not world.server.upstreams)


@on_both_loops
async def test_a_connection_whose_upgrade_was_declined_carries_no_other_request(world: World) -> None:
    """Node reads no HTTP from it any more: the next one's bytes, another client's, would reach its upgrade handler."""
    await world.serve(answering(response(b"no", status=b"401 Unauthorized")))
    client = await world.client()
    await client.send(OFFER)
    assert (await client.response()).status == 401
    assert len(world.server.pool) == 0
    await client.send(request())  # the client's own goes on
    assert (await client.response()).status == 401
    assert [len(connection.requests) for connection in world.app.connections] == [1, 1]


@on_both_loops
async def test_a_tunnel_that_the_app_resets_is_reset(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(SWITCH)
        await it.exactly(1)
        it.reset()

    await world.serve(script)
    client = await world.client()
    await client.send(OFFER)
    assert (await client.response()).status == 101
    await client.send(b"x")
    assert await client.end() == "reset"


@on_both_loops
async def test_a_tunnel_that_the_client_resets_is_reset_for_the_app(world: World) -> None:
    endings: list[str] = []

    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(SWITCH)
        endings.append(await it.end())

    await world.serve(script)
    client = await world.client()
    await client.send(OFFER)
    await client.response()
    client.reset()
    await eventually(lambda: endings)
    assert endings == ["reset"]


async def echo(it: AppConnection) -> None:
    """Sends back what comes until the client's FIN, and a last word after it."""
    while data := await it.some():
        await it.send(data)
    await it.send(b"bye")


@on_both_loops
async def test_a_tcp_listener_relays_bytes_with_half_close(world: World) -> None:
    await world.serve(echo, raw=True)
    client = await world.client()
    await client.send(b"\x00\x01", b"any bytes")
    await client.until(b"any bytes")
    client.half_close()
    assert await client.rest() == b"bye"
    await eventually(lambda: not world.server.connections and not world.server.upstreams)


@on_both_loops
async def test_a_tcp_listeners_app_may_speak_first_and_end_first(world: World) -> None:
    """SMTP, SSH and MySQL greet: their bytes can be here before our own connect has been told of."""

    async def script(it: AppConnection) -> None:
        await it.send(b"220 hello")
        it.half_close()
        await it.rest()

    await world.serve(script, raw=True)
    for _ in range(5):
        client = await world.client()
        assert await client.rest() == b"220 hello"
        assert client.ending == "fin"
        await client.send(b"still heard")
        client.half_close()
    await eventually(lambda: not world.server.connections)


@on_both_loops
async def test_a_tcp_client_that_sends_and_leaves_at_once_is_heard(world: World) -> None:
    got: list[bytes] = []

    async def script(it: AppConnection) -> None:
        got.append(await it.rest())

    await world.serve(script, raw=True)
    client = await world.client()
    await client.send(b"all I have")
    client.half_close()
    await eventually(lambda: got)
    assert got == [b"all I have"]
    assert await client.end() == "fin"


@on_both_loops
async def test_a_tcp_listener_without_an_app_resets(world: World) -> None:
    """Without HTTP there is no 502, and a FIN would look like an empty success."""
    await world.serve(upstream=UpstreamAddress(hosts=("127.0.0.1",), port=_dead_port()), raw=True)
    client = await world.client()
    assert await client.end() == "reset"
    assert world.log.of("upstream.connect_failed")

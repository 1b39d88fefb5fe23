"""The access log: one line for each request, however it ends, with whose failure it was."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from pyinit.errors import DrainAborted
from pyinit.http1.forward import Forwarder
from pyinit.proxy.config import UpstreamAddress
from pyinit.values import Network
from tests.support.fake_app import AppConnection, answering, response
from tests.support.http_client import free_port
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, chunks, request

STOPPING = DrainAborted("this server is stopping", 503)
TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
UPGRADE = request(b"/up?a=1", b"Connection: Upgrade", b"Upgrade: lines")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n"
LOOPBACK = (Network("127.0.0.0/8"),)


async def line_of(world: World) -> dict[str, Any]:
    """The one line there is, once it is there."""
    await eventually(lambda: world.log.of("request.finished"))
    (line,) = world.log.of("request.finished")
    return line


async def never(it: AppConnection) -> None:
    """Takes requests and answers none."""
    while True:
        await it.request()


async def begins(it: AppConnection) -> None:
    """Half of an answer, and nothing more."""
    await it.request()
    await it.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.Event().wait()


@on_both_loops
async def test_what_is_said_of_a_request(world: World) -> None:
    await world.serve(answering(response(b"answer", status=b"201 Created")), access_log=True)
    client = await world.client()
    await client.ask(b"/a?token=secret", method=b"POST", body=b"12345")
    line = await line_of(world)
    peer = "{}:{}".format(*client.sock.getsockname())
    assert 0 <= line.pop("upstream_s") <= line.pop("duration_s") < 10
    assert line == {
        "method": "POST",
        "target": "/a",
        "status": 201,
        "bytes_in": 5,
        "bytes_out": 6,
        "peer": peer,
        "client": "127.0.0.1",
    }


@on_both_loops
async def test_without_it_there_is_no_line(world: World) -> None:
    await world.serve(answering(response(b"x")))
    client = await world.client()
    await client.ask()
    await client.ask(b"/", b"Host: twice")
    assert not world.log.of("request.finished")


@on_both_loops
async def test_the_query_where_asked_for(world: World) -> None:
    await world.serve(answering(response(b"x")), access_log=True, logs_query=True)
    await (await world.client()).ask(b"/a?b=c")
    assert (await line_of(world))["target"] == "/a?b=c"


@on_both_loops
async def test_a_target_is_bounded(world: World) -> None:
    await world.serve(answering(response(b"x")), access_log=True)
    await (await world.client()).ask(b"/" + b"a" * 9000)
    target = (await line_of(world))["target"]
    assert target == "/" + "a" * 1999 + "..."


@on_both_loops
async def test_ids_pass_unchanged_and_are_on_the_line(world: World) -> None:
    await world.serve(answering(response(b"x")), access_log=True, adds_request_id=True)
    ids = (
        b"TraceParent: 00-" + TRACE + b"-00f067aa0ba902b7-01",
        b"tracestate: a=1,b=2",
        b"X-Amzn-Trace-Id: Root=1-67891233-abcdef;Parent=53995c3f;Sampled=1",
        b"X-Request-Id: \xe4 mine",
    )
    await (await world.client()).ask(b"/", *ids)
    (seen,) = world.app.requests
    assert [it for it in seen.lines if it in ids] == list(ids)
    line = await line_of(world)
    assert (line["trace_id"], line["amzn_trace_id"]) == (TRACE.decode(), "1-67891233-abcdef")
    assert line["request_id"] == "\xe4 mine"


@on_both_loops
async def test_a_request_id_of_ours_is_the_one_the_app_gets(world: World) -> None:
    await world.serve(answering(response(b"x")), access_log=True, adds_request_id=True)
    answer = await (await world.client()).ask()
    line = await line_of(world)
    (seen,) = world.app.requests
    assert (seen.get(b"x-request-id") or b"").decode() == line["request_id"]
    assert uuid.UUID(line["request_id"]).version == 4
    assert answer.get(b"x-request-id") is None, "it is for the app; the answer's fields are the app's"


@on_both_loops
async def test_a_request_id_that_found_no_room_is_not_claimed(world: World) -> None:
    limit = 400
    await world.serve(
        answering(response(b"x")), access_log=True, adds_request_id=True, app_head_max_bytes=limit
    )
    await (await world.client()).ask(b"/" + b"a" * 300)
    (seen,) = world.app.requests
    assert seen.get(b"x-request-id") is None
    assert "request_id" not in await line_of(world)


@pytest.mark.parametrize(
    ("is_trusted", "told", "client"),
    [
        (True, b"198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (True, b"", "127.0.0.1"),
        (True, b"x" * 500, "x" * 64),
        (False, b"203.0.113.7", "127.0.0.1"),
    ],
)
@on_both_loops
async def test_the_client_is_whom_a_trusted_hop_tells(
    world: World,
    is_trusted: bool,  # noqa: FBT001  a row
    told: bytes,
    client: str,
) -> None:
    trusted = LOOPBACK if is_trusted else ()
    await world.serve(answering(response(b"x")), access_log=True, trusted=trusted)
    await (await world.client()).ask(b"/", b"X-Forwarded-For: " + told)
    assert (await line_of(world))["client"] == client


def test_a_unix_socket_has_no_address() -> None:
    forwarder = Forwarder(
        "auto", b"", peer_ip=b"", is_trusted=True, local_host=b"a", local_port=b"", head_max_bytes=1000
    )
    assert forwarder.client(None) == ""


# -- answered by us ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status", "method", "target"),
    [
        (request(b"/a?b=c", b"Host: twice"), 400, "GET", "/a"),
        (request(b"/a", method=b"CONNECT"), 501, "CONNECT", "/a"),
        (b"GET /\x1b[2J\x7f\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "GET", "/\x1b[2J\x7f\xff"),
        (b"nonsense\r\n\r\n", 400, "nonsense", ""),
        (b"GET /" + b"a" * 20_000, 414, "", ""),
        (request(b"/a", b"Transfer-Encoding: chunked") + b"zz\r\n", 400, "GET", "/a"),
        (request(b"/a", b"Content-Length: 9"), 413, "GET", "/a"),
    ],
    ids=["host", "connect", "control bytes", "nonsense", "too long", "chunk", "too large"],
)
@on_both_loops
async def test_a_refused_request(world: World, sent: bytes, status: int, method: str, target: str) -> None:
    await world.serve(never, access_log=True, body_max_bytes=5)
    client = await world.client()
    await client.send(sent)
    answer = await client.response()
    line = await line_of(world)
    assert (line["status"], line["method"], line["target"]) == (status, method, target)
    assert (line["failed"], line["upstream_s"]) == ("request", None)
    assert line["reason"].encode() in answer.body
    assert line["bytes_out"] == len(answer.body)
    assert 0 <= line["duration_s"] < 10


@on_both_loops
async def test_a_body_that_breaks_the_rules_later(world: World) -> None:
    await world.serve(never, access_log=True)
    client = await world.client()
    await client.send(request(b"/a", b"Transfer-Encoding: chunked"))
    await eventually(lambda: world.server.upstreams)
    await client.send(b"zz\r\n")
    assert (await client.response()).status == 400
    line = await line_of(world)
    assert (line["status"], line["failed"]) == (400, "request")


@on_both_loops
async def test_a_head_that_takes_too_long(world: World) -> None:
    await world.serve(never, access_log=True)
    client = await world.client()
    await client.send(b"GET / HT")
    downstream = await world.downstream()
    await eventually(lambda: downstream.state.value == "active")
    world.advance(16)
    assert (await client.response()).status == 408
    line = await line_of(world)
    assert (line["status"], line["method"], line["failed"]) == (408, "", "request")
    assert 16 <= line["duration_s"] < 26


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
@on_both_loops
async def test_the_last_recipient_is_us(world: World, method: bytes) -> None:
    await world.serve(never, access_log=True)
    answer = await (await world.client()).ask(b"/a", b"Max-Forwards: 0", method=method)
    line = await line_of(world)
    assert (line["status"], line["bytes_out"]) == (200, len(answer.body))
    assert "failed" not in line


@on_both_loops
async def test_an_app_that_cannot_be_reached(world: World) -> None:
    await world.serve(upstream=UpstreamAddress(hosts=("127.0.0.1",), port=free_port()), access_log=True)
    answer = await (await world.client()).ask()
    line = await line_of(world)
    assert (line["status"], line["failed"], line["upstream_s"]) == (502, "upstream", None)
    assert line["bytes_out"] == len(answer.body)
    assert len(world.log.of("request.failed")) == 1, "the warning, which needs no access log"


# -- cut short -----------------------------------------------------------------------------------------------


@on_both_loops
async def test_an_app_that_breaks_off(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    await world.serve(script, access_log=True)
    assert (await (await world.client()).ask()).is_cut
    line = await line_of(world)
    assert (line["status"], line["failed"], line["bytes_out"]) == (200, "upstream", 4)
    assert line["upstream_s"] is not None


@on_both_loops
async def test_a_client_that_leaves_before_its_answer(world: World) -> None:
    await world.serve(never, access_log=True)
    client = await world.client()
    await client.send(request())
    await eventually(lambda: world.app.requests)
    client.reset()
    line = await line_of(world)
    assert (line["status"], line["failed"], line["upstream_s"]) == (499, "client", None)


@on_both_loops
async def test_a_client_that_leaves_within_its_answer(world: World) -> None:
    await world.serve(begins, access_log=True)
    client = await world.client()
    await client.send(request())
    await client.until(b"half")
    client.reset()
    line = await line_of(world)
    assert (line["status"], line["failed"], line["bytes_out"]) == (200, "client", 4)


@pytest.mark.parametrize(("script", "status"), [(never, 503), (begins, 200)])
@on_both_loops
async def test_what_the_drain_cuts(world: World, script: Any, status: int) -> None:
    await world.serve(script, access_log=True)
    client = await world.client()
    await client.send(request())
    await eventually(lambda: world.app.requests)
    if status == 200:
        await client.until(b"half")
    world.server.cut(STOPPING)
    line = await line_of(world)
    assert (line["status"], line["failed"], line["reason"]) == (status, "stop", str(STOPPING))


@on_both_loops
async def test_a_fault_of_ours(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(block: bytes) -> None:
        raise RuntimeError(block)

    await world.serve(answering(response(b"x")), access_log=True)
    monkeypatch.setattr(type(world.server.responses), "parse", lambda _, block: broken(block))
    world.faults = 1
    client = await world.client()
    await client.send(request())
    await client.end()
    line = await line_of(world)
    assert (line["status"], line["failed"]) == (None, "pyinit")


@on_both_loops
async def test_pipelined_requests_have_a_line_each(world: World) -> None:
    await world.serve(answering(response(b"x")), access_log=True)
    client = await world.client()
    await client.send(b"".join(request(b"/%d" % number) for number in range(10)))
    for _ in range(10):
        await client.response()
    targets = [line["target"] for line in world.log.of("request.finished")]
    assert targets == [f"/{number}" for number in range(10)]


@on_both_loops
async def test_a_chunked_body_counts_with_its_framing(world: World) -> None:
    await world.serve(answering(response(b"x")), access_log=True)
    body = chunks([b"abc", b"d"])
    client = await world.client()
    await client.send(request(b"/", b"Transfer-Encoding: chunked", method=b"POST") + body)
    await client.response()
    assert (await line_of(world))["bytes_in"] == len(body)


# -- tunnels -------------------------------------------------------------------------------------------------


async def switches(it: AppConnection) -> None:
    """Accepts an upgrade, and echoes until the client's end, or a word that kills it."""
    await it.head()
    await it.send(SWITCH)
    while data := await it.some():
        if data == b"die":
            it.reset()
            return
        await it.send(data)
    if it.ending == "fin":
        it.half_close()


async def tunnel(world: World, **config: Any) -> RawClient:
    """Through an upgrade, and four bytes each way."""
    await world.serve(switches, access_log=True, **config)
    client = await world.client()
    await client.send(UPGRADE)
    await client.until(b"\r\n\r\n")
    await client.send(b"ping")
    assert await client.exactly(4) == b"ping"
    return client


@on_both_loops
async def test_a_tunnel_has_its_line_at_its_end(world: World) -> None:
    client = await tunnel(world)
    assert not world.log.of("request.finished")
    client.half_close()
    assert await client.end() == "fin"
    line = await line_of(world)
    assert (line["status"], line["target"], line["bytes_in"], line["bytes_out"]) == (101, "/up", 4, 4)
    assert "failed" not in line
    assert line["upstream_s"] <= line["duration_s"]


@on_both_loops
async def test_a_tunnel_whose_client_is_lost(world: World) -> None:
    (await tunnel(world)).reset()
    assert (await line_of(world))["failed"] == "client"


@on_both_loops
async def test_a_tunnel_whose_app_is_lost(world: World) -> None:
    client = await tunnel(world)
    await client.send(b"die")
    assert await client.end() == "reset"
    assert (await line_of(world))["failed"] == "upstream"


@on_both_loops
async def test_a_tunnel_that_the_drain_cuts(world: World) -> None:
    client = await tunnel(world)
    world.server.cut(STOPPING)
    assert await client.end() == "reset"
    line = await line_of(world)
    assert (line["status"], line["failed"], line["reason"]) == (101, "stop", str(STOPPING))


@on_both_loops
async def test_a_tcp_connection_has_no_request_but_an_end(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while data := await it.some():
            await it.send(data)
        it.half_close()

    await world.serve(script, raw=True, access_log=True)
    client = await world.client()
    await client.send(b"ping")
    assert await client.exactly(4) == b"ping"
    client.half_close()
    assert await client.end() == "fin"
    await eventually(lambda: world.log.of("tunnel.closed"))
    (line,) = world.log.of("tunnel.closed")
    assert (line["bytes_in"], line["bytes_out"]) == (4, 4)
    assert str(line["peer"]).startswith("127.0.0.1:")
    assert not world.log.of("request.finished")


@on_both_loops
async def test_a_tcp_connection_whose_app_is_not_there(world: World) -> None:
    upstream = UpstreamAddress(hosts=("127.0.0.1",), port=free_port())
    await world.serve(raw=True, upstream=upstream, access_log=True)
    client = await world.client()
    await client.send(b"ping")
    assert await client.end() == "reset"
    (line,) = world.log.of("tunnel.closed")
    assert line["failed"] == "upstream"

"""--proxy-protocol over real sockets, on both loops: who the client is then, and who is not served."""

import asyncio
import socket
from pathlib import Path

import pytest

from pyinit.drain.tracker import State
from pyinit.errors import DrainAborted
from pyinit.http1.proxy_protocol import ProxyHeaderReader
from pyinit.proxy.downstream import NEW_GRACE_S, Downstream
from pyinit.proxy.preamble import Preamble
from pyinit.values import Network
from tests.support.fake_app import AppConnection, Script, answering, echoing, response
from tests.support.proxy_header import (
    AWS_HEALTH_CHECK,
    LOCAL,
    PROXY,
    TCP4,
    UNIX,
    addresses,
    binary,
    block,
    line,
    with_checksum,
)
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, request

LOOPBACK = (Network("127.0.0.0/8"), Network("::1"))
FORGED = b"X-Forwarded-For: 6.6.6.6"
CLIENT = "203.0.113.7"
OLD_REQUEST = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


async def serve(
    world: World, script: Script | None = None, *, raw: bool = False, reads: bool = True, **config: object
) -> None:
    """A proxy with the option on, unless told otherwise, that trusts loopback alone."""
    await world.serve(
        script or answering(response(b"x")),
        raw=raw,
        receive_bytes=None,
        upstream=None,
        send_bytes=None,
        **{"trusted": LOOPBACK, **config, "reads_proxy_header": reads},
    )


async def held(world: World, size: int) -> None:
    """Wait until so much of headers is kept."""
    await eventually(lambda: world.server.gauge.held_bytes == size)


async def header_read(downstream: Downstream) -> None:
    """Wait until the header is whole."""
    await eventually(lambda: downstream.relay is None)


async def refused(world: World, client: RawClient) -> str:
    """The connection ends without a byte of an answer; the reason in the log."""
    assert await client.rest() == b""
    await eventually(lambda: not world.server.connections)
    (event,) = world.log.of("proxy_header.refused")
    assert str(event["peer"]).startswith("127.0.0.1:")
    assert world.server.stats.requests == 0
    assert not world.log.of("request.refused")
    return str(event["reason"])


# -- who the client is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "ip", "port", "peer"),
    [
        (line(CLIENT), b"203.0.113.7", b"443", "203.0.113.7:56324"),
        (line("2001:DB8:0::7", "::1"), b"2001:db8::7", b"443", "[2001:db8::7]:56324"),
        (line("::ffff:203.0.113.7", "::1"), b"203.0.113.7", b"443", "203.0.113.7:56324"),
        (binary(CLIENT), b"203.0.113.7", b"443", "203.0.113.7:56324"),
        (with_checksum(binary("2001:db8::7", "::1")), b"2001:db8::7", b"443", "[2001:db8::7]:56324"),
    ],
    ids=["v1", "v1, IPv6", "v1, IPv4-mapped", "v2", "v2, IPv6, a checksum"],
)
@on_both_loops
async def test_the_announced_source_is_the_client(
    world: World, header: bytes, ip: bytes, port: bytes, peer: str
) -> None:
    """A public one: its own fields are replaced, though they came over a trusted peer's connection."""
    await serve(world, access_log=True)
    client = await world.client()
    await client.send(header + request(b"/1", FORGED, b"X-Forwarded-Port: 80"))
    assert (await client.response()).body == b"x"
    assert (await client.ask(b"/2")).body == b"x"
    for it in world.app.requests:
        assert (it.get(b"x-forwarded-for"), it.get(b"x-forwarded-port")) == (ip, port)
        assert [line for line in it.lines if line.lower().startswith(b"x-forwarded-for")] == [
            b"X-Forwarded-For: " + ip
        ]
    assert [event["peer"] for event in world.log.of("request.finished")] == [peer] * 2


@on_both_loops
async def test_an_announced_source_inside_trust_is_believed(world: World) -> None:
    await serve(world, trusted=(*LOOPBACK, Network("10.0.0.0/8")))
    client = await world.client()
    await client.send(line("10.1.2.3") + request(b"/", b"X-Forwarded-For: 198.51.100.1"))
    await client.response()
    assert world.app.requests[0].get(b"x-forwarded-for") == b"198.51.100.1"


@on_both_loops
async def test_the_announced_destination_is_the_host_that_http_1_0_did_not_name(world: World) -> None:
    await serve(world)
    for header in (line(CLIENT, "192.0.2.1", (1, 8443)), binary("::2", "2001:db8::1", (1, 8443))):
        client = await world.client()
        await client.send(header + OLD_REQUEST)
        await client.response()
    assert [it.get(b"host") for it in world.app.requests] == [b"192.0.2.1:8443", b"[2001:db8::1]:8443"]
    assert [it.get(b"x-forwarded-port") for it in world.app.requests] == [b"8443"] * 2


@pytest.mark.parametrize(
    "header",
    [block(LOCAL, 0), block(LOCAL, TCP4, addresses(CLIENT)), AWS_HEALTH_CHECK],
    ids=["LOCAL", "LOCAL with addresses", "AWS"],
)
@on_both_loops
async def test_local_is_the_peer_itself(world: World, header: bytes) -> None:
    await serve(world)
    client = await world.client()
    await client.send(header + request(b"/1"))
    await client.response()
    await client.ask(b"/2", FORGED)
    first, second = world.app.requests
    assert first.get(b"x-forwarded-for") == b"127.0.0.1"
    assert first.get(b"x-forwarded-port") == b"%d" % world.port
    assert second.get(b"x-forwarded-for") == b"6.6.6.6"  # as without a header: the load balancer's own


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN 203.0.113.7 10.0.0.1 1 2\r\n",
        block(PROXY, 0),
        block(PROXY, UNIX, bytes(216)),
    ],
    ids=["UNKNOWN", "UNKNOWN with addresses", "UNSPEC", "UNIX"],
)
@on_both_loops
async def test_a_client_that_is_not_named_has_the_peers_address_and_is_not_believed(
    world: World, header: bytes
) -> None:
    """Whoever can reach the load balancer so that it has no address to tell could forge one."""
    await serve(world)
    client = await world.client()
    await client.send(header + request(b"/", FORGED))
    await client.response()
    (it,) = world.app.requests
    assert it.get(b"x-forwarded-for") == b"127.0.0.1"
    assert it.get(b"x-forwarded-port") == b"%d" % world.port


# -- any split -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [line(CLIENT), with_checksum(binary(CLIENT))], ids=["v1", "v2"])
@on_both_loops
async def test_a_header_may_come_byte_by_byte(world: World, header: bytes) -> None:
    await serve(world)
    client = await world.client()
    downstream = await world.downstream()
    whole = header + request()
    for at in range(len(header) - 1):
        await client.send(whole[at : at + 1])
        await held(world, at + 1)
        assert downstream.state is State.NEW
    await client.send(whole[len(header) - 1 : len(header)])
    await header_read(downstream)
    assert world.server.gauge.held_bytes == 0
    assert downstream.state is State.NEW
    await client.send(whole[len(header) :])
    assert (await client.response()).body == b"x"


@on_both_loops
async def test_header_request_and_body_may_come_at_once(world: World) -> None:
    await serve(world, echoing())
    client = await world.client()
    body = bytes(range(256)) * 1000
    sent = asyncio.ensure_future(
        client.send(binary(CLIENT) + request(b"/", method=b"POST", body=body) + request())
    )
    assert (await client.response()).body == body
    assert (await client.response()).body == b""
    await sent


@on_both_loops
async def test_a_fin_right_behind_the_request_is_still_answered(world: World) -> None:
    await serve(world)
    client = await world.client()
    await client.send(line(CLIENT) + request())
    client.half_close()
    assert (await client.response()).body == b"x"
    assert await client.end() == "fin"


# -- who is not served ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (request(), "no PROXY header comes first"),
        (b"\r\n\r\n" + request(), "no PROXY header comes first"),
        (b"\x16\x03\x01\x02", "no PROXY header comes first"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n" + request(), "port above 65535"),
        (line(CLIENT)[:-2] + b"\n" + request(), "malformed PROXY line"),
        (block(0x31, TCP4, addresses(CLIENT)) + request(), "version and command"),
        (with_checksum(binary(CLIENT))[:-1] + b"\0" + request(), "wrong checksum"),
    ],
    ids=["none", "empty lines", "TLS", "a bad port", "LF", "version 3", "a bad checksum"],
)
@on_both_loops
async def test_without_a_proper_header_a_trusted_peer_gets_no_answer(
    world: World, wire: bytes, reason: str
) -> None:
    await serve(world)
    client = await world.client()
    await client.send(wire)
    assert reason in await refused(world, client)


@pytest.mark.parametrize("header", [line(CLIENT), binary(CLIENT)], ids=["v1", "v2"])
@on_both_loops
async def test_a_header_that_ends_early_is_no_header(world: World, header: bytes) -> None:
    await serve(world)
    client = await world.client()
    await client.send(header[:-1])
    client.half_close()
    assert "ended within" in await refused(world, client)


@on_both_loops
async def test_a_header_has_head_timeout_from_its_first_byte(world: World) -> None:
    await serve(world, head_timeout_s=15, idle_timeout_s=75)
    client = await world.client()
    downstream = await world.downstream()
    world.advance(60)
    await client.send(b"P")
    await held(world, 1)
    world.advance(14.5)
    await client.send(b"R")
    await held(world, 2)
    assert downstream.state is State.NEW
    world.advance(1)
    assert "longer than --head-timeout" in await refused(world, client)


@on_both_loops
async def test_who_is_silent_has_idle_timeout_and_is_closed_without_a_word(world: World) -> None:
    """AWS sends the header with a client's first bytes: a browser's connection ahead of need is no fault."""
    await serve(world, head_timeout_s=15, idle_timeout_s=75)
    client = await world.client()
    downstream = await world.downstream()
    world.advance(74)
    assert downstream.state is State.NEW
    world.advance(2)
    assert await client.rest() == b""
    await eventually(lambda: not world.server.connections)
    assert world.log.events == []


@on_both_loops
async def test_after_the_header_a_head_has_a_clock_of_its_own(world: World) -> None:
    await serve(world, head_timeout_s=15, idle_timeout_s=75)
    client = await world.client()
    downstream = await world.downstream()
    world.advance(70)
    await client.send(line(CLIENT))
    await header_read(downstream)
    world.advance(70)
    await client.send(b"GET /")
    await eventually(lambda: downstream.state is State.ACTIVE)
    world.advance(16)
    assert (await client.response()).status == 408
    assert world.log.of("request.refused")[0]["peer"] == "203.0.113.7:56324"


@on_both_loops
async def test_a_health_check_that_only_connects_leaves_no_trace_in_the_log(world: World) -> None:
    await serve(world)
    for leave in (RawClient.half_close, RawClient.reset, RawClient.close):
        client = await world.client()
        await world.downstream()
        leave(client)
        await eventually(lambda: not world.server.connections)
    assert world.log.events == []


@on_both_loops
async def test_a_reset_within_the_header_leaves_nothing_behind(world: World) -> None:
    await serve(world)
    client = await world.client()
    await client.send(b"PROXY")
    await held(world, 5)
    client.reset()
    await eventually(lambda: not world.server.connections)
    assert world.server.gauge.held_bytes == 0


@on_both_loops
async def test_the_log_is_not_flooded(world: World) -> None:
    await serve(world)
    for _ in range(5):
        client = await world.client()
        await client.send(request())
        assert await client.rest() == b""
    assert len(world.log.of("proxy_header.refused")) == 1
    world.advance(11)
    client = await world.client()
    await client.send(request())
    assert await client.rest() == b""
    assert [event["unsaid"] for event in world.log.of("proxy_header.refused")] == [0, 4]


@on_both_loops
async def test_a_second_header_is_a_malformed_request(world: World) -> None:
    """A client may send one of its own, which a load balancer passes on behind its own."""
    await serve(world)
    for second in (line("127.0.0.1"), binary("127.0.0.1"), block(LOCAL, 0)):
        client = await world.client()
        await client.send(line(CLIENT) + second + request())
        assert (await client.response()).status == 400
    assert world.server.stats.requests == 0
    assert {event["peer"] for event in world.log.of("request.refused")} == {"203.0.113.7:56324"}


# -- who need not send one -----------------------------------------------------------------------------------


@on_both_loops
async def test_a_peer_outside_trust_is_served_as_without_the_option(world: World) -> None:
    await serve(world, trusted=(Network("10.0.0.0/8"),))
    client = await world.client()
    await client.ask(b"/", FORGED)
    assert world.app.requests[0].get(b"x-forwarded-for") == b"127.0.0.1"
    for header in (line("10.0.0.9"), binary("10.0.0.9")):
        client = await world.client()
        await client.send(header + request())
        assert (await client.response()).status == 400
    assert len(world.app.requests) == 1
    assert not world.log.of("proxy_header.refused")


@on_both_loops
async def test_without_the_option_a_header_is_a_malformed_request(world: World) -> None:
    await serve(world, reads=False)
    for header in (line(CLIENT), binary(CLIENT)):
        client = await world.client()
        await client.send(header + request())
        assert (await client.response()).status == 400


@on_both_loops
async def test_a_tcp_listener_passes_the_header_on(world: World) -> None:
    await serve(world, repeating, raw=True)
    client = await world.client()
    await client.send(line(CLIENT) + b"rest")
    assert await client.exactly(len(line(CLIENT)) + 4) == line(CLIENT) + b"rest"


async def repeating(it: AppConnection) -> None:
    while data := await it.some():
        await it.send(data)


# -- other listeners -----------------------------------------------------------------------------------------


@on_both_loops
async def test_a_unix_listener_is_for_trusted_peers(world: World, tmp_path: Path) -> None:
    await serve(world, trusted=())
    path = tmp_path / "s"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    world.server.listen([(sock, False)])

    def connect() -> RawClient:
        it = socket.socket(socket.AF_UNIX)
        it.connect(str(path))
        return world.kept(RawClient(it))

    for header in (line(CLIENT), block(LOCAL, 0), b"PROXY UNKNOWN\r\n"):
        client = connect()
        await client.send(header + request(b"/", FORGED))
        assert (await client.response()).body == b"x"
    assert [it.get(b"x-forwarded-for") for it in world.app.requests] == [b"203.0.113.7", b"6.6.6.6", None]
    client = connect()
    await client.send(request())
    assert await client.rest() == b""
    assert [event["peer"] for event in world.log.of("proxy_header.refused")] == ["unix"]


@on_both_loops
async def test_over_ipv6(world: World) -> None:
    await serve(world)
    sock = socket.socket(socket.AF_INET6)
    sock.bind(("::1", 0))
    world.server.listen([(sock, False)])
    port = sock.getsockname()[1]
    for header in (line("2001:db8::7", "2001:db8::1"), binary(CLIENT), block(LOCAL, 0)):
        client = world.kept(RawClient(socket.create_connection(("::1", port))))
        await client.send(header + request())
        await client.response()
    assert [it.get(b"x-forwarded-for") for it in world.app.requests] == [
        b"2001:db8::7",
        b"203.0.113.7",
        b"::1",
    ]


# -- a drain -------------------------------------------------------------------------------------------------


@on_both_loops
async def test_a_header_alone_does_not_prolong_the_lame_duck_nor_a_local_connection(world: World) -> None:
    await serve(world)
    world.server.announce_stop()
    client = await world.client()
    await client.send(line(CLIENT))
    await header_read(await world.downstream())
    assert world.newcomers == 0
    check = await world.client()
    await check.send(block(LOCAL, 0) + request())
    await check.response()
    assert world.newcomers == 0
    await client.ask()
    assert world.newcomers == 1


@pytest.mark.parametrize(
    "sent", [b"", line(CLIENT), line(CLIENT)[:9]], ids=["nothing", "a header", "a part of one"]
)
@on_both_loops
async def test_in_a_drain_a_connection_without_a_request_has_the_grace_of_a_new_one(
    world: World, sent: bytes
) -> None:
    await serve(world)
    client = await world.client()
    downstream = await world.downstream()
    await client.send(sent)
    await eventually(
        lambda: not sent or downstream.relay is None or world.server.gauge.held_bytes == len(sent)
    )
    world.server.announce_stop()
    world.server.stop_accepting(0)
    world.server.close_idle()
    world.advance(NEW_GRACE_S - 0.5)
    assert downstream.state is State.NEW
    world.advance(0.6)
    assert await client.rest() == b""
    client.half_close()
    await eventually(lambda: world.quiet_count)
    assert world.server.outcomes.connections_closed_idle == 1
    assert not world.log.of("proxy_header.refused")


@on_both_loops
async def test_in_a_drain_the_request_behind_the_header_is_answered(world: World) -> None:
    await serve(world)
    client = await world.client()
    await world.downstream()
    world.server.announce_stop()
    world.server.stop_accepting(0)
    world.server.close_idle()
    world.advance(NEW_GRACE_S - 0.5)
    await client.send(line(CLIENT))
    await header_read(await world.downstream())
    world.advance(NEW_GRACE_S - 0.5)  # the header was a sign of life
    answer = await client.ask()
    assert (answer.status, answer.closes) == (200, True)


@on_both_loops
async def test_the_deadline_closes_who_has_asked_for_nothing(world: World) -> None:
    await serve(world)
    client = await world.client()
    await client.send(b"PROXY")
    await held(world, 5)
    downstream = await world.downstream()
    assert isinstance(downstream.relay, Preamble)
    assert repr(downstream.relay) == "Preamble(ProxyHeaderReader(5 bytes held))"
    world.server.announce_stop()
    world.server.cut(DrainAborted("this server is stopping", 503))
    assert await client.rest() == b""
    assert not world.server.outcomes.cut


# -- with other limits ---------------------------------------------------------------------------------------


@on_both_loops
async def test_an_upgrade_behind_a_header_is_a_tunnel(world: World) -> None:
    async def script(it: AppConnection) -> None:
        await it.head()
        await it.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        await it.send(await it.some())

    await serve(world, script)
    client = await world.client()
    await client.send(binary(CLIENT) + request(b"/", b"Connection: Upgrade", b"Upgrade: echo"))
    assert (await client.response()).status == 101
    await client.send(b"hello")
    assert await client.exactly(5) == b"hello"


@on_both_loops
async def test_a_fault_of_ours_in_the_header_costs_one_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("injected")

    world.faults = 1
    await serve(world)
    client = await world.client()
    with monkeypatch.context() as patch:
        patch.setattr(ProxyHeaderReader, "feed", broken)
        await client.send(line(CLIENT))
        assert await client.end() == "reset"
    other = await world.client()
    await other.send(line(CLIENT) + request())
    assert (await other.response()).status == 200

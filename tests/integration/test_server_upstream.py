"""The app's side, on both loops: what is sent twice and what never is, connects that fail, an app that restarts."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pyinit.proxy.config import UpstreamAddress
from tests.support.fake_app import AppConnection, FakeApp, response
from tests.support.proxy_world import World, eventually, on_both_loops
from tests.support.raw_client import RawClient, Response

# -- sent once, or twice -------------------------------------------------------------------------------------

End = Callable[[AppConnection], Awaitable[None]]
BODY = b"0123456789"


async def after_accept(_it: AppConnection) -> None:
    """Reads nothing."""


async def in_the_head(it: AppConnection) -> None:
    await it.exactly(12)


async def after_the_head(it: AppConnection) -> None:
    await it.head()


async def in_the_body(it: AppConnection) -> None:
    await it.until(b"\r\n\r\n01234")


async def after_the_request(it: AppConnection) -> None:
    await it.request()


async def in_the_status_line(it: AppConnection) -> None:
    await it.request()
    await it.send(b"HTTP/1.1 20")


async def in_the_response_head(it: AppConnection) -> None:
    await it.request()
    await it.send(b"HTTP/1.1 200 OK\r\nContent-Le")


async def after_an_interim(it: AppConnection) -> None:
    await it.request()
    await it.send(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")


async def in_the_response(it: AppConnection) -> None:
    await it.request()
    await it.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")


class Death(NamedTuple):
    """When the app goes.

    Attributes:
        end: up to where it comes.
        was_silent: no byte of a response came: only then, and only over a reused connection, is a replay safe.
    """

    end: End
    was_silent: bool


DEATHS = [
    Death(after_accept, was_silent=True),
    Death(in_the_head, was_silent=True),
    Death(after_the_head, was_silent=True),
    Death(in_the_body, was_silent=True),
    Death(after_the_request, was_silent=True),
    Death(in_the_status_line, was_silent=False),
    Death(in_the_response_head, was_silent=False),
    Death(after_an_interim, was_silent=False),
    Death(in_the_response, was_silent=False),
]


class Recorder:
    """An app that counts what it was sent: from each connection all bytes, those of a request it dies in too.

    Args:
        death: when it goes, each time it is asked for /dies.
        resets: with an RST instead of a FIN.
        is_reused: it answers one request first on each connection.
    """

    def __init__(self, death: Death, *, resets: bool, is_reused: bool) -> None:
        self._death = death
        self._resets = resets
        self._is_reused = is_reused
        self.sent: list[AppConnection] = []

    async def script(self, it: AppConnection) -> None:
        if self._is_reused and it.number == 0:
            await it.request()
            await it.send(response(b"first"))
        # What comes next is the request in question: it is here, whatever of it is read.
        first = await it.exactly(1)
        it._buffer = first + it._buffer
        self.sent.append(it)
        await self._death.end(it)
        if self._resets:
            it.reset()


async def asked_of_a_dying_app(
    world: World, recorder: Recorder, *, method: bytes, body: bytes | None, is_reused: bool
) -> Response | None:
    """What the client gets; None for nothing."""
    await world.serve(recorder.script)
    client = await world.client()
    if is_reused:
        assert (await client.ask()).body == b"first"
        await eventually(lambda: len(world.server.pool) == 1)
    try:
        return await client.ask(b"/dies", method=method, body=body)
    except EOFError:
        return None


@pytest.mark.parametrize("resets", [False, True], ids=["fin", "reset"])
@pytest.mark.parametrize("is_reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("death", DEATHS, ids=[death.end.__name__ for death in DEATHS])
@pytest.mark.parametrize(
    ("method", "body"),
    [(b"POST", BODY), (b"POST", None), (b"PUT", BODY)],
    ids=["POST", "POST without a body", "PUT"],
)
@on_both_loops
async def test_what_may_not_be_repeated_is_sent_once(
    world: World, *, method: bytes, body: bytes | None, death: Death, is_reused: bool, resets: bool
) -> None:
    if body != BODY and death.end is in_the_body:
        return  # there is none
    recorder = Recorder(death, resets=resets, is_reused=is_reused)
    answer = await asked_of_a_dying_app(world, recorder, method=method, body=body, is_reused=is_reused)
    assert answer is not None
    assert answer.status == 502 or answer.is_cut
    assert len(recorder.sent) == 1
    assert world.server.stats.replays == 0
    assert len(world.app.connections) == 1


@pytest.mark.parametrize("resets", [False, True], ids=["fin", "reset"])
@pytest.mark.parametrize("is_reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("death", DEATHS, ids=[death.end.__name__ for death in DEATHS])
@on_both_loops
async def test_a_get_is_sent_twice_at_most_and_only_where_nobody_began_to_answer(
    world: World, *, death: Death, is_reused: bool, resets: bool
) -> None:
    if death.end is in_the_body:
        return
    recorder = Recorder(death, resets=resets, is_reused=is_reused)
    answer = await asked_of_a_dying_app(world, recorder, method=b"GET", body=None, is_reused=is_reused)
    assert answer is not None
    assert answer.status == 502 or answer.is_cut
    expected = 2 if is_reused and death.was_silent else 1
    assert len(recorder.sent) == expected
    assert world.server.stats.replays == expected - 1


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@on_both_loops
async def test_an_app_that_goes_before_it_accepts_is_a_502(world: World, method: bytes) -> None:
    """The kernel has accepted and taken the request; nobody ever reads it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        await world.serve(upstream=UpstreamAddress(hosts=("127.0.0.1",), port=listening.getsockname()[1]))
        client = await world.client()
        asked = asyncio.ensure_future(client.ask(method=method, body=None if method == b"GET" else BODY))
        await eventually(lambda: world.server.upstreams)
        await asyncio.sleep(0.01)
    assert (await asked).status == 502
    assert world.server.stats.upstream_connects == 1


# -- how long a connection is kept ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "kept_s"),
    [
        (b"X: y", 4),  # none
        (b"Keep-Alive: timeout=5", 4),
        (b"Keep-Alive: timeout=72, max=100", 71),
        (b"Keep-Alive: max=3, timeout=2", 1),
        (b"keep-alive: Timeout=10", 9),
    ],
)
@on_both_loops
async def test_an_idle_connection_goes_a_second_before_the_app_said(
    world: World, hint: bytes, kept_s: float
) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            await it.request()
            await it.send(response(b"x", hint))

    await world.serve(script, idle_timeout_s=1000)
    client = await world.client()
    await client.ask()
    world.advance(kept_s - 0.5)
    assert len(world.server.pool) == 1
    world.advance(1)
    await eventually(lambda: not world.server.upstreams)
    await client.ask()
    assert len(world.app.connections) == 2


@on_both_loops
async def test_an_announced_second_means_that_nothing_is_kept(world: World) -> None:
    async def script(it: AppConnection) -> None:
        while True:
            await it.request()
            await it.send(response(b"x", b"Keep-Alive: timeout=1"))

    await world.serve(script)
    client = await world.client()
    for _ in range(3):
        assert (await client.ask()).body == b"x"
    assert len(world.app.connections) == 3
    assert len(world.server.pool) == 0


# -- connects that fail --------------------------------------------------------------------------------------


async def _refused(world: World, path: Path) -> Response:
    await world.serve(upstream=UpstreamAddress(path=str(path)))
    client = await world.client()
    answer = await client.ask(method=b"POST", body=BODY)
    assert (answer.status, answer.closes) == (502, True)
    assert str(path).encode() not in answer.body
    assert world.server.stats.upstream_failures == 1
    return answer


@on_both_loops
async def test_a_unix_socket_that_is_not_there_is_a_502(world: World, tmp_path: Path) -> None:
    assert b"No such file" in (await _refused(world, tmp_path / "app")).body


@on_both_loops
async def test_a_unix_socket_that_nobody_listens_at_is_a_502(world: World, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "app"))
        assert b"Connection refused" in (await _refused(world, tmp_path / "app")).body


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A unix socket that somebody listens at, in a folder that we may not search."""
    folder = tmp_path / "forbidden"
    folder.mkdir()
    before = os.geteuid()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "app"))
        sock.listen()
        folder.chmod(0)
        if not before:
            os.seteuid(65534)  # to root nothing is forbidden
        try:
            yield folder / "app"
        finally:
            os.seteuid(before)
            folder.chmod(0o755)


@on_both_loops
async def test_a_unix_socket_that_is_not_ours_to_use_is_a_502(world: World, forbidden: Path) -> None:
    assert b"Permission denied" in (await _refused(world, forbidden)).body


@on_both_loops
async def test_a_client_is_served_again_once_the_app_listens(world: World) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    await world.serve(upstream=UpstreamAddress(hosts=("127.0.0.1",), port=port))
    assert (await (await world.client()).ask()).status == 502
    app = FakeApp(_echo_target, port=port)
    try:
        assert (await (await world.client()).ask(b"/there")).body == b"/there"
    finally:
        await app.stop()


# -- an app that restarts ------------------------------------------------------------------------------------


async def _echo_target(it: AppConnection) -> None:
    while True:
        target = (await it.request()).target
        await asyncio.sleep(0.001)
        await it.send(response(target))


@on_both_loops
async def test_connections_to_an_app_that_has_gone_are_not_used_again(world: World) -> None:
    await world.serve(_echo_target)
    clients = [await world.client() for _ in range(5)]
    await asyncio.gather(*(client.ask() for client in clients))
    assert len(world.server.pool) == 5
    port = world.app.port
    await world.app.stop()
    await eventually(lambda: not world.server.upstreams)
    assert len(world.server.pool) == 0
    again = FakeApp(_echo_target, port=port)
    try:
        answers = await asyncio.gather(*(client.ask(b"/again", method=b"POST") for client in clients))
        assert [answer.body for answer in answers] == [b"/again"] * 5
    finally:
        await again.stop()


@on_both_loops
async def test_an_app_that_restarts_under_load_gives_nobody_anothers_answer(world: World) -> None:
    """Each request names itself: its answer is its own, a 502, or visibly cut."""
    app = FakeApp(_echo_target)
    await world.serve(upstream=UpstreamAddress(hosts=("127.0.0.1",), port=app.port))
    is_over = False
    seen = {"own": 0, "502": 0, "cut": 0}

    async def asks(number: int) -> None:
        client: RawClient | None = None
        turn = 0
        while not is_over:
            turn += 1
            target = b"/%d-%d" % (number, turn)
            client = client or await world.client()
            method = b"GET" if turn % 2 else b"POST"
            try:
                answer = await client.ask(target, method=method, body=None if turn % 2 else target)
            except (EOFError, ConnectionError):
                answer = None
            if answer is None or answer.is_cut:
                seen["cut"] += 1
                client = None
            elif answer.status == 502:
                seen["502"] += 1
                client = None
            else:
                assert answer.body == target
                seen["own"] += 1

    clients = [asyncio.ensure_future(asks(number)) for number in range(12)]
    for _ in range(5):
        before = seen["own"]
        await eventually(lambda: seen["own"] > before + 50)  # noqa: B023  asked at once
        await app.stop()
        await asyncio.sleep(0.02)
        app = FakeApp(_echo_target, port=app.port)
    before = seen["own"]
    await eventually(lambda: seen["own"] > before + 50)
    is_over = True
    await asyncio.gather(*clients)
    failures = seen["502"]
    assert failures  # it was down while asked
    for number in range(12):
        assert (await (await world.client()).ask(b"/last-%d" % number)).body == b"/last-%d" % number
    assert seen["502"] == failures
    await app.stop()

"""What a proxy remembers of requests and responses that went before changes no byte of those that come after.

The same traffic through one proxy, over a few connections, and each exchange of it through a proxy of its own that has
seen nothing, and takes no answer in one step: clients and app must get the same bytes, connections the same ends, and
counters must say the same.
"""

import asyncio
import os
import re
import socket
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest

from pyinit.errors import ProtocolError
from pyinit.http1.forward import MODES
from pyinit.http1.head import HeadReader
from pyinit.http1.request import RequestParser
from pyinit.proxy.stats import Stats
from pyinit.values import Network
from tests.support.conversations import FIELDS_MAX, SPECIAL, STARTS, conversation, head_of
from tests.support.fake_app import AppConnection
from tests.support.proxy_world import World, on_both_loops
from tests.support.raw_client import RawClient, chunks

# Always the same ones, as in support.strategies; PYINIT_TEST_EXPLORE=1 looks at others.
_SEEDS = range(6) if not os.environ.get("PYINIT_TEST_EXPLORE") else Random().sample(range(1 << 32), 60)
# One of two that are believed, and one that is not.
_SOURCES = ("127.0.0.1", "127.0.0.1", "127.0.0.2")
_TRUSTED = (Network("127.0.0.1/32"),)
_HEALTH = b"/3"
# Ours, of this second, and not the app's, of 1970.
_OUR_DATE = re.compile(rb"\r\nDate: \w+, \d\d \w+ 20\d\d [\d:]+ GMT")
_OUR_ID = re.compile(rb"\r\nX-Request-Id: [0-9a-f-]{36}")
_CLOSES = b"Connection: close"
_DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT"
_LINES = (
    _DATE,
    b"ETag: 1",
    b"ETag: 2",
    b"Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"Connection: etag",
    b"Connection: upgrade",
    b"Upgrade: echo",
    b"Content-Type: text/event-stream",
    b"Content-Length: 3",
    b"Bad",
    _CLOSES,
)
# Above what is joined to its head, within what a read takes.
_LONG_BYTES = 20_000
_LAST_CHUNKS = (
    *[b"0\r\n\r\n"] * 4,
    b"000\r\n\r\n",
    b"0;a=1\r\n\r\n",
    b"0\r\nX-Sum: 1\r\n\r\n",
    b"1;a\r\nx\r\n0\r\n\r\n",
    b"0\r\nContent-Length: 3\r\n\r\n",
)
_BAD_SIZES = (b"+", b"\r\n", b"0" * 15, b"1\n")
_USUAL_ANSWERS = [
    (b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 3\r\n\r\n" % _DATE, b"abc"),
    (b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 0\r\n\r\n" % _DATE, b""),
    (b"HTTP/1.1 204 No Content\r\n%b\r\n\r\n" % _DATE, b""),
    (b"HTTP/1.0 200 OK\r\n%b\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n" % _DATE, b"a"),
    (b"HTTP/1.1 200 OK\r\n%b\r\nTransfer-Encoding: chunked\r\n\r\n" % _DATE, chunks([b"abc", b"de"])),
    (
        b"HTTP/1.1 200 OK\r\n%b\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        % _DATE,
        chunks([b"data: 1\n\n"]),
    ),
]
_USUAL_STARTS = (
    *[b"GET / HTTP/1.1"] * 3,
    b"POST /p HTTP/1.1",
    b"HEAD /h HTTP/1.1",
    b"GET /3 HTTP/1.1",
    b"GET / HTTP/1.0",
)
# %d changes.
_USUAL_FIELDS = (
    [b"Host: a", b"X-Forwarded-For: 198.51.100.1", b"T: %d"],
    [b"Host: a", b"X-Forwarded-For: 198.51.100.1", b"T: %d", b"X-Forwarded-Proto: https"],
    [b"Host: b", b"T: %d", b"Content-Length: 1%d"],
    [b"Host: a", b"T: 1", b"X-Request-Id: %d"],
    [b"Host: b", b"Accept: text/event-stream", b"Transfer-Encoding: chunked"],
    [b"T: %d", b"Host: a", b"Connection: close"],
    [b"Host: a", b"Connection: keep-alive", b"T: %d"],
    [b"Host: b", b"Accept: text/event-stream", b"T: %d"],
)


class Answer(NamedTuple):
    """What the app says to one request, in these pieces; then it may close."""

    pieces: list[bytes]
    closes: bool


class Turn(NamedTuple):
    """Requests that one client sends at once, in these pieces, and the app's answers."""

    client: int
    pieces: list[bytes]
    methods: list[bytes]
    answers: list[Answer]


def cut(random: Random, data: bytes) -> list[bytes]:
    """Mostly whole."""
    if random.randrange(6) or len(data) < 4:
        return [data]
    places = sorted(random.sample(range(1, len(data)), random.randrange(1, 3)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def an_answer(random: Random) -> tuple[bytes, bytes]:
    """A response, head and body, seldom one that breaks HTTP."""
    status = random.choice(
        (b"200 OK", b"200 OK", b"200 OK", b"404 No", b"204 No Content", b"304 Same", b"426 Up")
    )
    lines = random.sample(_LINES, random.choice((0, 1, 1, 2, 3)))
    if random.randrange(4) and _DATE not in lines:
        lines.append(_DATE)
    if random.randrange(4):
        lines = [line for line in lines if line not in (b"Bad", b"Content-Length: 3", _CLOSES)]
    version = b"1.0" if not random.randrange(12) else b"1.1"
    body = random.choice((b"", b"a", b"abc", b"x" * 300, b"x" * _LONG_BYTES))
    match random.randrange(8):
        case 0 | 1:
            lines.append(b"Transfer-Encoding: chunked")
            body = chunked(random, body)
        case 2 if not status.startswith((b"204", b"304")):
            lines = [line for line in lines if line not in (b"Content-Length: 3", _CLOSES)]
            lines.append(_CLOSES)
        case _:
            lines.append(b"Content-Length: %d" % len(body))
    if status.startswith((b"204", b"304")):
        body = b""
    interim = b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" if not random.randrange(8) else b""
    return b"\r\n".join([b"%bHTTP/%b %b" % (interim, version, status), *lines, b"", b""]), body


def chunked(random: Random, body: bytes) -> bytes:
    """In no chunk, one or several; in some with an extension, a trailer, zeros before the last size, or a bad size."""
    sizes = random.choice(([], [1], [2, 7], [100]))
    ends = [0, *(end for end in sizes if end < len(body)), len(body)]
    data = chunks([body[start:end] for start, end in pairwise(ends)] if body else [])
    data = data.removesuffix(b"0\r\n\r\n") + random.choice(_LAST_CHUNKS)
    return random.choice(_BAD_SIZES) + data if not random.randrange(12) else data


def answers(random: Random) -> Iterator[tuple[bytes, bytes]]:
    """An app's, which are a few again and again, and slowly become others."""
    usual = _USUAL_ANSWERS.copy()
    while True:
        if not random.randrange(3):
            new = an_answer(random) if random.randrange(2) else random.choice(_USUAL_ANSWERS)
            usual[random.randrange(len(usual))] = new
        yield random.choice(usual)


def requests(random: Random) -> Iterator[bytes]:
    """Whole requests, good and bad: mostly those of a few clients, as they are or by another method or version."""
    while True:
        for head in conversation(random):
            if not random.randrange(3):
                yield _with_body(head)
            usual = random.choice(_USUAL_FIELDS)
            for number in range(random.randrange(8)):
                start = random.choice(_USUAL_STARTS) if random.randrange(8) else random.choice(STARTS)
                fields = [line.replace(b"%d", b"%d" % number) for line in usual]
                if not random.randrange(12):
                    fields.append(random.choice(SPECIAL))
                yield _with_body(head_of(*fields, start=start))


def _with_body(head: bytes) -> bytes:
    """With the body that it says; nothing where there is more than a head, or less."""
    parser, reader = RequestParser(FIELDS_MAX), HeadReader(16 * 1024)
    try:
        taken = reader.feed(head)
        if taken is None or taken[1]:
            return b""
        said = parser.parse(taken[0])
    except ProtocolError:
        return head
    return head + (chunks([b"abc", b"de"]) if said.is_chunked else b"b" * (said.content_length or 0))


def turns(random: Random, count: int) -> Iterator[Turn]:
    """The traffic."""
    clients = [filter(None, requests(random)) for _ in _SOURCES]
    answering = answers(random)
    for _ in range(count):
        client = random.randrange(len(clients))
        asked = [next(clients[client]) for _ in range(2 if not random.randrange(8) else 1)]
        methods = [one.partition(b" ")[0] for one in asked]
        said = []
        for method in methods:
            head, body = next(answering)
            if method == b"HEAD" and random.randrange(4):
                body = b""  # else the app's fault: nobody may get it
            said.append(Answer(cut(random, head + body), closes=_CLOSES in head))
        yield Turn(client, cut(random, b"".join(asked)), methods, said)


class Witness(RawClient):
    """A client that keeps every byte it got."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.got = b""

    async def some(self) -> bytes:
        is_new = not self._buffer
        data = await super().some()
        if is_new:
            self.got += data
        return data


class Place:
    """A proxy, its app, and the clients' connections to it.

    Args:
        world: to be used for it.
        config: of the proxy.
    """

    def __init__(self, world: World, config: dict[str, object]) -> None:
        self.world = world
        self._config = config
        self._clients: dict[int, Witness] = {}
        self._answers: deque[Answer] = deque()
        self._seen: list[tuple[bytes, bytes]] = []

    async def serve(self) -> None:
        """Begin."""
        await self.world.serve(self._script, **self._config)  # type: ignore[arg-type]  # fields of ProxyConfig
        self.world.server.not_ready = None

    async def _script(self, it: AppConnection) -> None:
        while True:
            request = await it.request()
            at = len(self._seen)
            self._seen.append((b"", request.body))
            head = b"\r\n".join([b"%b %b" % (request.method, request.target), *request.lines])
            self._seen[at] = (_OUR_ID.sub(b"", head).replace(b"%d" % self.world.port, b"PORT"), request.body)
            answer = self._answers.popleft()
            await it.send(*answer.pieces)
            if answer.closes:
                return

    async def take(self, turn: Turn) -> dict[str, object]:
        """What becomes of it."""
        before = self._counts()
        self._seen.clear()
        self._answers = deque(turn.answers)
        client = self._clients.get(turn.client)
        if client is None:
            client = self._clients[turn.client] = await self._connect(_SOURCES[turn.client])
        client.got = b""
        await client.send(*turn.pieces)
        is_first_of_1_0 = b" HTTP/1.0\r\n" in turn.pieces[0]
        for method in turn.methods:
            answer = await client.response(method=method)
            is_kept = not is_first_of_1_0 or b"Connection: keep-alive" in answer.lines
            if client.ending or _CLOSES in answer.lines or not is_kept:
                await client.rest()
                del self._clients[turn.client]
                client.close()
                break
        counts = self._counts()
        return {
            "got": _OUR_DATE.sub(b"\r\nDate: ours", client.got),
            "ending": client.ending,
            "seen": self._seen.copy(),
            "counts": {name: counts[name] - before[name] for name in counts},
        }

    async def _connect(self, source: str) -> Witness:
        sock = socket.socket()
        sock.settimeout(0)
        sock.bind((source, 0))
        client = Witness(sock)
        self.world.kept(client)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.world.port))
        return client

    def _counts(self) -> dict[str, int]:
        stats: Stats = self.world.server.stats
        counts = {
            name: getattr(stats, name)
            for name in ("requests", "refused", "clients_lost", "bytes_in", "bytes_out", "upstream_failures")
        }
        counts |= {"durations": sum(stats.durations), "app_waits": sum(stats.app_waits)}
        return counts | {f"{number}xx": count for number, count in enumerate(stats.responses)}


@pytest.mark.parametrize("seed", _SEEDS)
@on_both_loops
async def test_a_proxy_that_has_seen_much_does_as_one_that_has_seen_nothing(world: World, seed: int) -> None:
    random = Random(seed)
    config: dict[str, object] = {
        "trusted": _TRUSTED,
        "fields_max": FIELDS_MAX,
        "forwarded": random.choice(MODES),
        "via": random.choice((b"us", b"")),
        "adds_request_id": bool(random.randrange(2)),
        "health_path": _HEALTH,
        "access_log": not random.randrange(6),
        "pool_is_fifo": bool(random.randrange(2)),
    }
    warm = Place(world, config)
    await warm.serve()
    count = 120
    for number, turn in enumerate(turns(random, count)):
        is_stopping = number > count * 3 // 4
        if is_stopping:
            if len(turn.methods) > 1:
                continue  # whether the second has come by then is a matter of time
            world.server.not_ready = "stopping"
            world.server.announce_stop()
        cold_world = World()
        try:
            # For a log it takes head and body apart, which is what one step for both is held against.
            cold = Place(cold_world, config | {"access_log": True})
            await cold.serve()
            if is_stopping:
                cold_world.server.not_ready = "stopping"
                cold_world.server.announce_stop()
            expected = await cold.take(turn)
        finally:
            await cold_world.close()
        assert await warm.take(turn) == expected, (seed, number, turn)

"""Runs the corpus against a proxy, whichever it is, and keeps what came of each row.

A row's bytes are sent; where the connection goes on behind them, the sentinel is sent over it: a request that has to
reach the app alone and get its own answer. So whatever two parsers have read in two ways is seen: as a request too
many or too few at the app, as a sentinel inside another message, or as an answer that belongs to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.corpus.case import (
    Await,
    AwaitBytes,
    Case,
    Close,
    Echo,
    HalfClose,
    Pause,
    Reset,
)
from tests.support.recorder import APP_FIELD, SENTINEL, AppSide, Recorder, is_sentinel
from tests.support.strict_http import FaultError, Read, take_response

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_READ_BYTES = 1 << 16


@dataclass(slots=True)
class Observed:
    """What came of one case.

    Attributes:
        responses: final ones and 101, but the sentinel's.
        interim: statuses of the 1xx before the first final one.
        sentinel: the answer to it.
        fault: what is no response in what the client got.
        received: every byte that the client got.
        tail: of these, what follows the last response.
        partial: a response whose end did not come.
        ending: ``fin``, ``reset``, or ``open``: the proxy left it so.
        requests: whole messages at the app, but the sentinel.
        sentinels: how often that came.
        sides: the app's connections.
    """

    responses: list[Read] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    sentinel: Read | None = None
    fault: str = ""
    received: bytes = b""
    tail: bytes = b""
    partial: Read | None = None
    ending: str = "open"
    requests: list[Read] = field(default_factory=list)
    sentinels: int = 0
    sides: list[AppSide] = field(default_factory=list)

    @property
    def has_reached_app(self) -> bool:
        """Whether a byte of anything but the sentinel has."""
        return any(
            len(side.data) > side.at or any(not is_sentinel(read) for read in side.messages)
            for side in self.sides
        )

    @property
    def is_in_order(self) -> bool:
        """Whether the connection has ended, or has served the sentinel as what it is."""
        if self.sentinel is not None:
            return self.sentinels >= 1
        return self.ending != "open"

    def __str__(self) -> str:
        """For whoever reads why a case failed."""
        came = [bytes(side.data) for side in self.sides]
        return f"client got {self.received!r}, then {self.ending}; the app got {came!r}" + (
            f", fault: {self.fault}" if self.fault else ""
        )


class _Client:
    """The client's side of a case: what has come is read anew after each read."""

    def __init__(self, sock: socket.socket, case: Case, delivered: asyncio.Event) -> None:
        self.sock = sock
        self.delivered = delivered
        self.case = case
        self.observed = Observed()
        self.changed = asyncio.Event()
        self.has_half_closed = False
        first = next((step for step in case.send if isinstance(step, bytes)), b"")
        self._is_head = first.lstrip(b"\r\n").startswith(b"HEAD ")
        self._data = bytearray()
        self._at = 0
        self._count = 0

    async def read(self) -> None:
        loop = asyncio.get_running_loop()
        while self.observed.ending == "open":
            try:
                data = await loop.sock_recv(self.sock, _READ_BYTES)
                if not data:
                    self.observed.ending = "fin"
            except OSError:
                data = b""
                self.observed.ending = "reset"
            self._data += data
            self.delivered.set()
            self._take()
            self.changed.set()

    def _take(self) -> None:
        observed = self.observed
        observed.received = bytes(self._data)
        observed.partial = None
        while not observed.fault:
            rest = observed.received[self._at :]
            observed.tail = rest
            if not rest or self.switched:
                return
            method = b"HEAD" if self._is_head and not observed.responses else b"GET"
            try:
                read = take_response(rest, method, has_ended=observed.ending == "fin")
            except FaultError as fault:
                observed.fault = str(fault)
                return
            if read is None:
                return
            if not read.is_whole:
                observed.partial = read
                return
            self._at += len(read.raw)
            self._count += 1
            if read.status < 200 and read.status != 101:
                if not observed.responses:
                    observed.interim.append(read.status)
            elif read.all(APP_FIELD) == [b"sentinel"]:
                observed.sentinel = read
            else:
                observed.responses.append(read)

    @property
    def switched(self) -> bool:
        return bool(self.observed.responses) and self.observed.responses[-1].status == 101

    @property
    def count(self) -> int:
        return self._count

    async def until(self, condition: object, patience_s: float) -> bool:
        """Wait until a condition holds or the connection has ended; False where neither comes."""
        assert callable(condition)
        end_s = asyncio.get_running_loop().time() + patience_s
        while not condition() and self.observed.ending == "open":
            self.changed.clear()
            left_s = end_s - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self.changed.wait(), left_s)
            except TimeoutError:
                return False
        return True

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it has closed: what it said is being read
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def half_close(self) -> None:
        self.has_half_closed = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)


async def run_case(case: Case, port: int, app: Recorder, *, patience_s: float, settle_s: float) -> Observed:
    """One row against one proxy.

    Args:
        case: the row.
        port: of the proxy, on 127.0.0.1.
        app: behind it, for this case alone.
        patience_s: for what does not come: only a failure, or a row about waiting, takes as long.
        settle_s: see Recorder.end.
    """
    app.begin(case.app)
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        client = _Client(sock, case, app.delivered)
        reading = loop.create_task(client.read())
        try:
            await _perform(client, patience_s)
            await _conclude(client, patience_s)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    await app.end(settle_s)
    observed = client.observed
    observed.requests, observed.sentinels, observed.sides = app.requests, app.sentinels, app.connections
    return observed


async def _perform(client: _Client, patience_s: float) -> None:
    awaited = 0
    for step in client.case.send:
        match step:
            case bytes():
                await client.send(step)
            case Pause():
                await asyncio.sleep(step.seconds)
            case Await():
                awaited += 1
                await client.until(lambda: client.count >= awaited, patience_s)  # noqa: B023  awaited here
            case AwaitBytes():
                await client.until(lambda: step.marker in client.observed.received, patience_s)  # noqa: B023
            case HalfClose():
                client.half_close()
            case Reset():
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.observed.ending = "reset"
                return
            case Close() | Echo():
                raise TypeError(step)


async def _conclude(client: _Client, patience_s: float) -> None:
    """Wait for the answers, then for the sentinel's, then for the end."""
    observed, wanted = client.observed, client.case.answers
    await client.until(lambda: len(observed.responses) >= wanted or client.switched, patience_s)
    if observed.ending == "open" and len(observed.responses) >= wanted and not client.switched:
        last = observed.responses[-1]
        if (
            client.case.asks
            and not client.has_half_closed
            and b"close" not in b",".join(last.all(b"connection")).lower()
        ):
            await client.send(SENTINEL)
        elif not client.case.asks:
            client.half_close()
        await client.until(lambda: False, patience_s)
    if observed.ending == "open":
        client.half_close()
        if client.switched or not observed.responses:
            await client.until(lambda: False, patience_s)


# -- all of them ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lane:
    """A port of the proxy, and the app behind it alone."""

    port: int
    app: Recorder


async def run_all(
    cases: Iterable[Case], lanes: Sequence[Lane], *, patience_s: float, settle_s: float
) -> list[tuple[Case, Observed]]:
    """All rows, one at a time in each lane; the results in their order."""
    rows = list(cases)
    found: dict[int, Observed] = {}
    left = iter(range(len(rows)))

    async def work(lane: Lane) -> None:
        for turn in left:
            found[turn] = await run_case(
                rows[turn], lane.port, lane.app, patience_s=patience_s, settle_s=settle_s
            )

    await asyncio.gather(*(work(lane) for lane in lanes))
    return [(row, found[turn]) for turn, row in enumerate(rows)]

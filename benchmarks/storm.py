"""Stormed and told to stop, what does a server do with each request? The clients and the signal, one epoll thread.

Three kinds of client run until the process has ended: each new-connection client asks once a connection, each
reusing one keeps its connection and thinks between requests, each slow one waits for an answer that takes longer
than most. Lost is what the server's kernel had accepted (connect() succeeded) and no whole answer came to. A refused
connect is none: nothing was sent, and every client may try again. Nor is a FIN that was there before a kept
connection was used again: every pool looks for one. A FIN or reset that crosses the request is: the client cannot
tell whether it was served.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import heapq
import itertools
import os
import random
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_READ_BYTES = 1 << 18
# How often requests are looked at for the time they have taken.
_SWEEP_S = 0.1
# A client that was turned down does not ask again at once, or they would measure nothing else.
_PAUSE_S = 0.02
# All clients at one instant would be a burst, and not a storm.
_RAMP_S = 0.1


class Kind(enum.Enum):
    """Of clients."""

    NEW = "new"
    REUSE = "reuse"
    SLOW = "slow"


class Outcome(enum.Enum):
    """What became of a connect, of a request, or of a connection between two."""

    ANSWERED = "answered"
    NOT_200 = "not 200"
    REFUSED = "refused"
    CONNECT_TIMED_OUT = "connect timed out"
    IDLE_CLOSED = "idle closed"
    IDLE_RESET = "idle reset"
    RESET = "reset"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    TIMED_OUT = "timed out"


LOST = (Outcome.RESET, Outcome.EMPTY, Outcome.TRUNCATED, Outcome.TIMED_OUT)
Counts = Counter[tuple[Kind, Outcome]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How hard, and for how long.

    Attributes:
        new: clients with a connection for each request.
        reuse: clients that keep theirs.
        slow: clients whose request takes long.
        think_s: least and most time between two requests of a reusing one.
        before_s: from the first request to the signal.
        after_s: the storm lasts at least so long after the signal; and until the process has ended.
        timeout_s: of a connect, and of a request.
        budget_s: from the signal to SIGKILL.
        fast_target: what new and reusing clients ask for.
        slow_target: what slow ones do.
    """

    new: int = 100
    reuse: int = 60
    slow: int = 20
    think_s: tuple[float, float] = (0.0, 0.5)
    before_s: float = 1.5
    after_s: float = 2.0
    timeout_s: float = 5.0
    budget_s: float = 10.0
    fast_target: str = "/"
    slow_target: str = "/slow?ms=1500"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, or the connect that came to none, for a picture.

    Attributes:
        kind: its client's.
        outcome: what became of it.
        began_s: of time.monotonic(); where it has a connection of its own that is the connect.
        ended_s: likewise.
    """

    kind: Kind
    outcome: Outcome
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """What one stop did.

    Attributes:
        before: outcomes until the signal.
        after: and from then on.
        exit_s: from the signal to the process's end.
        is_killed: whether that had to be forced.
        exit_code: as of Popen.
        slowest_refusal_s: of all refused connects after the signal.
    """

    before: Counts
    after: Counts
    exit_s: float
    is_killed: bool
    exit_code: int
    slowest_refusal_s: float

    def count(self, *outcomes: Outcome) -> int:
        """How many of these there were after the signal."""
        return sum(count for (_, outcome), count in self.after.items() if outcome in outcomes)


class StormError(Exception):
    """The server did what makes a storm's counts worth nothing."""


class _State(enum.Enum):
    CONNECTING = enum.auto()
    WAITING = enum.auto()
    IDLE = enum.auto()


@dataclass(slots=True, eq=False)
class _Connection:
    kind: Kind
    sock: socket.socket
    since_s: float  # of the connect, or of the request
    state: _State = _State.CONNECTING
    received: bytearray = field(default_factory=bytearray)


class Storm:
    """All clients against one process, and the signal to it, once.

    Args:
        host: where it listens.
        port: and on which port.
        plan: how hard.
        record: told each request at its end, if given; a full storm's are tens of thousands.
    """

    def __init__(
        self, host: str, port: int, plan: Plan, record: Callable[[Request], None] | None = None
    ) -> None:
        self._record = record
        self._address = (host, port)
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._plan = plan
        ask = "GET {} HTTP/1.1\r\nHost: storm.test\r\n{}\r\n".format
        close = "Connection: close\r\n"
        self._requests = {
            Kind.NEW: ask(plan.fast_target, close).encode(),
            Kind.REUSE: ask(plan.fast_target, "").encode(),
            Kind.SLOW: ask(plan.slow_target, close).encode(),
        }
        self._connections: dict[int, _Connection] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serials = itertools.count()
        self._before: Counts = Counter()
        self._after: Counts = Counter()
        self._signalled_s: float | None = None
        self._exited_s: float | None = None
        self._is_killed = self._is_ending = False
        self._slowest_refusal_s = 0.0

    def run(self, process: subprocess.Popen[bytes], signum: int) -> Stop:
        """Storm it, signal it, and see it end; a listening child of ours, whose group is its own."""
        now_s = time.monotonic()
        for kind, count, ramp_s in (
            (Kind.NEW, self._plan.new, _RAMP_S),
            (Kind.REUSE, self._plan.reuse, _RAMP_S),
            (Kind.SLOW, self._plan.slow, self._plan.before_s),  # so that the signal meets them at every age
        ):
            for _ in range(count):
                self._at(now_s + random.random() * ramp_s, partial(self._open, kind))
        self._at(now_s + self._plan.before_s, partial(self._signal, process, signum))
        self._at(now_s + _SWEEP_S, self._sweep)
        pidfd = os.pidfd_open(process.pid)
        try:
            with select.epoll() as self._epoll:
                self._epoll.register(pidfd, select.EPOLLIN)
                while not self._is_ending or self._connections:
                    self._turn(pidfd)
        finally:
            os.close(pidfd)
            for connection in self._connections.values():
                connection.sock.close()
        assert self._exited_s is not None and self._signalled_s is not None  # noqa: S101, PT018  it has ended
        return Stop(
            self._before,
            self._after,
            self._exited_s - self._signalled_s,
            self._is_killed,
            process.wait(),
            self._slowest_refusal_s,
        )

    def _turn(self, pidfd: int) -> None:
        # Connections are opened here and not among events: a number that is free again may be in that list still.
        while self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        for fd, _ in self._epoll.poll(max(0.0, self._due[0][0] - time.monotonic())):
            if fd == pidfd:
                self._exited(pidfd)
            elif connection := self._connections.get(fd):
                if connection.state is _State.CONNECTING:
                    self._connected(connection)
                else:
                    self._readable(connection)

    def _at(self, when_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when_s, next(self._serials), action))

    # -- the process -----------------------------------------------------------------------------------------

    def _signal(self, process: subprocess.Popen[bytes], signum: int) -> None:
        if process.poll() is not None:
            raise StormError(f"it ended before it was told to: {process.returncode}")
        self._signalled_s = now_s = time.monotonic()
        process.send_signal(signum)
        self._at(now_s + self._plan.after_s, self._end_when_over)
        self._at(now_s + self._plan.budget_s, partial(self._kill, process))

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        if self._exited_s is None:
            self._is_killed = True
            kill_all(process)

    def _exited(self, pidfd: int) -> None:
        self._epoll.unregister(pidfd)
        if self._signalled_s is None:
            raise StormError("it ended before it was told to")
        self._exited_s = time.monotonic()
        self._end_when_over()

    def _end_when_over(self) -> None:
        """Once it has ended, and the time is over: what is under way goes on, nothing new begins."""
        now_s = time.monotonic()
        if (
            self._exited_s is None
            or self._signalled_s is None
            or now_s < self._signalled_s + self._plan.after_s
        ):
            return
        self._is_ending = True
        for connection in list(self._connections.values()):
            if connection.state is _State.IDLE:
                self._readable(connection)  # its end may have come in one turn with the process's
                if connection.sock.fileno() >= 0:
                    self._forget(connection)

    # -- the clients -----------------------------------------------------------------------------------------

    def _open(self, kind: Kind) -> None:
        if self._is_ending:
            return
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection = _Connection(kind, sock, time.monotonic())
        self._connections[sock.fileno()] = connection
        problem = sock.connect_ex(self._address)
        if problem in (0, errno.EINPROGRESS):
            self._epoll.register(sock, select.EPOLLOUT)
        else:
            self._failed(connection, problem)

    def _connected(self, connection: _Connection) -> None:
        problem = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            self._failed(connection, problem)
            return
        self._epoll.modify(connection.sock, select.EPOLLIN)
        self._ask(connection)

    def _ask(self, connection: _Connection) -> None:
        connection.state, connection.since_s = _State.WAITING, time.monotonic()
        connection.received.clear()
        try:
            connection.sock.send(self._requests[connection.kind])
        except OSError as problem:
            self._failed(connection, problem.errno or 0)

    def _ask_again(self, connection: _Connection) -> None:
        if self._is_ending or connection.sock.fileno() < 0:
            return
        self._readable(connection)  # as a pool looks before it uses a connection again
        if connection.sock.fileno() >= 0:
            self._ask(connection)

    def _readable(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as problem:
            self._failed(connection, problem.errno or 0)
            return
        if connection.state is _State.IDLE:
            if data:
                raise StormError(f"an answer that nobody asked for: {data[:200]!r}")
            self._finish(connection, Outcome.IDLE_CLOSED)
            return
        connection.received += data
        answer = whole_answer(bytes(connection.received), has_ended=not data)
        if answer is not None:
            status, is_kept = answer
            self._answered(connection, status, is_kept=is_kept and bool(data))
        elif not data:
            self._finish(connection, Outcome.TRUNCATED if connection.received else Outcome.EMPTY)

    def _answered(self, connection: _Connection, status: int, *, is_kept: bool) -> None:
        outcome = Outcome.ANSWERED if status == 200 else Outcome.NOT_200
        if connection.kind is not Kind.REUSE or not is_kept or self._is_ending:
            self._finish(connection, outcome)
            return
        self._count(connection, outcome)
        connection.state = _State.IDLE
        self._at(time.monotonic() + random.uniform(*self._plan.think_s), partial(self._ask_again, connection))

    def _failed(self, connection: _Connection, problem: int) -> None:
        # A reset while connecting is none: the handshake is over, and the reset was here before we looked.
        if problem in (errno.ECONNRESET, errno.EPIPE):
            if connection.state is _State.IDLE:
                self._finish(connection, Outcome.IDLE_RESET)
            else:
                self._finish(connection, Outcome.TRUNCATED if connection.received else Outcome.RESET)
        elif connection.state is _State.CONNECTING and problem == errno.ECONNREFUSED:
            if self._signalled_s is not None:
                took_s = time.monotonic() - connection.since_s
                self._slowest_refusal_s = max(self._slowest_refusal_s, took_s)
            self._finish(connection, Outcome.REFUSED)
        elif problem == errno.ETIMEDOUT:
            self._timed_out(connection)
        else:
            raise OSError(problem, os.strerror(problem))

    def _timed_out(self, connection: _Connection) -> None:
        is_connecting = connection.state is _State.CONNECTING
        self._finish(connection, Outcome.CONNECT_TIMED_OUT if is_connecting else Outcome.TIMED_OUT)

    def _sweep(self) -> None:
        now_s = time.monotonic()
        for connection in list(self._connections.values()):
            if connection.state is not _State.IDLE and now_s - connection.since_s > self._plan.timeout_s:
                self._timed_out(connection)
        self._at(now_s + _SWEEP_S, self._sweep)

    def _finish(self, connection: _Connection, outcome: Outcome) -> None:
        self._forget(connection)
        self._count(connection, outcome)
        is_well = outcome in (Outcome.ANSWERED, Outcome.IDLE_CLOSED)
        self._at(time.monotonic() + (0.0 if is_well else _PAUSE_S), partial(self._open, connection.kind))

    def _forget(self, connection: _Connection) -> None:
        del self._connections[connection.sock.fileno()]
        connection.sock.close()

    def _count(self, connection: _Connection, outcome: Outcome) -> None:
        (self._before if self._signalled_s is None else self._after)[connection.kind, outcome] += 1
        if self._record and connection.state is not _State.IDLE:
            self._record(Request(connection.kind, outcome, connection.since_s, time.monotonic()))


def whole_answer(data: bytes, *, has_ended: bool) -> tuple[int, bool] | None:
    """Status, and whether the connection is kept, of what is a whole response; None for one that is not.

    For responses of servers that are trusted to frame them well, and small ones: it is read anew each time.
    """
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    first, *lines = head.decode("latin-1").lower().split("\r\n")
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    is_kept = first.startswith("http/1.1 ") and "close" not in fields.get("connection", "")
    if "chunked" in fields.get("transfer-encoding", ""):
        is_whole = body.endswith(b"0\r\n\r\n")
    elif "content-length" in fields:
        is_whole = len(body) >= int(fields["content-length"])
    else:
        is_whole, is_kept = has_ended, False
    return (int(first.split()[1]), is_kept) if is_whole else None


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and its descendants, which may be in other groups (an init's child is)."""
    pids = [process.pid]
    for pid in pids:
        with contextlib.suppress(OSError):
            pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

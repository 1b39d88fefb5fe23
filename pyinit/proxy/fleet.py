"""PID 1's side of several proxies in processes of their own: orders to all, one answer from all.

The listening sockets are shared, with one accept queue: with SO_REUSEPORT each process has a queue of its own, and
what waits in it is reset when that process ends (and a slow worker's clients wait for it while others idle).

A worker that has crashed costs its own connections. Its successor is given every order that went before; once
the listeners are to close there is nothing left to accept, so that it has none, and counts as quiet.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from pyinit.drain.outcomes import Outcomes
from pyinit.errors import SpawnError
from pyinit.proxy import ipc, listener
from pyinit.proxy.link import Link
from pyinit.proxy.shares import sum_levels, sum_outcomes, sum_stats
from pyinit.proxy.stats import Stats
from pyinit.proxy.steering import ANSWER_S, Snapshot
from pyinit.proxy.survey import oldest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyinit.errors import DrainAborted
    from pyinit.log import EventLog

# A worker that ends sooner than this has failed to start; the next one waits, and longer each time.
_STABLE_S = 10.0
_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 5.0
# An order crosses to a worker and back in well under a millisecond, unless the machine is busy, as it is in a
# stop; one that does not come must not hold the signal, the log or our exit back for longer.
_POOL_CLOSES_S = 0.25
_LAST_REPORTS_S = 0.2


class _Slot:
    """One worker's place: the process that has it now, and what is known of those that had it."""

    __slots__ = (
        "born_s",
        "failures",
        "has_spoken",
        "index",
        "is_quiet",
        "link",
        "past",
        "pid",
        "report",
        "retry",
        "upstreams_gone",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid: int | None = None
        self.link: Link | None = None
        self.report = ipc.Report()
        self.past = ipc.Report()  # of all that had it before, added up
        self.has_spoken = False  # it has loaded, and been configured
        self.is_quiet = False
        self.upstreams_gone = False
        self.born_s = 0.0
        self.failures = 0
        self.retry: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"_Slot({self.index}, pid={self.pid}, quiet={self.is_quiet}, failures={self.failures})"


class _Question:
    """A census that is being taken."""

    __slots__ = ("answers", "awaited", "then")

    def __init__(self, awaited: set[int], then: Callable[[Snapshot], None]) -> None:
        self.awaited = awaited
        self.answers: list[ipc.Report] = []
        self.then = then


class Fleet:
    """Several proxies behind one Front.

    Args:
        configures: the first message for each worker, but for ``listeners``, which is filled in here.
        sockets: bound ones, each with whether it is a ``tcp:`` address; ours from here on.
        spawn: starts a worker, given its end of the link and the other descriptors it inherits; returns its
            pid, or raises SpawnError.
        on_quiet: called when, after stop_accepting, no worker has a listener or a client connection left.
        on_new_connection: called for newcomers during a stop.
        on_unreachable: called where a worker could not connect to the app.
        log: for events.
    """

    def __init__(
        self,
        configures: Sequence[ipc.Configure],
        sockets: list[tuple[socket.socket, bool]],
        *,
        spawn: Callable[[int, list[int]], int],
        on_quiet: Callable[[], None],
        on_new_connection: Callable[[], None],
        on_unreachable: Callable[[], None] | None = None,
        log: EventLog,
    ) -> None:
        self._sockets = sockets
        inherited = tuple((sock.fileno(), is_raw) for sock, is_raw in sockets)
        self._configures = [replace(it, listeners=inherited) for it in configures]
        self._slots = [_Slot(index) for index in range(len(configures))]
        self._spawn = spawn
        self._on_quiet = on_quiet
        self._on_new_connection = on_new_connection
        self._on_unreachable = on_unreachable
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._orders: list[ipc.Order] = []  # for all, in order; a successor is given them again
        self._questions: dict[int, _Question] = {}
        self._question_count = 0
        self._exit_count = 0
        self._own_stats = Stats()
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._is_ending = False
        self._said_quiet = False

    # -- what the drain can ask for --------------------------------------------------------------------------

    def start(self) -> None:
        """See Front: the workers load while the app does."""
        if self._is_stopping:
            return  # an app that ended before we got here
        for slot in self._slots:
            self._start_worker(slot)

    async def ready(self) -> None:
        """See Front: one worker is enough, as the queue is one."""
        while not any(slot.has_spoken for slot in self._slots):
            self._changed.clear()
            await self._changed.wait()

    def listen(self) -> None:
        """See Front. Listening is a property of the sockets, so once is enough, and its failure is seen here."""
        for sock, _ in self._sockets:
            listener.begin_listening(sock)
        self._order(ipc.Listen())

    def set_readiness(self, not_ready: str | None) -> None:
        """See Front. A successor need know the last one alone."""
        self._orders = [order for order in self._orders if not isinstance(order, ipc.Readiness)]
        self._order(ipc.Readiness(not_ready))

    def announce_stop(self) -> None:
        """See Front."""
        self._order(ipc.AnnounceStop())

    def stop_accepting(self, limit_s: float) -> None:
        """See Front."""
        has_listened = ipc.Listen() in self._orders
        if has_listened and not any(slot.link for slot in self._slots):
            # All have crashed just now: what is in the accept queue wants somebody to answer it.
            self._start_worker(self._slots[0])
        for sock, _ in self._sockets:
            if has_listened and sock.family == socket.AF_UNIX:
                self._unlink(sock)
        self._order(ipc.StopAccepting(limit_s))
        # After the order: the workers have copies, and whoever closes the last one ends the queue.
        for sock, _ in self._sockets:
            sock.close()
        self._sockets.clear()
        self._is_stopping = True
        for slot in self._slots:
            if slot.retry is not None:
                slot.retry.cancel()
                slot.retry = None
        self._loop.call_soon(self._check)

    def close_idle(self) -> None:
        """See Front."""
        self._order(ipc.CloseIdle())

    def close_streams(self) -> None:
        """See Front."""
        self._order(ipc.CloseStreams())

    def cut(self, error: DrainAborted) -> None:
        """See Front."""
        self._order(ipc.Cut(str(error), error.status))

    def close_pool(self) -> None:
        """See Front."""
        self._order(ipc.ClosePool())

    async def upstreams_gone(self) -> None:
        """See Front."""
        await self._until(lambda: all(it.upstreams_gone for it in self._slots if it.link), _POOL_CLOSES_S)

    async def settle(self, limit_s: float) -> None:
        """See Front."""
        await self._until(self._are_all_quiet, limit_s)
        self._is_ending = True
        self._order(ipc.Abort())
        # A worker that does not answer is ended by our own end, by the kernel.
        await self._until(lambda: not any(it.link for it in self._slots), _LAST_REPORTS_S)
        for number in list(self._questions):
            self._answer(number)
        for slot in self._slots:
            if slot.link is not None:
                self._add_up(slot)  # it hangs
                slot.link.close()
                slot.link = None

    def ask(self, then: Callable[[Snapshot], None], within_s: float = ANSWER_S) -> None:
        """See Front."""
        self._question_count += 1
        number = self._question_count
        # One that still loads has no connections.
        asked = [slot for slot in self._slots if slot.link is not None and slot.has_spoken]
        self._questions[number] = _Question({slot.index for slot in asked}, then)
        for slot in asked:
            if slot.link is not None:
                slot.link.send(ipc.Ask(number))
        self._loop.call_later(within_s, self._answer, number)
        self._answer_complete()

    def set_log_level(self, level: str) -> None:
        """See Front. No order for all time: a successor is given the level of its day."""
        self._configures = [replace(it, log_level=level) for it in self._configures]
        for slot in self._slots:
            if slot.link is not None:
                slot.link.send(ipc.SetLogLevel(level))

    def count_fault(self) -> None:
        """See Front."""
        self._own_stats.callback_faults += 1

    # -- what became of it -----------------------------------------------------------------------------------

    @property
    def outcomes(self) -> Outcomes:
        """See Front: the sum over all workers, those that crashed included as far as they told."""
        return sum_outcomes(report.outcomes for report in self._reports())

    @property
    def stats(self) -> Stats:
        """The sum over all workers, as of their last reports."""
        return sum_stats([self._own_stats, *(report.stats for report in self._reports())])

    def _reports(self) -> list[ipc.Report]:
        return [report for slot in self._slots for report in (slot.past, slot.report)]

    # -- workers ---------------------------------------------------------------------------------------------

    def _start_worker(self, slot: _Slot) -> None:
        if slot.retry is not None:
            slot.retry.cancel()
            slot.retry = None
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as problem:  # no descriptors or no memory, on the whole machine perhaps, which passes
            self._not_started(slot, SpawnError("socketpair", problem.strerror or str(problem)))
            return
        with theirs:
            try:
                slot.pid = self._spawn(theirs.fileno(), [sock.fileno() for sock, _ in self._sockets])
            except SpawnError as problem:
                ours.close()
                self._not_started(slot, problem)
                return
        slot.born_s = self._loop.time()
        slot.has_spoken = slot.is_quiet = slot.upstreams_gone = False
        slot.link = Link(
            ours,
            on_message=lambda message: self._take(slot, message),
            on_end=lambda reason: self._link_ended(slot, reason),
        )
        self._log.info("worker.spawned", worker=slot.index, pid=slot.pid)
        for message in (self._configures[slot.index], *self._orders):
            slot.link.send(message)

    def _not_started(self, slot: _Slot, problem: SpawnError) -> None:
        self._log.error("worker.not_started", worker=slot.index, reason=str(problem))
        self._retry(slot)

    def exited(self, pid: int, code: int) -> bool:
        """See Front."""
        slot = next((slot for slot in self._slots if slot.pid == pid), None)
        if slot is None:
            return False
        slot.pid = None
        slot.has_spoken = False
        if slot.link is not None:
            slot.link.read_rest()
        self._drop_link(slot)
        if self._is_ending:
            return True
        self._log.error("worker.exited", worker=slot.index, pid=pid, code=code)
        self._exit_count += 1
        self._add_up(slot)
        if not self._is_stopping:
            self._retry(slot)
        return True

    def _add_up(self, slot: _Slot) -> None:
        """A worker that has ended before its time: what it told of is kept, and in a stop what it had is cut.

        Added up, as one that crashes again and again would have a list grow without an end. What was in flight is of
        its last word, half a second old at most.
        """
        report = slot.report
        lost = Outcomes()
        if ipc.AnnounceStop() in self._orders:
            for it in report.oldest:
                lost.add_cut(it)
            lost.cut_count = sum(report.in_flight.values())
        slot.past = ipc.Report(
            stats=sum_stats((slot.past.stats, report.stats)),
            outcomes=sum_outcomes((slot.past.outcomes, report.outcomes, lost)),
        )
        slot.report = ipc.Report()

    def _retry(self, slot: _Slot) -> None:
        """Have a successor: at once for one that had run well, else after a while, longer each time."""
        if slot.born_s and self._loop.time() - slot.born_s >= _STABLE_S:
            slot.failures = 0
            delay_s = 0.0
        else:
            delay_s = min(_RETRY_MAX_S, _RETRY_FIRST_S * 2**slot.failures)
            slot.failures = min(slot.failures + 1, 10)
        slot.retry = self._loop.call_later(delay_s, self._start_worker, slot)

    def _link_ended(self, slot: _Slot, reason: str) -> None:
        """Its exit follows, if it has not been seen yet: a worker ends when its link does."""
        if not self._is_ending:
            self._log.debug("worker.link_ended", worker=slot.index, pid=slot.pid, reason=reason)
        self._drop_link(slot)

    def _drop_link(self, slot: _Slot) -> None:
        link, slot.link = slot.link, None
        if link is not None:
            link.close()
        for question in self._questions.values():
            question.awaited.discard(slot.index)
        self._answer_complete()
        self._check()

    # -- messages --------------------------------------------------------------------------------------------

    def _order(self, order: ipc.Order) -> None:
        self._orders.append(order)
        for slot in self._slots:
            if slot.link is not None:
                slot.link.send(order)

    def _take(self, slot: _Slot, message: ipc.Message) -> None:
        if not slot.has_spoken:
            slot.has_spoken = True
            self._changed.set()
        match message:
            case ipc.Quiet():
                slot.is_quiet = True
                self._check()
            case ipc.ConnectionOpened():
                self._on_new_connection()
            case ipc.AppUnreachable():
                if self._on_unreachable is not None:
                    self._on_unreachable()
            case ipc.UpstreamsGone():
                slot.upstreams_gone = True
                self._changed.set()
            case ipc.Report():
                slot.report = message
                question = self._questions.get(message.number)
                if question is not None and slot.index in question.awaited:
                    question.awaited.discard(slot.index)
                    question.answers.append(message)
                    self._answer_complete()
            case (
                ipc.Configure()
                | ipc.Listen()
                | ipc.Readiness()
                | ipc.AnnounceStop()
                | ipc.StopAccepting()
                | ipc.CloseIdle()
                | ipc.CloseStreams()
                | ipc.Cut()
                | ipc.ClosePool()
                | ipc.Ask()
                | ipc.SetLogLevel()
                | ipc.Abort()
            ):
                self._log.error("worker.bad_notice", worker=slot.index, kind=type(message).__name__)
            case _:
                assert_never(message)

    def _answer_complete(self) -> None:
        """Answer what all have answered, in the order asked."""
        for number, question in list(self._questions.items()):
            if question.awaited:
                return
            self._answer(number)

    def _answer(self, number: int) -> None:
        question = self._questions.pop(number, None)
        if question is None:
            return
        answers = question.answers
        census: Counter[str] = Counter()
        in_flight: Counter[str] = Counter()
        for answer in answers:
            census.update(answer.census)
            in_flight.update(answer.in_flight)
        question.then(
            Snapshot(
                dict(census),
                self.stats,
                self.outcomes,
                sum_levels(answer.levels for answer in answers),
                dict(in_flight),
                oldest_of(it for answer in answers for it in answer.oldest),
                workers=len(self._slots),
                workers_serving=sum(
                    slot.link is not None and slot.has_spoken and slot.index not in question.awaited
                    for slot in self._slots
                ),
                worker_exits=self._exit_count,
                silent_workers=len(question.awaited),
            )
        )

    # -- quiet -----------------------------------------------------------------------------------------------

    def _are_all_quiet(self) -> bool:
        return all(slot.is_quiet for slot in self._slots if slot.link is not None)

    def _check(self) -> None:
        self._changed.set()
        if self._is_stopping and not self._said_quiet and self._are_all_quiet():
            self._said_quiet = True
            self._on_quiet()

    async def _until(self, is_so: Callable[[], bool], limit_s: float) -> None:
        """Wait for a message that makes it so, so long at most."""
        end_s = self._loop.time() + limit_s
        while not is_so() and (left_s := end_s - self._loop.time()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left_s)
            except TimeoutError:
                return

    def _unlink(self, sock: socket.socket) -> None:
        path = os.fsdecode(sock.getsockname())
        try:
            os.unlink(path)
        except OSError as problem:
            self._log.warning("listener.unlink_failed", address=f"unix:{path}", reason=str(problem))

    def __repr__(self) -> str:
        return f"Fleet({self._slots!r}, stopping={self._is_stopping})"

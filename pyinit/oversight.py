"""What an operator sees of a run, and may do to it: the app's parts as one state, orders as the machine's events."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from pyinit import __version__
from pyinit.drain import phases
from pyinit.drain.report import phase_durations_s
from pyinit.form import form
from pyinit.init import signals

if TYPE_CHECKING:
    from collections import Counter
    from typing import Protocol

    from pyinit.admin.state import RunState, StopState
    from pyinit.drain.phases import DrainMachine
    from pyinit.front import Start
    from pyinit.init.child import Child
    from pyinit.log import Sink
    from pyinit.logsetup import LeveledLog
    from pyinit.proxy.steering import Front, Snapshot

    class _App(Protocol):
        signals: Counter[str]

        @property
        def not_ready(self) -> str | None: ...

        def handle(self, event: phases.Event) -> None: ...


# Whoever asks can wait a little for a worker of a busy machine, rather than be told that it is silent.
_ANSWER_S = 1.0


class Oversight:
    """An admin.state.Operator of a run.

    Args:
        start: what was decided before the loop.
        machine: whose phase it is.
        front: the proxy.
        child: the app's process.
        listening: public addresses.
        app: knows whether it is ready, and carries out what an event brings.
        log: whose level can be set.
        sink: whose lines are counted.
    """

    def __init__(
        self,
        start: Start,
        *,
        machine: DrainMachine,
        front: Front,
        child: Child,
        listening: list[str],
        app: _App,
        log: LeveledLog,
        sink: Sink,
    ) -> None:
        self._start = start
        self._machine = machine
        self._front = front
        self._child = child
        self._listening = tuple(listening)
        self._app = app
        self._log = log
        self._sink = sink
        # Once: a clock that is set, or a machine that slept, makes it no other run.
        self._started_at_s = time.time() - (time.monotonic() - start.began_s)

    @property
    def not_ready(self) -> str | None:
        """See Operator."""
        return self._app.not_ready

    async def state(self) -> RunState:
        """See Operator."""
        answer: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self._front.ask(lambda now: None if answer.done() else answer.set_result(now), _ANSWER_S)
        return self._state(await answer, time.monotonic())

    def _state(self, now: Snapshot, now_s: float) -> RunState:
        from pyinit.admin.state import BudgetState, ChildState, RunState  # noqa: PLC0415  of a start 4 ms

        start, child = self._start, self._child
        budget = start.budget
        uptime_s = now_s - start.began_s
        return RunState(
            pid=os.getpid(),
            version=__version__,
            form=form(),
            mode="sidecar" if child.pid is None else "front",
            started_at_s=self._started_at_s,
            uptime_s=uptime_s,
            phase=self._machine.phase.value,
            not_ready=self.not_ready,
            platform=start.platform.name,
            listeners=self._listening,
            upstream=str(start.upstream),
            budget=BudgetState(
                budget.total_s, budget.lame_duck_s, budget.lame_duck_max_s, budget.drain_s, budget.kill_s
            ),
            stop=self._stop(now_s),
            child=None
            if child.pid is None
            else ChildState(child.pid, start.program.decode("utf-8", "backslashreplace"), child.code),
            workers=now.workers,
            silent_workers=now.silent_workers,
            census=now.census,
            stats=now.stats,
            outcomes=now.outcomes,
            levels=now.levels,
            in_flight=now.in_flight,
            oldest=now.oldest,
            signals=dict(self._app.signals),
            reaped_count=child.reaped_count,
            log_level=self._log.level,
            log_dropped_count=self._sink.dropped_count + now.stats.log_lines_dropped,
            workers_serving=now.workers_serving,
            worker_exits=now.worker_exits,
        )

    def _stop(self, now_s: float) -> StopState | None:
        machine = self._machine
        if machine.began_s is None:
            return None
        from pyinit.admin.state import StopState  # noqa: PLC0415  the same

        signum = machine.stop_signum
        return StopState(
            began_ago_s=now_s - machine.began_s,
            signal=None if signum is None else signals.name(signum),
            phases_s=phase_durations_s(machine, now_s),
        )

    def drain(self) -> str:
        """See Operator."""
        return self._order(phases.DrainRequested(), "drain")

    def stop(self) -> str:
        """See Operator."""
        return self._order(phases.StopRequested(signals.SIGTERM), "stop")

    def _order(self, event: phases.Event, name: str) -> str:
        self._log.info("control.ordered", order=name)
        self._app.handle(event)
        return self._machine.phase.value

    def count_fault(self) -> None:
        """See Operator."""
        self._front.count_fault()

    def set_log_level(self, level: str) -> None:
        """See Operator."""
        info = self._log.info  # of before: why a log says no more is the last that it says
        self._log.set_level(level)
        self._front.set_log_level(level)
        say = self._log.info if level in ("debug", "info") else info
        say("log.level_changed", log_level=level)

    def __repr__(self) -> str:
        return f"Oversight({self._machine!r}, ready={self.not_ready is None})"

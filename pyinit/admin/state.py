"""How a run stands, as plain values: what status, metrics and the page are made of; and what an operator may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pyinit.proxy.stats import Levels

if TYPE_CHECKING:
    from pyinit.drain.outcomes import InFlight, Outcomes
    from pyinit.proxy.stats import Stats


@dataclass(frozen=True, slots=True)
class StopState:
    """A stop or drain that has begun.

    Attributes:
        began_ago_s: since its beginning, which is the budget's.
        signal: the stop signal's name; None where only a drain was asked for.
        phases_s: phase -> its duration so far, in order.
    """

    began_ago_s: float
    signal: str | None
    phases_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class BudgetState:
    """Deadlines of a stop, in seconds from its beginning.

    Attributes:
        total_s: by then we have exited.
        lame_duck_s: the lame duck's least.
        lame_duck_max_s: and its most.
        drain_s: the end of the drain.
        kill_s: then the app is killed.
    """

    total_s: float
    lame_duck_s: float
    lame_duck_max_s: float
    drain_s: float
    kill_s: float


@dataclass(frozen=True, slots=True)
class ChildState:
    """The app's main process.

    Attributes:
        pid: as we see it.
        program: its first word; arguments can hold secrets.
        exit_code: None while it runs.
    """

    pid: int
    program: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class RunState:
    """One moment of a run.

    Attributes:
        pid: ours.
        version: ours.
        mode: front or sidecar.
        started_at_s: when we began, seconds of the epoch.
        uptime_s: since then.
        phase: of the drain machine; ``serving`` before a stop.
        not_ready: why not; None while ready.
        platform: whose grace is assumed.
        listeners: public addresses.
        upstream: the app's.
        budget: of a stop.
        stop: None before one.
        child: None in sidecar mode.
        workers: how many proxies there are.
        silent_workers: of those, how many did not answer in time: their connections are not counted.
        census: client connections by state.
        stats: since the start.
        outcomes: since the stop's beginning.
        levels: what the proxies have now.
        in_flight: exchanges and tunnels by kind.
        oldest: of those, the oldest first; some.
        signals: those received, by name.
        reaped_count: processes reaped that were neither the child nor workers.
        log_level: the least that is logged.
        log_dropped_count: lines that nobody took.
        workers_serving: of the workers, those that run, have loaded, and answer.
        worker_exits: workers that ended before their time; each has a successor.
        form: of the hot path, pure or compiled.
    """

    pid: int
    version: str
    mode: str
    started_at_s: float
    uptime_s: float
    phase: str
    not_ready: str | None
    platform: str
    listeners: tuple[str, ...]
    upstream: str
    budget: BudgetState
    stop: StopState | None
    child: ChildState | None
    workers: int
    census: dict[str, int]
    stats: Stats
    outcomes: Outcomes
    levels: Levels = field(default_factory=Levels)
    in_flight: dict[str, int] = field(default_factory=dict)
    silent_workers: int = 0
    oldest: tuple[InFlight, ...] = ()
    signals: dict[str, int] = field(default_factory=dict)
    reaped_count: int = 0
    log_level: str = "info"
    log_dropped_count: int = 0
    workers_serving: int = 1
    worker_exits: int = 0
    form: str = "pure"


class Operator(Protocol):
    """What the surface may ask of the run."""

    @property
    def not_ready(self) -> str | None:
        """Why it is not ready; None while it is."""
        ...

    async def state(self) -> RunState:
        """How things stand now, all workers included."""
        ...

    def drain(self) -> str:
        """Lame duck and drain, then wait for the stop; the budget's clock starts here. Returns the phase."""
        ...

    def stop(self) -> str:
        """As SIGTERM. Returns the phase."""
        ...

    def count_fault(self) -> None:
        """Something of the surface's own has failed."""

    def set_log_level(self, level: str) -> None:
        """debug, info, warning or error, from here on. Raises ValueError for another."""

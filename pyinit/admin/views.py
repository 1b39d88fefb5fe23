"""What is answered: a run's state as the JSON of ``/status`` and the lines of ``/livez`` and ``/readyz``; pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pyinit.drain.outcomes import Kind
from pyinit.proxy.stats import DURATION_BOUNDS_S

if TYPE_CHECKING:
    from pyinit.admin.state import RunState

# Of the form of /status: more fields may come; one that goes, or means something else, is a new version.
STATUS_VERSION = 1
# Those of drain.tracker.State that a connection which is open has; all are there, 0 or not.
_CONNECTION_STATES = ("new", "active", "idle", "tunnel", "lingering")


def readiness(not_ready: str | None) -> tuple[int, str]:
    """Status code and text of ``/readyz``."""
    return (200, "ready\n") if not_ready is None else (503, f"not ready: {not_ready}\n")


def status(state: RunState) -> dict[str, object]:
    """The object of ``/status``; tests/unit/admin/status.schema.json describes it."""
    stop, child, budget = state.stop, state.child, state.budget
    spent_s = 0.0 if stop is None else min(stop.began_ago_s, budget.total_s)
    return {
        "status_version": STATUS_VERSION,
        "pid": state.pid,
        "version": state.version,
        "mode": state.mode,
        "started_at": round(state.started_at_s, 3),
        "uptime_s": round(state.uptime_s, 3),
        "phase": state.phase,
        "ready": state.not_ready is None,
        "not_ready": state.not_ready,
        "platform": state.platform,
        "listeners": list(state.listeners),
        "upstream": state.upstream,
        "budget": {
            **{name: round(value, 3) for name, value in asdict(budget).items()},
            "spent_s": round(spent_s, 3),
            "left_s": round(budget.total_s - spent_s, 3),
        },
        "stop": None
        if stop is None
        else {
            "began_ago_s": round(stop.began_ago_s, 3),
            "signal": stop.signal,
            "phases_s": {name: round(value, 3) for name, value in stop.phases_s.items()},
        },
        "child": None if child is None else asdict(child),
        "workers": state.workers,
        "workers_silent": state.silent_workers,
        "connections": {name: state.census.get(name, 0) for name in _CONNECTION_STATES},
        "in_flight": {kind.value: state.in_flight.get(kind.value, 0) for kind in Kind},
        "oldest": [asdict(exchange) for exchange in state.oldest],
        "totals": asdict(state.stats),
        "duration_bounds_s": list(DURATION_BOUNDS_S),
        "outcomes": asdict(state.outcomes),
        "signals": dict(state.signals),
        "processes_reaped": state.reaped_count,
        "log_level": state.log_level,
        "log_lines_dropped": state.log_dropped_count,
    }

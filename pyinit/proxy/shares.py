"""What one proxy would have, divided among several, and what several have done, added up."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from pyinit.drain.outcomes import CUT_LISTED_MAX, Outcomes
from pyinit.proxy.stats import Levels, Stats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyinit.proxy.config import ProxyConfig


def divide(config: ProxyConfig, count: int, *, connections: int | None) -> list[ProxyConfig]:
    """One configuration for each worker: together they have what one proxy would have.

    Args:
        config: of one proxy.
        count: of workers; at most ``connections``.
        connections: for all together; None leaves each what it has, for a limit that holds for each process.
    """
    parts = []
    for index in range(count):
        own = config.max_connections
        if connections is not None:
            own = connections // count + (index < connections % count)
        parts.append(
            replace(
                config, max_connections=own, buffer_memory_bytes=max(1, config.buffer_memory_bytes // count)
            )
        )
    return parts


def sum_outcomes(parts: Iterable[Outcomes]) -> Outcomes:
    """One report's worth: counts, and as many of those that were cut as one report lists."""
    total = Outcomes()
    for part in parts:
        for it in fields(Outcomes):
            # Counts, and the list of those that were cut: each adds up with +.
            setattr(total, it.name, getattr(total, it.name) + getattr(part, it.name))
    del total.cut[CUT_LISTED_MAX:]
    return total


def sum_levels(parts: Iterable[Levels]) -> Levels:
    """What all of them have together."""
    total = Levels()
    for part in parts:
        for it in fields(Levels):
            setattr(total, it.name, getattr(total, it.name) + getattr(part, it.name))
    return total


def sum_stats(parts: Iterable[Stats]) -> Stats:
    """The counters of one proxy that had done all of it."""
    total = Stats()
    for part in parts:
        for it in fields(Stats):
            before, more = getattr(total, it.name), getattr(part, it.name)
            by_class = isinstance(before, list)
            setattr(
                total,
                it.name,
                [a + b for a, b in zip(before, more, strict=True)] if by_class else before + more,
            )
    return total

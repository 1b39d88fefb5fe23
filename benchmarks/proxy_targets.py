"""What is wanted of the figures of proxy_cost.py, and whether a run has it: a table for each section.

A cell has pyinit's median, its ratio to what it is held against, and ``met`` or ``missed``; the verdict is left out
where nothing is wanted, and ``not measured`` where one side of it is missing. A column for each pyinit in the run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from measuring import table
from proxy_loads import LOADS, MIB, Figures
from proxy_start import FRONT_BYTE, FRONT_READY, INIT_BYTE, NODE_READY, UVLOOP

if TYPE_CHECKING:
    from proxy_report import Rates, Report

READY, CONTROL, IDLE = "ready", "control socket used", "{:,} idle"
# The most that CPU may be, of the peers' by name.
_COST_AT_MOST = {
    "browser": {"nginx": 1.0, "haproxy": 1.0},
    "post-mib": {"nginx": 1.5},
    "get-mib": {"nginx": 1.5},
}
_OF_AIOHTTP = 1 / 8
_SHARED_AT_LEAST, _APART_AT_LEAST = 0.5, 0.95
_READY_MIB, _CONTROL_MIB, _IDLE_MIB = 24.0, 44.0, 6.0
_EXEC_LATER_MS = 10.0
_PEERS = {"nginx": "nginx", "haproxy": "HAProxy"}
_Pick = Callable[[str], float | None]


class Against(NamedTuple):
    """What figures are held against.

    Attributes:
        label: its name.
        value: its own figure; None where it was not measured.
        bound: what the ratio may be at most; None where nothing is wanted.
        is_floor: at least, rather.
        digits: of the ratio.
    """

    label: str
    value: float | None
    bound: float | None = None
    is_floor: bool = False
    digits: int = 2

    def ratio(self, value: float | None) -> float | None:
        """None where there is none; nor is there one to a latency of nothing, as noise may have it."""
        return None if value is None or self.value is None or self.value <= 0 else value / self.value

    def verdict(self, value: float | None) -> bool | None:
        """Whether it is met; None where that cannot be told."""
        ratio = self.ratio(value)
        if ratio is None or self.bound is None:
            return None
        return ratio >= self.bound if self.is_floor else ratio <= self.bound

    def text(self, value: float | None) -> str:
        """The ratio, in words; nothing where there is none."""
        ratio = self.ratio(value)
        return "" if ratio is None else f"{ratio:.{self.digits}f} of {self.label}"


def cost(report: Report) -> str:
    """CPU of what passes."""
    rows = []
    for load in LOADS:
        by_title = report.loads.get(load.name)
        if not by_title:
            continue

        def pick(title: str, by_title: dict[str, list[Figures]] = by_title) -> float | None:
            return _median(one.cpu_us for one in by_title.get(title, ()))

        most = _COST_AT_MOST.get(load.name, {})
        target = " and ".join(f"{label}'s" for name, label in _PEERS.items() if name in most)
        target = f"at most {max(most.values()):g} of {target}" if most else "-"
        title = f"{load.title} ({load.connections:,}), µs per {load.unit}"
        rows.append(_row(report, title, target, pick, _peers(report, pick, most)))
        if load.name == "browser":
            aiohttp = Against("aiohttp", pick(report.titles.get("aiohttp", "")), _OF_AIOHTTP, digits=3)
            title = "... against aiohttp's server and client session"
            rows.append(_row(report, title, "at most 0.125 of aiohttp's", pick, [aiohttp]))
    return _table(report, rows)


def latency(report: Report) -> str:
    """What one connection waits longer than without a proxy, p50."""
    by_title = report.loads.get("one", {})

    def p50(title: str) -> float | None:
        return _median(one.p50_us for one in by_title.get(title, ()) if one.p50_us is not None)

    direct = p50(report.titles.get("direct", ""))

    def added(title: str) -> float | None:
        value = p50(title)
        return None if value is None or direct is None else value - direct

    peers = _peers(report, added, {"nginx": 1.0})
    return _table(report, [_row(report, "added at one connection, p50, µs", "at most nginx's", added, peers)])


def rates(report: Report, by_title: Rates, *, is_shared: bool) -> str:
    """Requests a second in front of a Node hello world."""

    def pick(title: str) -> float | None:
        return _median(by_title.get(title, ()))

    least = _SHARED_AT_LEAST if is_shared else _APART_AT_LEAST
    alone = Against("Node alone", pick(report.titles.get("hello", "")), least, is_floor=True)
    title = "Node and proxy sharing one core" if is_shared else "Node and proxy on a core each"
    target = f"at least {least:g} of Node alone"
    row = _row(
        report, f"{title}, requests a second", target, pick, [alone, *_peers(report, pick, {})], digits=0
    )
    return _table(report, [row])


def memory(report: Report) -> str:
    """PSS, MiB."""

    def of(state: str) -> _Pick:
        def pick(title: str) -> float | None:
            count = report.memory.get(title, {}).get(state)
            return None if count is None else count / MIB

        return pick

    def more(title: str) -> float | None:
        ready, idle = of(READY)(title), of(IDLE.format(1000))(title)
        return None if ready is None or idle is None else idle - ready

    wanted: tuple[tuple[str, float, _Pick], ...] = (
        (READY, _READY_MIB, of(READY)),
        (CONTROL, _CONTROL_MIB, of(CONTROL)),
        ("added by 1,000 idle connections", _IDLE_MIB, more),
    )
    rows = [
        _row(report, f"{what}, MiB", f"at most {most:g}", pick, _peers(report, pick, {}), most=most)
        for what, most, pick in wanted
    ]
    return _table(report, rows)


def start(report: Report) -> str:
    """Milliseconds."""

    def ms(row: str) -> float | None:
        seconds = _median(report.starts.get(row, ()))
        return None if seconds is None else seconds * 1e3

    def later(title: str) -> float | None:
        init, front = ms(INIT_BYTE.format(title)), ms(FRONT_BYTE.format(title))
        return None if init is None or front is None else front - init

    node, uvloop = ms(NODE_READY), ms(UVLOOP)
    both = Against("both", None if node is None or uvloop is None else node + uvloop, 1.0)
    target = f"at most {_EXEC_LATER_MS:g}"
    rows = [
        _row(report, "the child's exec after init mode's, ms", target, later, [], most=_EXEC_LATER_MS),
        _row(
            report,
            "ready with a Node hello world, ms",
            "at most Node alone and `import uvloop` together",
            lambda title: ms(FRONT_READY.format(title)),
            [both],
        ),
    ]
    return _table(report, rows)


def _peers(report: Report, pick: _Pick, most: dict[str, float]) -> list[Against]:
    return [
        Against(label, pick(report.titles.get(name, "")), most.get(name)) for name, label in _PEERS.items()
    ]


def _row(
    report: Report,
    title: str,
    target: str,
    pick: _Pick,
    against: list[Against],
    *,
    most: float | None = None,
    digits: int = 1,
) -> list[str]:
    """A line of a table.

    Args:
        report: of the run.
        title: what it is about.
        target: what is wanted, in words.
        pick: a proxy's figure, by its title.
        against: what it is held against.
        most: what it may be in itself.
        digits: of the figure.
    """
    cells = []
    for name in report.ours:
        value = pick(report.titles.get(name, ""))
        shown = "-" if value is None else f"{value:,.{digits}f}"
        texts = [text for one in against if (text := one.text(value))]
        verdicts = [one.verdict(value) for one in against if one.bound is not None]
        if most is not None:
            verdicts.append(None if value is None else value <= most)
        cells.append("; ".join([", ".join([shown, *texts]), *_said(verdicts)]))
    return [title, target, *cells]


def _said(verdicts: list[bool | None]) -> list[str]:
    """What is missed is missed, whatever else was not measured."""
    if not verdicts:
        return []
    if False in verdicts:
        return ["**missed**"]
    return ["not measured" if None in verdicts else "met"]


def _median(values: Iterable[float]) -> float | None:
    ordered = list(values)
    return statistics.median(ordered) if ordered else None


def _table(report: Report, rows: list[list[str]]) -> str:
    ours = [report.titles.get(name, name) for name in report.ours]
    return table(("", "target", *ours), rows) if ours else ""

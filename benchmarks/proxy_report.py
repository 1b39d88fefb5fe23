"""A run of proxy_cost.py: its JSON, its tables, its picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import proxy_targets
from measuring import say, spread, table
from proxy_loads import LOADS, MIB, Figures, Load

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from storm_peers import Peer

_MEASURES = ("nginx", "haproxy")
# Read on white and on black alike: GitHub shows a picture on the page's own ground.
_TEXT = "#727a84"
_OURS, _OTHERS = "#2f81f7", "#d55e00"
_DRAWN = ("browser", "fresh", "get-mib")
_FONT_POINTS = 11
Rates = dict[str, list[float]]


@dataclass(slots=True)
class Report:
    """Everything measured, by the proxy's title; its order is the tables'.

    Attributes:
        machine: what it ran on.
        plan: how long and how often.
        titles: of proxies, by name.
        ours: names of the pyinits with one worker, whose targets are looked at.
        loads: figures by load and proxy.
        shared: requests a second, one processor for the proxy and Node.
        apart: the same, a processor for each.
        workers: figures without pinning.
        memory: bytes, by proxy and state.
        starts: seconds, by what was started.
        notes: what was left out, and what went wrong.
        took_s: the whole run.
    """

    machine: str
    plan: dict[str, float]
    titles: dict[str, str] = field(default_factory=dict)
    ours: list[str] = field(default_factory=list)
    loads: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    shared: Rates = field(default_factory=dict)
    apart: Rates = field(default_factory=dict)
    workers: dict[str, list[Figures]] = field(default_factory=dict)
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    took_s: float = 0.0

    def add(self, load: str, title: str, figures: Figures) -> None:
        """One measurement under a load."""
        self.loads.setdefault(load, {}).setdefault(title, []).append(figures)

    def title_of(self, peer: Peer) -> str:
        """In the tables; it is asked for its version once."""
        if peer.name not in self.titles:
            self.titles[peer.name] = peer.full_title()
        return self.titles[peer.name]

    def note(self, text: str) -> None:
        """Said at once, and with the tables; once."""
        if text not in self.notes:
            self.notes.append(text)
            say(text)

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, default=list) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        """What save() kept."""
        told = json.loads(path.read_text())
        told["loads"] = {
            load: {title: [Figures(*one) for one in several] for title, several in by_title.items()}
            for load, by_title in told["loads"].items()
        }
        told["workers"] = {
            title: [Figures(*one) for one in several] for title, several in told["workers"].items()
        }
        return cls(**told)

    def text(self) -> str:
        """All tables, as Markdown."""
        parts = [f"{self.machine}; {_plan(self.plan)}; took {self.took_s / 60:.1f} min", *self._notes()]
        requests = [load for load in LOADS if load.unit == "request"]
        parts += _section("CPU, against the targets", proxy_targets.cost(self) if self.loads else "")
        for title, loads in (
            ("CPU per request, microseconds", requests),
            ("CPU per MiB, event or message, microseconds", [load for load in LOADS if load not in requests]),
        ):
            if any(load.name in self.loads for load in loads):
                parts += _section(title, self._cpu(loads))
        if "one" in self.loads:
            title = "Latency at one connection, microseconds"
            parts += _section(title, proxy_targets.latency(self), self._latency())
        for title, rates, is_shared in (
            ("Requests a second, Node hello world and proxy sharing one core", self.shared, True),
            ("Requests a second, Node hello world and proxy on a core each", self.apart, False),
        ):
            if rates:
                held = proxy_targets.rates(self, rates, is_shared=is_shared)
                parts += _section(title, held, _rates(rates, self.titles.get("hello", "")))
        if self.workers:
            parts += _section("Workers: load, app and proxy on all cores", self._workers())
        if self.memory:
            parts += _section("Memory, MiB", proxy_targets.memory(self), self._memory())
        if self.starts:
            rows = [(title, spread(values)) for title, values in self.starts.items()]
            plain = table(("", "median (least to most)"), rows)
            parts += _section("Start, milliseconds", proxy_targets.start(self), plain)
        return "\n\n".join(parts) + "\n"

    def _notes(self) -> list[str]:
        return ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []

    def _cpu(self, loads: list[Load]) -> str:
        loads = [load for load in loads if load.name in self.loads]
        titles = list(dict.fromkeys(title for load in loads for title in self.loads[load.name]))
        peers = [self.titles.get(name, "") for name in _MEASURES]
        rows = []
        for title in titles:
            if title == self.titles.get("direct"):
                continue
            cells = [title]
            for load in loads:
                by_title = self.loads[load.name]
                cells.append(_cost(by_title.get(title, []), [by_title.get(peer, []) for peer in peers]))
            rows.append(cells)
        told = "median (least to most); of nginx's, of HAProxy's"
        return table((told, *(_head(load) for load in loads)), rows)

    def _latency(self) -> str:
        by_title = self.loads["one"]
        direct = by_title.get(self.titles.get("direct", ""), [])
        rows = []
        for title, several in by_title.items():
            cells = [title]
            for pick in (lambda one: one.p50_us, lambda one: one.p99_us):
                values = _picked(several, pick)
                cells.append(_spread(values))
                plain = _picked(direct, pick)
                cells.append(f"{_median(values) - _median(plain):.0f}" if values and plain else "")
            rows.append(cells)
        return table(("", "p50", "added", "p99", "added"), rows)

    def _workers(self) -> str:
        rows = [
            (
                title,
                _spread([one.rate for one in several], digits=0),
                _spread([one.cpu_us for one in several]),
                f"{_median([one.busy for one in several]):.2f}",
            )
            for title, several in self.workers.items()
        ]
        return table(("", "requests a second", "CPU per request, µs", "of it cores busy"), rows)

    def _memory(self) -> str:
        states = list(dict.fromkeys(state for by_state in self.memory.values() for state in by_state))
        rows = [
            (title, *(f"{by_state[state] / MIB:.1f}" if state in by_state else "" for state in states))
            for title, by_state in self.memory.items()
            if by_state
        ]
        return table(("", *states), rows)


def _section(title: str, *tables: str) -> list[str]:
    return [f"### {title}", *tables] if any(tables) else []


def _plan(plan: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in plan.items())


def _head(load: Load) -> str:
    per = f", per {load.unit}" if load.unit != "request" else ""
    return f"{load.title}{per} ({load.connections:,})"


def _cost(several: list[Figures], peers: list[list[Figures]]) -> str:
    if not several:
        return "-"
    values = [one.cpu_us for one in several]
    ratios = [
        f"{_median(values) / _median([one.cpu_us for one in peer]):.2f}" if peer else "-" for peer in peers
    ]
    errors = sum(one.errors for one in several)
    return f"{_spread(values)}; {', '.join(ratios)}" + (f", {errors} errors" if errors else "")


def _rates(rates: Rates, hello: str) -> str:
    """By title; hello is Node's, alone."""
    alone = rates.get(hello)
    rows = [
        (title, _spread(values, digits=0), f"{_median(values) / _median(alone):.2f}" if alone else "")
        for title, values in rates.items()
    ]
    return table(("", "requests a second", "of Node alone"), rows)


def _picked(several: list[Figures], pick: Callable[[Figures], float | None]) -> list[float]:
    return [value for one in several if (value := pick(one)) is not None]


def _spread(values: Iterable[float], *, digits: int = 1) -> str:
    ordered = sorted(values)
    if not ordered:
        return "-"
    middle = f"{_median(ordered):,.{digits}f}"
    return (
        middle if len(ordered) == 1 else f"{middle} ({ordered[0]:,.{digits}f} to {ordered[-1]:,.{digits}f})"
    )


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def draw(report: Report, path: Path) -> None:
    """Processor time by proxy, one panel a load.

    Raises:
        ModuleNotFoundError: there is no matplotlib.
    """
    import matplotlib as mpl  # noqa: PLC0415  an extra, and half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    loads = [load for load in LOADS if load.name in _DRAWN and load.name in report.loads]
    titles = list(dict.fromkeys(title for load in loads for title in report.loads[load.name]))
    titles = [title for title in titles if title != report.titles.get("direct")]
    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "proxy",
            "font.family": "sans-serif",
            "font.size": _FONT_POINTS,
            "text.color": _TEXT,
            "xtick.color": _TEXT,
            "ytick.color": _TEXT,
            "axes.edgecolor": _TEXT,
        }
    ):
        # One panel below the other, no wider than a phone can show without making its letters too small.
        figure = Figure(figsize=(5.4, 0.6 + len(loads) * (0.5 + 0.27 * len(titles))), layout="constrained")
        panels = figure.subplots(len(loads), 1, squeeze=False)[:, 0]
        for panel, load in zip(panels, loads, strict=True):
            _panel(panel, load, report.loads[load.name], titles)
            panel.set_yticks(range(len(titles)), [_short(title) for title in titles])
            panel.set_ylim(len(titles) - 0.4, -0.6)
        figure.supxlabel("CPU of the proxy for each, microseconds (logarithmic)", fontsize=_FONT_POINTS)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _short(title: str) -> str:
    """Without what stands behind the version; the form of a pyinit stays."""
    for end in (", server", " (uvloop", " (Node"):
        title = title.partition(end)[0]
    return title


def _panel(panel: Axes, load: Load, by_title: dict[str, list[Figures]], titles: list[str]) -> None:
    per = "" if load.unit == "request" else f", per {load.unit}"
    panel.set_title(load.title + per, fontsize=_FONT_POINTS, loc="left", fontweight="bold")
    # The numbers stand at the points: a logarithmic axis names few, or all on top of each other.
    panel.set_xscale("log")
    panel.xaxis.set_ticks([])
    panel.xaxis.set_ticks([], minor=True)
    panel.margins(x=0.2)
    panel.patch.set_alpha(0)
    panel.tick_params(length=0)
    for side in ("top", "right", "bottom"):
        panel.spines[side].set_visible(False)
    for place, title in enumerate(titles):
        values = [one.cpu_us for one in by_title.get(title, [])]
        if not values:
            continue
        is_ours = title.startswith("pyinit")
        colour = _OURS if is_ours else _OTHERS
        panel.plot([min(values), max(values)], [place, place], color=colour, linewidth=2)
        panel.plot([_median(values)], [place], "o", color=colour, markersize=6)
        panel.annotate(
            f"{_median(values):,.{0 if _median(values) >= 100 else 1}f}",
            (max(values), place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=_FONT_POINTS,
            fontweight="bold" if is_ours else "normal",
        )

"""What many stops did, kept as JSON, as tables and as a picture."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measuring
from storm import LOST, Counts, Kind, Outcome, Plan, Stop

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Read on white and on black alike: GitHub shows a picture on the page's own ground.
_TEXT = "#7d8590"
_MARKS = (("o", "#2f81f7"), ("s", "#d55e00"), ("^", "#009e73"))
_WIDTH_INCHES, _HEIGHT_PER_PEER_INCHES = 8.0, 0.42


@dataclass(slots=True)
class Report:
    """All stops of a run.

    Attributes:
        machine: what it ran on.
        plan: how hard it was.
        stops: by the condition's and the peer's title, in the order of the table.
        notes: what was left out, and what went wrong.
        took_s: the whole run.
    """

    machine: str
    plan: dict[str, Any]
    stops: dict[tuple[str, str], list[Stop]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def conditions(self) -> list[str]:
        """Their names."""
        return list(dict.fromkeys(condition for condition, _ in self.stops))

    @property
    def peers(self) -> list[str]:
        """Their titles."""
        return list(dict.fromkeys(peer for _, peer in self.stops))

    def save(self, path: Path) -> None:
        """As JSON."""
        stops = [
            {"condition": condition, "peer": peer, **_as_json(stop)}
            for (condition, peer), stops in self.stops.items()
            for stop in stops
        ]
        whole = {
            "machine": self.machine,
            "plan": self.plan,
            "took_s": round(self.took_s, 1),
            "notes": self.notes,
            "stops": stops,
        }
        path.write_text(json.dumps(whole, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        """What ``save`` wrote."""
        whole = json.loads(path.read_text())
        report = cls(whole["machine"], whole["plan"], notes=whole["notes"], took_s=whole["took_s"])
        for row in whole["stops"]:
            report.stops.setdefault((row["condition"], row["peer"]), []).append(_from_json(row))
        return report

    def text(self) -> str:
        """Markdown: what it was, and a table for each condition."""
        plan = Plan(**self.plan)
        first = (
            f"{self.machine}; {self.took_s / 60:.1f} minutes. {plan.new} clients with a connection for each request,"
            f" {plan.reuse} that keep theirs, {plan.slow} whose request is slow (`{plan.slow_target}`);"
            f" {plan.budget_s:g} s from signal to SIGKILL."
        )
        heads = [
            "lost in a stop, and seconds from signal to exit: median (most)",
            *(f"{condition}: {what}" for condition in self.conditions for what in ("lost", "exit, s")),
        ]
        rows = [[peer, *self._in_short(peer)] for peer in self.peers]
        lines = [first, "", measuring.table(heads, rows)]
        for condition in self.conditions:
            rows = [
                _row(peer, self.stops[condition, peer])
                for peer in self.peers
                if self.stops.get((condition, peer))
            ]
            lines += ["", f"### {condition}", "", measuring.table(_HEADS, rows)]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines)

    def _in_short(self, peer: str) -> Iterator[str]:
        for condition in self.conditions:
            stops = self.stops.get((condition, peer))
            if not stops:
                yield from ("", "")
                continue
            lost = [stop.count(*LOST) for stop in stops]
            exits_s = [stop.exit_s for stop in stops]
            yield f"{statistics.median(lost):g} ({max(lost)})"
            yield f"{statistics.median(exits_s):.2f} ({max(exits_s):.2f})"


_HEADS = (
    "",
    "stops",
    "lost in a stop: median",
    "most",
    "in all",
    "of these reset",
    "empty",
    "cut",
    "timed out",
    "answered, but not 200",
    "refused connects",
    "connects timed out",
    "idle reset",
    "signal to exit, s: median",
    "most",
    "killed",
    "slowest refusal, ms",
)


def _row(peer: str, stops: Sequence[Stop]) -> list[str]:
    lost = [stop.count(*LOST) for stop in stops]
    exits_s = [stop.exit_s for stop in stops]
    sorts = (
        *LOST,
        Outcome.NOT_200,
        Outcome.REFUSED,
        Outcome.CONNECT_TIMED_OUT,
        Outcome.IDLE_RESET,
    )
    return [
        peer,
        str(len(stops)),
        f"{statistics.median(lost):g}",
        str(max(lost)),
        f"**{sum(lost)}**",
        *(str(sum(stop.count(outcome) for stop in stops)) for outcome in sorts),
        f"{statistics.median(exits_s):.2f}",
        f"{max(exits_s):.2f}",
        str(sum(stop.is_killed for stop in stops)),
        f"{max(stop.slowest_refusal_s for stop in stops) * 1000:.0f}",
    ]


def _as_json(stop: Stop) -> dict[str, Any]:
    return {**asdict(stop), "before": _counts_out(stop.before), "after": _counts_out(stop.after)}


def _from_json(row: dict[str, Any]) -> Stop:
    own = {name: value for name, value in row.items() if name not in ("condition", "peer")}
    return Stop(**{**own, "before": _counts_in(own["before"]), "after": _counts_in(own["after"])})


def _counts_out(counts: Counts) -> dict[str, dict[str, int]]:
    return {
        kind.value: {outcome.value: counts[kind, outcome] for outcome in Outcome if counts[kind, outcome]}
        for kind in Kind
    }


def _counts_in(table: dict[str, dict[str, int]]) -> Counts:
    return Counter(
        {
            (Kind(kind), Outcome(outcome)): count
            for kind, row in table.items()
            for outcome, count in row.items()
        }
    )


def draw(report: Report, path: Path) -> None:
    """Two panels as SVG: lost in a stop, and time from signal to exit; the median, and a line to the most.

    Raises:
        ModuleNotFoundError: there is no matplotlib.
    """
    import matplotlib as mpl  # noqa: PLC0415  an extra, and half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "drain",
            "font.family": "sans-serif",
            "font.size": 9,
            "text.color": _TEXT,
            "xtick.color": _TEXT,
            "ytick.color": _TEXT,
            "axes.edgecolor": _TEXT,
        }
    ):
        height_inches = 1.3 + _HEIGHT_PER_PEER_INCHES * len(report.peers)
        figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        lost, exits = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        _panel(lost, report, lambda stop: stop.count(*LOST))
        # Linear up to 1, so that none is a place on the axis.
        lost.set_xscale("symlog", linthresh=1)
        lost.set_xlim(left=-0.3)
        lost.set_xticks(ticks := _decades(report), [f"{tick:,}" for tick in ticks])
        lost.set_title("requests lost in a stop", fontsize=9)
        _panel(exits, report, lambda stop: stop.exit_s)
        exits.set_xlim(left=0)
        exits.set_title("seconds from signal to exit", fontsize=9)
        lost.set_yticks(range(len(report.peers)), [peer.replace("`", "") for peer in report.peers])
        lost.set_ylim(len(report.peers) - 0.4, -0.6)
        handles, labels = lost.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _decades(report: Report) -> list[int]:
    most = max(stop.count(*LOST) for stops in report.stops.values() for stop in stops)
    ticks = [0, 1]
    while ticks[-1] < most:
        ticks.append(ticks[-1] * 10)
    return ticks


def _panel(axes: Axes, report: Report, figure_of: Callable[[Stop], float]) -> None:
    conditions = report.conditions
    for turn, condition in enumerate(conditions):
        marker, colour = _MARKS[turn % len(_MARKS)]
        shift = (turn - (len(conditions) - 1) / 2) * 0.24
        places, medians, most = [], [], []
        for row, peer in enumerate(report.peers):
            if values := [figure_of(stop) for stop in report.stops.get((condition, peer), ())]:
                places.append(row + shift)
                medians.append(statistics.median(values))
                most.append(max(values))
        axes.hlines(places, medians, most, colors=colour, linewidth=1.5)
        axes.plot(medians, places, marker, color=colour, markersize=4.5, label=condition, clip_on=False)
    axes.grid(axis="x", color=_TEXT, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)

"""One stop as a timeline: its requests and pyinit's phases, kept as JSON, as a table and as a picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measuring
from storm import LOST, Kind, Outcome, Request

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Read on white and on black alike, and told apart by who sees no red or no green: the page's own ground shows through.
_TEXT = "#7d8590"
_FINISHED, _REFUSED, _CUT = "#2f81f7", "#d29922", "#f0476b"
# A phone is as wide as this at its natural size.
_WIDTH_INCHES, _LANE_INCHES = 5.4, 0.115
_PHASES = {
    "serving": ("serving", "#8b949e", 0.0),
    "lame_duck": ("lame duck", "#a371f7", 0.16),
    "draining": ("drain", "#3fb950", 0.18),
    "stopping": ("the app's\nsignal, exit", "#8b949e", 0.45),
}
_TITLES = {
    Kind.NEW: "a connection for each request",
    Kind.REUSE: "connections that are kept",
    Kind.SLOW: "slow requests",
}
_ENDLESS = "a request that takes a minute"
# Of a lane: between two bars, and of one too short to be seen.
_GAP_S, _LEAST_S = 0.02, 0.03


@dataclass(frozen=True, slots=True)
class Timeline:
    """A stop; all instants in seconds after the signal came to pyinit.

    Attributes:
        machine: what it ran on.
        words: how the container was run and stopped.
        asked_s: of the engine's stop command: before 0.
        phases: name and begin of each, as pyinit's log has them; the last is ``done``.
        exit_s: of pyinit's last line.
        requests: of the storm's clients.
        endless: a request that is longer than any budget.
    """

    machine: str
    words: str
    asked_s: float
    phases: tuple[tuple[str, float], ...]
    exit_s: float
    requests: tuple[Request, ...]
    endless: Request

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), default=lambda value: value.value) + "\n")

    @classmethod
    def load(cls, path: Path) -> Timeline:
        """What ``save`` wrote."""
        whole = json.loads(path.read_text())
        whole["phases"] = tuple((name, begin_s) for name, begin_s in whole["phases"])
        whole["requests"] = tuple(map(_request, whole["requests"]))
        return cls(**{**whole, "endless": _request(whole["endless"])})

    def count(self, *outcomes: Outcome) -> int:
        """How many requests of the storm ended so."""
        return sum(request.outcome in outcomes for request in self.requests)

    def text(self) -> str:
        """Markdown: the phases, and what became of the requests."""
        ends = [begin_s for _, begin_s in self.phases[1:]]
        rows = [
            [name, f"{begin_s:.2f}", f"{end_s - begin_s:.2f}"]
            for (name, begin_s), end_s in zip(self.phases, ends, strict=False)
            if name in _PHASES and name != "serving"
        ]
        counts = Counter(request.outcome for request in self.requests)
        outcomes = ", ".join(f"{count:,} {outcome.value}" for outcome, count in counts.most_common())
        return "\n".join(
            [
                f"{self.machine}. {self.words}",
                "",
                measuring.table(("phase", "begins, s after the signal", "lasts, s"), rows),
                "",
                *self._sentences(outcomes),
            ]
        )

    def _sentences(self, outcomes: str) -> Iterator[str]:
        yield f"{self.count(*LOST)} of the storm's requests were lost ({outcomes})."
        yield f"The one that takes a minute: {self.endless.outcome.value}, at {self.endless.ended_s:.2f} s."
        yield f"The engine took {-self.asked_s:.2f} s to send the signal."
        yield f"pyinit's last line came {self.exit_s:.2f} s after it."


def _request(row: dict[str, Any]) -> Request:
    return Request(Kind(row["kind"]), Outcome(row["outcome"]), row["began_s"], row["ended_s"])


def draw(timeline: Timeline, path: Path) -> None:
    """A picture as SVG, or PNG by the file's name: phases behind, a lane for each client before them.

    Raises:
        ModuleNotFoundError: there is no matplotlib.
    """
    import matplotlib as mpl  # noqa: PLC0415  an extra, and half a second
    from matplotlib.figure import Figure  # noqa: PLC0415  as above

    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "stop",
            "font.family": "sans-serif",
            "font.size": 10,
            "text.color": _TEXT,
            "xtick.color": _TEXT,
            "axes.edgecolor": _TEXT,
        }
    ):
        begin_s, end_s = -1.0, timeline.exit_s + 0.75  # room for the last phase's name
        lanes = list(_lanes(timeline, begin_s, end_s))
        height_inches = 1.3 + _LANE_INCHES * lanes[-1][0]
        figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        axes = figure.subplots()
        axes.set_xlim(begin_s, end_s)
        axes.set_xticks(range(int(begin_s), int(timeline.exit_s) + 1))
        axes.set_ylim(lanes[-1][0] + 1, -1.5)
        _draw_phases(axes, timeline, begin_s)
        for row, requests in lanes:
            _draw_lane(axes, row, requests, end_s)
        for above, title in _titles(timeline, begin_s, end_s):
            axes.text(0.08, above, title, va="center", fontsize=9.5, fontweight="bold")
        _draw_ground(axes, figure)
        axes.set_xlabel("seconds after the signal", color=_TEXT)
        kind = path.suffix.removeprefix(".") or "svg"
        figure.savefig(path, format=kind, transparent=True, dpi=160, metadata=_no_date(kind))


def _no_date(kind: str) -> dict[str, Any]:
    return {"Date": None} if kind == "svg" else {}


def _groups(timeline: Timeline, begin_s: float, end_s: float) -> Iterator[tuple[str, list[list[Request]]]]:
    for kind, title in _TITLES.items():
        shown = [
            replace(request, began_s=max(request.began_s, begin_s), ended_s=min(request.ended_s, end_s))
            for request in timeline.requests
            if request.kind is kind and request.ended_s > begin_s and request.began_s < end_s
        ]
        yield title, _in_lanes(sorted(shown, key=lambda request: request.began_s))
    yield _ENDLESS, [[replace(timeline.endless, began_s=max(timeline.endless.began_s, begin_s))]]


def _in_lanes(requests: Sequence[Request]) -> list[list[Request]]:
    """Each in the lane that is free for longest: the storm does not say whose it was, and all clients are alike."""
    lanes: list[list[Request]] = []
    for request in requests:
        longest = min(lanes, key=lambda lane: lane[-1].ended_s, default=None)
        if longest is not None and longest[-1].ended_s <= request.began_s:
            longest.append(request)
        else:
            lanes.append([request])
    return lanes


def _lanes(timeline: Timeline, begin_s: float, end_s: float) -> Iterator[tuple[int, list[Request]]]:
    row = 0
    for _, lanes in _groups(timeline, begin_s, end_s):
        row += 2
        for lane in lanes:
            yield row, lane
            row += 1


def _titles(timeline: Timeline, begin_s: float, end_s: float) -> Iterator[tuple[float, str]]:
    row = 0
    for title, lanes in _groups(timeline, begin_s, end_s):
        yield row + 0.9, title
        row += 2 + len(lanes)


def _draw_phases(axes: Axes, timeline: Timeline, begin_s: float) -> None:
    ends_s = [end_s for _, end_s in timeline.phases[1:]]
    for (name, start_s), end_s in zip(timeline.phases, ends_s, strict=False):
        if name not in _PHASES:
            continue
        title, colour, alpha = _PHASES[name]
        from_s = max(start_s, begin_s)
        axes.axvspan(from_s, end_s, color=colour, alpha=alpha, linewidth=0)
        # The app's own end takes less time than its name has room.
        is_short = name == "stopping"
        _write_above(
            axes, title, from_s if is_short else (from_s + end_s) / 2, "left" if is_short else "center"
        )
    axes.axvline(0, color=_TEXT, linewidth=1.2)
    _write_above(axes, "SIGTERM\n", 0, "center")


def _write_above(axes: Axes, text: str, at_s: float, side: str) -> None:
    axes.annotate(
        text,
        (at_s, 1.0),
        (0, 5),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha=side,
        va="bottom",
        annotation_clip=False,
    )


def _draw_lane(axes: Axes, row: int, requests: Sequence[Request], end_s: float) -> None:
    # Each takes no time, and the next try comes 20 ms later: what is refused is a row of dashes.
    refused_s = [request.began_s for request in requests if request.outcome is Outcome.REFUSED]
    if refused_s:
        dashes = (0.0, (0.8, 0.9))
        axes.hlines(row, min(refused_s), max(refused_s), colors=_REFUSED, linewidth=3.5, linestyles=dashes)
    cut = [request for request in requests if request.outcome not in (Outcome.ANSWERED, Outcome.REFUSED)]
    _draw_bars(axes, row, [request for request in requests if request.outcome is Outcome.ANSWERED], _FINISHED)
    _draw_bars(axes, row, cut, _CUT)
    for request in cut:
        if request.ended_s < end_s:
            axes.plot(request.ended_s, row, "x", color=_CUT, markersize=7, markeredgewidth=2)


def _draw_bars(axes: Axes, row: int, requests: Sequence[Request], colour: str) -> None:
    from matplotlib.patches import PathPatch  # noqa: PLC0415  for a picture alone
    from matplotlib.path import Path as Outline  # noqa: PLC0415  as above

    top, bottom = row - 0.36, row + 0.36
    bars = []
    for request in requests:
        left_s = request.began_s
        right_s = max(request.ended_s - _GAP_S, left_s + _LEAST_S)
        bars.append(
            Outline([(left_s, top), (right_s, top), (right_s, bottom), (left_s, bottom), (left_s, top)])
        )
    if bars:
        # One path for all of a lane, or the picture is ten times as large.
        axes.add_patch(PathPatch(Outline.make_compound_path(*bars), facecolor=colour, linewidth=0))


def _draw_ground(axes: Axes, figure: Figure) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415  for a picture alone

    axes.set_yticks([])
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    handles = [
        Patch(color=_FINISHED, label="finished"),
        Patch(color=_REFUSED, label="refused: may be tried again"),
        Patch(color=_CUT, label="cut"),
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        handlelength=1.0,
        columnspacing=1.2,
    )

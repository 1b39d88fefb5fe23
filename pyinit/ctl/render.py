"""A run's state as lines for people; pure, and ASCII, as a container's terminal has any encoding."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from pyinit.ctl.view import View, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of a column of labels, with the two spaces in front.
_LABEL = 14
_BAR = 24
_WIDTH_MIN = 30
_STATES = ("new", "active", "idle", "tunnel", "lingering")
_PHASES = {"lame_duck": "lame duck"}
# Which of the budget's deadlines ends a phase, and how that is said.
_ENDS = {
    "lame_duck": ("lame_duck_max_s", "the drain begins"),
    "draining": ("drain_s", "what is left is cut"),
    "stopping": ("kill_s", "the app is killed"),
}
_BOLD, _GREEN, _YELLOW, _RED = "1", "32", "33", "31"


class Seen(NamedTuple):
    """One of several pyinits.

    Attributes:
        address: its control socket's.
        state: the line of its health socket, or what is wrong.
        pid: as seen from here; 0 in another PID namespace, None where it does not tell.
    """

    address: str
    state: str
    pid: int | None


class Page:
    """Lines that keep to a width, coloured or not.

    Args:
        width: columns.
        is_coloured: whether escape sequences may be used.
    """

    def __init__(self, width: int, *, is_coloured: bool) -> None:
        self.lines: list[str] = []
        self._width = max(_WIDTH_MIN, width)
        self._is_coloured = is_coloured

    def title(self, text: str) -> None:
        """A line of its own."""
        self.lines += [self._painted(line, _BOLD) for line in textwrap.wrap(text, self._width)]

    def row(self, label: str, text: str, colour: str = "") -> None:
        """A label and what it is, on as many lines as that takes."""
        wrapped = textwrap.wrap(text, self._width - _LABEL) or [""]
        for head, line in zip([label] + [""] * (len(wrapped) - 1), wrapped, strict=True):
            self.lines.append(f"  {head:<{_LABEL - 2}}{self._painted(line, colour)}")

    def table(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Columns as wide as they have to be; the line is cut at the width."""
        rows = list(rows)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            self.lines.append(_cut(f"  {line}".rstrip(), self._width))

    def space(self) -> None:
        """An empty line."""
        self.lines.append("")

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._is_coloured and colour else text


def status(fields: dict[str, object], *, address: str, width: int, is_coloured: bool) -> list[str]:
    """A run.

    Args:
        fields: what /status says.
        address: whom it was asked from.
        width: columns of the terminal.
        is_coloured: whether it shows colours.
    """
    now, page = View(fields), Page(width, is_coloured=is_coloured)
    mode, age = now.text("mode"), duration(now.number("uptime_s"))
    page.title(f"pyinit {now.text('version')} at {address}: {mode} mode, pid {now.count('pid')}, up {age}")
    _add_phase(page, now)
    page.row("listening", ", ".join(now.texts("listeners")))
    _add_app(page, now)
    _add_counts(page, now)
    oldest = now.views("oldest")
    if oldest:
        page.space()
        page.title("Oldest in flight")
        page.table(_exchange(one) for one in oldest)
    outcomes = now.view("outcomes")
    if outcomes.views("cut"):
        page.space()
        page.title("Cut")
        page.table(_exchange(one) for one in outcomes.views("cut"))
        listed, count = len(outcomes.views("cut")), outcomes.count("cut_count")
        if count > listed:
            page.lines.append(f"  and {count - listed} more")
    return page.lines


def several(seen: list[Seen], *, width: int, is_coloured: bool) -> list[str]:
    """All that are in this network namespace, and how to ask one."""
    page = Page(width, is_coloured=is_coloured)
    page.title(f"{len(seen)} pyinits in this network namespace")
    page.table((one.address, one.state, _whereabouts(one.pid)) for one in seen)
    page.space()
    page.lines.append(f"One of them: pyinitctl --control {seen[-1].address} status")
    return page.lines


def outcome(fields: dict[str, object]) -> str:
    """What became of what a drain found."""
    return _outcome(View(fields).view("outcomes"))


def cut_lines(fields: dict[str, object], width: int) -> list[str]:
    """Each exchange that was cut."""
    page = Page(width, is_coloured=False)
    page.table(_exchange(one) for one in View(fields).view("outcomes").views("cut"))
    return page.lines


def duration(seconds: float) -> str:
    """For people: two units at the most."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size_s, unit, part_s, part_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size_s:
            return f"{whole // size_s} {unit} {whole % size_s // part_s} {part_unit}"
    return f"{whole} s"


def bar(left: float, total: float) -> str:
    """What is left of a budget."""
    share = min(1.0, max(0.0, left / total)) if total else 0.0
    full = round(share * _BAR)
    return f"[{'#' * full}{'-' * (_BAR - full)}]"


def _add_phase(page: Page, now: View) -> None:
    phase, stop, budget = now.text("phase"), now.view("stop"), now.view("budget")
    is_stopping, is_ready = now.has("stop"), now.is_true("ready")
    text = _PHASES.get(phase, phase)
    if is_stopping:
        text += (
            f", by {stop.text('signal')}"
            if stop.has("signal")
            else ", waiting for the stop" * (phase == "drained")
        )
    page.row("phase", text, _YELLOW if is_stopping else "")
    if is_stopping:
        phases = ", ".join(
            f"{_PHASES.get(name, name)} {duration(took_s)}"
            for name, took_s in stop.view("phases_s").numbers()
        )
        page.row("", phases)
    page.row("ready", "yes" if is_ready else f"no: {now.text('not_ready')}", _GREEN if is_ready else _RED)
    total_s, left_s = budget.number("total_s"), budget.number("left_s")
    if not is_stopping:
        page.row("budget", f"{total_s:.1f} s to stop in ({now.text('platform')})")
        return
    text = f"{bar(left_s, total_s)} {left_s:.1f} of {total_s:.1f} s left"
    deadline, what = _ENDS.get(phase, ("", ""))
    if deadline:
        text += (
            f"; {what} in {max(0.0, budget.number(deadline) - budget.number('spent_s')):.1f} s at the latest"
        )
    page.row("budget", text, _RED if left_s < total_s / 4 else _YELLOW)


def _add_app(page: Page, now: View) -> None:
    child, where = now.view("child"), now.text("upstream")
    if not now.has("child"):
        page.row("app", f"at {where}")
    elif child.has("exit_code"):
        page.row("app", f"{child.text('program')}, exited with {child.count('exit_code')}", _RED)
    else:
        page.row("app", f"{child.text('program')}, pid {child.count('pid')}, at {where}")


def _add_counts(page: Page, now: View) -> None:
    census, totals, outcomes = now.view("connections"), now.view("totals"), now.view("outcomes")
    workers, silent = now.count("workers"), now.count("workers_silent")
    by_state = [f"{census.count(state)} {state}" for state in _STATES if census.count(state)]
    open_count = sum(census.count(state) for state in _STATES)
    text = f"{open_count} open" + (f": {', '.join(by_state)}" if by_state else "")
    if workers > 1:
        text += f"; {workers} workers"
    if silent:
        text += f", of which {silent} do not answer and are not counted"
    page.row("connections", text, _RED if silent else "")
    page.row("", f"{totals.count('connections'):,} since the start")
    classes = totals.counts("responses")
    answers = ", ".join(f"{count:,} {n}xx" for n, count in enumerate(classes) if count)
    page.row("requests", f"{totals.count('requests'):,}" + (f"; answered {answers}" if answers else ""))
    troubles = (
        ("refused", "refused"),
        ("upstream_failures", "failures of the app"),
        ("replays", "sent again"),
        ("callback_faults", "faults of pyinit"),
    )
    found = [f"{totals.count(name):,} {what}" for name, what in troubles if totals.count(name)]
    if found:
        page.row("", ", ".join(found), _RED if totals.count("callback_faults") else "")
    if now.has("stop"):
        page.row("drain", _outcome(outcomes), _RED if outcomes.count("cut_count") else "")
    dropped = now.count("log_lines_dropped")
    page.row("log", f"level {now.text('log_level')}" + (f", {dropped:,} lines dropped" if dropped else ""))


def _outcome(outcomes: View) -> str:
    kinds = (
        ("exchanges_finished", "finished"),
        ("connections_closed_idle", "closed idle"),
        ("tunnels_finished", "tunnels finished"),
        ("websockets_closed", "WebSockets closed"),
        ("streams_ended", "event streams ended"),
        ("cut_count", "cut"),
    )
    # The first and the last are what is looked for, none or not.
    is_shown = ("exchanges_finished", "cut_count")
    counted = [
        (outcomes.count(name), what) for name, what in kinds if outcomes.count(name) or name in is_shown
    ]
    return ", ".join(f"{count:,} {what}" for count, what in counted)


def _exchange(one: View) -> tuple[str, ...]:
    method = one.text("method") or "tcp"
    return (f"{duration(one.number('age_s')):>10}", method, one.text("peer"), one.text("target"))


def _whereabouts(pid: int | None) -> str:
    if pid is None:
        return ""
    return f"pid {pid}" if pid else "in another PID namespace"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else printable(line[: width - 3]) + "..."

"""The drain machine: its table row by row, and the laws that hold for any sequence of events."""

from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.drain.budget import Budget
from pyinit.drain.phases import (
    IGNORED,
    TRANSITIONS,
    WITHOUT_STOP,
    Action,
    ChildExited,
    ChildReady,
    ConnectionOpened,
    DeadlineReached,
    DrainMachine,
    DrainRequested,
    Event,
    HurryRequested,
    Phase,
    Quiet,
    StopRequested,
)
from tests.support.diagram import diagram, edges
from tests.support.strategies import law

README = Path(__file__).resolve().parents[3] / "README.md"
SIGTERM, SIGINT = 15, 2
EVENT_TYPES = get_args(Event)
ORDER = list(Phase)
A, P = Action, Phase

STOP = StopRequested(SIGTERM)
# total 10 s: lame duck 1 to 5 s, drain until 6.9 s, kill at 9.9 s.
BUDGET = Budget(stop_timeout_s=10.5, drain_delay_s=1, child_timeout_s=3)
NO_LAME_DUCK = Budget(stop_timeout_s=10.5, drain_delay_s=0, child_timeout_s=3)


def machine(*events: tuple[Event, float], budget: Budget = BUDGET, has_child: bool = True) -> DrainMachine:
    """A machine that has been handed (event, time) pairs."""
    made = DrainMachine(budget, has_child=has_child)
    for event, now_s in events:
        made.handle(event, now_s)
    return made


# -- the table -----------------------------------------------------------------------------------------------

# (sentence, phase, event type, next phase, actions). What is not here is ignored.
ROWS = [
    ("the app is ready, so we listen", P.STARTING, ChildReady, P.SERVING, [A.START_ACCEPTING]),
    (
        "a stop before it is ready goes straight to the app",
        P.STARTING,
        StopRequested,
        P.STOPPING,
        [A.ANNOUNCE_STOP, A.STOP_ACCEPTING, A.CLOSE_POOL, A.SIGNAL_CHILD],
    ),
    (
        "a drain before it is ready has nothing to wait for",
        P.STARTING,
        DrainRequested,
        P.DRAINED,
        [A.ANNOUNCE_STOP, A.STOP_ACCEPTING],
    ),
    ("a stop begins with the lame duck", P.SERVING, StopRequested, P.LAME_DUCK, [A.ANNOUNCE_STOP]),
    ("a drain does so too", P.SERVING, DrainRequested, P.LAME_DUCK, [A.ANNOUNCE_STOP]),
    (
        "the lame duck's end is the drain's beginning",
        P.LAME_DUCK,
        DeadlineReached,
        P.DRAINING,
        [A.STOP_ACCEPTING, A.CLOSE_IDLE, A.CLOSE_STREAMS],
    ),
    (
        "a hurry ends the lame duck",
        P.LAME_DUCK,
        HurryRequested,
        P.DRAINING,
        [A.STOP_ACCEPTING, A.CLOSE_IDLE, A.CLOSE_STREAMS],
    ),
    (
        "quiet: the app is signalled",
        P.DRAINING,
        Quiet,
        P.STOPPING,
        [A.CUT, A.CLOSE_POOL, A.SIGNAL_CHILD],
    ),
    (
        "the deadline: what is left is cut first",
        P.DRAINING,
        DeadlineReached,
        P.STOPPING,
        [A.CUT, A.CLOSE_POOL, A.SIGNAL_CHILD],
    ),
    (
        "a hurry is a deadline that came early",
        P.DRAINING,
        HurryRequested,
        P.STOPPING,
        [A.CUT, A.CLOSE_POOL, A.SIGNAL_CHILD],
    ),
    (
        "a drained one waits for the stop, then signals",
        P.DRAINED,
        StopRequested,
        P.STOPPING,
        [A.CLOSE_POOL, A.SIGNAL_CHILD],
    ),
    ("an app that does not stop is killed", P.STOPPING, DeadlineReached, P.KILLING, [A.KILL_CHILD]),
    ("a hurry kills it at once", P.STOPPING, HurryRequested, P.KILLING, [A.KILL_CHILD]),
    ("an app that outlives SIGKILL is not waited for", P.KILLING, DeadlineReached, P.DONE, [A.FINISH]),
    ("the app has stopped", P.STOPPING, ChildExited, P.DONE, [A.FINISH]),
    ("the app was killed", P.KILLING, ChildExited, P.DONE, [A.FINISH]),
    *(
        (
            f"the app exits while {phase.value}: all ends with it",
            phase,
            ChildExited,
            P.DONE,
            [A.ANNOUNCE_STOP, A.STOP_ACCEPTING, A.CUT, A.CLOSE_POOL, A.FINISH],
        )
        for phase in (P.STARTING, P.SERVING, P.LAME_DUCK, P.DRAINING, P.DRAINED)
    ),
]


def test_the_table_is_total() -> None:
    assert set(TRANSITIONS) == {(phase, event) for phase in Phase for event in EVENT_TYPES}


@pytest.mark.parametrize(
    ("phase", "event", "to", "actions"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_row_of_the_table(phase: Phase, event: type, to: Phase, actions: list[Action]) -> None:
    transition = TRANSITIONS[phase, event]
    assert (transition.to, list(transition.actions)) == (to, actions)


def test_every_other_pair_is_ignored() -> None:
    told = {(row[1], row[2]) for row in ROWS}
    for pair, transition in TRANSITIONS.items():
        assert (transition is IGNORED) == (pair not in told), pair


def test_no_row_leads_back_a_phase() -> None:
    for table in (TRANSITIONS, WITHOUT_STOP):
        for (phase, _), transition in table.items():
            assert transition.to is None or ORDER.index(transition.to) > ORDER.index(phase)


def test_a_phase_without_a_way_out_is_the_last_one() -> None:
    assert {start for start, _ in edges()} == set(Phase) - {P.DONE}


def test_without_a_stop_signal_the_drain_ends_in_drained() -> None:
    assert {pair[0] for pair in WITHOUT_STOP} == {P.DRAINING}
    assert {event for _, event in WITHOUT_STOP} == {
        event for (phase, event), it in TRANSITIONS.items() if phase is P.DRAINING and it.to is P.STOPPING
    }
    assert {(it.to, it.actions) for it in WITHOUT_STOP.values()} == {(P.DRAINED, (A.CUT,))}


# -- stories -------------------------------------------------------------------------------------------------


def test_a_whole_stop() -> None:
    m = machine()
    assert m.handle(ChildReady(), 0) == [A.START_ACCEPTING]
    assert m.handle(STOP, 100) == [A.ANNOUNCE_STOP]
    assert m.next_deadline_s() == 101
    assert m.handle(DeadlineReached(), 101) == [A.STOP_ACCEPTING, A.CLOSE_IDLE, A.CLOSE_STREAMS]
    assert m.next_deadline_s() == pytest.approx(100 + BUDGET.drain_s)
    assert m.handle(Quiet(), 102) == [A.CUT, A.CLOSE_POOL, A.SIGNAL_CHILD]
    # What the drain left over is the app's.
    assert m.next_deadline_s() == pytest.approx(109.9)
    assert m.handle(DeadlineReached(), 109.9) == [A.KILL_CHILD]
    assert m.next_deadline_s() == 110
    assert m.handle(ChildExited(), 109.95) == [A.FINISH]
    assert m.next_deadline_s() is None
    assert (m.phase, m.stop_signum, m.began_s) == (P.DONE, SIGTERM, 100)
    assert m.entered_s == {
        P.SERVING: 0,
        P.LAME_DUCK: 100,
        P.DRAINING: 101,
        P.STOPPING: 102,
        P.KILLING: 109.9,
        P.DONE: 109.95,
    }


def test_without_a_delay_there_is_no_lame_duck() -> None:
    m = machine((ChildReady(), 0), (ConnectionOpened(), 9.9), budget=NO_LAME_DUCK)
    assert m.handle(STOP, 10) == [A.ANNOUNCE_STOP, A.STOP_ACCEPTING, A.CLOSE_IDLE, A.CLOSE_STREAMS]
    assert m.phase is P.DRAINING


def test_the_lame_duck_lasts_its_delay_at_least() -> None:
    m = machine((ChildReady(), 0), (STOP, 10))
    assert m.handle(DeadlineReached(), 10.999) == []
    assert m.next_deadline_s() == 11
    m.handle(DeadlineReached(), 11)
    assert m.phase is P.DRAINING


def test_the_lame_duck_goes_on_until_nobody_new_came_for_two_seconds() -> None:
    m = machine((ChildReady(), 0), (STOP, 10), (ConnectionOpened(), 10.5))
    assert m.next_deadline_s() == 12.5
    m.handle(ConnectionOpened(), 12.4)
    assert m.next_deadline_s() == 14.4
    assert m.handle(DeadlineReached(), 12.5) == []
    assert m.handle(DeadlineReached(), 14.4) == [A.STOP_ACCEPTING, A.CLOSE_IDLE, A.CLOSE_STREAMS]


def test_the_lame_duck_ends_at_half_the_budget_whoever_comes() -> None:
    m = machine((ChildReady(), 0), (STOP, 10))
    for tenths in range(50):
        m.handle(ConnectionOpened(), 10 + tenths / 10)
    assert m.next_deadline_s() == 15
    m.handle(DeadlineReached(), 15)
    assert m.phase is P.DRAINING


def test_the_lame_duck_never_takes_the_time_kept_for_the_child() -> None:
    """With a long --child-timeout half the budget is more than the drain has."""
    budget = Budget(stop_timeout_s=10.5, drain_delay_s=1, child_timeout_s=7)
    m = machine((ChildReady(), 0), (STOP, 10), (ConnectionOpened(), 12.5), budget=budget)
    assert m.next_deadline_s() == pytest.approx(12.9)


def test_a_drain_from_outside_waits_for_the_stop_with_what_is_left() -> None:
    m = machine((ChildReady(), 0), (DrainRequested(), 10), (DeadlineReached(), 11))
    assert m.handle(Quiet(), 12) == [A.CUT]
    assert (m.phase, m.stop_signum, m.next_deadline_s()) == (P.DRAINED, None, None)
    assert m.handle(STOP, 13) == [A.CLOSE_POOL, A.SIGNAL_CHILD]
    assert m.next_deadline_s() == pytest.approx(19.9)  # from the drain's beginning, not from the signal


def test_a_stop_during_a_drain_from_outside_goes_on_where_it_is() -> None:
    m = machine((ChildReady(), 0), (DrainRequested(), 10), (DeadlineReached(), 11))
    assert m.handle(STOP, 11.5) == []
    assert m.handle(Quiet(), 12) == [A.CUT, A.CLOSE_POOL, A.SIGNAL_CHILD]
    assert m.began_s == 10


def test_a_stop_that_finds_the_drains_budget_spent_is_another_graces() -> None:
    """A preStop hook's SIGKILL would have come: this app was drained by a person, and has its time like any other."""
    m = machine((ChildReady(), 0), (DrainRequested(), 10), (DeadlineReached(), 11), (Quiet(), 12), (STOP, 99))
    assert (m.phase, m.began_s) == (P.STOPPING, 99)
    assert m.next_deadline_s() == pytest.approx(108.9)
    assert m.handle(DeadlineReached(), 99) == []
    assert m.handle(DeadlineReached(), 109) == [A.KILL_CHILD]
    assert m.handle(DeadlineReached(), 110) == [A.FINISH]


def test_a_stop_that_comes_with_the_drains_budget_nearly_spent_has_what_is_left() -> None:
    m = machine(
        (ChildReady(), 0), (DrainRequested(), 10), (DeadlineReached(), 11), (Quiet(), 12), (STOP, 19.8)
    )
    assert m.began_s == 10
    assert m.next_deadline_s() == pytest.approx(19.9)


def test_a_drain_is_asked_for_twice_and_begins_once() -> None:
    m = machine((ChildReady(), 0), (DrainRequested(), 10))
    assert m.handle(DrainRequested(), 10.5) == []
    m = machine((ChildReady(), 0), (DrainRequested(), 10), (DeadlineReached(), 11), (Quiet(), 12))
    assert m.handle(DrainRequested(), 99) == []
    assert (m.phase, m.began_s) == (P.DRAINED, 10)


def test_the_first_stop_signal_is_the_one_that_is_remembered() -> None:
    m = machine((ChildReady(), 0), (STOP, 10), (StopRequested(SIGINT), 11))
    assert m.stop_signum == SIGTERM


def test_a_stop_after_the_end_changes_nothing() -> None:
    m = machine((ChildExited(), 5))
    assert m.handle(STOP, 6) == []
    assert (m.stop_signum, m.began_s) == (None, None)


def test_a_hurry_goes_through_all_phases() -> None:
    m = machine((ChildReady(), 0), (STOP, 10))
    seen = [m.phase]
    for _ in range(3):
        m.handle(HurryRequested(), 10.1)
        seen.append(m.phase)
    assert seen == [P.LAME_DUCK, P.DRAINING, P.STOPPING, P.KILLING]


def test_a_sidecar_is_done_when_its_drain_is() -> None:
    m = machine((ChildReady(), 0), (STOP, 10), (DeadlineReached(), 11), has_child=False)
    assert m.handle(Quiet(), 12) == [A.CUT, A.CLOSE_POOL, A.FINISH]
    assert m.phase is P.DONE


def test_a_sidecar_that_is_not_ready_stops_at_once() -> None:
    m = machine(has_child=False)
    assert m.handle(STOP, 1) == [A.ANNOUNCE_STOP, A.STOP_ACCEPTING, A.CLOSE_POOL, A.FINISH]


def test_its_state_is_in_its_repr() -> None:
    assert repr(machine((STOP, 3))) == "DrainMachine(STOPPING, stop_signum=15, began_s=3)"


# -- laws ----------------------------------------------------------------------------------------------------

budgets = st.builds(
    lambda total_s, delay, child: Budget(
        stop_timeout_s=total_s + 0.5,
        drain_delay_s=delay * min(total_s / 2, total_s * (1 - child) - 0.2),
        child_timeout_s=child * total_s,
    ),
    st.floats(1, 600),
    st.just(0.0) | st.floats(0, 0.99),
    st.floats(0, 0.7),
)
events = st.sampled_from(
    [
        ChildReady(),
        STOP,
        StopRequested(SIGINT),
        DrainRequested(),
        HurryRequested(),
        ConnectionOpened(),
        Quiet(),
        DeadlineReached(),
        ChildExited(),
    ]
)
# Mostly a serving app, so that most runs reach the drain.
runs = st.builds(
    lambda ready, steps: ([(ChildReady(), 0.0)] if ready else []) + steps,
    st.booleans() | st.just(value=True),
    st.lists(st.tuples(events, st.floats(0, 100)), max_size=25),
)


class Run:
    """A machine driven as the edge drives it: DeadlineReached is handed in whenever it is due.

    Attributes:
        phases: after each call, from the beginning.
        actions: all that were ordered.
        began_s: when a stop or a drain was first asked for, if one was; a stop that comes when an ordered drain's
            budget is spent begins one of its own.
        stop_s: when a stop was.
        early: what was ordered by deadlines that were not due.
    """

    def __init__(self, budget: Budget, steps: list[tuple[Event, float]], *, has_child: bool) -> None:
        self.machine = DrainMachine(budget, has_child=has_child)
        self._kill_s = budget.kill_s
        self.phases = [self.machine.phase]
        self.actions: list[Action] = []
        self.began_s: float | None = None
        self.stop_s: float | None = None
        self.early: list[Action] = []
        self.now_s = 1000.0
        for event, wait_s in steps:
            at_s = self.now_s + wait_s
            self._deadlines_until(at_s)
            self.now_s = at_s
            self._hand(event, at_s)
        self._deadlines_until(float("inf"))

    def _deadlines_until(self, end_s: float) -> None:
        while (due_s := self.machine.next_deadline_s()) is not None and due_s <= end_s:
            self.now_s = max(self.now_s, due_s)
            before = self.machine.phase
            self._hand(DeadlineReached(), self.now_s)
            assert self.machine.phase is not before, "a deadline that was due has changed nothing"

    def _hand(self, event: Event, now_s: float) -> None:
        if isinstance(event, StopRequested | DrainRequested) and self.machine.phase is not P.DONE:
            is_first_stop = isinstance(event, StopRequested) and self.stop_s is None
            if self.began_s is None or (is_first_stop and now_s >= self.began_s + self._kill_s):
                self.began_s = now_s
            if is_first_stop:
                self.stop_s = now_s
        due_s = self.machine.next_deadline_s()
        ordered = self.machine.handle(event, now_s)
        if isinstance(event, DeadlineReached) and (due_s is None or now_s < due_s):
            self.early += ordered
        self.actions += ordered
        self.phases.append(self.machine.phase)


@law
@given(budget=budgets, steps=runs, has_child=st.booleans())
def test_once_a_stop_was_requested_it_ends_within_the_budget(
    *, budget: Budget, steps: list[tuple[Event, float]], has_child: bool
) -> None:
    run = Run(budget, steps, has_child=has_child)
    if run.stop_s is None:
        return
    assert run.began_s is not None
    assert run.machine.phase is P.DONE
    assert run.machine.entered_s[P.DONE] <= run.began_s + budget.total_s


@law
@given(budget=budgets, steps=runs, has_child=st.booleans())
def test_the_clock_starts_once_for_each_grace(
    *, budget: Budget, steps: list[tuple[Event, float]], has_child: bool
) -> None:
    """A preStop hook's drain spends the grace that the stop signal after it has; whose comes later is another's."""
    run = Run(budget, steps, has_child=has_child)
    assert run.machine.began_s == run.began_s


@law
@given(budget=budgets, steps=runs, has_child=st.booleans())
def test_a_drain_alone_ends_in_time_and_waits(
    *, budget: Budget, steps: list[tuple[Event, float]], has_child: bool
) -> None:
    """The app is neither signalled nor killed, and we are there until it is gone."""
    alone = [step for step in steps if not isinstance(step[0], StopRequested)]
    run = Run(budget, alone, has_child=has_child)
    assert not {A.SIGNAL_CHILD, A.KILL_CHILD} & set(run.actions)
    has_exited = any(isinstance(event, ChildExited) for event, _ in alone)
    assert (run.machine.phase is P.DONE) == has_exited
    if run.began_s is None or has_exited:
        return
    assert run.machine.phase is P.DRAINED
    assert run.machine.entered_s[P.DRAINED] <= run.began_s + budget.drain_s


@law
@given(budgets, runs)
def test_the_app_has_all_that_is_left_of_the_budget(budget: Budget, steps: list[tuple[Event, float]]) -> None:
    """Whatever the phases before it took: SIGKILL comes at its one instant, never sooner unless hurried."""
    patient = [step for step in steps if not isinstance(step[0], HurryRequested | ChildExited)]
    run = Run(budget, patient, has_child=True)
    if run.stop_s is None or run.began_s is None:
        return
    assert run.machine.entered_s[P.KILLING] == run.began_s + budget.kill_s
    # A stop between the drain's end and the budget's finds it over.
    assert run.machine.entered_s[P.STOPPING] <= max(run.began_s + budget.drain_s, run.stop_s)


@law
@given(budget=budgets, steps=runs, has_child=st.booleans())
def test_a_deadline_that_is_not_due_changes_nothing(
    *, budget: Budget, steps: list[tuple[Event, float]], has_child: bool
) -> None:
    """A timer may fire for a deadline that has moved."""
    assert Run(budget, steps, has_child=has_child).early == []


@law
@given(budget=budgets, steps=runs, has_child=st.booleans())
def test_it_never_goes_back_a_phase(
    *, budget: Budget, steps: list[tuple[Event, float]], has_child: bool
) -> None:
    indexes = [ORDER.index(phase) for phase in Run(budget, steps, has_child=has_child).phases]
    assert indexes == sorted(indexes)


@law
@given(budget=budgets, steps=runs, has_child=st.booleans())
def test_each_action_is_ordered_once_at_most(
    *, budget: Budget, steps: list[tuple[Event, float]], has_child: bool
) -> None:
    actions = Run(budget, steps, has_child=has_child).actions
    assert len(actions) == len(set(actions))


@law
@given(budgets, runs)
def test_a_sidecar_never_signals(budget: Budget, steps: list[tuple[Event, float]]) -> None:
    assert not {A.SIGNAL_CHILD, A.KILL_CHILD} & set(Run(budget, steps, has_child=False).actions)


@law
@given(budget=budgets, steps=runs, has_child=st.booleans())
def test_the_last_action_is_finish_and_it_comes_with_done(
    *, budget: Budget, steps: list[tuple[Event, float]], has_child: bool
) -> None:
    run = Run(budget, steps, has_child=has_child)
    assert (A.FINISH in run.actions) == (run.machine.phase is P.DONE)
    assert A.FINISH not in run.actions[:-1]


@law
@given(budgets, runs)
def test_the_app_is_signalled_only_after_what_was_left_has_been_cut(
    budget: Budget, steps: list[tuple[Event, float]]
) -> None:
    """The order is the product: the signal comes after the drain, whatever happens in between."""
    actions = Run(budget, steps, has_child=True).actions
    if A.SIGNAL_CHILD in actions and A.START_ACCEPTING in actions:
        order = [A.ANNOUNCE_STOP, A.STOP_ACCEPTING, A.CUT, A.CLOSE_POOL, A.SIGNAL_CHILD]
        assert [action for action in actions if action in order] == order


@law
@given(budgets, runs)
def test_phases_are_left_in_time(budget: Budget, steps: list[tuple[Event, float]]) -> None:
    """The part of each phase is kept, as long as the stop came before that part was over."""
    m = Run(budget, steps, has_child=True).machine
    if m.began_s is None or P.LAME_DUCK not in m.entered_s:
        return
    left = {
        P.LAME_DUCK: m.began_s + budget.lame_duck_max_s,
        P.DRAINING: m.began_s + budget.drain_s,
    }
    order = [phase for phase in ORDER if phase in m.entered_s]
    for phase, following in pairwise(order):
        if phase in left:
            assert m.entered_s[following] <= left[phase]


@law
@given(st.lists(st.floats(0, 10), max_size=20), st.floats(0.1, 4))
def test_the_lame_duck_ends_two_seconds_after_the_last_newcomer(
    arrivals: list[float], delay_s: float
) -> None:
    budget = Budget(stop_timeout_s=10.5, drain_delay_s=delay_s, child_timeout_s=1)
    m = machine((ChildReady(), 0), budget=budget)
    m.handle(STOP, 0)
    last_s = None
    for at_s in sorted(arrivals):
        due_s = m.next_deadline_s()
        if m.phase is not P.LAME_DUCK or (due_s is not None and due_s <= at_s):
            break
        m.handle(ConnectionOpened(), at_s)
        last_s = at_s
    expected = delay_s if last_s is None else max(delay_s, last_s + 2)
    assert m.next_deadline_s() == min(expected, 5)


# -- the README ----------------------------------------------------------------------------------------------


def test_the_diagram_has_every_edge_once_and_names_its_events() -> None:
    lines = diagram().split("\n")
    assert lines[0] == "```mermaid"
    assert lines[1] == "stateDiagram-v2"
    drawn = [line.strip().partition(": ")[0] for line in lines if ": " in line]
    assert len(drawn) == len(set(drawn)) == len(edges())
    assert "    SERVING --> LAME_DUCK: StopRequested, DrainRequested" in lines


def test_the_readme_shows_the_machine_as_it_is() -> None:
    """Print it with ``python -m tests.support.diagram`` and put it between the markers."""
    text = README.read_text()
    shown = text.partition("<!-- phases -->")[2].partition("<!-- /phases -->")[0]
    assert shown.strip() == diagram()

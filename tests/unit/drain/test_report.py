"""The report: how long each phase took and what became of everything, as one event's fields."""

import json

import pytest

from pyinit.drain.budget import Budget
from pyinit.drain.outcomes import InFlight, Outcomes
from pyinit.drain.phases import (
    ChildExited,
    ChildReady,
    DeadlineReached,
    DrainMachine,
    DrainRequested,
    Event,
    Quiet,
    StopRequested,
)
from pyinit.drain.report import phase_durations_s, report_fields

BUDGET = Budget(stop_timeout_s=10.5, drain_delay_s=1, child_timeout_s=3)
STOP = StopRequested(15)


def machine(*events: tuple[Event, float], budget: Budget = BUDGET) -> DrainMachine:
    """A machine that has been handed (event, time) pairs."""
    made = DrainMachine(budget, has_child=True)
    for event, now_s in events:
        made.handle(event, now_s)
    return made


FULL = (
    (ChildReady(), 0.0),
    (STOP, 100.0),
    (DeadlineReached(), 101.25),
    (Quiet(), 103.0),
    (ChildExited(), 103.5),
)


def test_each_phase_with_its_time() -> None:
    durations = phase_durations_s(machine(*FULL), 103.5)
    assert durations == pytest.approx({"lame_duck": 1.25, "draining": 1.75, "stopping": 0.5}, abs=1e-6)
    assert list(durations) == ["lame_duck", "draining", "stopping"]


def test_the_last_phase_goes_on_to_the_end() -> None:
    assert phase_durations_s(machine(*FULL[:4]), 104.0)["stopping"] == 1.0


def test_phases_that_were_passed_at_once_are_left_out() -> None:
    budget = Budget(stop_timeout_s=10.5, drain_delay_s=0, child_timeout_s=3)
    m = machine((ChildReady(), 0), (STOP, 100), (Quiet(), 100.0001), (ChildExited(), 101), budget=budget)
    assert phase_durations_s(m, 101) == {"stopping": 1.0}


def test_a_drain_from_outside_tells_how_long_it_waited() -> None:
    m = machine((ChildReady(), 0), (DrainRequested(), 10), (DeadlineReached(), 11), (Quiet(), 12), (STOP, 15))
    assert phase_durations_s(m, 16) == {"lame_duck": 1, "draining": 1, "drained": 3, "stopping": 1}


def test_serving_is_no_phase_of_the_stop() -> None:
    m = machine((ChildReady(), 0), (ChildExited(), 50))
    assert phase_durations_s(m, 51) == {}


def test_an_app_that_exits_by_itself_has_no_stop_to_time() -> None:
    fields = report_fields(machine((ChildReady(), 0), (ChildExited(), 50)), Outcomes(), 51)
    assert "duration_s" not in fields


def test_all_fields() -> None:
    outcomes = Outcomes(
        exchanges_finished=3,
        connections_closed_idle=2,
        tunnels_finished=1,
        websockets_closed=4,
        streams_ended=5,
    )
    outcomes.add_cut(InFlight("POST", "/slow", 6.2, "10.0.0.1:5"))
    fields = report_fields(machine(*FULL), outcomes, 103.5123)
    assert fields == {
        "duration_s": 3.512,
        "phases_s": {"lame_duck": 1.25, "draining": 1.75, "stopping": 0.512},
        "exchanges_finished": 3,
        "connections_closed_idle": 2,
        "tunnels_finished": 1,
        "websockets_closed": 4,
        "streams_ended": 5,
        "cut_count": 1,
        "cut": [
            {"method": "POST", "target": "/slow", "age_s": 6.2, "peer": "10.0.0.1:5", "kind": "exchange"}
        ],
    }


def test_it_is_a_line_of_json() -> None:
    outcomes = Outcomes()
    outcomes.add_cut(InFlight("", "", 1.0, "unix"))
    fields = report_fields(machine(*FULL), outcomes, 104)
    assert json.loads(json.dumps(fields)) == fields

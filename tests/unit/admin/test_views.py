"""What /status and /readyz are made of, and that the documented form is the one that is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyinit.admin import views
from pyinit.admin.state import BudgetState, ChildState, RunState, StopState
from pyinit.drain.outcomes import InFlight, Kind, Outcomes
from pyinit.drain.phases import Phase
from pyinit.drain.tracker import State
from pyinit.proxy.stats import Stats
from tests.support.json_schema import breaches

SCHEMA = json.loads(Path(__file__).with_name("status.schema.json").read_text())
README = (Path(__file__).resolve().parents[3] / "README.md").read_text()
STATE = RunState(
    pid=1,
    version="1.2.3",
    mode="front",
    started_at_s=1000.0,
    uptime_s=2.0004,
    phase="serving",
    not_ready=None,
    platform="ecs",
    listeners=("0.0.0.0:8080",),
    upstream="127.0.0.1:3000",
    budget=BudgetState(29.5, 5.0, 14.75, 20.0, 29.4),
    stop=None,
    child=ChildState(7, "node", None),
    workers=2,
    census={"idle": 3},
    stats=Stats(connections=4),
    outcomes=Outcomes(),
)
STOPPING = replace(
    STATE,
    phase="stopping",
    not_ready="stopping",
    stop=StopState(12.3456, "SIGTERM", {"lame_duck": 5.0, "draining": 7.3456}),
    outcomes=Outcomes(cut_count=1, cut=[InFlight("GET", "/never", 1.5, "10.0.0.1")]),
    oldest=(InFlight("GET", "/slow", 9.0, "10.0.0.2", Kind.STREAM),),
    signals={"SIGTERM": 2},
)


def shown(state: RunState) -> dict[str, Any]:
    """As whoever asks has it: through JSON."""
    value: dict[str, Any] = json.loads(json.dumps(views.status(state)))
    return value


@pytest.mark.parametrize(
    "state",
    [
        STATE,
        STOPPING,
        replace(STATE, child=None, mode="sidecar"),
        replace(STOPPING, stop=StopState(99.0, None, {})),
    ],
    ids=["serving", "stopping", "sidecar", "a drain alone"],
)
def test_the_answer_is_what_the_schema_says(state: RunState) -> None:
    assert breaches(shown(state), SCHEMA) == []


def test_the_schema_knows_every_phase_and_every_state() -> None:
    fields = SCHEMA["properties"]
    assert fields["phase"]["enum"] == [phase.value for phase in Phase]
    states = {state.value for state in State} - {"closed"}
    assert set(fields["connections"]["properties"]) == states
    assert list(fields["in_flight"]["properties"]) == [kind.value for kind in Kind]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"phase": "asleep"}, "$.phase: 'asleep' is none of"),
        ({"uptime_s": "2"}, "$.uptime_s: '2' is no number"),
        ({"ready": 1}, "$.ready: 1 is no boolean"),
        ({"workers": True}, "$.workers: True is no integer"),
        ({"workers": 0}, "$.workers: 0 is less than 1"),
        ({"extra": 1}, "$: extra is not described"),
        ({"child": {"pid": 7}}, "$.child: program is missing"),
        ({"listeners": [1]}, "$.listeners[0]: 1 is no string"),
    ],
)
def test_a_breach_of_the_schema_is_found(change: dict[str, object], complaint: str) -> None:
    """Or the tests above would pass on anything."""
    found = breaches({**shown(STATE), **change}, SCHEMA)
    assert found
    assert found[0].startswith(complaint)


def test_the_budget_is_spent_to_its_end_and_no_further() -> None:
    assert (shown(STATE)["budget"]["spent_s"], shown(STATE)["budget"]["left_s"]) == (0, 29.5)
    budget = shown(STOPPING)["budget"]
    assert (budget["spent_s"], budget["left_s"]) == (12.346, 17.154)
    late = shown(replace(STOPPING, stop=StopState(99.0, "SIGTERM", {})))["budget"]
    assert (late["spent_s"], late["left_s"]) == (29.5, 0)


def test_every_state_of_a_connection_is_there_none_or_not() -> None:
    assert shown(STATE)["connections"] == {"new": 0, "active": 0, "idle": 3, "tunnel": 0, "lingering": 0}


def test_readiness_is_a_status_and_a_line() -> None:
    assert views.readiness(None) == (200, "ready\n")
    assert views.readiness("draining") == (503, "not ready: draining\n")


def test_the_readme_names_every_field() -> None:
    section = README.partition("### /status\n")[2].partition("\n## ")[0]
    assert section
    missing = [name for name in SCHEMA["properties"] if f"`{name}`" not in section]
    assert missing == []

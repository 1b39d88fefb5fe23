"""The census: equal to a recount after anything, and empty said exactly when it becomes so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.drain.tracker import State, Tracker
from tests.support.strategies import law


class Connection:
    """What the tracker tracks."""

    def __init__(self) -> None:
        self.state = State.NEW


class Counted:
    """A tracker that counts how often it said that it is empty."""

    def __init__(self) -> None:
        self.empty_count = 0
        self.tracker: Tracker[Connection] = Tracker(self._on_empty)

    def _on_empty(self) -> None:
        self.empty_count += 1


steps = st.lists(
    st.tuples(
        st.sampled_from(["enter", "leave"]) | st.sampled_from(list(State)),
        st.integers(min_value=0, max_value=5),
    ),
    max_size=60,
)


@law
@given(steps)
def test_the_census_equals_a_recount(sequence: list[tuple[str | State, int]]) -> None:
    counted = Counted()
    connections = [Connection() for _ in range(6)]
    inside: set[Connection] = set()
    empties = 0
    for step, index in sequence:
        connection = connections[index]
        if step == "enter":
            counted.tracker.enter(connection)
            inside.add(connection)
        elif step == "leave":
            counted.tracker.leave(connection)
            if connection in inside:
                inside.discard(connection)
                empties += not inside
        else:
            assert isinstance(step, State)
            connection.state = step
        assert counted.empty_count == empties
        assert set(counted.tracker) == inside
        assert len(counted.tracker) == len(inside)
        census = counted.tracker.census()
        assert census == {state: sum(it.state is state for it in inside) for state in State}


def test_the_last_one_to_leave_makes_it_empty() -> None:
    counted = Counted()
    first, second = Connection(), Connection()
    counted.tracker.enter(first)
    counted.tracker.enter(second)
    counted.tracker.leave(first)
    assert counted.empty_count == 0
    counted.tracker.leave(second)
    assert counted.empty_count == 1
    counted.tracker.leave(second)
    assert counted.empty_count == 1


def test_leaving_without_having_entered_says_nothing() -> None:
    counted = Counted()
    counted.tracker.leave(Connection())
    assert counted.empty_count == 0


def test_when_empty_is_said_it_is_empty() -> None:
    seen: list[int] = []
    tracker: Tracker[Connection] = Tracker(lambda: seen.append(len(tracker)))
    connection = Connection()
    tracker.enter(connection)
    tracker.leave(connection)
    assert seen == [0]


def test_connections_may_leave_while_it_is_walked() -> None:
    counted = Counted()
    for _ in range(3):
        counted.tracker.enter(Connection())
    for connection in counted.tracker:
        counted.tracker.leave(connection)
    assert len(counted.tracker) == 0


def test_its_repr_names_the_states_there_are() -> None:
    counted = Counted()
    idle = Connection()
    idle.state = State.IDLE
    counted.tracker.enter(idle)
    counted.tracker.enter(Connection())
    assert repr(counted.tracker) == "Tracker(new=1, idle=1)"
    assert repr(Counted().tracker) == "Tracker()"


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_line_in_the_census(state: State) -> None:
    assert Counted().tracker.census()[state] == 0

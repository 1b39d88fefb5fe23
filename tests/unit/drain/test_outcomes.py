"""Outcomes: every cut is counted, the first hundred are told."""

from pyinit.drain.outcomes import CUT_LISTED_MAX, InFlight, Outcomes


def cut(number: int) -> InFlight:
    """One that was cut."""
    return InFlight("GET", f"/{number}", 1.5, "127.0.0.1:1")


def test_it_begins_with_nothing() -> None:
    assert Outcomes() == Outcomes(0, 0, 0, 0, 0, 0, [])


def test_what_is_cut_is_counted_and_listed() -> None:
    outcomes = Outcomes()
    outcomes.add_cut(cut(1))
    outcomes.add_cut(cut(2))
    assert (outcomes.cut_count, outcomes.cut) == (2, [cut(1), cut(2)])


def test_the_list_is_bounded_the_count_is_not() -> None:
    """A report is one log line, whatever a drain had to cut."""
    outcomes = Outcomes()
    for number in range(CUT_LISTED_MAX + 7):
        outcomes.add_cut(cut(number))
    assert outcomes.cut_count == CUT_LISTED_MAX + 7
    assert outcomes.cut == [cut(number) for number in range(CUT_LISTED_MAX)]


def test_two_runs_share_nothing() -> None:
    Outcomes().add_cut(cut(1))
    assert Outcomes().cut == []

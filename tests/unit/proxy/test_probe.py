"""When an app that is not ready is asked again."""

from __future__ import annotations

import pytest

from pyinit.proxy.probe import wait_s


def instants(until_s: float, *, is_gentle: bool) -> list[float]:
    """When it is asked, by a clock that only its waits move."""
    now_s, found = 0.0, []
    while now_s < until_s:
        found.append(now_s)
        now_s += wait_s(now_s, is_gentle=is_gentle)
    return found


@pytest.mark.parametrize("ready_s", [0.0004, 0.013, 0.04, 0.061, 0.3, 1.0, 4.9])
def test_an_app_is_found_ready_a_twentieth_late_at_most(ready_s: float) -> None:
    """Or a millisecond: Node is there after forty."""
    found_s = next(at_s for at_s in instants(10.0, is_gentle=False) if at_s >= ready_s)
    assert found_s - ready_s <= max(0.001, ready_s / 20) + 1e-9


def test_one_that_takes_long_is_asked_four_times_a_second() -> None:
    asked = instants(60.0, is_gentle=False)
    assert len(asked) - len(instants(50.0, is_gentle=False)) == 40


def test_the_first_second_is_a_hundred_connects() -> None:
    assert 80 <= len(instants(1.0, is_gentle=False)) <= 110


def test_one_that_answers_is_asked_ten_times_less_at_first() -> None:
    """Its --ready-path runs its code, and fills its log."""
    assert len(instants(0.1, is_gentle=True)) <= 10
    assert 10 <= len(instants(1.0, is_gentle=True)) <= 25


def test_waits_never_shrink_and_end_at_a_quarter_of_a_second() -> None:
    for is_gentle in (False, True):
        waits = [wait_s(at_s, is_gentle=is_gentle) for at_s in instants(60.0, is_gentle=is_gentle)]
        assert waits == sorted(waits)
        assert waits[-1] == 0.25

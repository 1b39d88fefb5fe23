"""Counters: durations land in the bucket that Prometheus would put them into."""

import pytest

from pyinit.proxy.stats import DURATION_BOUNDS_S, Stats


@pytest.mark.parametrize(
    ("duration_s", "index"),
    [
        (0.0, 0),
        (0.001, 0),
        (0.0010001, 1),
        (1.0, DURATION_BOUNDS_S.index(1.0)),
        (60.0, len(DURATION_BOUNDS_S) - 1),
        (60.5, len(DURATION_BOUNDS_S)),
        (1e9, len(DURATION_BOUNDS_S)),
    ],
)
def test_a_duration_is_counted_at_the_least_bound_that_it_does_not_exceed(
    duration_s: float, index: int
) -> None:
    stats = Stats()
    stats.exchange_ended(duration_s)
    stats.app_was_awaited(duration_s)
    expected = [int(at == index) for at in range(len(DURATION_BOUNDS_S) + 1)]
    assert stats.durations == stats.app_waits == expected
    assert stats.durations_sum_s == stats.app_waits_sum_s == duration_s


def test_an_answer_at_once_counts_as_one_in_steps() -> None:
    """Whether both times are the same, as mostly, or in two buckets."""
    for wait_s, duration_s in ((0.02, 0.02), (0.001, 40.0)):
        steps, at_once = Stats(), Stats()
        steps.responses[4] += 1
        steps.app_was_awaited(wait_s)
        steps.exchange_ended(duration_s)
        at_once.answered_at_once(404, wait_s, duration_s)
        assert at_once == steps


def test_bounds_rise() -> None:
    assert list(DURATION_BOUNDS_S) == sorted(set(DURATION_BOUNDS_S))


def test_two_proxies_share_nothing() -> None:
    Stats().exchange_ended(1)
    assert sum(Stats().durations) == 0

"""What several workers share, and what they add up to."""

import pytest

from pyinit.drain.outcomes import CUT_LISTED_MAX, InFlight, Outcomes
from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.shares import divide, sum_levels, sum_outcomes, sum_stats
from pyinit.proxy.stats import Levels, Stats

ONE = ProxyConfig(upstream=UpstreamAddress(path="/app"), max_connections=1000, buffer_memory_bytes=100)
CUT = InFlight("GET", "/", 1.0, "peer")


@pytest.mark.parametrize(("connections", "each"), [(3, [1, 1, 1]), (10, [4, 3, 3]), (12, [4, 4, 4])])
def test_a_limit_that_was_given_is_divided_without_a_rest(connections: int, each: list[int]) -> None:
    parts = divide(ONE, 3, connections=connections)
    assert [part.max_connections for part in parts] == each


def test_a_limit_of_each_process_is_not_divided() -> None:
    assert [part.max_connections for part in divide(ONE, 3, connections=None)] == [1000] * 3


def test_memory_is_the_machines_and_is_divided() -> None:
    assert [part.buffer_memory_bytes for part in divide(ONE, 3, connections=None)] == [33] * 3


def test_outcomes_add_up_and_the_list_stays_bounded() -> None:
    parts = [
        Outcomes(1, 2, 3, 4, 5, 70, [CUT] * 70),
        Outcomes(10, 20, 30, 40, 50, 200, [CUT] * CUT_LISTED_MAX),
    ]
    total = sum_outcomes(parts)
    assert (total.exchanges_finished, total.connections_closed_idle, total.tunnels_finished) == (11, 22, 33)
    assert (total.websockets_closed, total.streams_ended, total.cut_count) == (44, 55, 270)
    assert len(total.cut) == CUT_LISTED_MAX
    assert len(parts[0].cut) == 70, "the parts stay as they were: they are added up again"
    assert sum_outcomes([]) == Outcomes()


def test_counters_add_up() -> None:
    parts = [
        Stats(connections=1, responses=[0, 1, 2, 0, 0, 0]),
        Stats(replays=2, responses=[0, 0, 1, 0, 0, 5]),
    ]
    assert sum_stats(parts) == Stats(connections=1, replays=2, responses=[0, 1, 3, 0, 0, 5])


def test_levels_add_up() -> None:
    parts = [Levels(max_connections=10, buffered_bytes=1), Levels(max_connections=20, app_not_reading=3)]
    assert sum_levels(parts) == Levels(max_connections=30, buffered_bytes=1, app_not_reading=3)
    assert sum_levels([]) == Levels()

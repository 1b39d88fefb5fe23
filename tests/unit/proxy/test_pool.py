"""The pool: which idle connection is taken, and that none is used in its last second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.proxy.pool import IDLE_WITHOUT_HINT_S, MARGIN_S, Pool, idle_until_s
from tests.support.strategies import law


class Connection:
    """An idle connection to the app."""

    def __init__(self, until_s: float = 10.0) -> None:
        self.is_usable = True
        self.idle_until_s = until_s
        self.is_closed = False

    def close(self) -> None:
        """See Pooled."""
        self.is_closed = True


def test_without_a_hint_it_goes_a_second_before_node_closes() -> None:
    assert idle_until_s(None, 100) == 100 + IDLE_WITHOUT_HINT_S == 104


def test_with_a_hint_it_goes_a_second_before_that() -> None:
    assert idle_until_s(72, 100) == 100 + 72 - MARGIN_S == 171


@pytest.mark.parametrize("announced_s", [0, 1])
def test_an_announced_second_is_too_short_to_keep_it(announced_s: int) -> None:
    pool, connection = Pool[Connection](is_fifo=False), Connection(idle_until_s(announced_s, 100))
    pool.put(connection, 100)
    assert connection.is_closed
    assert len(pool) == 0


def test_an_empty_pool_has_none() -> None:
    assert Pool[Connection](is_fifo=False).take(0) is None


def test_lifo_takes_the_one_that_came_last() -> None:
    pool = Pool[Connection](is_fifo=False)
    first, second = Connection(), Connection()
    pool.put(first, 0)
    pool.put(second, 0)
    assert [pool.take(1), pool.take(1), pool.take(1)] == [second, first, None]


def test_fifo_takes_the_one_that_waited_longest() -> None:
    pool = Pool[Connection](is_fifo=True)
    first, second = Connection(), Connection()
    pool.put(first, 0)
    pool.put(second, 0)
    assert [pool.take(1), pool.take(1), pool.take(1)] == [first, second, None]


def test_one_whose_time_is_over_is_closed_instead_of_taken() -> None:
    pool = Pool[Connection](is_fifo=False)
    good, late = Connection(20), Connection(10)
    pool.put(good, 0)
    pool.put(late, 0)
    assert pool.take(10) is good
    assert late.is_closed
    assert not good.is_closed


def test_one_that_has_become_unusable_is_closed_instead_of_taken() -> None:
    pool, connection = Pool[Connection](is_fifo=False), Connection()
    pool.put(connection, 0)
    connection.is_usable = False
    assert pool.take(1) is None
    assert connection.is_closed


def test_expire_closes_those_whose_time_is_over() -> None:
    pool = Pool[Connection](is_fifo=False)
    connections = [Connection(until_s) for until_s in (5, 15, 10)]
    for connection in connections:
        pool.put(connection, 0)
    pool.expire(10)
    assert [connection.is_closed for connection in connections] == [True, False, True]
    assert len(pool) == 1


def test_one_that_the_app_closed_is_forgotten() -> None:
    pool, connection = Pool[Connection](is_fifo=False), Connection()
    pool.put(connection, 0)
    pool.discard(connection)
    assert pool.take(1) is None
    assert not connection.is_closed


def test_forgetting_one_that_is_not_there_does_no_harm() -> None:
    pool, connection = Pool[Connection](is_fifo=False), Connection()
    pool.put(connection, 0)
    pool.discard(Connection())
    assert pool.take(1) is connection


def test_closing_closes_all_and_whatever_comes_back() -> None:
    """The app's own server.close() waits for every connection of ours."""
    pool, idle, busy = Pool[Connection](is_fifo=True), Connection(), Connection()
    pool.put(idle, 0)
    pool.close()
    pool.put(busy, 1)
    assert idle.is_closed
    assert busy.is_closed
    assert (len(pool), pool.is_closed) == (0, True)


@law
@given(
    is_fifo=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from(["put", "take", "expire", "spoil"]), st.floats(0, 3))),
)
def test_what_is_taken_is_usable_and_no_connection_is_lost(
    *, is_fifo: bool, steps: list[tuple[str, float]]
) -> None:
    """Each connection is idle in the pool, given out, or closed: none is forgotten open."""
    pool, now_s = Pool[Connection](is_fifo=is_fifo), 0.0
    idle: list[Connection] = []
    for step, value in steps:
        now_s += value
        if step == "put":
            idle.append(Connection(now_s + value))
            pool.put(idle[-1], now_s)
        elif step == "take":
            taken = pool.take(now_s)
            if taken is not None:
                assert isinstance(taken, Connection)
                assert taken.is_usable
                assert taken.idle_until_s > now_s
                idle.remove(taken)
        elif step == "expire":
            pool.expire(now_s)
        elif idle:
            idle[-1].is_usable = False
        idle = [connection for connection in idle if not connection.is_closed]
        assert len(pool) == len(idle)


def test_its_repr_tells_how_many_there_are() -> None:
    pool = Pool[Connection](is_fifo=False)
    pool.put(Connection(), 0)
    assert repr(pool) == "Pool(1 idle)"
    pool.close()
    assert repr(pool) == "Pool(0 idle, closed)"

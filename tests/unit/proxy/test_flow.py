"""Back-pressure: a side is read when no reason is left not to; all that is held stays under one limit."""

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.proxy.flow import CONNECTING, MEMORY, PEER_IS_FULL, PIPELINED, MemoryGauge, ReadGate
from tests.support.strategies import law

REASONS = [PEER_IS_FULL, CONNECTING, PIPELINED, MEMORY]


class Transport:
    """The reading side of a transport."""

    def __init__(self) -> None:
        self.is_read = True
        self.is_gone = False
        self.calls = 0

    def is_closing(self) -> bool:
        """See asyncio.BaseTransport."""
        return self.is_gone

    def is_reading(self) -> bool:
        """See asyncio.ReadTransport."""
        return self.is_read and not self.is_gone

    def pause_reading(self) -> None:
        """See asyncio.ReadTransport."""
        assert not self.is_gone
        self.is_read = False
        self.calls += 1

    def resume_reading(self) -> None:
        """See asyncio.ReadTransport."""
        assert not self.is_gone
        self.is_read = True
        self.calls += 1


def gate() -> tuple[ReadGate, Transport]:
    """A gate with its transport."""
    transport = Transport()
    return ReadGate(cast("asyncio.Transport", transport)), transport


def test_the_reasons_are_bits_of_their_own() -> None:
    assert sum(REASONS) == PEER_IS_FULL | CONNECTING | PIPELINED | MEMORY == 15


@law
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(REASONS))))
def test_it_is_read_exactly_when_no_reason_holds(steps: list[tuple[bool, int]]) -> None:
    it, transport = gate()
    held: set[int] = set()
    for holds, reason in steps:
        if holds:
            it.hold(reason)
            held.add(reason)
        else:
            it.release(reason)
            held.discard(reason)
        assert transport.is_read == (not held)


def test_releasing_several_at_once() -> None:
    it, transport = gate()
    it.hold(PEER_IS_FULL)
    it.hold(PIPELINED)
    it.release(CONNECTING | PIPELINED | PEER_IS_FULL)
    assert transport.is_read


def test_no_calls_where_nothing_changes() -> None:
    """A release per request is the hot path: it must not cost a system call."""
    it, transport = gate()
    it.release(PEER_IS_FULL)
    it.hold(MEMORY)
    it.hold(MEMORY)
    it.hold(PIPELINED)
    it.release(PIPELINED)
    it.release(PEER_IS_FULL)
    assert transport.calls == 1


def test_a_closing_transport_is_left_alone() -> None:
    it, transport = gate()
    transport.is_gone = True
    it.hold(MEMORY)
    it.release(MEMORY)
    assert transport.calls == 0


def test_a_transport_that_closes_while_held_is_not_resumed() -> None:
    it, transport = gate()
    it.hold(MEMORY)
    transport.is_gone = True
    it.release(MEMORY)
    assert transport.calls == 1


def test_a_gates_repr_shows_its_reasons() -> None:
    it, _ = gate()
    it.hold(PIPELINED)
    it.hold(MEMORY)
    assert repr(it) == "ReadGate(0xc)"


# -- the gauge -----------------------------------------------------------------------------------------------


def gauge(limit_bytes: int) -> tuple[MemoryGauge, list[bool]]:
    """A gauge, and what it has said."""
    said: list[bool] = []
    return MemoryGauge(limit_bytes, said.append), said


def test_at_the_limit_it_is_full() -> None:
    it, said = gauge(100)
    it.add(99)
    assert said == []
    it.add(1)
    assert said == [True]


def test_it_is_full_until_a_quarter_is_free() -> None:
    """Else one byte more or less would pause and resume every connection."""
    it, said = gauge(100)
    it.add(150)
    it.add(-74)
    assert (it.held_bytes, it.is_full, said) == (76, True, [True])
    it.add(-1)
    assert (it.held_bytes, it.is_full, said) == (75, False, [True, False])


@law
@given(st.integers(1, 1000), st.lists(st.integers(-500, 500)))
def test_it_says_each_change_once(limit_bytes: int, changes: list[int]) -> None:
    it, said = gauge(limit_bytes)
    held = 0
    for change in changes:
        change_bytes = max(change, -held)
        held += change_bytes
        it.add(change_bytes)
        assert it.held_bytes == held
        if held >= limit_bytes:
            assert it.is_full
        if held <= limit_bytes * 3 // 4:
            assert not it.is_full
        assert it.is_full == (said[-1] if said else False)
    assert said == [index % 2 == 0 for index in range(len(said))]


@pytest.mark.parametrize("change_bytes", [0, 10])
def test_a_gauges_repr_shows_what_is_held(change_bytes: int) -> None:
    it, _ = gauge(100)
    it.add(change_bytes)
    assert repr(it) == f"MemoryGauge({change_bytes}/100 bytes)"

"""Signals as policy: names, numbers, and which are waited for."""

from __future__ import annotations

import _signal
import signal

import pytest

from pyinit.init import signals
from pyinit.init.signals import Forwarding
from tests.support.process import FORWARDED


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("term", 15),
        ("sigterm", 15),
        ("15", 15),
        ("015", 15),
        ("CHLD", 17),
        ("POLL", 29),
        ("IO", 29),
        ("RTMIN", 34),
        ("RTMIN+0", 34),
        ("SIGRTMIN+3", 37),
        ("RTMAX", 64),
        ("RTMAX-2", 62),
        ("64", 64),
    ],
)
def test_a_signal_by_name_or_number(text: str, number: int) -> None:
    assert signals.number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "0", "65", "32", "33", "-1", "+1", " 15", "1.0", "²", "9" * 5000, "SIG", "SIG_DFL", "_BLOCK", "CLD", "NOTHING",
     "RTMIN+", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMAX-31", "RTMIN+²", "RTMIN+" + "9" * 5000],
)  # fmt: skip
def test_no_signal(text: str) -> None:
    assert signals.number(text) is None


def test_a_name_leads_back_to_its_number() -> None:
    for signum in signal.valid_signals():
        assert signals.number(signals.name(signum)) == signum
    assert signals.name(15) == "SIGTERM"
    assert signals.name(signals.SIGRTMIN + 1) == "SIGRTMIN+1"
    assert signals.name(32) == "32"


def test_in_words_as_strsignal_says() -> None:
    assert signals.describe(signal.SIGTERM) == "Terminated"
    assert signals.describe(35)


def test_waited_for_is_what_is_forwarded_and_sigchld() -> None:
    assert sorted(signals.WAITED) == sorted([*FORWARDED, signal.SIGCHLD])


def test_a_signal_is_passed_on_as_it_is_rewritten_or_dropped() -> None:
    forwarding = Forwarding({15: 3, 10: 0, 17: 15})
    assert [forwarding.translate(signum) for signum in (15, 10, 1, 64)] == [3, 0, 1, 64]
    assert forwarding.translate(signal.SIGCHLD) == 0
    assert repr(forwarding) == "Forwarding({15: 3, 10: 0, 17: 15})"


@pytest.mark.parametrize("ignored", [frozenset(), frozenset({17}), frozenset({21, 22}), frozenset({2})])
def test_the_child_gets_back_what_was_changed(
    ignored: frozenset[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's table stands still here: a test process needs its own."""
    handler = signal.default_int_handler
    table: dict[int, object] = {2: handler, 13: 1, 25: 1, 17: 0, 21: 0, 22: 0} | dict.fromkeys(ignored, 1)

    def change(signum: int, to: object) -> object:
        before, table[signum] = table[signum], to
        return before

    monkeypatch.setattr(_signal, "signal", change)
    monkeypatch.setattr(_signal, "getsignal", table.__getitem__)
    masks: list[tuple[int, object]] = []
    monkeypatch.setattr(_signal, "pthread_sigmask", lambda how, mask: masks.append((how, mask)))
    dispositions = signals.settle()
    assert masks == [(signal.SIG_SETMASK, signals.WAITED)]
    assert (table[17], table[21], table[22]) == (0, 1, 1)
    dispositions.restore()
    assert table == {2: 0, 13: 0, 25: 0, 17: 0, 21: 0, 22: 0} | dict.fromkeys(ignored, 1)

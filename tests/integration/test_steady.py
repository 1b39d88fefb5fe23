"""``benchmarks/steady.py``: a short run finds no answer wrong and nothing left over; a leak is found."""

import re
import subprocess
import sys

import pytest
import steady
from steady import Inside, Look, Result

from tests.support.front import DEADLINE_S
from tests.support.process import ROOT

_MIB_KIB = 1024.0


@pytest.mark.slow
def test_requests_of_every_kind_are_answered_and_nothing_is_left_over() -> None:
    """Not whether memory is level: so few requests fill no cache. With fewer, no collector might run."""
    done = subprocess.run(
        [sys.executable, "benchmarks/steady.py", "--requests", "6000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S * 10,
        check=False,
    )
    printed = done.stdout
    found = [line for line in printed.splitlines() if line.startswith(("1 worker: ", "2 workers: "))]
    assert all("_kib rises by" in line for line in found), printed + done.stderr
    assert done.returncode == bool(found)
    # What was told from inside: of PID 1, and of it and two workers.
    cells = [line.split(" | ") for line in printed.splitlines() if re.match(r"\| \d worker", line)]
    assert [len(row[-1].split("; ")) for row in cells] == [1, 3]
    assert "400 bad" not in printed
    for kind in ("get", "post-chunked", "events", "upgrade", "leave-in-body", "bad"):
        assert re.search(rf"\b\d+ {kind}\b", printed)


def result(
    pss_kib: list[float],
    *,
    left: int = 10,
    wrong: dict[str, int] | None = None,
    is_collecting: bool = True,
) -> Result:
    looks = [Look(number * 1000, kib, kib, 10) for number, kib in enumerate(pss_kib)]
    inside = [Inside([90_000], is_collecting, (9, 1, 0))]
    return Result("1 worker", looks, {"get": 60_000}, wrong or {}, 10, left, inside, 60.0)


NOISE_KIB = (0.0, 40.0, -30.0, 10.0, 60.0, -50.0)
LEVEL = [24_000.0 + NOISE_KIB[number % 6] for number in range(60)]


def test_memory_that_is_level_is_steady() -> None:
    assert result(LEVEL).problems() == []
    # The caches fill.
    assert (
        result([kib - 2000 * max(0, 20 - number) / 20 for number, kib in enumerate(LEVEL)]).problems() == []
    )


def test_memory_that_grows_is_not() -> None:
    """By 40 bytes for each request: in an hour 14 MiB."""
    leaking = [kib + number * 1000 * 40 / 1024 for number, kib in enumerate(LEVEL)]
    assert len(result(leaking).problems()) == 2
    assert result(leaking).problems()[0].startswith("1 worker: pss_kib rises by 11")


def test_a_step_that_may_be_chance_is_not_a_slope() -> None:
    """A single look that is high at the end."""
    assert result([*LEVEL[:-1], 24_000 + 2 * _MIB_KIB]).problems() == []


def test_what_is_left_over_or_wrong_is_said() -> None:
    found = result(LEVEL, left=12, wrong={"get: another body": 3}).problems()
    assert found == ["1 worker: 3 x get: another body", "1 worker: 2 descriptors left over"]


def test_a_collector_that_was_left_off_is_said() -> None:
    """It is off while a start imports."""
    assert result(LEVEL, is_collecting=False).problems() == ["1 worker: the collector is off"]


def test_the_line_is_that_of_least_squares() -> None:
    line = steady.fitted([0, 1, 2, 3], [1.0, 3.0, 2.0, 6.0])
    # Slope 1.4, squares left over 4.2: an error of sqrt(4.2 / 2 / 5) for each.
    assert line.growth == pytest.approx(4.2)
    assert line.error == pytest.approx(3 * (4.2 / 2 / 5) ** 0.5)

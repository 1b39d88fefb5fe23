"""The soak of ``benchmarks/soak.py``, for seconds instead of minutes: nothing is left over."""

import subprocess
import sys

import pytest

from tests.support.front import DEADLINE_S
from tests.support.process import ROOT

pytestmark = [pytest.mark.node, pytest.mark.slow]


def test_after_good_bad_slow_and_vanishing_clients_nothing_is_left_over() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/soak.py", "--minutes", "0.06", "--cold"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=5 * DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("nothing is left over")

"""Every fuzz target, always: its seeds, hypothesis' changes to them, and a bounded run of atheris.

The long run is for a person (README, "Tests"); this one keeps the targets alive and meets what a change breaks at once.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.registry import TARGETS
from tests.fuzz.target import Target, in_pieces
from tests.support.process import ROOT, TIME_SCALE
from tests.support.strategies import law

# About 1.5 s each; the same inputs in every run of the same code.
_RUNS = {"request_stream": 4000, "body": 10_000, "response_stream": 2500, "forward_modes": 1500}
_DEFAULT_RUNS = 2500
# What pip finds no wheel for needs clang and libFuzzer to be built.
_ATHERIS_IS_MISSING = find_spec("atheris") is None

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))


@each_target
def test_a_seed_keeps_the_laws(target: Target) -> None:
    for seed in target.seeds:
        target.check(seed)
        target.check(seed + seed)
        for end in range(len(seed)):
            target.check(seed[:end])


@each_target
@law
@given(data=st.data())
def test_a_changed_seed_keeps_the_laws(target: Target, data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(target.seeds))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        word = data.draw(st.sampled_from(target.words) | st.binary(max_size=2))
        raw = raw[:at] + word + raw[at + data.draw(st.integers(0, 3)) :]
    target.check(raw)


@pytest.mark.skipif(_ATHERIS_IS_MISSING, reason="needs atheris: pip install -e '.[fuzz]'")
@each_target
def test_a_bounded_run_of_atheris_finds_nothing(target: Target, tmp_path: Path) -> None:
    runs = _RUNS.get(target.name, _DEFAULT_RUNS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.run", target.name),
            *(f"-runs={runs}", "-seed=1", f"-artifact_prefix={tmp_path}/"),
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=120 * TIME_SCALE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    assert b"Done %d runs" % runs in done.stderr


def test_an_input_is_cut_the_same_way_each_time() -> None:
    """A finding must be found again from its bytes alone."""
    for seed in (seed for target in TARGETS.values() for seed in target.seeds):
        assert in_pieces(seed) == in_pieces(seed)
        assert b"".join(in_pieces(seed)) == seed
        assert all(in_pieces(seed))

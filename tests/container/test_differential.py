"""pyinit by the names tini, dumb-init and catatonit, held against the real ones, scenario by scenario.

Whatever a run shows must be equal: exit code or signal, both streams to the byte, what the child saw. Texts that are in
our words are compared by the facts they must hold, and a difference on purpose stands in the table with its reason.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.container import scenarios_catatonit, scenarios_dumb_init, scenarios_tini
from tests.support.differential import Outcome, Run, Scenario
from tests.support.process import SCRIPT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.pid1

# Outside pytest's own folders: their paths differ from run to run, and are closed to other users.
SAMPLES = Path("/tmp/pyinit-differential")
TABLES = {
    "tini": scenarios_tini.tini(str(SAMPLES)),
    "dumb-init": scenarios_dumb_init.dumb_init(str(SAMPLES)),
    "catatonit": scenarios_catatonit.catatonit(),
}
CASES = [
    pytest.param(name, scenario, id=f"{name}: {scenario.name}")
    for name, table in TABLES.items()
    for scenario in table
]


@pytest.fixture(scope="module", autouse=True)
def samples() -> Iterator[None]:
    """Files that are commands of an odd kind."""
    shutil.rmtree(SAMPLES, ignore_errors=True)
    (SAMPLES / "refusing").mkdir(parents=True)
    contents = {
        "not-executable": ("#!/bin/sh\n", 0o644),
        "no-interpreter": ("#!/nowhere/sh\n", 0o755),
        "no-shebang": ('echo "$0|$#|$*"\nexit 9\n', 0o755),
        "empty": ("", 0o755),
        "broken-binary": ("\x7fELF\0\1\2", 0o755),
        "ok": ("#!/bin/sh\necho ok\n", 0o755),
        "roots-own": ("#!/bin/sh\n", 0o700),
        "refusing/true": ("#!/bin/sh\n", 0o600),
    }
    for name, (text, mode) in contents.items():
        (SAMPLES / name).write_text(text)
        (SAMPLES / name).chmod(mode)
    (SAMPLES / "loop").symlink_to("loop")
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "need setpriv"
    shutil.copy(setpriv, SAMPLES / "setuid-setpriv")
    (SAMPLES / "setuid-setpriv").chmod(0o4755)
    yield
    shutil.rmtree(SAMPLES)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pyinit under each name: two links and a copy, as people do either."""
    folder = tmp_path_factory.mktemp("inits")
    for name in ("tini", "dumb-init"):
        (folder / name).symlink_to(SCRIPT_PATH)
    shutil.copy(SCRIPT_PATH, folder / "catatonit")
    return {name: folder / name for name in TABLES}


def played(program: Path, scenario: Scenario) -> Outcome:
    with Run(program, scenario) as run:
        return run.play()


def test_there_is_enough_to_go_by() -> None:
    assert sum(map(len, TABLES.values())) >= 120
    for table in TABLES.values():
        names = [scenario.name for scenario in table]
        assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("name", "scenario"), CASES)
def test_it_is_as_with_the_real_one(name: str, scenario: Scenario, ours: dict[str, Path]) -> None:
    real = shutil.which(name)
    if real is None:
        pytest.skip(f"need {name}")
    theirs, mine = played(Path(real), scenario), played(ours[name], scenario)
    if scenario.is_in_our_words:
        for stream, text in scenario.facts:
            assert text in getattr(theirs, stream), f"the real one's {stream}"
            assert text in getattr(mine, stream), f"our {stream}"
        for stream in ("stdout", "stderr"):
            assert bool(getattr(mine, stream)) is bool(getattr(theirs, stream)), f"what is said on {stream}"
        assert (mine.ending, mine.notes) == (theirs.ending, theirs.notes)
    elif scenario.differs:
        expected = {**asdict(theirs), **scenario.ours}
        assert asdict(mine) == expected
        assert mine != theirs, "no difference any more"
    else:
        assert mine == theirs

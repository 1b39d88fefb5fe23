"""The compiled form (hatch_build.py) keeps what the pure one keeps: the same tests, on an installed wheel of it.

Here those of what is compiled; ``python -m tests.support.compiled FOLDER`` runs all.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.compiled import Place, build_wheel, refusal
from tests.support.front import DEADLINE_S
from tests.support.process import TIME_SCALE

# The parsers with their corpus and oracles, and one proxy with real sockets. Without what takes its time from a clock.
_TESTS = (
    "tests/unit/http1",
    "tests/unit/proxy",
    "tests/unit/drain",
    "tests/fuzz",
    "tests/integration/test_server.py",
)
# The first sees nothing in compiled code; the others replace a method, which a compiled class does not let them do.
_BUT = "not atheris and not is_not_counted_at_each_byte and not comes_whole_is_what_it_is_in_pieces"
_TIMEOUT_S = 600

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An installation of the wheel."""
    if reason := refusal():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("compiled")
    return Place(folder, build_wheel(folder))


def said(place: Place, code: str) -> str:
    """What a program prints there."""
    done = subprocess.run(
        [place.python, "-I", "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_hot_path_is_compiled_and_init_mode_loads_none_of_it(place: Place) -> None:
    loaded = said(
        place, "import pyinit.proxy.exchange as it, pyinit.form; print(pyinit.form.form(), it.__file__)"
    )
    form, path = loaded.split()
    assert form == "compiled"
    assert Path(path).suffix == ".so"
    done = subprocess.run(
        [place.python, "-X", "importtime", place.python.with_name("pyinit"), "-s", "--", "true"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported = re.findall(r"\| +(pyinit\S*)$", done.stderr, re.MULTILINE)
    assert "pyinit.cli" in imported
    assert not [name for name in imported if "http1" in name or "proxy" in name or "mypyc" in name]


def test_the_version_says_which_form_it_is(place: Place) -> None:
    program = place.python.with_name("pyinit")
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert re.fullmatch(r"pyinit [0-9.]+ \(compiled\)\n", done.stdout)


def test_without_its_libraries_it_is_the_pure_form(place: Place, tmp_path: Path) -> None:
    copy = tmp_path / "pyinit"
    (package,) = place.root.parent.glob("venv/lib/python*/site-packages/pyinit")
    for source in package.rglob("*.py"):
        target = copy / source.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import pyinit.proxy.server as it, pyinit.form"
    assert said(place, f"{code}; print(pyinit.form.form(), it.__file__)") == f"pure {copy}/proxy/server.py"


def test_the_same_tests_pass(place: Place) -> None:
    done = subprocess.run(
        place.command("-q", "-k", _BUT, *_TESTS),
        cwd=place.root,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S * TIME_SCALE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"^\d{3,} passed", done.stdout, re.MULTILINE), done.stdout[-500:]

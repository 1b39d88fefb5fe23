"""The commands that the documents say are there: each is in the benchmarks' table, and tells how it is called."""

import re
import subprocess
import sys

import pytest

from tests.support.process import PATIENCE_S, ROOT, TIME_SCALE

_COMMAND = re.compile(r"python (benchmarks/\w+\.py)")


def commands(document: str) -> set[str]:
    """The benchmarks that a document calls."""
    return set(_COMMAND.findall((ROOT / document).read_text()))


def test_the_table_has_every_command_that_a_document_names() -> None:
    table = {
        line.split("`")[1].removeprefix("python ")
        for line in (ROOT / "benchmarks/README.md").read_text().splitlines()
        if line.startswith("| `python ")
    }
    named = commands("README.md") | commands("CHANGELOG.md") | commands("benchmarks/HOTPATH.md")
    assert named <= table


@pytest.mark.parametrize("command", sorted(commands("benchmarks/README.md")))
def test_it_says_how_it_is_called(command: str) -> None:
    done = subprocess.run(
        [sys.executable, command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S * TIME_SCALE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")

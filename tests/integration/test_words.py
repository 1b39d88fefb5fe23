"""Whatever we call plain the shell reads alike: each text is run by it and as we read it, and compared."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyinit.init.words import NeedsShell, read

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = [shell for shell in ("sh", "bash", "dash", "busybox") if shutil.which(shell)]
# Prints its arguments, and two variables, with marks between that no text holds.
PROGRAM = '#!/bin/sh\nprintf \'<%s>\' "$@"\nprintf \'|%s\' "${A-unset}" "${B-unset}"\n'
FRAGMENTS = [
    *(
        "A=",
        "B=",
        "A=1 ",
        "B='x y' ",
        "exec ",
        "./p",
        "true ",
        "x",
        "1",
        "=",
        "a b",
        "-n",
        "--",
        "%s",
        "'a b'",
        '"a\tb"',
    ),
    *("'$HOME'", "'\\'", '"*"', "''", " ", "  ", "\t", *"^,:/@+.ä\u0081日%-_"),
]
# Each of them is refused in one place and plain in another; few, or nothing would be left to compare.
SPECIAL = [*"'\"$\\*~#!&[]=\n", "{a,b}", "A+=1 ", "if "]
fragments = st.one_of(*([st.sampled_from(FRAGMENTS)] * 9), st.sampled_from(SPECIAL))


def outcome(command: list[bytes | str], cwd: Path, changes: dict[bytes, bytes]) -> bytes:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environb, **changes}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )  # fmt: skip
    return done.stdout + b"%d" % done.returncode


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("words")
    (directory / "p").write_text(PROGRAM)
    (directory / "p").chmod(0o755)
    return directory


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    front=st.lists(fragments, max_size=4),
    program=st.sampled_from(["./p ", " exec ./p\t", "'./p' ", './"p" ', "./p"]),
    rest=st.lists(fragments, max_size=7),
)
def test_the_shell_agrees(front: list[str], program: str, rest: list[str], where: Path) -> None:
    text = ("".join(front) + program + "".join(rest)).encode()
    try:
        plain = read(text)
    except NeedsShell:
        return
    if plain.words[0] != b"./p":
        return
    ours = outcome([*plain.words], where, dict(plain.assignments))
    for shell in SHELLS:
        words: list[bytes | str] = ["busybox", "sh"] if shell == "busybox" else [shell]
        assert outcome([*words, "-c", text], where, {}) == ours, (shell, text, plain)

"""A second interpreter that imports what the first one would: a worker's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyinit.init import interpreter

MODULE = """
import json, sys
def main(argv):
    print(json.dumps([argv, sys.path, sys.flags.safe_path, sys.flags.dont_write_bytecode]))
"""


def test_the_path_is_handed_on_and_the_directory_is_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app's directory can hold a json.py or a pyinit of its own: neither is ours to run."""
    ours, app = tmp_path / "ours", tmp_path / "app"
    for folder in (ours, app):
        folder.mkdir()
    (ours / "work.py").write_text(MODULE)
    for decoy in ("work.py", "json.py", "sitecustomize.py"):
        (app / decoy).write_text("raise SystemExit('a decoy')")
    path = [str(ours), *(entry for entry in sys.path if entry)]
    monkeypatch.setattr(sys, "path", path)
    words = interpreter.command("work", ["7", "-x"])
    ran = subprocess.run(words, cwd=app, env={}, capture_output=True, check=False)
    assert ran.stderr == b""
    assert json.loads(ran.stdout) == [["work", "7", "-x"], path, True, sys.flags.dont_write_bytecode]


def test_an_interpreter_without_a_name_is_found_by_the_kernels_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    monkeypatch.setattr(sys, "_xoptions", {"dev": True, "utf8": "1"})
    words = interpreter.command("work", [])
    assert words[:2] == [b"/proc/self/exe", b"-P"]
    assert {b"-Werror", b"-Xdev", b"-Xutf8=1"} <= set(words[: words.index(b"-c")])

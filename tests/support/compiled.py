"""A wheel whose hot path is compiled, installed, and a copy of the tests that run against it.

``python -m tests.support.compiled FOLDER [pytest's arguments]`` runs all of them, or those that are named, on such an
installation; FOLDER, made where it is not there, is kept and used again: a build takes a minute. Tests that replace a
method of what is compiled fail there, as such a class does not let them: test_server_faults.py, and some elsewhere; so
does one of test_init.py's, which has pyinit from the tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.support.process import ROOT, TIME_SCALE

# What the tests read of the tree; not pyinit, which they would otherwise import from there.
_BESIDE = (
    "benchmarks",
    "docker",
    "docs",
    "hatch_build.py",
    "pyproject.toml",
    "tests",
    "CHANGELOG.md",
    "README.md",
)
_BUILD_TIMEOUT_S = 600


class BuildError(Exception):
    """The wheel could not be built; the text is the end of what was said."""


def refusal() -> str | None:
    """Why it cannot be compiled here; None where it can."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"need {compiler}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "need Python.h"
    return None


def build_wheel(folder: Path) -> Path:
    """The wheel of this tree, compiled."""
    done = subprocess.run(
        ["nice", sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT],
        env={**os.environ, "PYINIT_COMPILE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_BUILD_TIMEOUT_S * TIME_SCALE,
        check=False,
    )
    if done.returncode:
        raise BuildError(done.stdout[-3000:])
    (wheel,) = folder.glob("*.whl")
    return wheel


class Place:
    """An environment with that wheel, everything else from this interpreter's own, and the tests.

    Args:
        folder: where it is made.
        wheel: what build_wheel made.

    Attributes:
        root: the copy of the tree.
        python: the interpreter.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.root = folder / "tree"
        self.python = folder / "venv" / "bin" / "python"
        if self.root.exists():
            shutil.rmtree(self.root)
        else:
            venv.create(folder / "venv", symlinks=True)
            subprocess.run(
                [sys.executable, "-m", "pip", "--python", self.python, "install", "--no-deps", wheel],
                stdout=subprocess.DEVNULL,
                check=True,
            )
            # Behind its own site-packages; .pth files in there, as of an editable pyinit, count for nothing.
            (site_packages,) = folder.glob("venv/lib/python*/site-packages")
            (site_packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.root.mkdir()
        for name in _BESIDE:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "node_modules")
                shutil.copytree(source, self.root / name, ignore=ignored)
                for modules in source.rglob("node_modules"):
                    if "node_modules" not in modules.parent.parts:
                        (self.root / modules.relative_to(ROOT)).symlink_to(modules)
            else:
                shutil.copy(source, self.root / name)

    def command(self, *arguments: str) -> list[str]:
        """Run pytest there."""
        return [str(self.python), "-m", "pytest", "-p", "no:cacheprovider", *arguments]


def main(folder: str, *arguments: str) -> int:
    """Build where FOLDER has no wheel, and run; to build anew, remove that and venv/."""
    kept = Path(folder).resolve()
    kept.mkdir(parents=True, exist_ok=True)
    wheel = next(kept.glob("*.whl"), None) or build_wheel(kept)
    place = Place(kept, wheel)
    return subprocess.run(place.command(*arguments), cwd=place.root, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

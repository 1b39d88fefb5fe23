"""The bundle as docker/bundle builds it, once for all tests: full, and for init mode alone."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.process import ROOT, TIME_SCALE

_BUILD = ROOT / "docker/bundle/build.py"
_BUILD_TIMEOUT_S = 600


def refusal() -> str | None:
    """Why none can be built here; None where one can."""
    for tool in ("apt-get", "dpkg-deb", "gcc", "strip"):
        if shutil.which(tool) is None:
            return f"need {tool}"
    return None


def build(output: Path, *options: str) -> str:
    """Build one; what it prints."""
    done = subprocess.run(
        # Compilers take a minute of what the tests beside them have to wait for.
        ["nice", sys.executable, _BUILD, output, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=_BUILD_TIMEOUT_S * TIME_SCALE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pyinit-test-bundle-")


@functools.cache
def full() -> Path:
    """The one with front mode; nobody may change it."""
    return _built("full")


@functools.cache
def init_only() -> Path:
    """The one for init mode alone; nobody may change it."""
    return _built("init", "--init-only")


def _built(name: str, *options: str) -> Path:
    home = Path(_home().name)
    home.chmod(0o755)  # for tests that run it as another user
    build(home / name, "--tar", str(home / f"{name}.tar"), *options)
    return home / name

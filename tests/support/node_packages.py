"""The npm packages that tests, and benchmarks, run real apps with, as a package-lock.json pins them.

They are installed into node_modules beside it, which git ignores, when they are first needed and when the lock file
has changed. ``python -m tests.support.node_packages`` does no more for those of tests, and fails where it cannot.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).with_name("node")
_INSTALL_TIMEOUT_S = 300


def refusal(folder: Path = FOLDER) -> str | None:
    """Install them where that is still to be done; why they cannot be had, None where they can."""
    stamp = folder / "node_modules" / ".installed"
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == lock:
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "need npm"
    # Scripts of packages are nothing that tests need, and run with the rights of who tests.
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    # Without a network it is to be found out in seconds; what was fetched once is in npm's own cache.
    quick = ("--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
    try:
        subprocess.run(
            [npm, "ci", *quiet, *quick],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
        )
    except subprocess.CalledProcessError as problem:
        return f"npm ci failed: {problem.stderr.strip().partition(chr(10))[0]}"
    except subprocess.TimeoutExpired:
        return f"npm ci took more than {_INSTALL_TIMEOUT_S} s"
    stamp.write_text(lock)
    return None


if __name__ == "__main__":
    sys.exit(refusal())

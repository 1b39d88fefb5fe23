"""A headless Chromium with a profile of its own, at one page; its script tells what it sees by requests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.process import pyinit_command, pyinit_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAGS = (
    "--headless",
    "--no-sandbox",  # as root it has none
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--metrics-recording-only",
)


def refusal() -> str | None:
    """Why there is none; None where there is."""
    return None if shutil.which("chromium") else "need chromium"


@contextmanager
def browsing(url: str, *flags: str) -> Iterator[Path]:
    """A Chromium that opens a page, ended with all its processes; its profile's folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        profile = Path(home, "profile")
        browser = ["chromium", *_FLAGS, *flags, f"--user-data-dir={profile}", url]
        process = subprocess.Popen(
            # Under an init, as it leaves processes behind that nobody else may reap.
            pyinit_command("-s", "--wait-all", "--stop-timeout", "1", "--", *browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=pyinit_environment({"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}),
        )
        try:
            yield profile
        finally:
            process.terminate()
            process.wait()

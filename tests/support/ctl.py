"""``pyinitctl`` as it is installed, run to its end or on a terminal; a control name that is this test's alone."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.process import PATIENCE_S, TIME_SCALE, pyinit_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CTL_PATH = str(Path(sys.executable).with_name("pyinitctl"))
_numbers = itertools.count(1)


def control_name() -> str:
    """Nobody else's in this network namespace, which the machine's other test runs share."""
    return f"@pyinit-test-{os.getpid()}-{next(_numbers)}"


def ctl(
    *words: str, before: Iterable[str] = (), env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; a health check has more than its usual 2 s, as a slow machine is no unhealthy pyinit.

    Args:
        words: after ``pyinitctl``.
        before: words in front: a program that ends by running what follows.
        env: changes to the environment.
    """
    patience = ["--timeout", f"{PATIENCE_S * TIME_SCALE / 2:.0f}"]
    patient = patience if "health" in words and "--timeout" not in words else []
    return subprocess.run(
        [*before, CTL_PATH, *words, *patient],
        env=pyinit_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S * TIME_SCALE,
        encoding="utf-8",
    )


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr: all there is to see."""
    return done.returncode, done.stdout, done.stderr


class OnTerminal:
    """It, on a terminal of its own, which it controls; what it writes is kept.

    Args:
        words: after ``pyinitctl``.
        columns: the terminal's width.
        rows: and height.
        env: changes to the environment.
    """

    def __init__(
        self, *words: str, columns: int = 80, rows: int = 40, env: Mapping[str, str] | None = None
    ) -> None:
        self.output = ""
        self._terminal, theirs = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            [CTL_PATH, *words],
            env=pyinit_environment({"TERM": "xterm", **(env or {})}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # In the child, whose session is new: a system call and nothing else.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(theirs)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, key: bytes) -> None:
        """A key."""
        os.write(self._terminal, key)

    def wait_for(self, text: str, *, count: int = 1) -> str:
        """What has been written once it holds the text so often."""
        end_s = time.monotonic() + PATIENCE_S * TIME_SCALE
        while self.output.count(text) < count:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, end_s - time.monotonic()))
            assert ready, f"no {text!r} in {self.output!r}"
            assert self._read(), f"ended without {text!r}: {self.output!r}"
        return self.output

    def wait(self) -> int:
        """Its exit code; reads what is left."""
        while self._read():
            pass
        return self.process.wait(PATIENCE_S * TIME_SCALE)

    def _read(self) -> bool:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # EIO: nobody has the other end any more
            return False
        self.output += data.decode()
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._terminal)

"""A benchmark that ends: when its time is up, and when it is told to, with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from proxy_usage import tree

from pyinit.init import prctl

_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# An exception from a signal handler is lost where it meets a callback that the interpreter swallows: raise it again.
_AGAIN_S = 5.0


class TimeUpError(Exception):
    """The time is up. No OSError, unlike TimeoutError: that is what a server's being slow is taken for."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Whatever is done in here, reads and waits included, raises TimeUpError after so long. Main thread only."""

    def is_up(*_: object) -> None:
        raise TimeUpError

    before = signal.signal(signal.SIGALRM, is_up)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """However this is left, no process that came of it is there after it, orphans included. Main thread only.

    SIGTERM, SIGINT and SIGHUP leave it by SystemExit, 128 + n. Not so SIGKILL; and PR_SET_PDEATHSIG is no cure for
    that: an nginx whose master is killed leaves its workers behind.
    """

    def leave(signum: int, _: object) -> None:
        for one in _ENDINGS:
            signal.signal(one, signal.SIG_IGN)  # what is ended here needs ending once
        sys.exit(128 + signum)

    prctl.become_subreaper()  # or what a killed server's children are is somebody else's
    before = {signum: signal.signal(signum, leave) for signum in _ENDINGS}
    try:
        yield
    finally:
        end_descendants()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def end_descendants() -> None:
    """SIGKILL to all that came of this process, until there is none; a subreaper's orphans are its children."""
    while pids := tree(os.getpid())[1:]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)

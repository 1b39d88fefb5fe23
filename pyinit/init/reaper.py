"""The one place that waits for processes.

There can be one reaper only: waitpid(-1) takes the status of every child, so nothing else in this program may
wait (asyncio's and subprocess's own waiting included).
"""

from __future__ import annotations

import os


def reap() -> tuple[list[tuple[int, int]], bool]:
    """Collect every process that has ended, the child and orphans alike.

    Returns:
        (pid, wait status) of each, and whether children of ours are left that have not ended.
    """
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if not pid:
            return ended, True
        ended.append((pid, status))


def exit_code(status: int) -> int:
    """The exit code for a wait status: the process's own, or 128 + the signal that ended it."""
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)

"""An idle init never runs: no context switch. ``benchmarks/idle_wakeups.py`` watches for a minute, this for seconds."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.process import (
    SCRIPT_PATH,
    PidNamespace,
    children_of,
    eventually,
    process_state,
    pyinit_environment,
    status_fields,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WATCHED_S = 3.0  # tini wakes once a second
NAMES = ("pyinit", "tini", "dumb-init", "catatonit")


class Idle(NamedTuple):
    """An init and its child, which waits for its stdin to end."""

    popen: subprocess.Popen[bytes]
    pid: int

    def switches(self) -> dict[str, str]:
        return status_fields(self.pid, ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches", "Threads"))


@contextlib.contextmanager
def idle(script: Path, *before: str) -> Iterator[Idle]:
    popen = subprocess.Popen(
        [*before, str(script), "--", "cat"],
        env=pyinit_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert popen.stdin is not None
    assert popen.stdout is not None
    with popen:
        popen.stdin.write(b"x")
        popen.stdin.flush()
        assert popen.stdout.read(1) == b"x"  # cat runs, so whatever the start had to do is done
        pid = children_of(popen.pid)[0] if before else popen.pid
        eventually(lambda: process_state(pid) == "S")
        yield Idle(popen, pid)
        popen.stdin.close()
        assert popen.wait() == 0


def watched(tmp_path: Path, *before: str) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """What each had before and after, all at once."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name in NAMES:
            (tmp_path / name).symlink_to(SCRIPT_PATH)
            found[name] = stack.enter_context(idle(tmp_path / name, *before))
        begun = {name: one.switches() for name, one in found.items()}
        time.sleep(WATCHED_S)
        return {name: (begun[name], one.switches()) for name, one in found.items()}


@pytest.mark.slow
def test_a_plain_process_does_not_wake_up(tmp_path: Path) -> None:
    for name, (before, after) in watched(tmp_path).items():
        assert before == after, name
        assert after["Threads"] == "1", name


@pytest.mark.slow
@pytest.mark.pid1
def test_pid_1_does_not_wake_up(tmp_path: Path) -> None:
    for name, (before, after) in watched(tmp_path, *PidNamespace.PREFIX).items():
        assert before == after, name
        assert after["Threads"] == "1", name

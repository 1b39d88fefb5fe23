"""The reaper: a wait status as an exit code, and every status collected."""

from __future__ import annotations

import os

import pytest

from pyinit.init import reaper


@pytest.mark.parametrize("code", [0, 1, 127, 128, 255])
def test_a_process_that_exits_gives_its_code(code: int) -> None:
    assert reaper.exit_code(code << 8) == code


@pytest.mark.parametrize("signum", [1, 9, 15, 34, 64])
@pytest.mark.parametrize("core", [0, 0x80])
def test_one_that_a_signal_ends_gives_128_and_its_number(signum: int, core: int) -> None:
    assert reaper.exit_code(signum | core) == 128 + signum


@pytest.mark.parametrize("at_the_end", ["running", "none"])
def test_everything_that_has_ended_is_collected(at_the_end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One SIGCHLD stands for any number of ends, so it goes on until the kernel has no more."""
    answers = [(5, 0), (6, 256), (7, 15)]

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        assert (pid, options) == (-1, os.WNOHANG)
        if answers:
            return answers.pop(0)
        if at_the_end == "running":
            return 0, 0
        raise ChildProcessError

    monkeypatch.setattr(os, "waitpid", waitpid)
    anyone_left = at_the_end == "running"
    assert reaper.reap() == ([(5, 0), (6, 256), (7, 15)], anyone_left)
    assert reaper.reap() == ([], anyone_left)

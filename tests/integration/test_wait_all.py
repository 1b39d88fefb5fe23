"""--wait-all: what the child leaves behind is waited for, within the stop's time, and the code stays the child's."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.front import node
from tests.support.process import (
    SCRIPT,
    PidNamespace,
    Running,
    eventually,
    process_state,
    run_pyinit,
)

if TYPE_CHECKING:
    from pathlib import Path

# Leaves a process in a session of its own behind, whose pid it prints, and exits with 3 once that one is set up.
LEAVES = """
import os, signal, sys
r, w = os.pipe()
if not os.fork():
    os.setsid()
    {behaviour}
    os.write(w, b"x")
    os.write(1, b"ready %d\\n" % os.getpid())
    {then}
    os._exit(0)
os.read(r, 1)
os._exit(3)
"""
QUICK = LEAVES.format(behaviour="pass", then="import time; time.sleep(0.3); os.write(1, b'done\\n')")
UNTIL_TERM = LEAVES.format(
    behaviour="signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'TERM\\n'), os._exit(0)))",
    then="signal.pause()",
)
STUBBORN = LEAVES.format(
    behaviour="signal.signal(signal.SIGTERM, signal.SIG_IGN)", then="import time; time.sleep(60)"
)


def test_without_it_nobody_is_waited_for() -> None:
    with Running("-s", "--", *SCRIPT, STUBBORN) as pyinit:
        left = pyinit.child()
        assert pyinit.wait() == 3
        assert process_state(left) is not None
        os.kill(left, signal.SIGKILL)


def test_what_is_left_is_waited_for_and_the_code_is_the_childs() -> None:
    """Not PID 1, it has to become a subreaper for that, and says nothing about it."""
    done = run_pyinit("--wait-all", "--", *SCRIPT, QUICK)
    assert done.returncode == 3
    assert done.stdout.endswith(b"done\n")
    assert done.stderr == b""


@pytest.mark.pid1
def test_as_pid_1_as_well() -> None:
    done = run_pyinit("--wait-all", "--", *SCRIPT, QUICK, before=PidNamespace.PREFIX)
    assert (done.returncode, done.stdout[-5:]) == (3, b"done\n")


def test_with_nobody_left_it_exits_at_once() -> None:
    assert run_pyinit("--wait-all", "--", "sh", "-c", "exit 4").returncode == 4


def test_a_signal_goes_to_who_is_left_once_the_child_is_gone() -> None:
    """Wherever it went: a session of its own is no way out."""
    with Running("--wait-all", "-vv", "--", *SCRIPT, UNTIL_TERM) as pyinit:
        _read_to(pyinit, "Main child exited")
        pyinit.send(signal.SIGTERM)
        _read_to(pyinit, "TERM")
        assert pyinit.wait() == 3


@pytest.mark.parametrize("option", [(), ("-g",), ("--rewrite", "INT:TERM")])
def test_a_stop_that_the_child_has_heard_of_is_told_to_the_rest(option: tuple[str, ...]) -> None:
    """One signal is all that a platform sends; without it they would be waited for in vain, and then killed."""
    child = UNTIL_TERM.replace("os._exit(3)", "signal.sigwait({signal.SIGTERM}); os._exit(3)").replace(
        "r, w = os.pipe()", "r, w = os.pipe(); signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"
    )
    child = child.replace("os.setsid()", "os.setsid(); signal.pthread_sigmask(signal.SIG_SETMASK, [])")
    with Running("--wait-all", *option, "--", *SCRIPT, child) as pyinit:
        pyinit.child()
        pyinit.send(signal.SIGINT if "--rewrite" in option else signal.SIGTERM)
        _read_to(pyinit, "TERM")
        assert pyinit.wait() == 3


def test_who_heard_of_it_with_the_childs_group_is_not_told_twice() -> None:
    """A second SIGTERM means "now" to many programs."""
    script = """
import os, signal, time
signals = {signal.SIGTERM, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
r, w = os.pipe()
if not os.fork():
    os.write(w, b"x")
    os.write(1, b"ready %d\\n" % os.getpid())
    os.write(1, b"%d\\n" % signal.sigwait(signals))
    second = signal.sigtimedwait(signals, 0.3)
    os.write(1, b"%d\\n" % (second.si_signo if second else 0))
    os._exit(0)
os.read(r, 1)
signal.sigwait(signals)
os._exit(3)
"""
    with Running("--wait-all", "-g", "--", *SCRIPT, script) as pyinit:
        pyinit.child()
        pyinit.send(signal.SIGTERM)
        assert (pyinit.line(), pyinit.line()) == ("15", "0")
        assert pyinit.wait() == 3


def test_out_of_time_they_are_killed() -> None:
    """The clock starts at the child's end where no stop signal came first."""
    with Running("--wait-all", "--stop-timeout", "0.8", "--", *SCRIPT, STUBBORN) as pyinit:
        left = pyinit.child()
        began_s = time.monotonic()
        assert pyinit.wait() == 3
        assert time.monotonic() - began_s >= 0.25
        assert process_state(left) is None  # reaped by us, who waited for it
        assert "Out of time for the processes left" in pyinit.stderr()


def test_a_stop_signal_starts_the_clock_for_both() -> None:
    """The child ends at SIGTERM; what it leaves ignores it and has what is left of the time."""
    child = STUBBORN.replace("os._exit(3)", "signal.sigwait({signal.SIGTERM}); os._exit(3)").replace(
        "r, w = os.pipe()", "r, w = os.pipe(); signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"
    )
    with Running("--wait-all", "--stop-timeout", "0.8", "--", *SCRIPT, child) as pyinit:
        left = pyinit.child()
        pyinit.send(signal.SIGTERM)
        assert pyinit.wait() == 3
        assert process_state(left) is None


def test_what_is_forked_during_the_kill_does_not_outlive_it() -> None:
    """Processes that fork as fast as they are killed, in sessions of their own."""
    breeding = LEAVES.format(
        behaviour="signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        then="end = __import__('time').monotonic() + 5\n"
        "    while __import__('time').monotonic() < end:\n"
        "        if os.fork(): __import__('time').sleep(0.002); os._exit(0)\n"
        "        os.setsid()",
    )
    with Running("--wait-all", "--stop-timeout", "0.7", "--", *SCRIPT, breeding) as pyinit:
        pyinit.child()
        assert pyinit.wait() == 3
        # __exit__ checks that nothing of its tree is left.


@pytest.mark.node
class TestFront:
    """The same in front mode: after the report's connections, before our exit."""

    @staticmethod
    def app(left: str) -> str:
        return (
            f"require('child_process').spawn('sh', ['-c', {left!r}], {{detached: true, stdio: 'ignore'}}).unref();"
            "http.createServer((q, r) => r.end('x')).listen(port, '127.0.0.1');"
            "process.on('SIGTERM', () => process.exit(5))"
        )

    def test_what_the_app_leaves_is_waited_for(self, tmp_path: Path) -> None:
        left = f"trap : TERM; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo >{tmp_path}/mark"
        with node(self.app(left), "--wait-all") as front:
            assert front.port
            front.signal(signal.SIGTERM)
            front.wait_event("child.exited")
            (tmp_path / "go").touch()
            assert front.wait() == 5
        assert (tmp_path / "mark").exists()

    def test_the_stop_is_told_to_them(self, tmp_path: Path) -> None:
        left = f"trap 'echo >{tmp_path}/mark; exit' TERM; echo >{tmp_path}/up; while :; do sleep 0.05; done"
        with node(self.app(left), "--wait-all", "-g") as front:
            assert front.port
            eventually((tmp_path / "up").exists)
            front.signal(signal.SIGTERM)
            assert front.wait() == 5
            assert (tmp_path / "mark").exists()

    def test_a_signal_reaches_them(self, tmp_path: Path) -> None:
        left = f"trap 'echo >{tmp_path}/mark; exit' USR1; echo >{tmp_path}/up; while :; do sleep 0.05; done"
        with node(self.app(left), "--wait-all") as front:
            assert front.port
            eventually((tmp_path / "up").exists)
            os.kill(front.child_pid, signal.SIGKILL)
            front.wait_event("child.exited")

            def is_marked() -> bool:
                front.signal(signal.SIGUSR1)
                return (tmp_path / "mark").exists()

            eventually(is_marked)
            assert front.wait() == 128 + signal.SIGKILL

    def test_at_the_end_of_the_budget_they_are_killed(self) -> None:
        left = "trap : TERM; while :; do sleep 0.05; done"
        with node(self.app(left), "--wait-all", "--stop-timeout", "2", "--idle-grace", "0") as front:
            assert front.port
            began_s = time.monotonic()
            front.signal(signal.SIGTERM)
            assert front.wait_event("process.killed")["count"] >= 1
            assert front.wait() == 5
            assert time.monotonic() - began_s >= 1
            assert front.wait_event("drain.finished")["exit_code"] == 5


def _read_to(pyinit: Running, part: str) -> None:
    """Read stdout up to a line that holds a text."""
    while part not in pyinit.line():
        pass

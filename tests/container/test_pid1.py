"""pyinit as a real PID 1, in a PID namespace: what the kernel does for no other process."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.support.process import (
    FORWARDED,
    SCRIPT,
    SIGNAL_LOGGER,
    SYNCHRONOUS,
    PidNamespace,
    Running,
    children_of,
    eventually,
    process_state,
    run_pyinit,
)

pytestmark = pytest.mark.pid1

LOGGER = (*SCRIPT, SIGNAL_LOGGER)


def run_as_pid1(*args: str) -> subprocess.CompletedProcess[bytes]:
    return run_pyinit(*args, before=PidNamespace.PREFIX)


def test_every_catchable_signal_is_forwarded() -> None:
    """PID 1 has no default actions: what it does not take from the kernel is lost, SIGTERM first."""
    with PidNamespace("--", *LOGGER) as pyinit:
        assert pyinit.child() != 1
        for signum in FORWARDED:
            pyinit.send(signum)
            assert pyinit.line() == str(int(signum))
        assert pyinit.wait() == 0
        assert pyinit.stderr() == ""  # no warning either: this is the place for an init


def test_a_synchronous_signal_sent_to_pid_1_is_dropped() -> None:
    with PidNamespace("--", *LOGGER) as pyinit:
        pyinit.child()
        pyinit.send(*SYNCHRONOUS, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1)
        assert pyinit.line() == "10"


@pytest.mark.parametrize("code", [0, 1, 2, 125, 128, 255])
def test_the_childs_code_is_the_namespaces(code: int) -> None:
    assert run_as_pid1("--", "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL, signal.SIGRTMIN])
def test_a_child_ended_by_a_signal_is_128_and_its_number(signum: int) -> None:
    """PID 1 could not die of it itself: a code is all that it has."""
    assert run_as_pid1("--", "sh", "-c", f"kill -{int(signum)} $$").returncode == 128 + signum


@pytest.mark.parametrize(("command", "code"), [("/nonexistent", 127), ("/tmp", 126)])
def test_a_command_that_cannot_be_run(command: str, code: int) -> None:
    assert run_as_pid1("--", command).returncode == code


# A thousand wait in a process between; it ends, and they are PID 1's; then they end, all at once. Done when no
# process but PID 1 and this one is left, zombies included.
ORPHANS = """
import os, time
count = 1000
read_end, write_end = os.pipe()
middle = os.fork()
if not middle:
    os.close(write_end)
    for _ in range(count):
        if not os.fork():
            os.read(read_end, 1)
            os._exit(0)
    os._exit(0)
os.waitpid(middle, 0)
parents = {open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1] for pid in os.listdir("/proc")
           if pid.isdigit() and int(pid) > os.getpid()}
os.write(1, b"orphans of %s\\n" % ",".join(parents).encode())
os.close(write_end)
while left := [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())]:
    time.sleep(0.01)
os.write(1, b"none left\\n")
"""


def test_a_thousand_orphans_that_end_at_once_are_all_reaped() -> None:
    with PidNamespace("-w", "--", *SCRIPT, ORPHANS) as pyinit:
        assert pyinit.line() == "orphans of 1"
        assert pyinit.line() == "none left"
        assert pyinit.wait() == 0
        assert pyinit.stderr().count("Reaped zombie process with pid=") == 1000


def test_what_outlives_the_child_ends_with_the_namespace() -> None:
    script = "import os; pid = os.fork(); os.write(1, b'x\\n') if pid else os.read(os.pipe()[0], 1)"
    with PidNamespace("--", *SCRIPT, script) as pyinit:
        assert pyinit.line() == "x"
        assert pyinit.wait() == 0
        assert pyinit.rest() == ""  # whoever held the other end of stdout is gone


def test_a_child_can_signal_its_init() -> None:
    """npm-style wrappers do; it comes back as any other signal."""
    script = SIGNAL_LOGGER.replace("while True", "os.kill(os.getppid(), _signal.SIGHUP)\nwhile True", 1)
    with PidNamespace("--", *SCRIPT, script) as pyinit:
        pyinit.child()
        assert pyinit.line() == "1"


def test_stop_timeout_kills_a_child_that_ignores_sigterm() -> None:
    with PidNamespace("--stop-timeout", "0.7", "--", *LOGGER) as pyinit:
        pyinit.child()
        pyinit.send(signal.SIGTERM)
        assert pyinit.line() == "15"
        assert pyinit.wait() == 128 + signal.SIGKILL


def test_a_signal_from_before_the_child_existed_is_kept() -> None:
    """A stop right after the start: PID 1 gets SIGTERM while the interpreter is still importing.

    The first statement has blocked it: the kernel keeps a blocked signal, and drops any other for PID 1.
    """
    with PidNamespace("--", "sleep", "60") as pyinit:
        eventually(lambda: _blocks_sigterm(pyinit))
        pyinit.send(signal.SIGTERM)
        assert pyinit.wait() == 128 + signal.SIGTERM


def test_mask_and_dispositions_are_the_childs_again() -> None:
    done = run_as_pid1("--", "grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status")
    assert done.stdout.decode().split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_killed_it_takes_everything_with_it() -> None:
    with PidNamespace("--", *LOGGER) as pyinit:
        pyinit.child()
        os.kill(pyinit.pid, signal.SIGKILL)
        pyinit.wait()
        assert pyinit.rest() == ""
        eventually(lambda: process_state(pyinit.pid) is None)


def test_tini_warnings_are_not_for_pid_1() -> None:
    done = run_as_pid1("-vvv", "--", "true")
    assert done.stderr == b""
    assert b"subreaper" not in done.stdout


def _blocks_sigterm(pyinit: Running) -> bool:
    try:
        with open(f"/proc/{pyinit.pid}/status") as status:  # noqa: PTH123  a file of /proc
            masks = dict(line.split(":", 1) for line in status)
    except FileNotFoundError:
        return False
    is_blocked = bool(int(masks["SigBlk"], 16) >> (signal.SIGTERM - 1) & 1)
    # While sigwaitinfo waits the kernel shows what it waits for as not blocked; by then there is a child.
    return (is_blocked or bool(children_of(pyinit.pid))) and "unshare" not in masks["Name"]

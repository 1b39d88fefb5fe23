"""PID 1 where nothing is as it should be: none of it may crash it, hang it or lose an exit code.

Under pyinit's own name and, where it is cheap, under tini's and dumb-init's too.
"""

from __future__ import annotations

import _signal
import contextlib
import os
import pty
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from pyinit.init import reaper
from tests.support.front import Front
from tests.support.http_client import Client
from tests.support.process import (
    FORWARDED,
    SCRIPT,
    SCRIPT_PATH,
    SIGNAL_LOGGER,
    PidNamespace,
    eventually,
    process_state,
    run_pyinit,
)
from tests.support.unprivileged import NOBODY, everybody_can_reach, sh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOUD = {"pyinit": ("-vvv", "-w"), "tini": ("-vvv", "-w"), "dumb-init": ("-v",)}
EXIT_7 = ("sh", "-c", "exit 7")
LONGEST_WORD = 131_072 - 1  # execve(2): MAX_ARG_STRLEN less the NUL


NO_PROC = sh("mount -t tmpfs none /proc")
FOREIGN_PROC = sh("umount /proc")  # what shows then is that of the namespace outside
HIDDEN_PROC = sh("mount -o remount,hidepid=2 /proc")
# Every mount there is: the tests' own files lie under one of them.
READ_ONLY = sh(
    "awk '{print $5}' /proc/self/mountinfo | while read -r at; do"
    ' mount -o remount,bind,ro "$at" 2>/dev/null || true; done\n'
    "! touch /tmp/written /dev/shm/written /written 2>/dev/null\n"
    "unset HOME TMPDIR PYTHONDONTWRITEBYTECODE"
)


@pytest.fixture(params=list(LOUD))
def program(request: pytest.FixtureRequest) -> Iterator[str]:
    """pyinit, and links to it by the names of others; where any user can reach them."""
    if request.param == "pyinit":
        yield SCRIPT_PATH
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        link = Path(folder, request.param)
        link.symlink_to(SCRIPT_PATH)
        yield str(link)


def loud(program: str) -> tuple[str, ...]:
    return LOUD[Path(program).name]


def run_as_pid1(
    program: str,
    *args: str | bytes,
    before: tuple[str | bytes, ...] = (),
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    return run_pyinit(*args, before=[*PidNamespace.PREFIX, *before], env=env, program=program)


# --- processes

# Batches of a hundred whose parent leaves them to PID 1; what its memory has grown by after the first thousand.
ORPHANS = """
import os, sys, time
def resident_kb():
    return next(int(line.split()[1]) for line in open("/proc/1/status") if line.startswith("VmRSS"))
def make(count):
    for _ in range(count // 100):
        middle = os.fork()
        if not middle:
            for _ in range(100):
                if not os.fork():
                    os._exit(0)
            os._exit(0)
        os.waitpid(middle, 0)
    while [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())]:
        time.sleep(0.002)
make(1000)
before = resident_kb()
make(9000)
os.write(1, b"grown by %d\\n" % (resident_kb() - before))
os._exit(6)
"""


@pytest.mark.slow
@pytest.mark.pid1
def test_ten_thousand_orphans_are_reaped_and_cost_no_memory(program: str) -> None:
    options, said = ("-w",), "Reaped zombie process with pid="
    if program.endswith("dumb-init"):
        options, said = ("-v",), "exited with exit status 0."
    with PidNamespace(*options, "--", *SCRIPT, ORPHANS, program=program) as pyinit:
        words = pyinit.line().split()
        assert words[:2] == ["grown", "by"]
        assert int(words[2]) < 1024
        assert pyinit.wait() == 6
        assert pyinit.stderr().count(said) == 10_000


# Four that fork as fast as they can, each child a grandchild, 16,000 in all; SIGTERM ends the main one with 9.
STORM = """
import _signal, os
_signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGTERM})
for storm in range(4):
    if not os.fork():
        for i in range(2000):
            if not os.fork():
                os.fork()
                os._exit(0)
            if i % 25 == 24:
                while True:
                    try:
                        os.waitpid(-1, 0)
                    except ChildProcessError:
                        break
            if i == 100 and not storm:
                os.write(1, b"storming\\n")
        os._exit(0)
_signal.sigwait({_signal.SIGTERM})
os._exit(9)
"""


@pytest.mark.pid1
def test_a_fork_storm_delays_no_stop(program: str) -> None:
    with PidNamespace("--", *SCRIPT, STORM, program=program) as pyinit:
        assert pyinit.line() == "storming"
        pyinit.send(signal.SIGTERM)
        assert pyinit.wait() == 9


# The main one leaves with 5; its daemon, of another session, says that it is there and leaves at SIGTERM.
DAEMON = """
import _signal, os
_signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGTERM})
read_end, write_end = os.pipe()
if not os.fork():
    os.setsid()
    if not os.fork():
        os.write(write_end, b"x")
        _signal.sigwait({_signal.SIGTERM})
        os.write(1, b"daemon ends\\n")
    os._exit(0)
os.wait()
os.read(read_end, 1)
os.write(1, b"daemon is there\\n")
os._exit(5)
"""


@pytest.mark.pid1
def test_a_child_that_daemonises_ends_with_its_code(program: str) -> None:
    with PidNamespace("--", *SCRIPT, DAEMON, program=program) as pyinit:
        assert pyinit.wait() == 5
        assert pyinit.rest() == "daemon is there\n"


@pytest.mark.pid1
@pytest.mark.parametrize("proc", [(), NO_PROC, FOREIGN_PROC], ids=["proc", "no proc", "another's proc"])
def test_what_wait_all_waits_for_gets_the_signals_whatever_proc_shows(proc: tuple[str, ...]) -> None:
    """By the numbers of another namespace's /proc they would go to nobody, or to the wrong ones."""
    with PidNamespace("--wait-all", "--", *SCRIPT, DAEMON, before=proc) as pyinit:
        assert pyinit.line() == "daemon is there"
        eventually(lambda: send_until_ended(pyinit))
        assert pyinit.line() == "daemon ends"
        assert pyinit.wait() == 5


def send_until_ended(pyinit: PidNamespace) -> bool:
    """SIGTERM again and again: the first may still find the main child."""
    if pyinit.popen.poll() is not None:
        return True
    with contextlib.suppress(ProcessLookupError):
        pyinit.send(signal.SIGTERM)
    return False


@pytest.mark.pid1
def test_a_stopped_child_is_killed_when_its_time_is_over() -> None:
    with PidNamespace("--stop-timeout", "0.7", "--", *SCRIPT, SIGNAL_LOGGER) as pyinit:
        pyinit.child()
        (child,) = eventually(lambda: children(pyinit.pid))
        os.kill(child, signal.SIGSTOP)
        eventually(lambda: process_state(child) == "T")
        eventually(lambda: process_state(pyinit.pid) == "S")  # a stop is no end
        pyinit.send(signal.SIGTERM)
        assert pyinit.wait() == 128 + signal.SIGKILL


@pytest.mark.pid1
@pytest.mark.skipif(not shutil.which("strace"), reason="need strace")
def test_a_traced_child_gets_its_signals_and_its_end_is_seen(program: str, tmp_path: Path) -> None:
    with PidNamespace("--", *SCRIPT, SIGNAL_LOGGER, program=program) as pyinit:
        pyinit.child()
        (child,) = eventually(lambda: children(pyinit.pid))
        words = ["strace", "-o", str(tmp_path / "trace"), "-p", str(child)]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as tracer:
            eventually(lambda: "TracerPid:\t0" not in Path(f"/proc/{child}/status").read_text())
            pyinit.send(signal.SIGHUP, _signal.SIGRTMAX)
            assert pyinit.line() == "1"
            assert pyinit.wait() == 0
            tracer.wait()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_every_code_and_every_signal_is_told_by_its_status() -> None:
    """Statuses as the kernel makes them, the core-dumping and the real-time ones among them."""
    deadly = sorted(set(map(int, _signal.valid_signals())) - default_ignored())
    ends = [*((os._exit, code, code) for code in range(256)), *((die_by, n, 128 + n) for n in deadly)]
    for end, number, expected in ends:
        pid = os.fork()
        if not pid:
            try:
                end(number)
            finally:
                os._exit(99)
        assert reaper.exit_code(os.waitpid(pid, 0)[1]) == expected


def default_ignored() -> set[int]:
    stops = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    return {signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT, *stops}


def die_by(signum: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if signum != signal.SIGKILL:
        _signal.signal(signum, _signal.SIG_DFL)
    os.kill(os.getpid(), signum)


# --- signals

# Counts what it gets up to SIGRTMAX, which being the highest comes last of all that wait.
COUNTER = """
import _signal, os
everything = _signal.valid_signals()
_signal.pthread_sigmask(_signal.SIG_BLOCK, everything)
os.write(1, b"ready\\n")
counts = {}
while (signum := _signal.sigwaitinfo(everything).si_signo) != _signal.SIGRTMAX:
    counts[signum] = counts.get(signum, 0) + 1
os.write(1, b"counts" + b"".join(b" %d:%d" % pair for pair in counts.items()) + b"\\n")
os._exit(8)
"""


@pytest.mark.pid1
def test_thousands_of_signals_at_once_all_kinds_mixed_with_every_message_on(program: str) -> None:
    """More than a thousand a second, told on a stdout that nobody reads: none is lost that the kernel keeps."""
    sent = Counter[int]()
    # SIGTSTP stops a child of dumb-init.
    kinds = [n for n in FORWARDED if n not in (signal.SIGTSTP, signal.SIGCONT, _signal.SIGRTMAX)]
    with PidNamespace(*loud(program), "--", *SCRIPT, COUNTER, program=program) as pyinit:
        while pyinit.line() != "ready":
            pass  # of tini's messages, which go to stdout too
        for i in range(3000):
            signum = kinds[i % len(kinds)]
            sent[signum] += 1
            os.kill(pyinit.pid, signum)
        pyinit.send(_signal.SIGRTMAX)
        while not (line := pyinit.line()).startswith("counts "):
            pass
        got = {int(n): int(count) for n, count in (pair.split(":") for pair in line.split()[1:])}
        assert {n: got[n] for n in kinds if n >= _signal.SIGRTMIN} == {
            n: sent[n] for n in kinds if n >= _signal.SIGRTMIN
        }
        assert all(1 <= got[n] <= sent[n] for n in kinds)
        pyinit.rest()
        assert pyinit.wait() == 8


@pytest.mark.pid1
def test_signals_from_the_first_moment_on_and_during_the_exec(program: str) -> None:
    """Before our first statement PID 1 has them dropped by the kernel, after it they are kept; no third thing."""
    with PidNamespace("--", "sleep", "60", program=program) as pyinit:
        eventually(lambda: send_until_ended(pyinit))
        assert pyinit.wait() == 128 + signal.SIGTERM
        assert pyinit.stderr() == ""


@pytest.mark.pid1
@pytest.mark.parametrize(
    ("name", "code"), [("pyinit", 8), ("tini", 1), ("dumb-init", 8)], ids=["pyinit", "tini", "dumb-init"]
)
def test_a_child_that_we_may_not_signal(name: str, code: int, tmp_path: Path) -> None:
    """The kernel says EPERM: tini leaves with 1, as ever; the others go on."""
    link = tmp_path / name
    link.symlink_to(SCRIPT_PATH)
    as_another = ("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=+dac_read_search")
    before = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")
    with PidNamespace(
        *("--", *as_another, "--ambient-caps=+dac_read_search", *SCRIPT, COUNTER),
        before=before,
        program=str(link),
    ) as pyinit:
        assert pyinit.line() == "ready"
        (child,) = eventually(lambda: children(pyinit.pid))
        pyinit.send(signal.SIGTERM)
        if code == 1:
            assert pyinit.wait() == 1
            return
        os.kill(child, _signal.SIGRTMAX)
        assert pyinit.line() == "counts"
        assert pyinit.wait() == code


# --- stdout and stderr

# 4; 5 where one of its descriptors has become non-blocking.
FLAGS = """
import fcntl, os
found = 4
for fd in (0, 1, 2):
    try:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK:
            found = 5
    except OSError:
        continue
os._exit(found)
"""


def fill(fd: int) -> None:
    """Write until nothing more fits, through a description of our own."""
    own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with contextlib.suppress(BlockingIOError):
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(own, b"x" * size)
    os.close(own)


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    read_end, write_end = os.pipe()
    fill(write_end)
    yield write_end
    os.close(read_end)
    os.close(write_end)


@contextlib.contextmanager
def pipe_without_reader() -> Iterator[int]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    yield write_end
    os.close(write_end)


@contextlib.contextmanager
def full_device() -> Iterator[int]:
    with Path("/dev/full").open("wb", buffering=0) as device:
        yield device.fileno()


@contextlib.contextmanager
def full_socket() -> Iterator[int]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 4096, socket.MSG_DONTWAIT)
        yield ours.fileno()


@contextlib.contextmanager
def socket_without_peer() -> Iterator[int]:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        yield ours.fileno()


@contextlib.contextmanager
def unread_terminal() -> Iterator[int]:
    master, slave = pty.openpty()
    fill(slave)
    yield slave
    os.close(slave)
    os.close(master)


@contextlib.contextmanager
def stopped_terminal() -> Iterator[int]:
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)  # Ctrl-S
    yield slave
    os.close(slave)
    os.close(master)


OUTPUTS = [
    full_pipe,
    pipe_without_reader,
    full_device,
    full_socket,
    socket_without_peer,
    unread_terminal,
    stopped_terminal,
]


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.__name__)
def test_an_output_that_takes_nothing_costs_neither_time_nor_code(
    output: Callable[[], contextlib.AbstractContextManager[int]], program: str
) -> None:
    """And whatever we do to write without waiting, the child's descriptors stay blocking."""
    with output() as fd:
        done = run_pyinit(*loud(program), "--", *SCRIPT, FLAGS, stdout=fd, stderr=fd, program=program)
    assert done.returncode == 4


@pytest.mark.pid1
@pytest.mark.parametrize("output", [full_pipe, unread_terminal, stopped_terminal], ids=lambda o: o.__name__)
def test_nor_where_there_is_no_proc_to_open_it_anew(
    output: Callable[[], contextlib.AbstractContextManager[int]], program: str
) -> None:
    before = (*PidNamespace.PREFIX, *NO_PROC)
    with output() as fd:
        done = run_pyinit(
            *(*loud(program), "--", *SCRIPT, FLAGS), stdout=fd, stderr=fd, before=before, program=program
        )
    assert done.returncode == 4


@pytest.mark.pid1
def test_a_log_file_on_a_full_disk(program: str, tmp_path: Path) -> None:
    setup = sh(
        f"mount -t tmpfs -o size=4k none {tmp_path}\n"
        f"head -c 4096 /dev/zero > {tmp_path}/log\n! echo more 2>/dev/null >> {tmp_path}/log\n"
        f"exec >> {tmp_path}/log 2>&1"
    )
    assert run_as_pid1(program, *loud(program), "--", *SCRIPT, FLAGS, before=setup).returncode == 4


def test_a_log_file_that_may_not_grow(program: str, tmp_path: Path) -> None:
    """Each write sends the writer SIGXFSZ, which is no business of the child's."""
    with (tmp_path / "log").open("wb") as log:
        done = run_pyinit(
            *(*loud(program), "--", *SCRIPT, FLAGS),
            before=("prlimit", "--fsize=0"),
            stdout=log.fileno(),
            stderr=log.fileno(),
            program=program,
        )
    assert done.returncode == 4


def test_no_standard_descriptors_at_all(program: str) -> None:
    done = run_pyinit(
        *(*loud(program), "--", *SCRIPT, FLAGS), before=sh("exec <&- >&- 2>&-"), program=program
    )
    assert done.returncode == 4


# --- files

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "no locale": {},
    "C": {"LC_ALL": "C"},
    "an empty LC_ALL": {"LC_ALL": "", "LANG": "C"},
    "one that is not installed": {"LANG": "xx_XX.UTF-8"},
    "the one that Python would set": {"LC_CTYPE": "C.UTF-8"},
    "a known one": {"LANG": "C.UTF-8", "A": "\udcff\udce9"},
    "the application's Python": {"PYTHONPATH": "/nowhere", "PYTHONWARNINGS": "error"},
}


@pytest.mark.pid1
@pytest.mark.parametrize("added", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_without_proc_the_environment_reaches_the_child_as_it_was(
    added: dict[str, str], program: str
) -> None:
    """Python's own copy has an LC_CTYPE more, where it found the C locale (PEP 538)."""
    entries = sorted(os.fsencode(f"{name}={value}") for name, value in {"A": "1", **added}.items())
    before: tuple[str | bytes, ...] = (*NO_PROC, "env", "-i", *entries)
    done = run_as_pid1(program, "--", "/usr/bin/env", "-0", before=before)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(done.stdout.split(b"\0")[:-1]) == entries


@pytest.mark.pid1
@pytest.mark.parametrize("proc", [NO_PROC, FOREIGN_PROC, HIDDEN_PROC], ids=["none", "another's", "hidden"])
def test_whatever_proc_is_like_signals_and_codes_come_through(proc: tuple[str, ...], program: str) -> None:
    with PidNamespace("--", *SCRIPT, COUNTER, before=proc, program=program) as pyinit:
        assert pyinit.line() == "ready"
        pyinit.send(signal.SIGTERM, _signal.SIGRTMAX)
        assert pyinit.line() == "counts 15:1"
        assert pyinit.wait() == 8


@pytest.mark.pid1
def test_nothing_can_be_written_anywhere(program: str) -> None:
    done = run_as_pid1(program, "--", *EXIT_7, before=READ_ONLY)
    assert (done.returncode, done.stderr) == (7, b"")


@pytest.mark.pid1
def test_no_devices_and_no_stdin(program: str) -> None:
    done = run_as_pid1(program, "--", *EXIT_7, before=sh("mount -t tmpfs none /dev\nexec <&-"))
    assert (done.returncode, done.stderr) == (7, b"")


@pytest.mark.pid1
@pytest.mark.parametrize("added", [{}, {"PYTHONDEVMODE": "1"}], ids=["as is", "restarted"])
def test_the_working_directory_is_gone(added: dict[str, str], program: str, tmp_path: Path) -> None:
    """os.path.abspath cannot be asked there, not even for an empty path."""
    gone = tmp_path / "gone"
    before = sh(f"mkdir {gone}; cd {gone}; rmdir {gone}")
    done = run_as_pid1(program, "--", *EXIT_7, before=before, env=added)
    said = [line for line in done.stderr.splitlines() if not line.startswith(b"sh: 0: getcwd() failed")]
    assert (done.returncode, said) == (7, [])


# --- limits


@pytest.mark.pid1
@pytest.mark.parametrize("count", [6, 8, 16])
def test_few_descriptors_are_enough(count: int, program: str) -> None:
    """0 to 2 and as many as the interpreter needs itself, with the .pth files of this environment: 5 here."""
    before = ("prlimit", f"--nofile={count}")
    done = run_as_pid1(program, *loud(program), "--", *EXIT_7, before=before)
    assert done.returncode == 7


def as_nobody(*limits: str) -> tuple[str, ...]:
    """Another user, who can still reach everything there is to run; with limits of the process."""
    user = ("setpriv", "--reuid=64731", "--regid=64731", "--clear-groups")
    reach = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return (*user, *reach, "prlimit", *limits)


@pytest.mark.pid1
def test_a_fork_that_is_refused_is_one_line_and_tinis_code(program: str) -> None:
    done = run_as_pid1(program, "--", *EXIT_7, before=as_nobody("--nproc=1"))
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"fork failed: Resource temporarily unavailable" in done.stderr


@pytest.mark.pid1
def test_little_memory_is_enough(program: str) -> None:
    assert run_as_pid1(program, "--", *EXIT_7, before=("prlimit", "--as=50331648")).returncode == 7


# --- arguments and variables

# The size of the variables of the test, the number of arguments and the length of the last.
SIZES = """
import os, sys
total = sum(len(value) for name, value in os.environ.items() if name[0] in "VP")
print(total, len(sys.argv) - 1, len(sys.argv[-1]), end="")
sys.exit(7)
"""


@pytest.mark.parametrize("is_python", [False, True], ids=["as is", "restarted"])
def test_two_megabytes_of_variables_and_a_hundred_thousand_arguments(
    program: str, *, is_python: bool
) -> None:
    """ARG_MAX is a quarter of the stack's limit; each start of ours needs a little more than was given."""
    added = {"PYTHONPATH": "/x"} if is_python else {}
    # The limit of our own stack would refuse them on the way there.
    script = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_STACK, (1 << 26, resource.RLIM_INFINITY))\n"
        f"words = ['w'] * 99_999 + ['w' * {LONGEST_WORD}]\n"
        f"environment = {{f'V{{i}}': 'x' * 100_000 for i in range(20)}} | {added}\n"
        "os.execve(sys.argv[1], [*sys.argv[1:], *words], environment)"
    )
    done = run_pyinit("--", *SCRIPT, SIZES, before=(*SCRIPT, script), program=program)
    assert done.returncode == 7, done.stderr[-500:]
    assert done.stdout.decode() == f"{2_000_000 + 2 * is_python} 100000 {LONGEST_WORD}"


def test_a_start_that_just_fits_falls_back_where_the_second_would_not(program: str) -> None:
    """The restart adds words of its own; refused with E2BIG it is done without."""
    environment = {"PYTHONPATH": "/x", "PATH": os.environ["PATH"]}

    def run(size: int) -> int | None:
        filling = {f"V{i}": "x" * 100_000 for i in range(size // 100_000)} | {"W": "x" * (size % 100_000)}
        try:
            return subprocess.run(
                [program, "--", "true"],
                env=environment | filling,
                capture_output=True,
                check=False,
                timeout=60,
            ).returncode
        except OSError:
            return None

    fits, too_much = 1_000_000, 4_000_000
    while too_much - fits > 1:
        middle = (fits + too_much) // 2
        try:
            filling = {f"V{i}": "x" * 100_000 for i in range(middle // 100_000)} | {
                "W": "x" * (middle % 100_000)
            }
            os.posix_spawn("/bin/true", [program, program, "--", "true"], environment | filling)
        except OSError:
            too_much = middle
        else:
            os.wait()
            fits = middle
    # The shebang's words come on top.
    codes = [run(fits - less) for less in range(0, 400, 40)]
    assert set(codes) <= {None, 0}
    assert 0 in codes


# --- users


@pytest.mark.pid1
def test_another_user_without_capabilities_and_without_new_privileges(program: str, tmp_path: Path) -> None:
    before = (*sh(everybody_can_reach(tmp_path)), *NOBODY)
    with PidNamespace(*loud(program), "--", *SCRIPT, COUNTER, before=before, program=program) as pyinit:
        while pyinit.line() != "ready":
            pass
        assert "NoNewPrivs:\t1" in Path(f"/proc/{pyinit.pid}/status").read_text()
        pyinit.send(signal.SIGTERM, _signal.SIGRTMAX)
        while not (line := pyinit.line()).startswith("counts"):
            pass
        assert line == "counts 15:1"
        assert pyinit.wait() == 8


# --- what is meant for the container's Python


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of modules that end the interpreter, by the names of ours and the standard library's."""
    for name in ("pyinit", "os", "re", "signal", "_signal", "enum", "typing", "select", "ctypes", "json"):
        (tmp_path / f"{name}.py").write_text(f"import posix; posix.write(2, b'{name} '); posix._exit(66)")
    (tmp_path / "pyinit").mkdir()
    (tmp_path / "pyinit" / "__init__.py").write_text("import posix; posix._exit(67)")
    return tmp_path


@pytest.mark.pid1
def test_modules_of_the_working_directory_are_not_ours(hostile: Path, program: str) -> None:
    done = run_as_pid1(program, "--", *EXIT_7, before=sh(f"cd {hostile}"))
    assert (done.returncode, done.stderr) == (7, b"")


@pytest.mark.pid1
def test_nor_are_those_of_pythonpath(hostile: Path, program: str) -> None:
    """It comes first in sys.path: an app with a pyinit.py would have been run in our place."""
    done = run_as_pid1(program, *loud(program), "--", *EXIT_7, env={"PYTHONPATH": f"/nowhere:{hostile}"})
    assert done.returncode == 7
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "variable",
    [
        "PYTHONSTARTUP=/nonexistent",
        "PYTHONINSPECT=1",
        "PYTHONDEVMODE=1",
        "PYTHONTRACEMALLOC=5",
        "PYTHONMALLOC=debug",
        "PYTHONWARNINGS=error",
        "PYTHONOPTIMIZE=2",
        "PYTHONUTF8=0",
        "PYTHONFAULTHANDLER=1",
        "PYTHONUSERBASE=/nonexistent",
        "PYTHONPYCACHEPREFIX=/nonexistent",
        "PYTHONCOERCECLOCALE=0",
        "LD_LIBRARY_PATH=/nonexistent",
    ],
)
def test_a_variable_for_the_application_changes_nothing_of_ours(variable: str) -> None:
    name, _, value = variable.partition("=")
    done = run_pyinit("-s", "--", "sh", "-c", f'test "${name}" = {value} && exit 7', env={name: value})
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")


@pytest.mark.parametrize("variable", ["PYTHONHOME=/nonexistent", "PYTHONMALLOC=x", "PYTHONHASHSEED=x"])
def test_one_that_the_interpreter_refuses_ends_it_with_1_and_says_why(variable: str) -> None:
    """Before any code of ours: no program in Python can do better, and it must not hang."""
    name, _, value = variable.partition("=")
    done = run_pyinit("-s", "--", *EXIT_7, env={name: value})
    assert done.returncode == 1
    assert name.encode() in done.stderr


# --- front mode

# Answers every request with "x"; SIGTERM ends it with 6. Once its port is open it makes orphans, as many as it is told.
APP = """
import _signal, os, socket, sys
_signal.signal(_signal.SIGTERM, lambda *_: os._exit(6))
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
for _ in range(int(sys.argv[1])):
    middle = os.fork()
    if not middle:
        for _ in range(100):
            if not os.fork():
                os._exit(0)
        os._exit(0)
    os.waitpid(middle, 0)
while True:
    client, _ = server.accept()
    if client.recv(65536):
        client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\nConnection: close\\r\\n\\r\\nx")
    client.close()
"""


class HardFront(Front):
    """In front mode as PID 1, under a hardship."""

    def __init__(
        self,
        *options: str,
        before: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        hundreds: int = 0,
    ) -> None:
        self._before = before
        arguments = ["--drain-delay", "0.1", "--stop-timeout", "5", "--listen", "127.0.0.1:0", *options]
        super().__init__([*arguments, "--", *SCRIPT, APP, str(hundreds)], env)

    def _command(self, arguments: list[str]) -> list[str]:
        return [*PidNamespace.PREFIX, *self._before, SCRIPT_PATH, *arguments]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()  # and with it the namespace
        self.close()

    def signal(self, signum: int = signal.SIGTERM) -> None:
        """To PID 1, from outside."""
        os.kill(children(self.process.pid)[0], signum)


def assert_serves_and_stops(app: HardFront) -> None:
    with Client(app.port) as client:
        assert client.get("/").body == b"x"
    assert app.stop() == 6
    (finished,) = app.all_events("drain.finished")
    assert finished["cut_count"] == 0
    assert app.other_lines == []


FRONT_HARDSHIPS = {
    "no proc": NO_PROC,
    "another's proc": FOREIGN_PROC,
    "read-only": READ_ONLY,
    "few descriptors": ("prlimit", "--nofile=48"),
    "no standard descriptors but stderr": sh("exec <&- >&-"),
    "no devices": sh("mount -t tmpfs none /dev\nexec <&- >&-"),
}


@pytest.mark.pid1
@pytest.mark.parametrize("before", FRONT_HARDSHIPS.values(), ids=FRONT_HARDSHIPS)
def test_the_front_serves_and_stops_under(before: tuple[str, ...]) -> None:
    with HardFront(before=before) as app:
        assert_serves_and_stops(app)


@pytest.mark.pid1
def test_the_front_in_a_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with HardFront(before=sh(f"mkdir {gone}; cd {gone}; rmdir {gone}"), env={"PYTHONDEVMODE": "1"}) as app:
        assert_serves_and_stops(app)


@pytest.mark.pid1
def test_the_front_as_another_user_without_any_privileges(tmp_path: Path) -> None:
    with HardFront(before=(*sh(everybody_can_reach(tmp_path)), *NOBODY)) as app:
        assert_serves_and_stops(app)


@pytest.mark.pid1
def test_the_front_with_two_megabytes_of_variables() -> None:
    # Made inside: the limit of our own stack would refuse them on the way there.
    script = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_STACK, (1 << 26, resource.RLIM_INFINITY))\n"
        "os.environ.update({f'V{i}': 'x' * 100_000 for i in range(20)})\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    with HardFront(before=(*SCRIPT, script)) as app:
        assert_serves_and_stops(app)


@pytest.mark.pid1
def test_the_front_reaps_and_takes_signals_all_the_while() -> None:
    """2,000 orphans while thousands of signals come; none of it stalls a request."""
    with HardFront("-w", hundreds=20) as app:
        port = app.port
        init = children(app.process.pid)[0]
        for _ in range(1000):
            for signum in (signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG):
                os.kill(init, signum)
        # Where nobody reads the log for a while, lines are dropped, and counted.
        app.wait_count("process.reaped", 2000, or_dropped=True)
        with Client(port) as client:
            assert client.get("/").body == b"x"
        assert app.stop() == 6


@pytest.mark.pid1
@pytest.mark.parametrize("count", [6, 7, 14, 30])
def test_the_front_with_too_few_descriptors_is_one_line_before_there_is_a_child(count: int) -> None:
    """Inside libuv it is an abort(): PID 1 died of that, with an app running."""
    done = run_as_pid1(
        *(SCRIPT_PATH, "--listen", "127.0.0.1:0", "--", "echo", "started"),
        before=("prlimit", f"--nofile={count}"),
    )
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"Too many open files" in done.stderr


@pytest.mark.pid1
def test_the_front_where_fork_is_refused() -> None:
    done = run_as_pid1(SCRIPT_PATH, "--listen", "127.0.0.1:0", "--", *EXIT_7, before=as_nobody("--nproc=1"))
    assert done.returncode == 125
    assert done.stderr == b"pyinit: fork failed: Resource temporarily unavailable\n"


@pytest.mark.pid1
def test_the_front_out_of_descriptors_later_goes_on_when_there_are_some_again() -> None:
    with HardFront(before=("prlimit", "--nofile=48")) as app:
        port = app.port
        with contextlib.ExitStack() as clients:
            for _ in range(80):
                clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        eventually(lambda: answers(port))
        assert app.stop() == 6


def answers(port: int) -> bool:
    try:
        with Client(port) as client:
            return client.get("/").body == b"x"
    except (ConnectionError, EOFError):
        return False


@pytest.mark.pid1
def test_the_front_with_signals_from_the_first_moment_on() -> None:
    """Whenever the stop comes, the app gets it, and its code is ours."""
    with HardFront() as app:
        eventually(lambda: stop_until_ended(app))
        assert app.wait() in (6, 128 + signal.SIGTERM)
        assert not [event for event in app.all_events("") if event["level"] == "error"]
        assert not [event for event in app.events if event["level"] == "error"]
        assert app.other_lines == []


def stop_until_ended(app: HardFront) -> bool:
    if app.process.poll() is not None:
        return True
    for pid in children(app.process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return False

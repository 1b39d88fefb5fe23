"""Real processes for tests: start pyinit, look at them in /proc, wait for what must become true.

Nothing sleeps for a fixed time. Deadlines are generous, as only a failing test reaches one, and
PYINIT_TEST_TIME_SCALE multiplies them all, for a slow machine.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
TIME_SCALE = float(os.environ.get("PYINIT_TEST_TIME_SCALE", "1"))
PATIENCE_S = 20.0
# Beside the interpreter that runs the tests, where the README's `pip install -e` puts it.
SCRIPT_PATH = str(Path(sys.executable).with_name("pyinit"))

# The kernel's synchronous faults, which no init forwards (tini and catatonit leave out the same).
SYNCHRONOUS = frozenset(
    (
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGABRT,
        signal.SIGTRAP,
        signal.SIGSYS,
    )
)
UNCATCHABLE = frozenset((signal.SIGKILL, signal.SIGSTOP))
# 32 and 33 belong to the C library and are no valid signals: real-time ones begin at 34.
FORWARDED = sorted(
    set(map(int, signal.valid_signals()))
    - SYNCHRONOUS
    - UNCATCHABLE
    - {signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU}
)

# -I and -S: the quickest start, and nothing that a test puts into the environment changes the script.
SCRIPT = (sys.executable, "-I", "-S", "-c")

# Prints the number of each signal it gets; SIGRTMAX ends it with 0. Blocked and waited for, so none is merged
# that the kernel does not merge.
SIGNAL_LOGGER = """
import _signal, os, sys
everything = _signal.valid_signals()
_signal.pthread_sigmask(_signal.SIG_BLOCK, everything)
os.write(1, b"ready %d\\n" % os.getpid())
while True:
    signum = _signal.sigwaitinfo(everything).si_signo
    os.write(1, b"%d\\n" % signum)
    if signum == _signal.SIGRTMAX:
        break
"""


def eventually(
    predicate: Callable[[], T], *, within_s: float = PATIENCE_S, what: Callable[[], object] | None = None
) -> T:
    """Ask until the answer is true, and return it; fail after a scaled deadline.

    Args:
        predicate: asked every few milliseconds.
        within_s: before PYINIT_TEST_TIME_SCALE.
        what: for the failure: the state that was seen last.
    """
    end_s = time.monotonic() + within_s * TIME_SCALE
    while not (answer := predicate()):
        if time.monotonic() > end_s:
            seen = "" if what is None else f": {what()!r}"
            raise AssertionError(f"not within {within_s * TIME_SCALE:g} s{seen}")
        time.sleep(0.005)
    return answer


def process_state(pid: int) -> str | None:
    """R, S, D, T, Z... as in /proc/PID/stat; None for no such process."""
    fields = _stat_fields(pid)
    return fields[0] if fields else None


def parent_of(pid: int) -> int | None:
    """The parent's pid; None for no such process."""
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else None


def children_of(pid: int) -> list[int]:
    """Its children, zombies too."""
    return [child for child in _pids() if parent_of(child) == pid]


def pid_tree(pid: int) -> list[int]:
    """It and all its descendants, parents first; empty for no such process."""
    parents = {candidate: parent_of(candidate) for candidate in _pids()}
    found = [pid] if pid in parents else []
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found


def status_fields(pid: int | str, names: Iterable[str]) -> dict[str, str]:
    """Some fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: fields[name].strip() for name in names}


def pyinit_command(*args: str | bytes, program: str = SCRIPT_PATH) -> list[str | bytes]:
    """The command line that runs pyinit as it is installed, or by another name that leads to it."""
    return [program, *args]


def pyinit_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without what would set an init up."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYINIT_", "TINI_", "DUMB_INIT_", "CATATONIT_"))
    }
    return {**kept, **(changes or {})}


def run_pyinit(
    *args: str | bytes,
    env: Mapping[str, str] | None = None,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    cwd: Path | None = None,
    before: Iterable[str | bytes] = (),
    program: str = SCRIPT_PATH,
) -> subprocess.CompletedProcess[bytes]:
    """Run pyinit to its end.

    Args:
        args: after ``pyinit``.
        env: changes to the environment.
        stdin: as for subprocess.
        stdout: the same.
        stderr: the same.
        cwd: the same.
        before: words in front: a program that ends by running what follows.
        program: a link to pyinit, say.
    """
    return subprocess.run(
        [*before, *pyinit_command(*args, program=program)],
        env=pyinit_environment(env),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        timeout=PATIENCE_S * TIME_SCALE,
        check=False,
    )


class Running:
    """A pyinit that runs, its stdout readable line by line; leaves nothing behind.

    stderr is a file: it never fills up, and can be read at any time.

    Attributes:
        pid: of pyinit, as seen from here.
    """

    def __init__(
        self,
        *args: str | bytes,
        env: Mapping[str, str] | None = None,
        before: Iterable[str | bytes] = (),
        stdin: int | None = subprocess.DEVNULL,
        stderr: int | None = None,
        close_fds: bool = True,
        program: str = SCRIPT_PATH,
        cwd: Path | None = None,
    ) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed in __exit__
        self.popen = subprocess.Popen(
            [*before, *pyinit_command(*args, program=program)],
            env=pyinit_environment(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=self._stderr if stderr is None else stderr,
            close_fds=close_fds,
            cwd=cwd,
        )
        self.pid = self.popen.pid
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        left = pid_tree(self.popen.pid)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        self._stderr.close()
        # Its descendants are another's children by now, and may take a moment to go.
        eventually(lambda: all(process_state(pid) in (None, "Z", "X") for pid in left))

    def line(self) -> str:
        """The next line of stdout."""
        end_s = time.monotonic() + PATIENCE_S * TIME_SCALE
        stdout = self.popen.stdout
        assert stdout is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([stdout], [], [], max(0.0, end_s - time.monotonic()))
            assert ready, f"no line; stderr: {self.stderr()!r}"
            data = os.read(stdout.fileno(), 65536)
            assert data, f"stdout ended after {self._unread!r}; stderr: {self.stderr()!r}"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def rest(self) -> str:
        """What is left of stdout, to its end."""
        end_s = time.monotonic() + PATIENCE_S * TIME_SCALE
        stdout = self.popen.stdout
        assert stdout is not None
        while True:
            ready, _, _ = select.select([stdout], [], [], max(0.0, end_s - time.monotonic()))
            assert ready, "stdout does not end"
            data = os.read(stdout.fileno(), 65536)
            if not data:
                break
            self._unread += data
        text, self._unread = self._unread.decode(), b""
        return text

    def child(self) -> int:
        """The pid that a child announces with a line ``ready PID``."""
        word, pid = self.line().split()
        assert word == "ready"
        return int(pid)

    def send(self, *signums: int) -> None:
        """Signals to pyinit itself, in this order."""
        for signum in signums:
            os.kill(self.pid, signum)

    def stderr(self) -> str:
        """All of stderr up to now."""
        self._stderr.seek(0)
        return self._stderr.read().decode()

    def wait(self) -> int:
        """The exit code; negative where a signal ended it."""
        return self.popen.wait(PATIENCE_S * TIME_SCALE)


class PidNamespace(Running):
    """pyinit as PID 1 of a PID namespace of its own, with its own /proc.

    unshare exits with its code. Ended, it takes all of the namespace with it: the kernel does that for any
    PID 1, and --kill-child for an unshare that is killed.
    """

    PREFIX = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "--")

    def __init__(
        self,
        *args: str | bytes,
        env: Mapping[str, str] | None = None,
        before: Iterable[str | bytes] = (),
        stderr: int | None = None,
        program: str = SCRIPT_PATH,
    ) -> None:
        super().__init__(*args, env=env, before=[*self.PREFIX, *before], stderr=stderr, program=program)
        try:
            self.pid = eventually(self._first)[0]
        except BaseException:
            self.__exit__()
            raise

    def _first(self) -> list[int]:
        return children_of(self.popen.pid)

    @classmethod
    def refusal(cls) -> str | None:
        """Why there can be none here; None where there can."""
        if os.geteuid():
            return "need root"
        try:
            tried = subprocess.run([*cls.PREFIX, "true"], capture_output=True, check=False, timeout=30)
        except OSError as problem:
            return f"need unshare: {problem.strerror}"
        return None if tried.returncode == 0 else f"unshare refused: {tried.stderr.decode().strip()}"


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat_fields(pid: int) -> list[str]:
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The name in parentheses can hold anything, parentheses and spaces too.
    return line.rpartition(b")")[2].decode().split()

"""Runs one scenario under an init and writes down all that could be seen, so that two inits can be compared.

Every run has a PID namespace of its own. In it process numbers are the same from run to run, so that messages and
process tables compare to the byte, and what a run leaves behind ends with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.process import PATIENCE_S, TIME_SCALE, PidNamespace, children_of, eventually, process_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Sets the scene and becomes the init, or starts it as a plain process and tells how it ended. In the order of what
# can be done last: a changed user or a closed descriptor would forbid the rest.
_STAGE = """
import _signal, ctypes, fcntl, json, os, sys, termios
scene = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
report = int(sys.argv[2])
os.set_inheritable(report, False)

def take_terminal():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

def become():
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    for signum in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(signum, _signal.SIG_DFL)
    for signum in scene["ignored"]:
        _signal.signal(signum, _signal.SIG_IGN)
    for fd in scene["open"]:
        os.dup2(os.open("/dev/zero", os.O_RDONLY), fd, inheritable=True)
    for fd in range(3, 100):
        if fd != report and fd not in scene["open"]:
            try:
                os.close(fd)
            except OSError:
                pass
    for fd in scene["closed"]:
        os.close(fd)
    if scene["directory"]:
        os.chdir(scene["directory"])
    if scene["is_subreaper"]:
        libc.prctl(36, 1, 0, 0, 0)
    if scene["uid"]:
        # Of root's privileges the one to look into any directory is kept, over the exec as well (capabilities(7)): what
        # is tested may lie in one that is root's own.
        os.setgroups([])
        os.setgid(scene["uid"])
        libc.prctl(8, 1, 0, 0, 0)
        os.setuid(scene["uid"])
        may_search = 1 << 2
        version_3, low, high = 0x20080522, [may_search] * 3, [0] * 3
        libc.capset((ctypes.c_uint32 * 2)(version_3, 0), (ctypes.c_uint32 * 6)(*low, *high))
        libc.prctl(47, 2, 2, 0, 0)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, scene["blocked"])
    words = [bytes.fromhex(word) for word in scene["words"]]
    block = [bytes.fromhex(entry) for entry in scene["environment"]]
    vector = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    libc.execve(bytes.fromhex(scene["program"]), vector, (ctypes.c_char_p * (len(block) + 1))(*block, None))
    os.write(report, b"not started: %s\\n" % os.strerror(ctypes.get_errno()).encode())
    os._exit(99)

def tell(text):
    os.write(report, text.encode() + b"\\n")

if scene["place"] == "pid 1":
    if scene["terminal"]:
        take_terminal()
    become()
if scene["terminal"] in ("job", "background"):
    take_terminal()
# A background process that calls tcsetpgrp is stopped unless it looks away (SIGTTOU).
_signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
pid = os.fork()
if not pid:
    if scene["terminal"] == "leader":
        take_terminal()
    if scene["terminal"] == "job":
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
    if scene["terminal"] == "background":
        os.setpgid(0, 0)
    _signal.signal(_signal.SIGTTOU, _signal.SIG_DFL)
    become()
while True:
    ended, status = os.waitpid(-1, os.WUNTRACED)
    if ended != pid:
        continue
    if os.WIFSTOPPED(status):
        tell("stopped by %d" % os.WSTOPSIG(status))
    elif os.WIFSIGNALED(status):
        tell("ended by signal %d" % os.WTERMSIG(status))
        break
    else:
        tell("exit %d" % os.WEXITSTATUS(status))
        break
"""


@dataclass(frozen=True)
class Scenario:
    """One thing to try.

    Attributes:
        name: a sentence; the test's id.
        words: the command line after the init's name.
        steps: what is done meanwhile, in order.
        env: the environment beside PATH.
        raw_env: instead of all that, the block itself.
        place: ``plain`` process or ``pid 1``.
        terminal: whether 0, 1 and 2 are a terminal, and the init's part in it: ``leader`` of its session, ``job`` in
            the foreground of a shell's, ``background`` of one; empty for pipes.
        ignored: signals that are ignored when the init starts.
        blocked: the same, blocked.
        open: descriptors that it inherits beside 0 to 2.
        closed: which of 0 to 2 it does not.
        directory: its working directory.
        uid: whom it runs as.
        is_subreaper: it carries that mark already, so that no init warns in words of its own.
        facts: where texts are in our words: what the streams must hold, as (stream, text), instead of being equal.
        is_unordered: lines come from processes that run side by side.
        aside: lines with these texts are the forked copy's, which runs beside the init; put in front.
        differs: on purpose: why, and with it ``ours``.
        ours: what is seen of ours instead, by the outcome's field.
    """

    name: str
    words: tuple[str | bytes, ...]
    steps: tuple[Callable[[Run], None], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    raw_env: tuple[bytes, ...] | None = None
    place: str = "plain"
    terminal: str = ""
    ignored: tuple[int, ...] = ()
    blocked: tuple[int, ...] = ()
    open: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    directory: str = ""
    uid: int = 0
    is_subreaper: bool = True
    facts: tuple[tuple[str, str], ...] = ()
    is_unordered: bool = False
    aside: tuple[str, ...] = ()
    differs: str = ""
    ours: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_in_our_words(self) -> bool:
        """Whether the streams are compared by facts alone."""
        return bool(self.facts)


@dataclass
class Outcome:
    """All that could be seen of one run."""

    ending: str = ""
    stdout: str = ""
    stderr: str = ""
    notes: list[str] = field(default_factory=list)


class Run:
    """One init at work on one scenario; steps act on it.

    Args:
        program: the init, by the path it is called under.
        scenario: what to do with it.
    """

    def __init__(self, program: Path, scenario: Scenario) -> None:
        self.program = program
        self.scenario = scenario
        self.outcome = Outcome()
        self.init_pid = 0
        self._texts = {"stdout": b"", "stderr": b"", "report": b""}
        self._seen = {"stdout": 0, "stderr": 0, "report": 0}
        self._readers: dict[int, str] = {}
        self._master = -1
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        scene = self._scene()
        report_read, report_write = os.pipe()
        self._readers[report_read] = "report"
        streams: dict[str, Any]
        if scene["terminal"]:
            self._master, slave = pty.openpty()
            # Lines as they are written, and no echo of what is typed.
            attributes = termios.tcgetattr(slave)
            attributes[1] &= ~termios.OPOST
            attributes[3] &= ~termios.ECHO
            termios.tcsetattr(slave, termios.TCSANOW, attributes)
            self._readers[self._master] = "stdout"
            streams = {"stdin": slave, "stdout": slave, "stderr": slave}
        else:
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        stage = [sys.executable, "-I", "-S", "-c", _STAGE, json.dumps(scene), str(report_write)]
        # cwd: pytest's may be gone, and is not what a container has.
        self._popen = subprocess.Popen(
            [*PidNamespace.PREFIX, *stage], pass_fds=[report_write], cwd="/", **streams
        )
        os.close(report_write)
        if scene["terminal"]:
            os.close(slave)
        else:
            for name in ("stdout", "stderr"):
                self._readers[getattr(self._popen, name).fileno()] = name
        return self

    def __exit__(self, *_: object) -> None:
        popen = self._started
        popen.kill()
        popen.wait()
        for fd in self._readers:
            with contextlib.suppress(OSError):
                os.close(fd)
        for stream in (popen.stdout, popen.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._popen is not None
        return self._popen

    def _scene(self) -> dict[str, Any]:
        scenario = self.scenario
        env = scenario.raw_env
        if env is None:
            env = tuple(f"{name}={value}".encode() for name, value in {"PATH": PATH, **scenario.env}.items())
        # The bare name, as a caller types it: a C program shows what it is given, a script has its path.
        words = [self.program.name, *scenario.words]
        return {
            "program": str(self.program).encode().hex(),
            "words": [(word.encode() if isinstance(word, str) else word).hex() for word in words],
            "environment": [entry.hex() for entry in env],
            "place": scenario.place,
            "terminal": scenario.terminal,
            "ignored": scenario.ignored,
            "blocked": scenario.blocked,
            "open": scenario.open,
            "closed": scenario.closed,
            "directory": scenario.directory,
            "uid": scenario.uid,
            "is_subreaper": scenario.is_subreaper,
        }

    def play(self) -> Outcome:
        """Take all steps and wait for the end."""
        for step in self.scenario.steps:
            step(self)
        end = self._started
        self._pump(lambda: end.poll() is not None, "the end")
        self._drain()
        outcome, texts = self.outcome, self._texts
        reported = texts["report"].decode().splitlines()
        if self.scenario.place == "pid 1":
            outcome.ending = f"exit {end.returncode}"
        elif reported:
            outcome.ending = reported.pop()
        outcome.notes += reported
        outcome.stdout, outcome.stderr = (self._text(name) for name in ("stdout", "stderr"))
        return outcome

    def _text(self, name: str) -> str:
        text = self._texts[name].decode("utf-8", "backslashreplace")
        lines = text.splitlines(keepends=True)
        if self.scenario.is_unordered:
            lines.sort()
        lines.sort(key=lambda line: not any(part in line for part in self.scenario.aside))
        return "".join(lines)

    # What steps do.

    def find_init(self) -> int:
        """The init's pid as seen from here, once it runs (its child has been heard of)."""
        if not self.init_pid:
            first = eventually(lambda: children_of(self._started.pid))[0]
            self.init_pid = (
                first if self.scenario.place == "pid 1" else eventually(lambda: children_of(first))[0]
            )
        return self.init_pid

    def find_child(self) -> int:
        """The init's first child."""
        return min(eventually(lambda: children_of(self.find_init())))

    def see(self, text: str, stream: str = "stdout") -> None:
        """Wait for a text after what was waited for before."""
        wanted = text.encode()

        def is_there() -> bool:
            at = self._texts[stream].find(wanted, self._seen[stream])
            if at >= 0:
                self._seen[stream] = at + len(wanted)
            return at >= 0

        self._pump(is_there, repr(text))

    def see_all(self, texts: tuple[str, ...]) -> None:
        """Wait for texts in whatever order, from the very beginning."""
        self._pump(lambda: all(text.encode() in self._texts["stdout"] for text in texts), repr(texts))
        self._seen["stdout"] = len(self._texts["stdout"])

    def write(self, data: bytes) -> None:
        """Type at the terminal."""
        os.write(self._master, data)

    def resize(self) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 20, 0, 0))

    def hang_up(self) -> None:
        """Close the terminal's other end."""
        self._readers.pop(self._master)
        os.close(self._master)

    def note(self, text: str) -> None:
        """Something seen, to be compared."""
        self.outcome.notes.append(text)

    def _pump(self, until: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + PATIENCE_S * TIME_SCALE
        while not until():
            if time.monotonic() > end_s:
                raise AssertionError(f"{self.program}: {what} did not come; {self._texts}")
            ready, _, _ = select.select(list(self._readers), [], [], 0.01)
            for fd in ready:
                self._read(fd)
            if not ready and not self._readers:
                time.sleep(0.005)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, 65536)
        except OSError:
            data = b""  # EIO: a terminal that nobody has open any more
        if data:
            self._texts[self._readers[fd]] += data
        elif fd == self._master:
            # It may be opened again by who starts: looked at until the end all the same, but not at full speed.
            time.sleep(0.002)
        else:
            name = self._readers.pop(fd)
            stream = getattr(self._started, name, None)
            if stream is not None:
                stream.close()
            else:
                os.close(fd)

    def _drain(self) -> None:
        """What is left in the streams; their writers ended with the namespace."""
        while ready := select.select(list(self._readers), [], [], 0)[0] if self._readers else []:
            before = sum(map(len, self._texts.values()))
            for fd in ready:
                self._read(fd)
            if sum(map(len, self._texts.values())) == before and ready == [self._master]:
                break


def send(*signums: int) -> Callable[[Run], None]:
    """To the init."""

    def step(run: Run) -> None:
        for signum in signums:
            os.kill(run.find_init(), signum)

    return step


def send_child(signum: int) -> Callable[[Run], None]:
    """To its child."""
    return lambda run: os.kill(run.find_child(), signum)


def see(text: str, stream: str = "stdout") -> Callable[[Run], None]:
    """Wait for a text."""
    return lambda run: run.see(text, stream)


def see_all(*texts: str) -> Callable[[Run], None]:
    """Wait for texts of processes that run side by side."""
    return lambda run: run.see_all(texts)


def type_in(data: bytes) -> Callable[[Run], None]:
    """At the terminal, as bytes: 3 is Ctrl-C."""
    return lambda run: run.write(data)


def resize(run: Run) -> None:
    """The terminal's window."""
    run.resize()


def hang_up(run: Run) -> None:
    """The terminal goes away."""
    run.hang_up()


def wait_state(whose: str, state: str) -> Callable[[Run], None]:
    """Until ``init`` or ``child`` is in a state (T stopped, S waiting)."""

    def step(run: Run) -> None:
        pid = run.find_init() if whose == "init" else run.find_child()
        eventually(lambda: process_state(pid) == state, what=lambda: (run.program, process_state(pid)))
        if whose == "init" and state == "T":
            # And who started it has been told, or a SIGCONT now would take that back.
            run.see("stopped", "report")

    return step


def note_link(entry: str) -> Callable[[Run], None]:
    """Where a link of the init's /proc entry leads."""
    return lambda run: run.note(f"{entry}: {Path(f'/proc/{run.find_init()}/{entry}').readlink()}")


def told(*signums: int) -> tuple[Callable[[Run], None], ...]:
    """Send each and wait until the signal logger has seen it."""
    steps: list[Callable[[Run], None]] = []
    for signum in signums:
        steps += [send(signum), see(f"{signum}\n")]
    return tuple(steps)


RTMAX = int(signal.SIGRTMAX)

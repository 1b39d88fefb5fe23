"""Called as dumb-init: dumb-init 1.2's command line, its sessions, terminal handling, messages and exit codes.

Facts: dumb-init's own behaviour, held against the real one in tests/container/test_differential.py. What differs from
tini: everything is blocked and passed on, the synchronous signals too; the child starts with an empty mask and
signals 1 to 31 at their defaults; its end sends SIGTERM to the rest of its group.
"""

from __future__ import annotations

import _signal
import os

from pyinit import __version__
from pyinit.dropin.clib import Getopt, GetoptError, strtol
from pyinit.errors import SpawnError
from pyinit.init import reaper, signals, spawn
from pyinit.init.signals import Dispositions
from pyinit.init.spawn import Launch
from pyinit.log import Sink

_VERSION = f"dumb-init v1.2.5 (pyinit {__version__})\n"
_USAGE_ERROR = 1
_START_FAILED = 2
_HIGHEST_REWRITABLE = 31

# What a write of our own brings where nobody reads stderr, and where it is a file that may not grow.
_OF_A_WRITE = (signals.SIGPIPE, signals.SIGXFSZ)
_JOB_CONTROL = (signals.SIGTSTP, signals.SIGTTIN, signals.SIGTTOU)


class _Options:
    """What the command line and the DUMB_INIT_* variables say."""

    __slots__ = ("command", "has_session", "is_verbose", "rewrites")

    def __init__(self) -> None:
        self.command: list[str] = []
        self.has_session = True
        self.is_verbose = False
        self.rewrites: dict[int, int] = {}


def run(argv: list[str], *, mask_at_start: frozenset[int]) -> int:  # noqa: ARG001  the child's mask is emptied
    """Be dumb-init; returns the exit code."""
    options = _Options()
    err = Sink(2)
    try:
        text = _read(argv, options)
    except GetoptError as problem:
        err.write(os.fsencode(f"{os.path.basename(argv[0])}: {problem}\n"))
        return _USAGE_ERROR
    except _UsageError as problem:
        err.write(os.fsencode(str(problem)))
        return _USAGE_ERROR
    if text is not None:
        err.write(text.encode())
        return 0
    # Ignored, SIGCHLD would leave us without exit codes (waitpid(2)).
    _signal.signal(signals.SIGCHLD, _signal.SIG_DFL)
    return _DumbInit(options, err).run()


class _UsageError(Exception):
    """The text, with its newlines, goes to stderr."""


def _read(argv: list[str], options: _Options) -> str | None:
    """Fill options; a text where printing it is the whole run. Raises GetoptError, _UsageError."""
    longs = {"help": "h", "single-child": "c", "rewrite": "r", "verbose": "v", "version": "V"}
    words = Getopt(argv[1:], "hvVcr:", longs, permutes=False)
    for letter, value in words:
        if letter == "h":
            return _VERSION + _HELP
        if letter == "V":
            return _VERSION
        if letter == "v":
            options.is_verbose = True
        elif letter == "c":
            options.has_session = False
        else:
            _take_rewrite(options, value)
    if not words.rest:
        name = os.path.basename(argv[0])
        raise _UsageError(f"Usage: {name} [option] program [args]\nTry {name} --help for full usage.\n")
    options.command = words.rest
    return None


def _take_rewrite(options: _Options, text: str) -> None:
    before, rest = strtol(text)
    after, tail = strtol(rest[1:])
    is_pair = rest != text and rest.startswith(":") and tail != rest[1:]
    if not is_pair or not 1 <= before <= _HIGHEST_REWRITABLE or not 0 <= after <= _HIGHEST_REWRITABLE:
        raise _UsageError(
            f"Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and {_HIGHEST_REWRITABLE}.\n"
            "This option can be specified multiple times.\nUse --help for full usage.\n"
        )
    options.rewrites[before] = after


class _DumbInit:
    """One run: the child, and which signals are swallowed once."""

    __slots__ = ("_err", "_has_ended", "_is_verbose", "_options", "_pid", "_rewrites", "_swallowed")

    def __init__(self, options: _Options, err: Sink) -> None:
        self._options = options
        self._err = err
        self._is_verbose = options.is_verbose
        self._rewrites = options.rewrites
        self._swallowed: set[int] = set()
        self._pid = 0
        self._has_ended = False

    def run(self) -> int:
        self._obey_variables()
        if self._options.has_session:
            # The child's group has no parent in its session, so the kernel would not let a terminal stop it
            # (orphaned, setpgid(2)): SIGSTOP does.
            self._rewrites = dict.fromkeys(_JOB_CONTROL, signals.SIGSTOP) | self._rewrites
            self._leave_terminal()
        try:
            self._pid = spawn.spawn(self._launch(), self._failed)
        except SpawnError as problem:
            self._say(str(problem))
            return _USAGE_ERROR
        self._debug(f"Child spawned with PID {self._pid}.")
        try:
            os.chdir("/")  # so that no mount stays busy for our sake
        except OSError as problem:
            self._say(f'Unable to chdir("/") ({_words(problem)})')
        while True:
            info = _signal.sigwaitinfo(signals.CATCHABLE)
            if info.si_signo in _OF_A_WRITE and info.si_pid == os.getpid():
                continue  # telling of it would bring the next, for ever
            code = self._take(info.si_signo)
            if code is not None:
                return code

    def _obey_variables(self) -> None:
        if os.environ.get("DUMB_INIT_DEBUG") == "1":
            self._is_verbose = True
            self._debug("Running in debug mode.")
        if os.environ.get("DUMB_INIT_SETSID") == "0":
            self._options.has_session = False
            self._debug("Not running in setsid mode.")

    def _launch(self) -> Launch:
        # Not by handlers, as they do not survive an exec: what was ignored when we were started is not any more.
        default = frozenset(signum for signum in signals.CATCHABLE if signum <= _HIGHEST_REWRITABLE)
        return Launch(
            [os.fsencode(word) for word in self._options.command],
            spawn.read_environment(),
            mask=frozenset(),
            dispositions=Dispositions(default=default, ignored=frozenset()),
            terminal=self._enter_session if self._options.has_session else lambda: None,
            own_group=False,
        )

    def _leave_terminal(self) -> None:
        import fcntl  # noqa: PLC0415  in session mode alone, as termios
        import termios  # noqa: PLC0415  the same

        try:
            fcntl.ioctl(0, termios.TIOCNOTTY)
        except OSError as problem:
            self._debug(f"Unable to detach from controlling tty ({_words(problem)}).")
            return
        if os.getsid(0) == os.getpid():
            # To a session whose leader gives up its terminal the kernel sends both (disassociate_ctty).
            self._debug("Detached from controlling tty, ignoring the first SIGHUP and SIGCONT we receive.")
            self._swallowed = {signals.SIGHUP, signals.SIGCONT}
        else:
            self._debug("Detached from controlling tty, but was not session leader.")

    def _enter_session(self) -> None:
        """In the forked copy."""
        import fcntl  # noqa: PLC0415  as in _leave_terminal
        import termios  # noqa: PLC0415  the same

        try:
            os.setsid()
        except OSError as problem:
            raise SpawnError("setsid", os.strerror(problem.errno or 0)) from problem
        try:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        except OSError as problem:
            self._debug(f"Unable to attach to controlling tty ({_words(problem)}).")
        self._debug("setsid complete.")
        if self._is_verbose:
            # Drops what these lines may have left pending, see run: unblocked it would end the child.
            for signum in _OF_A_WRITE:
                _signal.signal(signum, _signal.SIG_IGN)

    def _failed(self, problem: SpawnError) -> int:
        """In the forked copy."""
        if not problem.is_exec:
            self._say(str(problem))
            return _USAGE_ERROR
        command = self._options.command[0]
        self._say(f"{command}: {problem.reason}")
        return _START_FAILED

    def _take(self, signum: int) -> int | None:
        """One signal; the code to exit with once the child has ended."""
        self._debug(f"Received signal {signum}.")
        if signum in self._swallowed:
            self._swallowed.discard(signum)
            self._debug(f"Ignoring tty hand-off signal {signum}.")
        elif signum == signals.SIGCHLD:
            return self._reap()
        else:
            self._forward(signum)
            if signum in _JOB_CONTROL:
                self._debug("Suspending self due to TTY signal.")
                os.kill(os.getpid(), signals.SIGSTOP)
        return None

    def _reap(self) -> int | None:
        # The child's status last, as we leave at it.
        ended, _ = reaper.reap()
        for pid, status in sorted(ended, key=lambda one: one[0] == self._pid):
            code = reaper.exit_code(status)
            if os.WIFSIGNALED(status):
                self._debug(f"A child with PID {pid} was terminated by signal {os.WTERMSIG(status)}.")
            else:
                self._debug(f"A child with PID {pid} exited with exit status {code}.")
            if pid == self._pid:
                self._has_ended = True
                self._forward(signals.SIGTERM)
                self._debug(f"Child exited with status {code}. Goodbye.")
                return code
        return None

    def _forward(self, signum: int) -> None:
        if signum in self._rewrites:
            rewritten = self._rewrites[signum]
            self._debug(f"Translating signal {signum} to {rewritten}.")
            signum = rewritten
        if not signum:
            self._debug(f"Not forwarding signal {signum} to children (ignored).")
            return
        # dumb-init does not look at errors of kill either.
        if not self._options.has_session:
            _kill(self._pid, signum)
        elif not _kill(-self._pid, signum) and not self._has_ended:
            # Before its setsid there is no such group; to the copy itself then, where it waits for the exec.
            _kill(self._pid, signum)
        self._debug(f"Forwarded signal {signum} to children.")

    def _debug(self, text: str) -> None:
        if self._is_verbose:
            self._say(text)

    def _say(self, text: str) -> None:
        self._err.write(f"[dumb-init] {text}\n".encode("utf-8", "surrogateescape"))


def _kill(pid: int, signum: int) -> bool:
    try:
        os.kill(pid, signum)
    except OSError:
        return False
    return True


def _words(problem: OSError) -> str:
    return f"errno={problem.errno} {os.strerror(problem.errno or 0)}"


_HELP = """\
Usage: dumb-init [option] command [[arg] ...]

Runs a command as the child of a small init: signals go to its whole session, zombies are reaped, and its exit code
becomes ours. Made to be PID 1 of a container.

Options:
   -c, --single-child   no session of its own; signals go to the command alone
   -r, --rewrite s:r    where signal s comes send r instead, 0 for none; numbers; repeatable
   -v, --verbose        say on stderr what happens
   -h, --help           print this
   -V, --version        print the version

Variables: DUMB_INIT_DEBUG=1 is -v, DUMB_INIT_SETSID=0 is -c.
"""

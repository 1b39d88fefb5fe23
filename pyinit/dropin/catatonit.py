"""Called as catatonit or podman-init: catatonit 0.2's command line, messages and exit codes.

Different on purpose: the child gets the signal mask that we were started with. catatonit leaves SIGTSTP, SIGTTIN and
SIGTTOU blocked in it, so that Ctrl-Z does nothing in the container.
"""

from __future__ import annotations

import _signal
import os

from pyinit import __version__
from pyinit.dropin.clib import Getopt, GetoptError
from pyinit.init import reaper, signals, spawn
from pyinit.init import run as init_run
from pyinit.init.signals import Forwarding
from pyinit.init.spawn import Launch
from pyinit.log import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyinit.errors import SpawnError
    from pyinit.init.signals import Dispositions

# For docker's sake it begins as tini's does.
_VERSION = f"tini version 0.2.1_catatonit - pyinit {__version__}\n"
_ERROR = 1
_USAGE = "usage: NAME [-ghLPV] [--] <progname> [<arguments>...]\n"
_HELP = """
options:
  -g              send signals to the program's process group
  -h              print this
  -L              print the licence
  -P              pause: run no program, reap, leave with 0 on SIGINT or SIGTERM
  -V, --version   print the version
"""
_LICENCE = b"This is pyinit, called under catatonit's name: free software under the MIT licence.\n"


class CatatonitLog:
    """``LEVEL (catatonit:PID): text`` on stderr; errors alone, or all of it.

    In run_init's terms: what tini tells as a warning is one here too, and not shown by default.
    """

    __slots__ = ("_err", "_is_verbose", "name")

    def __init__(self, *, is_verbose: bool) -> None:
        self.name = "catatonit"
        self._err = Sink(2)
        self._is_verbose = is_verbose

    def fatal(self, text: str) -> None:
        """What ends us; always shown."""
        self._err.write(f"ERROR ({self.name}:{os.getpid()}): {text}\n".encode("utf-8", "surrogateescape"))

    def warning(self, text: str) -> None:
        """Shown with CATATONIT_DEBUG, as all that follow."""
        self._write("WARN", text)

    def info(self, text: str) -> None:
        """Lifecycle."""
        self._write("INFO", text)

    def debug(self, text: str) -> None:
        """Each signal and each process reaped."""
        self._write("DEBUG", text)

    def trace(self, text: str) -> None:
        """The loop's steps."""
        self._write("DEBUG", text)

    def _write(self, level: str, text: str) -> None:
        if self._is_verbose:
            self._err.write(
                f"{level} ({self.name}:{os.getpid()}): {text}\n".encode("utf-8", "surrogateescape")
            )


def run(argv: list[str], *, mask_at_start: frozenset[int]) -> int:
    """Be catatonit; returns the exit code."""
    log = CatatonitLog(is_verbose="CATATONIT_DEBUG" in os.environ)
    if "CATATONIT_LOG" in os.environ:
        log.fatal("CATATONIT_LOG is reserved for future use")
        return _ERROR
    usage = os.fsencode(_USAGE.replace("NAME", os.path.basename(argv[0])))
    to_group = pauses = False
    words = Getopt(argv[1:], "ghLPV", {"version": "V"}, permutes="POSIXLY_CORRECT" not in os.environ)
    try:
        for letter, _ in words:
            if letter == "h":
                Sink(2).write(usage + _HELP.encode())
                return 0
            if letter in "LV":
                Sink(1).write(_VERSION.encode() if letter == "V" else _LICENCE)
                return 0
            to_group |= letter == "g"
            pauses |= letter == "P"
    except GetoptError as problem:
        Sink(2).write(os.fsencode(f"{os.path.basename(argv[0])}: {problem}\n") + usage)
        return _ERROR
    if not words.rest and not pauses:
        log.fatal("missing program name")
        Sink(2).write(usage)
        return _ERROR
    dispositions = signals.settle()
    if pauses:
        return _pause(log)
    command = [os.fsencode(word) for word in words.rest]
    return init_run.run_init(_plan(command, mask_at_start, dispositions, log, to_group=to_group), log)


def _plan(
    command: list[bytes],
    mask: frozenset[int],
    dispositions: Dispositions,
    log: CatatonitLog,
    *,
    to_group: bool,
) -> init_run.InitPlan:
    environment = spawn.read_environment()
    own = b"LISTEN_PID=%d" % os.getpid()

    def in_the_child() -> None:
        # Socket activation (sd_listen_fds(3)) is meant for whom it names.
        environment[:] = [b"LISTEN_PID=%d" % os.getpid() if e == own else e for e in environment]
        _take_foreground()

    def failed(problem: SpawnError) -> int:
        log.fatal(f"failed to exec pid1: {problem.reason}" if problem.is_exec else str(problem))
        return _ERROR

    launch = Launch(command, environment, mask=mask, dispositions=dispositions, terminal=in_the_child)
    return init_run.InitPlan(
        launch,
        # The job-control ones end here; SIGTTIN and SIGTTOU are ignored as it is.
        forwarding=Forwarding({signals.SIGTSTP: 0}),
        stop_signals=frozenset(),
        to_group=to_group,
        subreaper=os.getpid() != 1,
        on_failure=failed,
    )


def _take_foreground() -> None:
    """Of the controlling terminal, wherever stdin leads; of stdin's where there is none."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        fd = 0
    spawn.take_foreground(fd)
    if fd:
        os.close(fd)


def _pause(log: CatatonitLog) -> int:
    while True:
        signum = _signal.sigwaitinfo(signals.WAITED).si_signo
        reaper.reap()
        if signum in (signals.SIGINT, signals.SIGTERM):
            log.debug(f"Leaving at signal {signum}")
            return 0

"""Called as tini, tini-static or docker-init: tini 0.19's command line, messages and exit codes.

Facts: tini's own behaviour, held against the real one in tests/container/test_differential.py. PYINIT_* variables mean
nothing here: an image's own pyinit, started by the engine's, would obey them a second time.
"""

from __future__ import annotations

import os

from pyinit import __version__
from pyinit.dropin.clib import Getopt, GetoptError, strtol, verbosity
from pyinit.init import run as init_run
from pyinit.init import signals, spawn
from pyinit.init.signals import Forwarding
from pyinit.init.spawn import Launch
from pyinit.log import InitLog, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyinit.init.signals import Dispositions

TINI_VERSION = "0.19.0"  # the release we behave as; docker info shows what stands up to the " - "
_VERSION = f"tini version {TINI_VERSION} - pyinit {__version__}"
_ERROR = 1

# What -p takes, by exact name: the ordinary signals that POSIX and BSD share.
_NAMES = (
    *(
        "HUP",
        "INT",
        "QUIT",
        "ILL",
        "TRAP",
        "ABRT",
        "BUS",
        "FPE",
        "KILL",
        "USR1",
        "SEGV",
        "USR2",
        "PIPE",
        "ALRM",
    ),
    *(
        "TERM",
        "CHLD",
        "CONT",
        "STOP",
        "TSTP",
        "TTIN",
        "TTOU",
        "URG",
        "XCPU",
        "XFSZ",
        "VTALRM",
        "PROF",
        "WINCH",
        "SYS",
    ),
)


class _Options:
    """What the command line and the TINI_* variables say."""

    __slots__ = (
        "command",
        "expect_exits",
        "parent_death_signal",
        "subreaper",
        "to_group",
        "verbosity",
        "warn_on_reap",
    )

    def __init__(self) -> None:
        self.command: list[str] = []
        self.expect_exits: set[int] = set()
        self.parent_death_signal = 0
        self.subreaper = False
        self.to_group = False
        self.verbosity = 1
        self.warn_on_reap = False


def run(argv: list[str], *, mask_at_start: frozenset[int]) -> int:
    """Be tini; returns the exit code."""
    options = _Options()
    code = _read(argv, options)
    if code is not None:
        return code
    dispositions = signals.settle()
    log = InitLog("tini", options.verbosity)
    return init_run.run_init(_plan(options, mask_at_start, dispositions), log)


def _plan(options: _Options, mask: frozenset[int], dispositions: Dispositions) -> init_run.InitPlan:
    launch = Launch(
        [os.fsencode(word) for word in options.command],
        spawn.read_environment(),
        mask=mask,
        dispositions=dispositions,
        terminal=spawn.take_foreground,
    )
    return init_run.InitPlan(
        launch,
        forwarding=Forwarding({}),
        stop_signals=frozenset(),
        to_group=options.to_group,
        subreaper=options.subreaper,
        parent_death_signal=options.parent_death_signal,
        warn_on_reap=options.warn_on_reap,
        expect_exits=frozenset(options.expect_exits),
        kill_must_work=True,
    )


def _read(argv: list[str], options: _Options) -> int | None:
    """Fill options; an exit code where that is the whole run."""
    name = os.path.basename(argv[0])
    if argv[1:] == ["--version"]:
        Sink(1).write(f"{_VERSION}\n".encode())
        return 0
    words = Getopt(argv[1:], "hvwgle:p:s", permutes="POSIXLY_CORRECT" not in os.environ)
    try:
        for letter, value in words:
            if letter == "h":
                Sink(1).write(_usage(name))
                return 0
            if letter == "l":
                Sink(1).write(_LICENCE)
                return 0
            if not _take(options, letter, value):
                InitLog("tini", options.verbosity).fatal(f"Not a valid option for -{letter}: {value}")
                return _ERROR
    except GetoptError as problem:
        Sink(2).write(os.fsencode(f"{name}: {problem}\n") + _usage(name))
        return _ERROR
    if not words.rest:
        Sink(2).write(_usage(name))
        return _ERROR
    options.command = words.rest
    # Whatever their value, even an empty one.
    options.subreaper |= "TINI_SUBREAPER" in os.environ
    options.to_group |= "TINI_KILL_PROCESS_GROUP" in os.environ
    if "TINI_VERBOSITY" in os.environ:
        options.verbosity = verbosity(os.environ["TINI_VERBOSITY"])
    return None


def _take(options: _Options, letter: str, value: str) -> bool:
    """One option; False for a value that is not accepted."""
    if letter == "e":
        code, rest = strtol(value)
        if rest or not 0 <= code <= 255:
            return False
        options.expect_exits.add(code)
    elif letter == "p":
        number = signals.number(value) if value.startswith("SIG") and value[3:] in _NAMES else None
        if number is None:
            return False
        options.parent_death_signal = number
    elif letter == "s":
        options.subreaper = True
    elif letter == "v":
        options.verbosity += 1
    elif letter == "w":
        options.warn_on_reap = True
    else:
        options.to_group = True
    return True


def _usage(name: str) -> bytes:
    return os.fsencode(f"{name} ({_VERSION})\n{_USAGE.replace('NAME', name)}")


_USAGE = """\
Usage: NAME [options] [--] CMD [ARG...]
       NAME --version

Execute a program under the supervision of a valid init process (NAME): signals are passed on to it, zombies
are reaped, and its exit code becomes ours.

Options:
  -h           print this
  -l           print the licence
  -s           become a child subreaper, for where this is not PID 1
  -p SIGNAL    have the kernel send SIGNAL (as SIGKILL) when our parent ends
  -g           send signals to the program's process group
  -e CODE      exit 0 where the program's code is CODE; repeatable
  -v           more messages; up to three times
  -w           warn for each process reaped that is not the program
  --version    print the version; alone

Variables:
  TINI_SUBREAPER             set: as -s
  TINI_KILL_PROCESS_GROUP    set: as -g
  TINI_VERBOSITY             how many messages: 0 none, 1 warnings (default) to 4
"""

_LICENCE = b"This is pyinit, called under tini's name: free software under the MIT licence.\n"

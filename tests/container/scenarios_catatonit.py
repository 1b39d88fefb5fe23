"""What is tried under catatonit and under ours by that name; the words are those of its own documentation and tests."""

from __future__ import annotations

from tests.container.scenarios_shared import (
    CHLD,
    FAMILY_LOGGER,
    HUP,
    INT,
    KILL,
    ORPHAN,
    PIPE,
    PROCESSES,
    TERM,
    TERMINAL_LOGGER,
    TSTP,
    TTIN,
    TTOU,
    USR1,
    deaths,
    exits,
    forwarding,
)
from tests.support.differential import RTMAX, Scenario, see, send, type_in, wait_state
from tests.support.process import FORWARDED

_HELD_BACK = "catatonit leaves SIGTSTP, SIGTTIN and SIGTTOU blocked in the child, so that Ctrl-Z does nothing"


def catatonit() -> list[Scenario]:
    """catatonit, by what the 0.1 of Debian and 0.2 share."""
    s, up = Scenario, (see("ready"),)
    passed = tuple(signum for signum in map(int, FORWARDED) if signum not in {RTMAX, TSTP})
    return [
        *exits((0, 1, 42, 127, 255)),
        *deaths((HUP, TERM, KILL, PIPE, 34)),
        s("a command not found", ("nowhere-to-be-found",),
          facts=(("stderr", "failed to exec pid1: No such file or directory\n"), ("stderr", "ERROR (catatonit:3): "))),
        s("no command", (), facts=(("stderr", "missing program name"),)),
        s("-h", ("-h",), facts=(("stderr", "usage: "),)),
        s("-V", ("-V",), facts=(("stdout", "tini version "),)),
        s("--version", ("--version",), facts=(("stdout", "tini version "),)),
        s("an unknown option", ("-x", "true"), facts=(("stderr", "usage: "),)),
        s("options after the command are ours", ("true", "-V"), facts=(("stdout", "tini version "),)),
        s("after -- they are the command's", ("--", "echo", "-V")),
        s("CATATONIT_LOG is refused", ("true",), env={"CATATONIT_LOG": ""}, facts=(("stderr", "CATATONIT_LOG"),)),
        s("TINI variables mean nothing", ("true",), env={"TINI_VERBOSITY": "4", "TINI_SUBREAPER": ""}),
        *forwarding(passed=passed, dropped=(CHLD, TSTP, TTIN, TTOU)),
        s("-g: to its group", ("-g", *FAMILY_LOGGER), (*up, send(TERM), see("grandchild 15"), send(RTMAX),
          see("grandchild 64")), is_unordered=True),
        s("without it: to the child alone", FAMILY_LOGGER, (*up, send(TERM), see("child 15"), send(RTMAX)),
          is_unordered=True),
        s("an orphan is reaped, and nothing said", ORPHAN, place="pid 1"),
        s("a subreaper by itself", ORPHAN, is_subreaper=False),
        s("the environment in disorder", ("/bin/cat", "/proc/self/environ"),
          raw_env=(b"B=2", b"A=\xff\xfe", b"B=3", b"=x", b"C=\n")),
        s("ignored signals stay so", ("grep", "SigIgn", "/proc/self/status"), ignored=(HUP, 41)),
        s("a LISTEN_PID that is ours is the child's then", ("--", "sh", "-c", "echo $LISTEN_PID $$"),
          env={"LISTEN_PID": "1"}, place="pid 1"),
        s("another LISTEN_PID is left alone", ("--", "sh", "-c", "echo $LISTEN_PID"), env={"LISTEN_PID": "7"},
          place="pid 1"),
        s("PID 1 at a terminal", PROCESSES, place="pid 1", terminal="leader"),
        s("a job of a shell", PROCESSES, terminal="job"),
        s("Ctrl-C comes once", TERMINAL_LOGGER, (*up, type_in(b"\x03"), see("2"), send(USR1), see("10")),
          place="pid 1", terminal="leader"),
        s("the child's mask", ("grep", "SigBlk", "/proc/self/status"), differs=_HELD_BACK,
          ours={"stdout": "SigBlk:\t0000000000000000\n"}),
        s("pause: SIGTERM ends it with 0", ("-P",), (wait_state("init", "S"), send(TERM)), place="pid 1"),
        s("pause: SIGINT ends it with 0", ("-P",), (wait_state("init", "S"), send(HUP), send(INT)), place="pid 1"),
    ]  # fmt: skip

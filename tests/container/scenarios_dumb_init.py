"""What is tried under dumb-init 1.2 and under ours by that name; the words are its documentation's and its tests'."""

from __future__ import annotations

import signal
from dataclasses import replace

from tests.container.scenarios_shared import (
    CHLD,
    CONT,
    DESCRIPTORS,
    FAMILY_LOGGER,
    HUP,
    KILL,
    LOGGER,
    MASKS,
    ORPHAN,
    PIPE,
    PROCESSES,
    STOP,
    TERM,
    TERMINAL_LOGGER,
    TSTP,
    TTIN,
    TTOU,
    USR1,
    XFSZ,
    become_root,
    deaths,
    exits,
    forwarding,
    handed_on,
    unstartable,
)
from tests.support.differential import (
    RTMAX,
    Scenario,
    note_link,
    resize,
    see,
    see_all,
    send,
    send_child,
    told,
    type_in,
    wait_state,
)
from tests.support.process import SCRIPT, SYNCHRONOUS

_DUMB_HELP = (("stderr", "dumb-init v1.2.5"), ("stderr", "--rewrite"), ("stderr", "--single-child"))


def _options() -> list[Scenario]:
    s = Scenario
    shell = ("--", "sh", "-c", "exit 7")
    return [
        s("no command", ()),
        s("-h", ("-h",), facts=_DUMB_HELP),
        s("--help", ("--help", "x"), facts=_DUMB_HELP),
        s("-V", ("-V",), facts=(("stderr", "dumb-init v1.2.5"),)),
        s("--version", ("--version",), facts=(("stderr", "dumb-init v1.2.5"),)),
        s("a long option cut short", ("--vers",), facts=(("stderr", "dumb-init v1.2.5"),)),
        s("one cut too short", ("--ver", "true")),
        s("an unknown long option", ("--nothing", "true")),
        s("an unknown letter", ("-x", "true")),
        s("a value where none is taken", ("--verbose=1", "true")),
        s("-r without a value", ("-r",)),
        s("--rewrite without a value", ("--rewrite",)),
        s("options after the command are the command's", ("echo", "-v", "--help", "--")),
        s("-- before the command", ("--", "echo", "--")),
        s("-- twice", ("--", "--", "true")),
        *(
            s(f"-r {value!r}", ("-r", value, *shell))
            for value in ("15:3", "15:0", "0:1", "32:1", "1:32", "31:31", "15", "15:", ":3", "15:3x", "a:b", "-1:2",
                          " 15:3", "15: 3", "15 :3", "15:-3", "", "TERM:INT", "015:03")
        ),
        s("--rewrite=15:3", ("--rewrite=15:3", *shell)),
        s("--rew 15:3", ("--rew", "15:3", *shell)),
        s("-r15:3", ("-r15:3", *shell)),
        s("-vc in one word", ("-vc", *shell)),
        s("a mistake after -h", ("-h", "-x"), facts=_DUMB_HELP),
        s("a mistake before -h", ("-x", "-h")),
    ]  # fmt: skip


def _messages() -> list[Scenario]:
    s = Scenario
    return [
        s("-v", ("-v", "--", "sh", "-c", "exit 3")),
        s("-v, as PID 1", ("-v", "--", "sh", "-c", "exit 3"), place="pid 1"),
        s("-v and an end by a signal", ("-v", "--", "sh", "-c", "kill -9 $$")),
        s("-v -c", ("-v", "-c", "--", "sh", "-c", "exit 3")),
        *(
            s(f"DUMB_INIT_DEBUG={value!r}", ("true",), env={"DUMB_INIT_DEBUG": value})
            for value in ("1", "0", "", "11", "true")
        ),
        *(
            s(f"DUMB_INIT_SETSID={value!r}", ("-v", *PROCESSES), env={"DUMB_INIT_SETSID": value}, is_unordered=True)
            for value in ("0", "1", "")
        ),
        s("both variables", ("true",), env={"DUMB_INIT_SETSID": "0", "DUMB_INIT_DEBUG": "1"}),
        s("-v and a signal", ("-v", *LOGGER), (see("ready"), *told(HUP, RTMAX))),
        s("-v and a rewritten signal", ("-v", "-r", "1:10", *LOGGER), (see("ready"), send(HUP), see("10\n"),
          *told(RTMAX))),
        s("-v and a dropped signal", ("-v", "-r", "1:0", *LOGGER), (see("ready"), send(HUP),
          see("Not forwarding", "stderr"), *told(RTMAX))),
        s("-v and a job-control signal as PID 1", ("-v", "-r", "20:10", *LOGGER), (see("ready"), send(TSTP),
          see("10\n"), *told(RTMAX)), place="pid 1"),
        s("-v and an orphan", ("-v", *ORPHAN), place="pid 1"),
        s("-v and a command not found", ("-v", "nowhere-to-be-found")),
        s("stderr closed", ("-v", "--", "sh", "-c", "exit 3"), closed=(2,)),
    ]  # fmt: skip


def _groups() -> list[Scenario]:
    s, up = Scenario, (see("ready"),)
    # Tells of a SIGTERM that comes once its parent has ended.
    survivor = (*SCRIPT, """
import _signal, os
_signal.pthread_sigmask(_signal.SIG_BLOCK, {1, 2, 15, 10})
read_end, write_end = os.pipe()
if os.fork():
    os.read(read_end, 1)
    os._exit(5)
os.write(write_end, b"x")
info = _signal.sigtimedwait({1, 2, 15, 10}, 0.4)
os.write(1, b"%d\\n" % (info.si_signo if info else 0))
""")  # fmt: skip
    # The namespace ends with PID 1, and this one would before it can tell: so a plain process.
    return [
        s("signals go to the whole group", FAMILY_LOGGER, (*up, send(TERM), see("child 15"), send(RTMAX)),
          is_unordered=True, facts=(("stdout", "grandchild 15"), ("stdout", "child 15\n"))),
        s("-c: to the child alone", ("-c", *FAMILY_LOGGER), (*up, send(TERM), see("child 15"), send(RTMAX)),
          is_unordered=True),
        s("a rewritten signal", ("-r", "15:3", "-r", "1:0", *LOGGER), (*up, send(HUP), send(TERM), see("3\n"),
          *told(RTMAX))),
        s("the last rewrite of a signal counts", ("-r", "15:3", "-r", "15:10", *LOGGER), (*up, send(TERM), see("10\n"),
          *told(RTMAX))),
        s("SIGCHLD cannot be rewritten", ("-r", "17:10", *LOGGER), (*up, send(CHLD), *told(HUP, RTMAX))),
        *(
            s(f"a plain process at {name} stops itself too", LOGGER, (*up, send(signum), wait_state("init", "T"),
              wait_state("child", "T"), send(CONT), see("18\n"), wait_state("init", "S"), *told(RTMAX)))
            for signum, name in ((TSTP, "SIGTSTP"), (TTIN, "SIGTTIN"), (TTOU, "SIGTTOU"))
        ),
        s("a rewrite of a job-control signal, and it stops itself all the same", ("-r", "20:10", *LOGGER),
          (*up, send(TSTP), see("10\n"), wait_state("init", "T"), send(CONT), see("18\n"), *told(RTMAX))),
        s("a job-control signal dropped", ("-r", "20:0", *LOGGER), (*up, send(TSTP), wait_state("init", "T"),
          send(CONT), see("18\n"), *told(RTMAX))),
        s("-c: SIGTSTP is passed on as it is", ("-c", *LOGGER), (*up, send(TSTP), see("20\n"), wait_state("init", "T"),
          send(CONT), see("18\n"), *told(RTMAX))),
        s("as PID 1 it cannot stop itself", LOGGER, (*up, send(TSTP), wait_state("child", "T"), wait_state("init", "S"),
          send(CONT), see("18\n"), *told(RTMAX)), place="pid 1"),
        s("the child's end is SIGTERM for its group", ("--", "sh", "-c", 'exec "$@"', "sh", *survivor)),
        *(
            s(f"synchronous signal {signum} is passed on", LOGGER, (*up, *told(signum, RTMAX)))
            for signum in sorted(map(int, SYNCHRONOUS))
        ),
        s("its directory is / once the child runs", LOGGER, (*up, note_link("cwd"), send(RTMAX)), directory="/usr"),
        s("the child keeps the directory", ("pwd",), directory="/usr/lib"),
        s("SIGKILL", LOGGER, (*up, send(KILL))),
    ]  # fmt: skip


# Two of them, and the second while the first is pending, would be one.
_UNMOVED = """
import _signal, os
_signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGINT, _signal.SIGUSR1})
os.write(1, b"ready\\n")
_signal.sigwait({_signal.SIGUSR1})
os.write(1, b"done\\n")
"""


def _terminal() -> list[Scenario]:
    s, up = Scenario, (see("ready"),)
    done = (send(USR1), see("10"))
    logger = ("-v", *TERMINAL_LOGGER)
    return [
        s("PID 1 at a terminal", PROCESSES, place="pid 1", terminal="leader"),
        s("a job of a shell", PROCESSES, terminal="job"),
        s("in the background", PROCESSES, terminal="background"),
        s("a session leader that is not PID 1", PROCESSES, terminal="leader"),
        s("-c at a terminal", ("-c", *PROCESSES), place="pid 1", terminal="leader"),
        s("the kernel's SIGHUP and SIGCONT are swallowed, once", logger, (see_all("ready", "hand-off signal 1.",
          "hand-off signal 18."), send(HUP), see("1"), *done), place="pid 1", terminal="leader", is_unordered=True),
        s("a shell's job has none to swallow", logger, (*up, send(HUP), see("1"), *done), terminal="job",
          is_unordered=True),
        s("Ctrl-C comes once", TERMINAL_LOGGER, (*up, type_in(b"\x03"), see("2"), *done), place="pid 1",
          terminal="leader"),
        s("-c: Ctrl-C comes from the terminal, and is passed on as well", ("-v", "-c", "--", *SCRIPT, _UNMOVED),
          (*up, type_in(b"\x03"), see("Forwarded signal 2"), send(USR1), see("done")), place="pid 1",
          terminal="leader", is_unordered=True),
        s("Ctrl-Z is nothing to an orphaned group", TERMINAL_LOGGER, (*up, type_in(b"\x1a"), type_in(b"\x03"),
          see("2"), *done), place="pid 1", terminal="leader"),
        s("a new size", TERMINAL_LOGGER, (*up, resize, see("28"), *done), place="pid 1", terminal="leader"),
        s("what is typed is the child's", ("--", "sh", "-c", "echo ready; read line; echo got $line"),
          (*up, type_in(b"hello\n"), see("got hello")), place="pid 1", terminal="leader"),
        s("a shell's job control works", ("sh", "-c", 'set -m; sh -c "echo ready; exec sleep 60"; echo back $?'),
          (*up, type_in(b"\x1a"), see("back 148")), place="pid 1", terminal="leader"),
        s("masks at a terminal", MASKS, place="pid 1", terminal="leader"),
    ]  # fmt: skip


def dumb_init(tmp: str) -> list[Scenario]:
    """dumb-init 1.2.5."""
    aside = ("setsid complete", "attach to controlling tty")
    passed = tuple(
        sorted(set(map(int, signal.valid_signals())) - {CHLD, KILL, STOP, TSTP, TTIN, TTOU, RTMAX})
    )
    scenarios = [
        *exits((0, 1, 2, 42, 127, 128, 255)),
        *deaths((HUP, TERM, KILL, PIPE, 34)),
        *unstartable(tmp),
        *handed_on(),
        Scenario("SIGPIPE ignored at the start", MASKS, ignored=(PIPE, XFSZ)),
        Scenario("SIGCHLD ignored", MASKS, ignored=(CHLD,)),
        Scenario("SIGCHLD ignored, and the exit code", ("sh", "-c", "exit 3"), ignored=(CHLD,)),
        Scenario("stdin closed", DESCRIPTORS, closed=(0,)),
        Scenario("stdin and stderr closed", DESCRIPTORS, closed=(0, 2)),
        *forwarding(passed=passed, dropped=(CHLD,)),
        *_options(),
        *_messages(),
        *_groups(),
        *_terminal(),
        Scenario("a signal that may not be sent is none", become_root(tmp), (see("ready"), send(TERM),
                 send_child(KILL)), uid=1234),
    ]  # fmt: skip
    return [replace(scenario, aside=aside) for scenario in scenarios]

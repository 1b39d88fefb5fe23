"""What is tried under tini 0.19 and under ours by that name; the words are those of its own documentation and tests."""

from __future__ import annotations

from tests.container.scenarios_shared import (
    CHLD,
    CONT,
    DESCRIPTORS,
    FAMILY_LOGGER,
    HUP,
    INT,
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
    hang_up,
    resize,
    see,
    send,
    send_child,
    told,
    type_in,
    wait_state,
)
from tests.support.process import FORWARDED, SCRIPT, SYNCHRONOUS

_EXPECTED = (0, 1, 143, 255)
_USAGE = (
    ("stdout", "Execute a program under the supervision of a valid init process"),
    ("stdout", "-s"),
    ("stdout", "TINI_SUBREAPER"),
    ("stdout", "TINI_KILL_PROCESS_GROUP"),
    ("stdout", "TINI_VERBOSITY"),
    ("stdout", "tini (tini version "),
)
_USAGE_AS_ERROR = tuple(("stderr", text) for _, text in _USAGE)


def _options() -> list[Scenario]:
    s = Scenario
    return [
        s("no command", (), facts=_USAGE_AS_ERROR),
        s("-h", ("-h",), facts=_USAGE),
        s("-h before a later mistake", ("-h", "-e", "x"), facts=_USAGE),
        s("a mistake before -h", ("-e", "x", "-h")),
        s("-l", ("-l",), facts=(("stdout", "icen"),)),
        s("--version", ("--version",), facts=(("stdout", "tini version 0.19.0"),)),
        s("--version among others", ("-v", "--version"), facts=(("stderr", "invalid option -- '-'"),)),
        s("an unknown option", ("-x", "true"), facts=(("stderr", "invalid option -- 'x'"), *_USAGE_AS_ERROR)),
        s("a long option", ("--verbose", "true"), facts=(("stderr", "invalid option -- '-'"),)),
        s("-- alone", ("--",), facts=_USAGE_AS_ERROR),
        s("-- twice: the second is the command", ("--", "--", "true")),
        s("- is a command", ("-", "x")),
        s("options after the command are ours", ("true", "-h"), facts=_USAGE),
        s(
            "an unknown option after the command",
            ("true", "-x"),
            facts=(("stderr", "invalid option -- 'x'"),),
        ),
        s("after -- they are the command's", ("--", "echo", "-h", "-e", "1")),
        s("a later -- ends them", ("echo", "-v", "--", "-h"), is_unordered=True),
        s("POSIXLY_CORRECT stops at the command", ("echo", "-h"), env={"POSIXLY_CORRECT": ""}),
        s("several letters in one word", ("-gvw", "true")),
        s("a value in the same word", ("-e3", "--", "sh", "-c", "exit 3")),
        s("letters and a value in one word", ("-ge3", "--", "sh", "-c", "exit 3")),
        s("-e without a value", ("-e",), facts=(("stderr", "option requires an argument -- 'e'"),)),
        s("-p without a value", ("-p",), facts=(("stderr", "option requires an argument -- 'p'"),)),
        s("an option as the value of another", ("-e", "-v", "true")),
        *(
            s(f"-e {value!r}", ("-e", value, "--", "sh", "-c", "exit 7"))
            for value in ("7", " 7", "7x", "+7", "-7", "0x7", "007", "256", "255", "", "x", "1" * 30)
        ),
        *(
            s(f"-e {code} and that code", ("-e", str(code), "--", "sh", "-c", f"exit {code}"))
            for code in _EXPECTED
        ),
        s("-e twice", ("-e", "3", "-e", "4", "--", "sh", "-c", "exit 3")),
        s("-e of another code", ("-e", "3", "--", "sh", "-c", "exit 4")),
        s("-e 143 and SIGTERM", ("-e", "143", "--", "sh", "-c", "kill $$")),
        s("-e and a command not found", ("-e", "127", "--", "nowhere-to-be-found")),
        *(
            s(f"-p {name}", ("-p", name, "--", "true"))
            for name in (
                "SIGKILL",
                "SIGTERM",
                "SIGWINCH",
                "KILL",
                "sigterm",
                "SIGRTMIN",
                "9",
                "SIGIO",
                "SIGPWR",
                "",
            )
        ),
        s("-p is not the child's", ("-p", "SIGTERM", "--", "grep", "PDeath", "/proc/self/status")),
    ]


def _messages() -> list[Scenario]:
    s = Scenario
    return [
        *(
            s(f"verbosity {count + 1}", (*["-v"] * count, "--", "sh", "-c", "exit 3"), place="pid 1")
            for count in range(5)
        ),
        *(
            s(f"TINI_VERBOSITY={value!r}", ("-v", "--", "true"), env={"TINI_VERBOSITY": value}, place="pid 1")
            for value in ("0", "1", "2", "3", "4", "", "x", "3x", "-1", " 2")
        ),
        s("what does not run is told by the copy", ("--", "nowhere-to-be-found"), place="pid 1"),
        s("and at every verbosity", ("--", "nowhere-to-be-found"), env={"TINI_VERBOSITY": "0"}, place="pid 1"),
        s("a signal passed on, in words", ("-vvv", *LOGGER), (see("ready"), *told(HUP, USR1, 34),
          wait_state("init", "S"), send_child(RTMAX)),
          place="pid 1", is_unordered=True),
        s("an end by a signal, in words", ("-vvv", "--", "sh", "-c", "kill -SEGV $$"), place="pid 1"),
        s("an end by a real-time signal, in words", ("-vvv", "--", "sh", "-c", "kill -40 $$"), place="pid 1"),
        s("neither PID 1 nor a subreaper", ("true",), is_subreaper=False,
          facts=(("stderr", "zombie reaping won't work"), ("stderr", "[WARN  tini (2)] "))),
        s("with -s no word of it", ("-s", "true"), is_subreaper=False),
        s("-s at -vvv", ("-svvv", "true"), is_subreaper=False),
        s("TINI_SUBREAPER", ("true",), is_subreaper=False, env={"TINI_SUBREAPER": ""}),
        s("TINI_SUBREAPER=0 is set as well", ("true",), is_subreaper=False, env={"TINI_SUBREAPER": "0"}),
        s("a subreaper by who started it", ("true",)),
        s("-w", ("-w", *ORPHAN), place="pid 1"),
        s("without it", ORPHAN, place="pid 1"),
        s("-w at -vv", ("-wvv", *ORPHAN), place="pid 1"),
        s("an orphan is reaped by a subreaper", ("-sw", *ORPHAN), is_subreaper=False),
        s("stderr closed", ("--", "nowhere-to-be-found"), closed=(2,)),
        s("stdout closed at -vvv", ("-svvv", "--", "sh", "-c", "exit 4"), closed=(1,)),
    ]  # fmt: skip


def _groups() -> list[Scenario]:
    s, family = Scenario, (see("ready"),)
    return [
        s("signals go to the child alone", FAMILY_LOGGER, (*family, send(TERM), see("child 15"), send(RTMAX)),
          is_unordered=True, place="pid 1"),
        s("-g: to its group", ("-g", *FAMILY_LOGGER), (*family, send(TERM), see("grandchild 15"), send(RTMAX),
          see("grandchild 64")), is_unordered=True),
        s("TINI_KILL_PROCESS_GROUP", FAMILY_LOGGER, (*family, send(HUP), see("grandchild 1"), send(RTMAX),
          see("grandchild 64")), env={"TINI_KILL_PROCESS_GROUP": ""}, is_unordered=True),
        s("a child that is stopped is not noticed", LOGGER, (see("ready"), send(STOP + 1), see("20\n"),
          send_child(STOP), wait_state("child", "T"), send(HUP), send(CONT), see("1\n"), see("18\n"), send(RTMAX)),
          place="pid 1"),
        s("SIGTSTP and SIGCONT are passed on, and it is not stopped itself", ("--", "sh", "-c", "echo ready; sleep 60"),
          (see("ready"), send(TSTP), wait_state("child", "T"), wait_state("init", "S"), send(CONT),
           wait_state("child", "S"), send(TERM))),
        s("a signal to the child is not a signal to us", LOGGER, (see("ready"), send_child(TERM), see("15\n"),
          send_child(RTMAX)), place="pid 1"),
        *(
            s(f"a plain process dies of signal {signum}", LOGGER, (see("ready"), send(signum)))
            for signum in sorted(map(int, SYNCHRONOUS))
        ),
        s("SIGKILL", LOGGER, (see("ready"), send(KILL))),
        s("SIGSTOP and SIGCONT, and what came meanwhile", LOGGER, (see("ready"), send(STOP), wait_state("init", "T"),
          send(TERM), send(CONT), see("15\n"), see("18\n"), send(RTMAX))),
    ]  # fmt: skip


_HANG_UP = """
import _signal, os
_signal.pthread_sigmask(_signal.SIG_BLOCK, {1})
os.write(1, b"ready")
os._exit(40 + _signal.sigwait({1}))
"""


def _terminal() -> list[Scenario]:
    s, up = Scenario, (see("ready"),)
    done = (send(USR1), see("10"))
    return [
        s("PID 1 at a terminal: the child's group is in front", PROCESSES, place="pid 1", terminal="leader"),
        s("a job of a shell: the child's group is in front", ("-s", *PROCESSES), terminal="job"),
        s("from the background it takes the front", ("-s", *PROCESSES), terminal="background"),
        s("a session leader that is not PID 1", ("-s", *PROCESSES), terminal="leader"),
        s("Ctrl-C comes once", TERMINAL_LOGGER, (*up, type_in(b"\x03"), see("2"), *done), place="pid 1",
          terminal="leader"),
        s("Ctrl-C of a shell's job comes once", ("-s", *TERMINAL_LOGGER), (*up, type_in(b"\x03"), see("2"),
          *done), terminal="job"),
        s("Ctrl-\\", TERMINAL_LOGGER, (*up, type_in(b"\x1c"), see("3"), *done), place="pid 1",
          terminal="leader"),
        s("Ctrl-Z stops the child", ("-s", *TERMINAL_LOGGER), (*up, type_in(b"\x1a"), wait_state("child", "T"),
          wait_state("init", "S"), send(CONT), wait_state("child", "S"), *done), terminal="job"),
        s("a new size", TERMINAL_LOGGER, (*up, resize, see("28"), *done), place="pid 1", terminal="leader"),
        s("the terminal goes away", ("--", *SCRIPT, _HANG_UP), (*up, hang_up), place="pid 1", terminal="leader"),
        s("what is typed is the child's", ("--", "sh", "-c", "echo ready; read line; echo got $line"),
          (*up, type_in(b"hello\n"), see("got hello")), place="pid 1", terminal="leader"),
        s("masks at a terminal", MASKS, place="pid 1", terminal="leader"),
    ]  # fmt: skip


def tini(tmp: str) -> list[Scenario]:
    """Tini 0.19."""
    passed = tuple(signum for signum in map(int, FORWARDED) if signum != RTMAX)
    return [
        *exits((0, 1, 2, 42, 125, 126, 127, 128, 143, 255)),
        *deaths((HUP, INT, TERM, KILL, PIPE, 34, 64)),
        *unstartable(tmp),
        *handed_on(),
        Scenario("SIGPIPE ignored at the start", MASKS, ignored=(PIPE, XFSZ),
                 differs="CPython ignores both at its own start, so whether they were cannot be told",
                 ours={"stdout": "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n"
                       "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000400\n"}),
        Scenario("stdin closed", DESCRIPTORS, closed=(0,),
                 differs="tini takes it for a broken terminal and gives up (tcsetpgrp failed)",
                 ours={"ending": "exit 0", "stdout": "1\n2\n", "stderr": ""}),
        *forwarding(passed=passed, dropped=(*map(int, SYNCHRONOUS), CHLD, TTIN, TTOU)),
        Scenario("a signal that may not be sent is the end", become_root(tmp), (see("ready"), send(TERM)), uid=1234),
        *_options(),
        *_messages(),
        *_groups(),
        *_terminal(),
    ]  # fmt: skip

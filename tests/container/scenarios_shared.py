"""What is tried under every init: children that tell what they see, and the tables that all share."""

from __future__ import annotations

import signal
from dataclasses import replace

from tests.support.differential import RTMAX, Scenario, see, send, told
from tests.support.process import SCRIPT, SIGNAL_LOGGER, SYNCHRONOUS

LOGGER = ("--", *SCRIPT, SIGNAL_LOGGER)
# As the signal logger, and its own child does the same: who of the group has heard of what.
FAMILY_LOGGER = (
    "--",
    *SCRIPT,
    """
import _signal, os
everything = set(_signal.valid_signals())
_signal.pthread_sigmask(_signal.SIG_BLOCK, everything)
read_end, write_end = os.pipe()
who = "grandchild" if not os.fork() else "child"
if who == "grandchild":
    os.write(1, b"up\\n")
    os.write(write_end, b"x")
else:
    os.read(read_end, 1)
    os.write(1, b"ready\\n")
while True:
    signum = _signal.sigwaitinfo(everything - {_signal.SIGCHLD}).si_signo
    os.write(1, b"%s %d\\n" % (who.encode(), signum))
    if signum == _signal.SIGRTMAX:
        break
if who == "child":
    # With it the init ends, and with that everybody: where both were told to end, the other has its say first.
    _signal.sigtimedwait({_signal.SIGCHLD}, 0.3)
""",
)
# Takes the terminal's signals one by one: everything else stays at its default.
TERMINAL_LOGGER = (
    "--",
    *SCRIPT,
    """
import _signal, os
signums = {_signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP, _signal.SIGWINCH, _signal.SIGUSR1}
_signal.pthread_sigmask(_signal.SIG_BLOCK, signums)
try:
    foreground = os.tcgetpgrp(0) == os.getpgrp()
except OSError:
    foreground = None
os.write(1, b"ready %d %d %s\\n" % (os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid(),
                                    str(foreground).encode()))
while True:
    signum = _signal.sigwaitinfo(signums).si_signo
    os.write(1, b"%d\\n" % signum)
    if signum == _signal.SIGUSR1:
        break
""",
)
# A process that outlives its parent, and then ends: an orphan to reap.
ORPHAN = ("--", "sh", "-c", "(sleep 0.05 & ) ; sleep 0.3")
MASKS = ("--", "grep", "-E", "^(Sig(Blk|Ign|Cgt)|ShdPnd|SigPnd)", "/proc/self/status")
DESCRIPTORS = ("--", "sh", "-c", "cd /proc/self/fd && for f in *; do [ -e $f ] && echo $f; done; exit 0")
PROCESSES = ("--", "ps", "-A", "-o", "pid,ppid,pgid,sid,tpgid,comm")
PRIVILEGES = (
    "--",
    "grep",
    "-E",
    "^(Uid|Gid|Groups|Cap|NoNewPrivs|Umask)",
    "/proc/self/status",
)
ENVIRONMENT = ("cat", "/proc/self/environ")

HUP, INT, QUIT, TERM, CHLD, CONT = (
    int(getattr(signal, f"SIG{name}")) for name in ("HUP", "INT", "QUIT", "TERM", "CHLD", "CONT")
)
USR1, USR2, PIPE, TSTP, TTIN, TTOU, STOP, KILL, XFSZ = (
    int(getattr(signal, f"SIG{name}"))
    for name in ("USR1", "USR2", "PIPE", "TSTP", "TTIN", "TTOU", "STOP", "KILL", "XFSZ")
)


def on_both(scenario: Scenario) -> tuple[Scenario, Scenario]:
    """As a plain process and as PID 1."""
    return scenario, replace(scenario, name=f"{scenario.name}, as PID 1", place="pid 1")


def exits(codes: tuple[int, ...]) -> list[Scenario]:
    return [Scenario(f"the child exits with {code}", ("--", "sh", "-c", f"exit {code}")) for code in codes]


def deaths(signums: tuple[int, ...]) -> list[Scenario]:
    return [
        Scenario(
            f"the child dies of signal {signum}",
            ("--", "sh", "-c", f"kill -{signum} $$"),
        )
        for signum in signums
    ]


def unstartable(tmp: str) -> list[Scenario]:
    """Commands that cannot be run, and those that can in a way of their own. ``tmp`` holds what SAMPLES makes."""
    return [
        Scenario("a command that is nowhere on PATH", ("nowhere-to-be-found",)),
        Scenario("a path that does not exist", ("/nowhere/to/be/found",)),
        Scenario("a directory as the command", (tmp,)),
        Scenario("a file that is not executable", (f"{tmp}/not-executable",)),
        Scenario("an interpreter that does not exist", (f"{tmp}/no-interpreter",)),
        Scenario("an empty command", ("",)),
        Scenario("a name that is too long", ("x" * 300,)),
        Scenario("a link that leads to itself", (f"{tmp}/loop",)),
        Scenario("a file where a directory should be", (f"{tmp}/not-executable/x",)),
        Scenario("a script without #! is run by /bin/sh", (f"{tmp}/no-shebang", "a b", "c")),
        Scenario("such a script found on PATH", ("no-shebang", "x"), env={"PATH": f"/bin:{tmp}"}),
        Scenario("an empty file that is executable", (f"{tmp}/empty",)),
        Scenario("a broken binary", (f"{tmp}/broken-binary",)),
        Scenario("no PATH at all", ("true",), raw_env=(b"A=1",)),
        Scenario(
            "an empty part of PATH is the working directory", ("ok",), env={"PATH": ":/bin"}, directory=tmp
        ),
        Scenario("a dot in PATH", ("ok",), env={"PATH": "/bin:."}, directory=tmp),
        Scenario("on PATH first refused, then found", ("true",), env={"PATH": f"{tmp}/refusing:/bin"}),
        Scenario("on PATH refused and found nowhere else", ("true",), env={"PATH": f"{tmp}/refusing:{tmp}"}),
        Scenario("a PATH that leads through a file", ("true",), env={"PATH": f"{tmp}/not-executable:/bin"}),
        Scenario("another user's command", (f"{tmp}/roots-own",), uid=1234),
    ]


def handed_on() -> list[Scenario]:
    """What the child is started with, as on every init; dumb-init's masks differ by themselves."""
    return [
        *on_both(Scenario("masks and dispositions of a plain start", MASKS)),
        *on_both(Scenario("signals that are blocked at the start", MASKS, blocked=(USR1, TERM, 40))),
        *on_both(Scenario("signals that are ignored at the start", MASKS, ignored=(HUP, USR2, 41))),
        Scenario("SIGINT and SIGQUIT ignored, as a shell's & does", MASKS, ignored=(INT, QUIT)),
        Scenario("SIGTTIN and SIGTTOU ignored", MASKS, ignored=(TTIN, TTOU)),
        Scenario("SIGTTIN and SIGTTOU blocked", MASKS, blocked=(TTIN, TTOU, TSTP)),
        Scenario("the synchronous ones blocked", MASKS, blocked=tuple(map(int, SYNCHRONOUS))),
        Scenario("everything blocked", MASKS, blocked=tuple(range(1, 65))),
        Scenario("all real-time signals ignored", MASKS, ignored=tuple(range(34, 65))),
        *on_both(Scenario("descriptors 0 to 2", DESCRIPTORS)),
        Scenario("descriptors 3, 9 and 30", DESCRIPTORS, open=(3, 9, 30)),
        Scenario("stdout closed", DESCRIPTORS, closed=(1,)),
        Scenario("stdout and stderr closed", ("--", "sh", "-c", "exit 3"), closed=(1, 2)),
        Scenario("a high descriptor", DESCRIPTORS, open=(99,)),
        Scenario("an empty environment", ENVIRONMENT, raw_env=()),
        Scenario(
            "an environment in disorder",
            ("/bin/cat", "/proc/self/environ"),
            raw_env=(b"B=2", b"A=\xff\xfe", b"no equals sign", b"B=3", b"=x", b"", b"C=\n", b"D"),
        ),
        Scenario("the C locale, and no LC_CTYPE of ours", ENVIRONMENT, env={"LANG": "C"}),
        Scenario("the POSIX locale", ENVIRONMENT, env={"LC_ALL": "POSIX"}),
        Scenario("no locale", ENVIRONMENT),
        Scenario(
            "another init's variables", ENVIRONMENT, env={"TINI_SUBREAPER": "", "DUMB_INIT_SETSID": "1"}
        ),
        Scenario(
            "PYINIT variables are the child's", ENVIRONMENT, env={"PYINIT_LISTEN": "80", "PYINIT_FRONT": "x"}
        ),
        Scenario(
            "the app's PYTHON variables", ENVIRONMENT, env={"PYTHONPATH": "/app", "PYTHONWARNINGS": "error"}
        ),
        Scenario("arguments that are not UTF-8", ("printf", "%s|", b"\xff\xfe", b"\xc3\xa9", "", " ")),
        Scenario("the same in the C locale", ("printf", "%s|", b"\xff", b"\xc3\xa9"), env={"LC_ALL": "C"}),
        Scenario("the working directory", ("pwd",), directory="/usr/lib"),
        *on_both(Scenario("groups and sessions", PROCESSES, is_unordered=True)),
        Scenario("another user, and what it may", PRIVILEGES, uid=1234),
        Scenario("limits", ("--", "sh", "-c", "ulimit -n; ulimit -s; ulimit -c")),
        Scenario("priority", ("nice",)),
    ]


def become_root(tmp: str) -> tuple[str, ...]:
    """A child that its init, another user, may not send signals to."""
    as_root = (f"{tmp}/setuid-setpriv", "--reuid", "0", "--regid", "0", "--clear-groups")
    return ("--", *as_root, "sh", "-c", "echo ready; exec sleep 60")


def forwarding(*, passed: tuple[int, ...], dropped: tuple[int, ...]) -> list[Scenario]:
    """Every signal that can be sent: what the child sees of it."""
    every = Scenario("every signal that is passed on", LOGGER, (see("ready"), *told(*passed, RTMAX)))
    none = Scenario(
        "every signal that is not",
        LOGGER,
        (see("ready"), *(send(signum) for signum in dropped), *told(USR1, RTMAX)),
        place="pid 1",
    )
    return [*on_both(every), none]

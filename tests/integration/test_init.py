"""Init mode as a plain process: signals, exit codes, and what the child is given."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.process import (
    FORWARDED,
    PATIENCE_S,
    ROOT,
    SCRIPT,
    SCRIPT_PATH,
    SIGNAL_LOGGER,
    SYNCHRONOUS,
    TIME_SCALE,
    Running,
    eventually,
    parent_of,
    process_state,
    pyinit_command,
    pyinit_environment,
    run_pyinit,
)

LOGGER = (*SCRIPT, SIGNAL_LOGGER)
WAITS = "import os; os.write(1, b'ready %d\\n' % os.getpid()); os.read(0, 1)"
EXIT_CODES = (0, 1, 2, 7, 124, 125, 126, 127, 128, 129, 137, 254, 255)


def exits(code: int) -> tuple[str, ...]:
    return ("sh", "-c", f"exit {code}")


# --- signals


def test_every_catchable_signal_is_forwarded_and_in_order() -> None:
    with Running("-s", "--", *LOGGER) as pyinit:
        pyinit.child()
        for signum in FORWARDED:
            pyinit.send(signum)
            assert pyinit.line() == str(int(signum))
        assert FORWARDED[-1] == signal.SIGRTMAX
        assert pyinit.wait() == 0
        assert pyinit.stderr() == ""


def test_the_forwarded_signals_hold_all_real_time_ones() -> None:
    assert set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1)) <= set(FORWARDED)
    assert len(FORWARDED) == 62 - len(SYNCHRONOUS) - 2 - 3


def test_queued_real_time_signals_are_not_merged() -> None:
    """Handlers instead of waiting would merge what comes while one runs; stopped, all of these come at once."""
    with Running("-s", "--", *LOGGER) as pyinit:
        pyinit.child()
        pyinit.send(signal.SIGSTOP)
        eventually(lambda: process_state(pyinit.pid) == "T")
        pyinit.send(40, 34, 34, 40, 34, signal.SIGTERM, signal.SIGTERM, signal.SIGCONT)
        # The kernel hands out the lowest number first, and keeps one SIGTERM of two (signal(7)).
        assert [pyinit.line() for _ in range(7)] == ["15", "18", "34", "34", "34", "40", "40"]
        pyinit.send(signal.SIGRTMAX)
        assert pyinit.line() == "64"
        assert pyinit.wait() == 0


def test_sigtstp_stops_the_child_and_not_pyinit() -> None:
    with Running("-s", "--", *SCRIPT, WAITS, stdin=subprocess.PIPE) as pyinit:
        child = pyinit.child()
        pyinit.send(signal.SIGTSTP)
        eventually(lambda: process_state(child) == "T")
        assert process_state(pyinit.pid) == "S"
        pyinit.send(signal.SIGCONT)
        eventually(lambda: process_state(child) == "S")
        assert pyinit.popen.stdin is not None
        pyinit.popen.stdin.close()
        assert pyinit.wait() == 0


def test_ignored_terminal_signals_do_nothing() -> None:
    with Running("-s", "--", *LOGGER) as pyinit:
        pyinit.child()
        pyinit.send(signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD, signal.SIGUSR1)
        assert pyinit.line() == str(int(signal.SIGUSR1))


def test_a_synchronous_fault_ends_pyinit_and_is_not_forwarded() -> None:
    without_core_file = ("sh", "-c", 'ulimit -c 0; exec "$@"', "sh")
    with Running("-s", "--", *LOGGER, before=without_core_file) as pyinit:
        child = pyinit.child()
        pyinit.send(signal.SIGSEGV)
        assert pyinit.wait() == -signal.SIGSEGV
        os.kill(child, signal.SIGRTMAX)
        assert pyinit.rest() == "64\n"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGRTMIN + 1])
def test_a_signal_from_before_the_child_existed_is_kept_and_passed_on(signum: int) -> None:
    """Sent by another process between the first statement and the rest, the time an interpreter takes to start.

    SIGINT: in the forked copy, before its exec, the interpreter's own handler would turn it into exit code 1.
    """
    script = (
        "import sys, os\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import pyinit.__main__ as main\n"
        "pid = os.getpid()\n"
        "if not os.fork():\n"
        f"    os.kill(pid, {int(signum)})\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "sys.argv = ['pyinit', '-s', '--', 'sleep', '60']\n"
        "main.main()\n"
    )
    done = subprocess.run(
        [*SCRIPT, script], capture_output=True, check=False, timeout=PATIENCE_S * TIME_SCALE
    )
    assert (done.returncode, done.stderr) == (128 + signum, b"")


def test_rewrite_sends_another_signal_or_none() -> None:
    rewrites = ("--rewrite", "TERM:QUIT", "--rewrite=USR1:0", "--rewrite", "RTMIN+1:12")
    with Running("-s", *rewrites, "--", *LOGGER) as pyinit:
        pyinit.child()
        pyinit.send(signal.SIGTERM)
        assert pyinit.line() == "3"
        pyinit.send(signal.SIGUSR1)
        pyinit.send(signal.SIGRTMIN + 1)
        assert pyinit.line() == "12"


@pytest.mark.parametrize(
    ("options", "env", "heard"),
    [((), {}, 1), (("-g",), {}, 2), ((), {"TINI_KILL_PROCESS_GROUP": ""}, 2)],
    ids=["as it is", "-g", "TINI_KILL_PROCESS_GROUP"],
)
def test_signals_go_to_the_child_alone_or_to_its_group(
    options: tuple[str, ...], env: dict[str, str], heard: int
) -> None:
    script = (
        "import os\n"
        "pid = os.fork()\n"
        "name = b'grandchild' if not pid else b'child'\n"
        "import _signal\n"
        "everything = _signal.valid_signals() - {_signal.SIGCHLD}\n"
        "_signal.pthread_sigmask(_signal.SIG_BLOCK, everything)\n"
        "os.write(1, name + b'\\n')\n"
        "signum = _signal.sigwaitinfo(everything).si_signo\n"
        "os.write(1, name + b' %d\\n' % signum)\n"
        "if pid: os.waitpid(pid, 0) if _signal.SIGUSR1 == signum and HEARD == 2 else os.kill(pid, 9)\n"
    ).replace("HEARD", str(heard))
    with Running("-s", *options, "--", *SCRIPT, script, env=env) as pyinit:
        assert {pyinit.line(), pyinit.line()} == {"child", "grandchild"}
        pyinit.send(signal.SIGUSR1)
        assert pyinit.wait() == 0
        assert sorted(pyinit.rest().split("\n")) == sorted(["", "child 10", "grandchild 10"][: heard + 1])


# --- exit codes


@pytest.mark.parametrize("code", EXIT_CODES)
def test_the_childs_code_is_ours(code: int) -> None:
    assert run_pyinit("-s", "--", *exits(code)).returncode == code


@pytest.mark.parametrize(
    "signum",
    [signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGPIPE, signal.SIGTERM, signal.SIGSEGV, 34, 64],
)
def test_a_child_ended_by_a_signal_is_128_and_its_number(signum: int) -> None:
    command = ("sh", "-c", f"ulimit -c 0; kill -{int(signum)} $$")
    assert run_pyinit("-s", "--", *command).returncode == 128 + signum


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (("-e", "143"), 143, 0),
        (("-e143",), 143, 0),
        (("-e", "3", "-e", "4"), 4, 0),
        (("--expect-exit", "3"), 3, 0),
        (("--expect-exit=3",), 4, 4),
        (("-e", ""), 0, 0),
    ],
)
def test_an_expected_code_becomes_0(options: tuple[str, ...], code: int, expected: int) -> None:
    assert run_pyinit("-s", *options, "--", *exits(code)).returncode == expected


def test_an_expected_signal_becomes_0() -> None:
    assert run_pyinit("-s", "-e", "143", "--", "sh", "-c", "kill -TERM $$").returncode == 0


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Files that exec refuses, each for a reason of its own."""
    (tmp_path / "plain").write_text("exit 3\n")
    (tmp_path / "script").write_text('echo "$0" "$@"; exit 9\n')
    (tmp_path / "script").chmod(0o755)
    (tmp_path / "no-interpreter").write_text("#!/nonexistent/interpreter\n")
    (tmp_path / "no-interpreter").chmod(0o755)
    (tmp_path / "empty").touch(mode=0o755)
    (tmp_path / "dir").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


EXEC_CODES = {
    "not found in PATH": ("pyinit-no-such-command", 127),
    "no such file": ("{}/nothing", 127),
    "an empty word": ("", 127),
    "not executable": ("{}/plain", 126),
    "a directory": ("{}/dir", 126),
    "a missing interpreter": ("{}/no-interpreter", 127),
    "a file in place of a directory": ("{}/plain/x", 1),
    "a symlink to itself": ("{}/loop", 1),
    "a name that is too long": ("{}/" + "x" * 300, 1),
    "a script without an interpreter line": ("{}/script", 9),
    "an empty file": ("{}/empty", 0),
}


@pytest.mark.parametrize("case", EXEC_CODES)
def test_exec_errors_have_tinis_codes(case: str, commands: Path) -> None:
    command, code = EXEC_CODES[case]
    done = run_pyinit("-s", "--", command.format(commands))
    assert done.returncode == code
    lines = done.stderr.decode().splitlines()
    assert len(lines) == (code in (1, 126, 127))
    for line in lines:
        assert line.startswith("[FATAL pyinit (")
        assert f"exec {command.format(commands)} failed: " in line


@pytest.mark.skipif(not shutil.which("tini"), reason="need tini, to compare with")
def test_tini_itself_exits_so(commands: Path) -> None:
    """The table above is about a program that can be asked."""
    for command, code in EXEC_CODES.values():
        words = ["tini", "-s", "--", command.format(commands)]
        done = subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE_S * TIME_SCALE)
        assert done.returncode == code, command


def test_a_script_without_an_interpreter_line_is_run_by_sh(commands: Path) -> None:
    done = run_pyinit("-s", "--", str(commands / "script"), "a b", "c")
    assert done.stdout.decode() == f"{commands}/script a b c\n"
    found = run_pyinit("-s", "--", "script", "x", env={"PATH": f"/nonexistent:{commands}:/bin"})
    assert (found.returncode, found.stdout.decode()) == (9, f"{commands}/script x\n")


def test_the_path_is_searched_as_execvp_does(tmp_path: Path) -> None:
    refused, found, file = tmp_path / "refused", tmp_path / "found", tmp_path / "file"
    refused.mkdir()
    found.mkdir()
    file.touch()
    (refused / "command").write_text("#!/bin/sh\n")
    (found / "command").write_text("#!/bin/sh\nexit 5\n")
    (found / "command").chmod(0o755)

    def code(path: str, cwd: Path | None = None) -> int:
        return run_pyinit("-s", "--", "command", env={"PATH": path}, cwd=cwd).returncode

    assert code(f"/nonexistent:{file}:{refused}:{found}") == 5  # a refusal is looked past
    assert code(f"{refused}:/nonexistent") == 126  # but remembered
    assert code("/nonexistent:/also/not") == 127
    assert code(f":{refused}", cwd=found) == 5  # nothing is the directory we are in
    assert code("", cwd=found) == 5


def test_a_missing_path_is_the_default_path() -> None:
    done = run_pyinit("-s", "--", "true", before=("env", "-u", "PATH"))
    assert done.returncode == 0


@pytest.mark.parametrize("stderr_open", [True, False])
def test_exec_failures_keep_their_code_whoever_reads_stderr(*, stderr_open: bool) -> None:
    """The forked copy has SIGPIPE at its default by then: writing its line must not end it."""
    read_end, write_end = os.pipe()
    if not stderr_open:
        os.close(read_end)
    done = run_pyinit("-s", "--", "/nonexistent", stderr=write_end)
    os.close(write_end)
    if stderr_open:
        os.close(read_end)
    assert done.returncode == 127


# --- what the child is given


def status_lines(setup: str, *, options: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """Mask and dispositions of a process, and of the child of the pyinit it becomes."""
    names = "('SigBlk', 'SigIgn')"
    script = (
        "import _signal, os, sys\n"
        "for signum in (_signal.SIGPIPE, _signal.SIGXFSZ): _signal.signal(signum, _signal.SIG_DFL)\n"
        f"{setup}\n"
        f"lines = [line for line in open('/proc/self/status') if line.startswith({names})]\n"
        "os.write(1, ''.join(lines).encode())\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    child = ("grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status")
    done = run_pyinit("-s", *options, "--", *child, before=(*SCRIPT, script))
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, len(lines)) == (0, 4), done.stderr
    return lines[:2], lines[2:]


@pytest.mark.parametrize(
    "setup",
    [
        pytest.param("", id="nothing"),
        pytest.param("_signal.pthread_sigmask(0, {2, 11, 15, 17, 22, 34, 64})", id="some blocked"),
        pytest.param("_signal.pthread_sigmask(0, _signal.valid_signals())", id="all blocked"),
        pytest.param("for n in (1, 2, 10, 20, 34): _signal.signal(n, _signal.SIG_IGN)", id="some ignored"),
        pytest.param("_signal.signal(_signal.SIGTTIN, _signal.SIG_IGN)", id="SIGTTIN ignored"),
        pytest.param("_signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)", id="SIGTTOU ignored"),
        pytest.param("_signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)", id="SIGCHLD ignored"),
    ],
)
def test_the_child_has_the_mask_and_dispositions_that_we_got(setup: str) -> None:
    before, child = status_lines(setup)
    assert child == before


def test_an_ignored_sigpipe_is_given_back_as_the_default() -> None:
    """The interpreter ignores it at start, so what it was cannot be told: the default is what tools expect."""
    _, child = status_lines("_signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)")
    assert child[1].split()[1] == "0" * 16


def test_with_sigchld_ignored_the_childs_code_still_comes() -> None:
    """The kernel would reap by itself and say nothing: an init that waits for ever (tini does)."""
    script = (
        "import _signal, os, sys\n"
        "_signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    assert run_pyinit("-s", "--", *exits(3), before=(*SCRIPT, script)).returncode == 3


# Becomes pyinit with an environment that execve(2) takes and no mapping can hold.
RAW_EXEC = """
import ctypes, sys
count = int(sys.argv[1])
entries = [bytes.fromhex(word) for word in sys.argv[2:2 + count]]
words = [word.encode() for word in sys.argv[2 + count:]]
libc = ctypes.CDLL(None)
block = (ctypes.c_char_p * (len(entries) + 1))(*entries, None)
vector = (ctypes.c_char_p * (len(words) + 1))(*words, None)
libc.execve(words[0], vector, block)
"""


def environment_of_child(entries: list[bytes], *options: str) -> list[bytes]:
    """What the child's environment is where pyinit's is ``entries``."""
    before = (*SCRIPT, RAW_EXEC, str(len(entries)), *(entry.hex() for entry in entries))
    done = run_pyinit("-s", *options, "--", "/bin/cat", "/proc/self/environ", before=before)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.split(b"\0")[:-1]


def test_the_environment_is_handed_on_byte_for_byte() -> None:
    entries = [
        b"Z=1",
        b"A=\xff\xfe\x80",
        b"\xe9t\xe9=2",
        b"A=again",
        b"EMPTY=",
        b"LINES=a\nb",
        b"=C:=x",
        b"Z=last",
    ]
    assert environment_of_child(entries) == entries


def test_entries_that_are_no_variables_are_handed_on_too() -> None:
    entries = [b"A=1", b"no equals sign", b"", b"=", b"=x", b"A=2"]
    assert environment_of_child(entries) == entries


def test_in_the_c_locale_nothing_is_added() -> None:
    """PEP 538: the interpreter sets LC_CTYPE for itself there."""
    assert environment_of_child([]) == []
    assert environment_of_child([b"LANG=C"]) == [b"LANG=C"]


def test_where_we_start_anew_for_the_apps_python_variables_it_is_the_same() -> None:
    entries = [b"PYTHONPATH=/nowhere", b"A=\xff", b"no equals sign", b"PYTHONWARNINGS=error"]
    assert environment_of_child(entries) == entries


def test_our_own_variables_are_removed_and_kubernetes_ones_kept() -> None:
    kept = [
        b"PYINIT_SERVICE_HOST=10.0.0.1",
        b"PYINIT_SERVICE_PORT=80",
        b"PYINIT_SERVICE_PORT_HTTP=80",
        b"PYINIT_PORT=tcp://10.0.0.1:80",
        b"PYINIT_PORT_80_TCP_ADDR=10.0.0.1",
        b"TINI_VERBOSITY=1",
        b"XPYINIT_A=1",
    ]
    ours = [b"PYINIT_STOP_TIMEOUT=5", b"PYINIT_PORT_ENV=P", b"PYINIT_FRONT=on"]
    assert environment_of_child([*ours, *kept]) == kept


def test_with_the_front_off_the_app_gets_the_public_port() -> None:
    """In place of the first PORT, and of all others."""
    entries = [b"PYINIT_FRONT=off", b"PYINIT_LISTEN=8080", b"A=1", b"PORT=1", b"B=2", b"PORT=2"]
    assert environment_of_child(entries) == [b"A=1", b"PORT=8080", b"B=2"]
    assert environment_of_child(entries[:3], "--port-env=WEB_PORT") == [b"A=1", b"WEB_PORT=8080"]


OPEN_DESCRIPTORS = """
import os
for fd in range(256):
    try: os.fstat(fd)
    except OSError: continue
    os.write(1, b"%d " % fd)
"""


def test_inherited_descriptors_are_kept_and_none_is_added() -> None:
    script = (
        "import os, sys; r, w = os.pipe(); os.dup2(r, 9); os.dup2(w, 30); os.dup2(w, 3); os.write(3, b'x')\n"
        "os.set_inheritable(9, True); os.set_inheritable(30, True); os.set_inheritable(3, True)\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = run_pyinit("-s", "-vvv", "--", *SCRIPT, OPEN_DESCRIPTORS, before=(*SCRIPT, script))
    told = done.stdout.decode().splitlines()
    assert [line for line in told if line.startswith("0 1 2 3 9 30 ")] != []


@pytest.mark.parametrize("closed", ["0", "2", "0 2"])
def test_descriptors_that_came_closed_are_closed_in_the_child(closed: str) -> None:
    """In between /dev/null stands there, so that no file or socket of ours becomes stderr."""
    script = (
        "import os, sys\n"
        "for fd in sys.argv[1].split(): os.close(int(fd))\n"
        "os.execv(sys.argv[2], sys.argv[2:])\n"
    )
    done = run_pyinit("--", *SCRIPT, OPEN_DESCRIPTORS, before=(*SCRIPT, script, closed))
    assert done.returncode == 0
    assert done.stdout.decode().split() == [fd for fd in "012" if fd not in closed]


def test_nobody_changes_the_flags_of_the_childs_descriptors() -> None:
    """O_NONBLOCK lives on the open file, which stderr and the child share: its writes would fail with EAGAIN."""
    read_end, write_end = os.pipe()
    with Running("-s", "-vvvw", "--", *LOGGER, stderr=write_end) as pyinit:
        while not pyinit.line().startswith("ready"):
            pass
        assert not fcntl.fcntl(write_end, fcntl.F_GETFL) & os.O_NONBLOCK
        assert pyinit.popen.stdout is not None
        flags = Path(f"/proc/{pyinit.pid}/fdinfo/1").read_text()
        assert not int(flags.split("flags:")[1].split()[0], 8) & os.O_NONBLOCK
    os.close(read_end)
    os.close(write_end)


def test_arguments_need_not_be_utf_8() -> None:
    words = [b"\xff\xfe", "é".encode(), b"", b"a b", b"-s", b"--"]
    done = run_pyinit("-s", "--", "printf", "%s\\n", *words)
    assert done.stdout == b"".join(word + b"\n" for word in words)


@pytest.mark.skipif(not shutil.which("localedef"), reason="need localedef, for a Latin-1 locale")
def test_arguments_are_not_recoded_in_another_locale(tmp_path: Path) -> None:
    """There the interpreter decodes argv as Latin-1, and UTF-8 on the way out would double each byte."""
    made = tmp_path / "xx_XX"
    words = ["localedef", "-c", "-i", "fr_FR", "-f", "ISO-8859-1", str(made)]
    if subprocess.run(words, capture_output=True, check=False, timeout=60).returncode or not made.exists():
        pytest.skip("need locale sources, for a Latin-1 locale")
    locale = {"LOCPATH": str(tmp_path), "LC_ALL": "xx_XX"}
    assert run_pyinit("-s", "--", "printf", "%s", b"\xe9\xff", env=locale).stdout == b"\xe9\xff"


def test_the_working_directory_and_umask_are_kept(tmp_path: Path) -> None:
    done = run_pyinit(
        "-s", "--", "sh", "-c", "pwd; umask", cwd=tmp_path, before=("sh", "-c", 'umask 27; exec "$@"', "-")
    )
    assert done.stdout.decode().split() == [str(tmp_path), "0027"]


def test_the_child_leads_a_group_of_its_own_in_our_session() -> None:
    script = "import os; os.write(1, b'%d %d %d' % (os.getpid(), os.getpgrp(), os.getsid(0)))"
    pid, group, session = run_pyinit("-s", "--", *SCRIPT, script).stdout.split()
    assert pid == group
    assert int(session) == os.getsid(0)


# --- orphans


ORPHAN = """
import os
read_end, write_end = os.pipe()
told, tell = os.pipe()
middle = os.fork()
if not middle:
    grandchild = os.fork()
    if grandchild:
        os.write(tell, b"%d" % grandchild)
        os._exit(0)
    os.close(write_end)
    os.read(read_end, 1)
    os._exit(0)
os.waitpid(middle, 0)
os.write(1, os.read(told, 20) + b"\\n")
os.read(0, 1)
os.close(write_end)
os.read(0, 1)
"""


@pytest.mark.parametrize("how", ["-s", "TINI_SUBREAPER"])
def test_a_subreaper_reaps_orphans(how: str) -> None:
    options, env = (["-s"], {}) if how == "-s" else ([], {how: ""})
    with Running("-w", *options, "--", *SCRIPT, ORPHAN, env=env, stdin=subprocess.PIPE) as pyinit:
        stdin = pyinit.popen.stdin
        assert stdin is not None
        with stdin:
            orphan = int(pyinit.line())
            assert parent_of(orphan) == pyinit.pid
            stdin.write(b"x")
            stdin.flush()
            eventually(lambda: process_state(orphan) is None)
            stdin.write(b"x")
        assert pyinit.wait() == 0
        assert pyinit.stderr() == f"[WARN  pyinit ({pyinit.pid})] Reaped zombie process with pid={orphan}\n"


def test_without_it_a_warning_says_what_will_not_work() -> None:
    done = run_pyinit("--", "true")
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 3  # one message of three lines, as with tini
    assert lines[0].startswith("[WARN  pyinit (")
    assert "zombie reaping won't work" in done.stderr.decode()


def test_the_parents_end_sends_the_signal_of_p() -> None:
    """Our parent is a shell that is killed; the child hears of it as of any signal, and does not inherit it."""
    with Running("-s", "-p", "SIGUSR2", "--", *LOGGER, before=("sh", "-c", '"$@" & wait', "-")) as shell:
        child = shell.child()
        pyinit = parent_of(child)
        assert pyinit is not None
        os.kill(shell.pid, signal.SIGKILL)
        assert shell.line() == "12"
        os.kill(pyinit, signal.SIGRTMAX)
        assert shell.line() == "64"
        eventually(lambda: process_state(pyinit) in (None, "Z"))


# --- stops with a time


IGNORES_TERM = (
    "import _signal, os\n"
    "_signal.signal(_signal.SIGTERM, _signal.SIG_IGN)\n"
    "pid = os.fork()\n"
    "if pid: os.write(1, b'%d\\n' % pid)\n"
    "read_end, _ = os.pipe()\n"
    "os.read(read_end, 1)\n"
)


def test_stop_timeout_kills_the_childs_group_half_a_second_before_it() -> None:
    with Running("-s", "--stop-timeout", "0.8", "--", *SCRIPT, IGNORES_TERM) as pyinit:
        grandchild = int(pyinit.line())
        began_s = time.monotonic()
        pyinit.send(signal.SIGTERM)
        assert pyinit.wait() == 128 + signal.SIGKILL
        assert time.monotonic() - began_s >= 0.3
        eventually(lambda: process_state(grandchild) in (None, "Z"))
        assert "Out of time for the child: sending SIGKILL" in pyinit.stderr()


def test_without_a_stop_timeout_nothing_is_ever_killed() -> None:
    with Running("-s", "--", *LOGGER) as pyinit:
        pyinit.child()
        pyinit.send(signal.SIGTERM, signal.SIGRTMAX)
        assert pyinit.wait() == 0


def test_a_child_that_floods_us_with_signals_is_killed_in_time_all_the_same() -> None:
    """A deadline looked at only where no signal came would never be."""
    script = (
        "import _signal, os\n"
        "_signal.signal(_signal.SIGTERM, _signal.SIG_IGN)\n"
        "_signal.signal(_signal.SIGRTMIN, _signal.SIG_IGN)\n"  # real-time: each one is queued
        "os.fork(); os.fork()\n"
        "os.write(1, b'ready\\n')\n"
        "parent = os.getppid() if os.getpid() == os.getpgrp() else int(open(f'/proc/{os.getpgrp()}/stat').read()"
        ".rpartition(')')[2].split()[1])\n"
        "while True: os.kill(parent, _signal.SIGRTMIN)\n"
    )
    with Running("-s", "--stop-timeout", "0.8", "--", *SCRIPT, script) as pyinit:
        for _ in range(4):
            pyinit.line()
        pyinit.send(signal.SIGTERM)
        assert pyinit.wait() == 128 + signal.SIGKILL


def test_drain_delay_holds_a_stop_back_and_nothing_else() -> None:
    with Running("-s", "--drain-delay", "300ms", "--", *LOGGER) as pyinit:
        pyinit.child()
        began_s = time.monotonic()
        pyinit.send(signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1)
        assert pyinit.line() == "10"
        assert pyinit.line() == "15"
        assert time.monotonic() - began_s >= 0.3
        pyinit.send(signal.SIGRTMAX)
        assert pyinit.rest() == "64\n"  # the second SIGTERM changed nothing


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGQUIT])
def test_a_second_interrupt_ends_the_delay_at_once(first: int, second: int) -> None:
    with Running("-s", "-vv", "--drain-delay", "1m", "--", *LOGGER) as pyinit:
        while not pyinit.line().startswith("ready"):
            pass
        pyinit.send(first)
        while "Holding" not in pyinit.line():
            pass
        pyinit.send(second)
        while (line := pyinit.line()).startswith("["):
            pass
        # The one that came, as in front mode: SIGQUIT would have it dump core, and its SIGTERM handler not run.
        assert line == str(int(first))
        pyinit.send(signal.SIGUSR2)  # released: from here on signals go straight on
        while (line := pyinit.line()).startswith("["):
            pass
        assert line == "12"


# --- messages


def test_each_step_of_verbosity_says_more() -> None:
    streams = [run_pyinit("-s", *["-v"] * steps, "--", *exits(3)) for steps in range(4)]
    assert [done.stderr for done in streams] == [b""] * 4
    levels = [sorted({line[1:6] for line in done.stdout.decode().splitlines()}) for done in streams]
    assert levels == [[], ["INFO "], ["DEBUG", "INFO "], ["DEBUG", "INFO ", "TRACE"]]
    texts = [line.partition("] ")[2] for line in streams[3].stdout.decode().splitlines()]
    assert texts[0] == "Registered as child subreaper"
    assert texts[1].startswith("Spawned child process 'sh' with pid '")
    assert texts[2] == "Received SIGCHLD"
    assert texts[3].startswith("Reaped child with pid: '")
    assert texts[4:] == [
        "Main child exited normally (with status '3')",
        "No child to wait",
        "Exiting: child has exited",
    ]


def test_a_signal_passed_on_and_a_death_by_it_are_told_in_words() -> None:
    with Running("-s", "-vv", "--", *SCRIPT, WAITS, stdin=subprocess.PIPE) as pyinit:
        while not pyinit.line().startswith("ready"):
            pass
        pyinit.send(signal.SIGTERM)
        assert pyinit.wait() == 143
        text = pyinit.rest()
        assert pyinit.popen.stdin is not None
        pyinit.popen.stdin.close()
    assert "Passing signal: 'Terminated'" in text
    assert "Main child exited with signal (with signal 'Terminated')" in text


@pytest.mark.parametrize(("verbosity", "lines"), [("0", 0), ("1", 3), ("word", 0), ("²", 0)])
def test_tini_verbosity_replaces_v(verbosity: str, lines: int) -> None:
    done = run_pyinit("--", "sh", "-c", 'echo "$TINI_VERBOSITY"', env={"TINI_VERBOSITY": verbosity})
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == lines
    assert done.stdout.decode() == f"{verbosity}\n"  # and is not removed


@pytest.mark.parametrize(
    ("option", "begins"),
    [("-h", "Usage: pyinit"), ("--help", "Usage: pyinit"), ("--version", "pyinit "), ("-l", "pyinit ")],
)
def test_help_version_and_licence_are_for_stdout(option: str, begins: str) -> None:
    done = run_pyinit(option)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith(begins)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), "no command"),
        (("--",), "no command"),
        (("-x", "true"), "-x"),
        (("--no-such-option", "true"), "--no-such-option"),
        (("--stop-timeout", "soon", "true"), "--stop-timeout 'soon'"),
        (("--stop-timeout=-1", "true"), "--stop-timeout '-1'"),
        (("--stop-timeout", "0.5", "true"), "--stop-timeout 0.5"),
        (("--stop-timeout", "2", "--drain-delay", "2", "true"), "--drain-delay 2"),
        (("--stop-timeout",), "--stop-timeout"),
        (("-e", "256", "true"), "-e '256'"),
        (("-e",), "-e"),
        (("-p", "SIGNOTHING", "true"), "-p 'SIGNOTHING'"),
        (("-p", "RTMIN+²", "true"), "-p 'RTMIN+²'"),
        (("-p", "9" * 5000, "true"), "-p '9"),
        (("--rewrite", "TERM", "true"), "--rewrite 'TERM'"),
        (("--rewrite", "TERM:nothing", "true"), "--rewrite 'TERM:nothing'"),
        (("--upstream", "3000", "true"), "--upstream"),
        ((b"--\xff", "true"), "--\\udcff"),
    ],
)
def test_a_usage_error_is_one_line_and_code_2(args: tuple[str | bytes, ...], named: str) -> None:
    done = run_pyinit(*args)
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"pyinit: {named}")


def test_options_end_at_the_command() -> None:
    done = run_pyinit("-s", "echo", "-v", "--help")
    assert done.stdout == b"-v --help\n"
    assert run_pyinit("-s", "--", "--", "x").returncode == 127  # the second one is the command


def test_an_unknown_variable_is_a_warning_with_the_nearest_name() -> None:
    done = run_pyinit("-s", "--", "true", env={"PYINIT_STOP_TIMOUT": "5", "PYINIT_SERVICE_HOST": "10.0.0.1"})
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        "pyinit: warning: PYINIT_STOP_TIMOUT: no such option; the nearest is PYINIT_STOP_TIMEOUT"
    ]


# --- a stderr that fails


def test_a_full_stderr_pipe_does_not_block_us() -> None:
    read_end, write_end = os.pipe()
    own = os.open(f"/proc/self/fd/{write_end}", os.O_WRONLY | os.O_NONBLOCK)
    filled = 0
    try:
        while True:
            filled += os.write(own, bytes(4096))
    except BlockingIOError:
        pass
    with Running("-w", "-vvv", "--", *exits(7), stderr=write_end) as pyinit:
        assert pyinit.wait() == 7
    os.close(write_end)
    os.close(own)
    with os.fdopen(read_end, "rb") as rest:
        assert len(rest.read()) == filled


def test_our_own_sigpipe_is_not_passed_on() -> None:
    """A write to a pipe that nobody reads sends the writer SIGPIPE; one that another sends us is the child's."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with Running("-w", "--", *LOGGER, stderr=write_end) as pyinit:  # the warnings at start are the writes
        pyinit.child()
        pyinit.send(signal.SIGUSR1)
        assert pyinit.line() == "10"
        pyinit.send(signal.SIGPIPE)
        assert pyinit.line() == "13"
    os.close(write_end)


# --- a terminal


TERMINAL_CHILD = """
import _signal, os
everything = _signal.valid_signals()
_signal.pthread_sigmask(_signal.SIG_BLOCK, everything)
os.write(1, b"foreground %d\\n" % (os.tcgetpgrp(0) == os.getpgrp() == os.getpid()))
while True:
    signum = _signal.sigwaitinfo(everything).si_signo
    os.write(1, b"%d\\n" % signum)
    if signum == _signal.SIGQUIT:
        break
"""


def read_to(fd: int, ending: bytes) -> bytes:
    """From a terminal, up to what is waited for."""
    data = bytearray()
    os.set_blocking(fd, False)

    def found() -> bool:
        with contextlib.suppress(OSError):  # nothing yet; or EIO, once nobody has the other side open
            data.extend(os.read(fd, 4096))
        return data.endswith(ending)

    eventually(found, what=lambda: bytes(data))
    return bytes(data)


def test_on_a_terminal_the_child_is_the_foreground_group_and_ctrl_c_comes_once() -> None:
    command = [os.fsencode(word) for word in pyinit_command("-s", "--", *SCRIPT, TERMINAL_CHILD)]
    pid, terminal = pty.fork()
    if not pid:
        os.execve(SCRIPT_PATH, command, pyinit_environment())  # noqa: S606
    try:
        assert read_to(terminal, b"\n") == b"foreground 1\r\n"
        os.write(terminal, b"\x03")
        assert read_to(terminal, b"2\r\n").endswith(b"2\r\n")
        os.write(terminal, b"\x1c")
        assert (
            read_to(terminal, b"\n").count(b"2\r\n") == 0
        )  # pyinit was not hit, or it would have passed it on
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        os.close(terminal)


def test_the_pythoninspect_of_the_app_leaves_no_prompt() -> None:
    """PID 1 must end when the child does, whatever the container's PYTHON* variables say."""
    done = subprocess.run(
        [SCRIPT_PATH, "--", "sh", "-c", "exit 3"],
        env={**os.environ, "PYTHONINSPECT": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr

"""What is imported before the child's exec: guarded by the set of modules, as milliseconds vary and this does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.process import PATIENCE_S, ROOT, TIME_SCALE, PidNamespace, pyinit_environment

# Whole worlds, of which none is needed to be tini.
HEAVY = {
    "argparse",
    "asyncio",
    "collections",
    "concurrent",
    "contextlib",
    "dataclasses",
    "difflib",
    "enum",
    "functools",
    "http",
    "inspect",
    "ipaddress",
    "json",
    "logging",
    "multiprocessing",
    "pathlib",
    "re",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "structlog",
    "subprocess",
    "tempfile",
    "threading",
    "traceback",
    "typing",
    "uvloop",
}
# What the interpreter brings along by itself (-I -S), and what init mode adds to it.
ALLOWED = {
    "_collections_abc",
    "_stat",
    "errno",
    "genericpath",
    "os",
    "posixpath",
    "pyinit",
    "stat",
    "__future__",
}

# Runs pyinit as ``python -m pyinit`` would, without site-packages, whose .pth files may import anything; tells
# what has been imported when the child is started, and at the end.
SPY = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
bare = set(sys.modules)
import pyinit.__main__ as main
def told(when):
    import os
    os.write(2, (when + " " + " ".join(sorted(set(sys.modules) - bare)) + "\\n").encode())
import pyinit.init.spawn as spawn
real = spawn.spawn
def spying(*args):
    told("exec")
    if "--listen" in sys.argv:
        raise SystemExit(0)
    return real(*args)
spawn.spawn = spying
import os
os._exit = sys.exit  # which ends us at once, and would end the telling
try:
    main.main()
finally:
    told("end")
"""


def modules(*args: str, before: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """The modules that a run had imported, by the moment: ``exec`` and ``end``."""
    done = subprocess.run(
        [*before, sys.executable, "-I", "-S", "-c", SPY, *args],
        env=pyinit_environment(),
        capture_output=True,
        check=False,
        timeout=PATIENCE_S * TIME_SCALE,
    )
    assert done.returncode == 0, done.stderr
    words = [line.split() for line in done.stderr.decode().splitlines() if not line.startswith("[")]
    return {when: set(names) for when, *names in words}


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_as_a_plain_process_nothing_heavy_is_imported() -> None:
    found = modules("--", "true")
    assert not tops(found["end"]) & HEAVY
    # prctl, to see whether somebody made us a subreaper; PID 1 does not ask.
    assert tops(found["end"]) - ALLOWED <= {"ctypes", "_ctypes", "struct", "_struct", "types"}


@pytest.mark.pid1
def test_as_pid_1_nearly_nothing_is_imported() -> None:
    found = modules("--", "true", before=PidNamespace.PREFIX)
    assert tops(found["end"]) <= ALLOWED


@pytest.mark.pid1
def test_no_option_of_init_mode_changes_that() -> None:
    options = ("-gwvvv", "-e3", "--stop-timeout", "9", "--drain-delay", "1", "--rewrite", "TERM:QUIT")
    found = modules(*options, "--", "true", before=PidNamespace.PREFIX)
    assert tops(found["end"]) <= ALLOWED


def test_none_of_the_proxy_is_imported_in_init_mode() -> None:
    found = modules("--", "true")["end"]
    ours = {name for name in found if name.startswith("pyinit.")}
    assert ours == {
        "pyinit.__main__",
        "pyinit.cli",
        "pyinit.errors",
        "pyinit.init",
        "pyinit.init.prctl",
        "pyinit.init.reaper",
        "pyinit.init.run",
        "pyinit.init.signals",
        "pyinit.init.spawn",
        "pyinit.log",
        "pyinit.options",
        "pyinit.settings",
        "pyinit.values",
    }


def test_what_reads_scripts_is_imported_for_commands_that_run_them() -> None:
    """And json for a package.json alone."""
    reading = {"pyinit.init.npm", "pyinit.init.npm_call", "pyinit.init.package", "pyinit.init.words"}
    assert not reading & modules("--exec-npm", "--", "true")["end"]
    found = modules("--", "sh", "-c", "true npm")["end"]
    assert reading <= found
    assert not tops(found) & HEAVY


def test_in_front_mode_the_child_is_started_before_anything_heavy_is_imported() -> None:
    """The app boots while we import."""
    found = modules("--listen", "127.0.0.1:0", "--", "true")
    assert not tops(found["exec"]) & HEAVY
    ours = {name for name in found["exec"] if name.startswith("pyinit.")}
    assert not any(name.startswith(("pyinit.app", "pyinit.proxy", "pyinit.http1")) for name in ours)
    assert {name for name in ours if name.startswith("pyinit.drain")} <= {
        "pyinit.drain",
        "pyinit.drain.budget",
    }


def test_the_proxy_header_is_imported_where_it_is_read() -> None:
    """Its patterns take milliseconds to compile, at every start."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, pyinit.app; print(*sys.modules)"],
        env=pyinit_environment(),
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=PATIENCE_S * TIME_SCALE,
    )
    found = set(done.stdout.decode().split())
    assert "pyinit.proxy.server" in found
    assert not found & {"pyinit.http1.proxy_protocol", "pyinit.proxy.preamble"}


def test_a_health_check_imports_a_socket_and_little_else() -> None:
    """It is started every few seconds for ever: no argparse, no HTTP, not even socket."""
    spy = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
bare = set(sys.modules)
import pyinit.ctl.main as main
os._exit = lambda code: os.write(2, " ".join([str(code), *sorted(set(sys.modules) - bare)]).encode())
main.main()
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", spy, "--control", "@pyinit-nobody", "health"],
        env=pyinit_environment(),
        capture_output=True,
        check=True,
        timeout=PATIENCE_S * TIME_SCALE,
    )
    code, *found = done.stderr.decode().splitlines()[-1].split()
    assert code == "1"
    ours = {
        "pyinit",
        "pyinit.ctl",
        "pyinit.ctl.find",
        "pyinit.ctl.health",
        "pyinit.ctl.main",
        "pyinit.ctl.problem",
    }
    assert set(found) == {"_socket", *ours}

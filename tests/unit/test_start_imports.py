"""What is imported before the child's exec: guarded by the set of modules, as milliseconds vary and this does not."""

from __future__ import annotations

import os
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


# Of the standard library, beside what uvloop brings along (asyncio, logging, subprocess...).
FOR_THE_PROXY = {
    "base64",
    "binascii",
    "bisect",
    "copy",
    "ctypes",
    "dataclasses",
    "json",
    "resource",
    "struct",
    "termios",
}
# One more of those by the locale.
FOR_THE_PROXY |= {"encodings"}
# Each costs a start milliseconds, and is imported by who needs it: --workers, an operator, --proxy-protocol, an IPv6
# literal in Host, a log for people.
LATER = {
    "pyinit.admin.server",
    "pyinit.admin.state",
    "pyinit.http1.ip_literal",
    "pyinit.http1.proxy_protocol",
    "pyinit.init.interpreter",
    "pyinit.init.npm",
    "pyinit.proxy.fleet",
    "pyinit.proxy.ipc",
    "pyinit.proxy.link",
    "pyinit.proxy.preamble",
    "pyinit.proxy.shares",
    "pyinit.worker",
    "pyinit.worker_start",
}


@pytest.fixture(scope="module")
def until_ready() -> set[str]:
    """The modules that a front has imported when it is ready, less those of the loop."""
    spy = f"""
import gc, os, sys
sys.path.insert(0, {str(ROOT)!r})
from pyinit import without_tls
without_tls.load_loop()
bare = set(sys.modules)
import pyinit.__main__ as main
from pyinit import app
handle = app.App.handle
def spying(self, event):
    handle(self, event)
    if type(event).__name__ == "ChildReady":
        assert gc.isenabled()  # it is not while all this is imported
        os.write(2, ("ready " + " ".join(sorted(set(sys.modules) - bare)) + "\\n").encode())
        handle(self, app.phases.StopRequested(15))
app.App.handle = spying
main.main()
"""
    app = "import os, socket, time; sock = socket.create_server(('127.0.0.1', int(os.environ['PORT']))); time.sleep(99)"
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            spy,
            "--listen",
            "127.0.0.1:0",
            "--control",
            f"@pyinit-imports-{os.getpid()}",
            "--",
            sys.executable,
            "-c",
            app,
        ],
        env=pyinit_environment(),
        capture_output=True,
        check=False,
        timeout=PATIENCE_S * TIME_SCALE,
    )
    told = [line.split() for line in done.stderr.decode().splitlines() if line.startswith("ready ")]
    assert len(told) == 1, done.stderr
    return set(told[0][1:])


def test_until_it_is_ready_the_proxy_imports_what_it_needs_alone(until_ready: set[str]) -> None:
    """No aiohttp, structlog, pathlib, email, uuid, urllib: together a third of the time to ready, and 3 MiB."""
    others = {name for name in tops(until_ready) if name != "pyinit" and not name.startswith("_")}
    assert others <= FOR_THE_PROXY
    assert "pyinit.proxy.server" in until_ready
    assert "pyinit.admin.surface" in until_ready


def test_what_few_runs_need_is_imported_when_they_do(until_ready: set[str]) -> None:
    assert not until_ready & LATER


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

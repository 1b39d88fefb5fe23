"""What does a health check cost: ``pyinitctl health`` from start to exit, beside the bare interpreter.

Method: a pyinit in sidecar mode, ready, its app a socket of this process that only accepts; each variant asks it, start
to exit (wall and processor time, wait4), interleaved; medians with least and most. "Of bare" is over
``python -I -S -c pass`` of the very binary that the script runs under. What pyinit spends on one answer is its own
processor time over a run of them, /proc/PID/stat.

Finding (Python 3.11.7, see the README): within 1.2 times. Most of it is the interpreter and site; we leave out its
taking-down (os._exit). argparse, json and http.client are what the last row has more.

Refused: a health socket that is asked by HTTP, as wget and curl could, but slim images have neither.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from measuring import INTERPRETER, ROOT, Installation, Process, machine, say, spread, table

CONTROL = f"@pyinit-start-ctl-{os.getpid()}"
TARGET_OF_BARE = 2.5


class Variant(NamedTuple):
    """One row.

    Attributes:
        name: as the row is called.
        command: what is run.
        code: what it has to exit with.
    """

    name: str
    command: list[str]
    code: int = 0


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=60, help="of each variant [%(default)s]")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=64) as app:
        installation = Installation(Path(folder) / "venv")
        pyinit = _start(f"127.0.0.1:{app.getsockname()[1]}")
        try:
            print(f"{machine()}; {runs} runs each, interleaved\n")
            _report(_variants(installation), runs, pyinit.pid)
        finally:
            pyinit.terminate()
            pyinit.wait()


def _start(upstream: str) -> subprocess.Popen[bytes]:
    """A pyinit that is ready; the one installed beside our interpreter, as it needs its libraries."""
    words = [str(Path(sys.executable).with_name("pyinit")), "--listen", "127.0.0.1:0", "--upstream", upstream]
    pyinit = subprocess.Popen([*words, "--control", CONTROL], stderr=subprocess.PIPE)
    for line in pyinit.stderr or ():
        if b'"app.ready"' in line:
            return pyinit
    raise SystemExit("pyinit did not become ready")


def _variants(installation: Installation) -> list[Variant]:
    text = (ROOT / "pyinit/scripts/pyinitctl.py").read_text()
    ctl = installation.script("pyinitctl", text)
    isolated = installation.script("pyinitctl-IS", text, first_line="{python} -IS")
    return [
        Variant("`python -I -S -c pass`", [INTERPRETER, "-I", "-S", "-c", "pass"]),
        Variant("`python -I -c pass` in a venv", [installation.python, "-I", "-c", "pass"]),
        Variant("`pyinitctl health`", [ctl, "--control", CONTROL, "health"]),
        Variant("the same, `-IS` in its first line", [isolated, "--control", CONTROL, "health"]),
        Variant("nobody there", [ctl, "--control", CONTROL + "-other", "health"], 1),
        Variant("`pyinitctl status --json`", [ctl, "--control", CONTROL, "status", "--json"]),
    ]


def _report(variants: list[Variant], runs: int, pyinit: int) -> None:
    wall_s: dict[str, list[float]] = defaultdict(list)
    cpu_s: dict[str, list[float]] = defaultdict(list)
    for turn in range(-1, runs):  # the first fills the page cache, and has pyinit load its HTTP
        for name, command, expected in variants:
            code, took_s, used_s = Process(command).wait()
            if code != expected:
                raise SystemExit(f"{name}: exit code {code}")
            if turn >= 0:
                wall_s[name].append(took_s)
                cpu_s[name].append(used_s)
        say(f"{turn + 1} of {runs}")
    bare_s = statistics.median(wall_s[variants[0].name])
    rows = [
        (
            name,
            spread(wall_s[name]),
            f"{statistics.median(wall_s[name]) / bare_s:.2f}",
            f"{statistics.median(cpu_s[name]) * 1e3:.1f}",
        )
        for name, _, _ in variants
    ]
    print(table(("", "start to exit, ms", "of bare", "CPU, ms"), rows))
    ratio = statistics.median(wall_s[variants[2].name]) / bare_s
    print(f"\n`pyinitctl health`: {ratio:.2f} times the interpreter alone; to be at most {TARGET_OF_BARE}.")
    ask = variants[2].command
    before = _ticks(pyinit)
    for _ in range(runs):
        Process(ask).wait()
    used_s = (_ticks(pyinit) - before) / os.sysconf("SC_CLK_TCK")
    print(f"pyinit's own processor time for one answer: {used_s / runs * 1e3:.2f} ms.")


def _ticks(pid: int) -> int:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])  # utime, stime: fields 14 and 15 of proc(5)


if __name__ == "__main__":
    main()

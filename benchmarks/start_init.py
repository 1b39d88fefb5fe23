"""What does it cost to be started by pyinit in init mode: time and memory, the interpreter's part and ours apart?

Method: each variant runs ``/bin/true`` (the whole run: wall and processor time, wait4), ``/bin/echo`` (the time to the
child's first byte) and ``/bin/cat`` (while it runs: VmHWM and PSS of the init). The variants are interleaved; medians
with least and most. "Interpreter" is ``python -I -S -c pass`` of the very binary that the script runs under, with the
taking-down that we leave out (os._exit); "site" what the same takes more in a virtual environment without -S; "ours" is
the rest: our modules, the fork, the child itself. Once as a plain process and once, as root, as PID 1 of a namespace;
nothing is subtracted there, and what unshare and its mount cost is a row.

Not ru_maxrss: it begins with what the process had before its exec, which is this one.

Finding (Python 3.11.7, tini 0.19.0, dumb-init 1.2.5, catatonit 0.1.7; see the README for the figures): within twice the
interpreter, whose 12 ms and 8.1 MiB are most of it; of ours a third is ctypes, which only a process that is not PID 1
needs (prctl). Without bytecode (uv's default, pip's --no-compile) each start compiles, 28 ms more. ``-IS`` in the
script's first line saves 0.1 to 0.8 ms of the whole, within the spread, as we import most of what site does; the window
(start_window.py) and .pth files that import are where it counts.

Refused without a row: gc.disable() until the fork, 0.3 ms of 19; no ``from __future__``, 0.2; _ctypes without ctypes,
1.9 of a plain process's, by functions that nobody documents.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from measuring import (
    INTERPRETER,
    PID_NAMESPACE,
    Installation,
    Process,
    can_be_pid_1,
    children_of,
    eventually,
    installed_peers,
    machine,
    proc_fields,
    say,
    spread,
    table,
)

DROPINS = ("tini", "dumb-init", "catatonit")
MIB_KIB = 1024


class Variant(NamedTuple):
    """One row.

    Attributes:
        name: as the row is called.
        words: in front of the child's command; of an interpreter, in front of -c.
        is_interpreter: it runs no child.
        is_python: interpreter, site and ours can be told apart.
    """

    name: str
    words: list[str]
    is_interpreter: bool = False
    is_python: bool = False

    def command(self, child: str, code: str) -> list[str]:
        """The child for an init, the code for an interpreter."""
        return [*self.words, "-c", code] if self.is_interpreter else [*self.words, child]


class Results:
    """What was measured, by variant."""

    def __init__(self) -> None:
        self.wall_s: dict[str, list[float]] = defaultdict(list)
        self.cpu_s: dict[str, list[float]] = defaultdict(list)
        self.first_s: dict[str, list[float]] = defaultdict(list)
        self.peak_kib: dict[str, list[int]] = defaultdict(list)
        self.pss_kib: dict[str, list[int]] = defaultdict(list)


def main() -> None:
    """Measure, and print one table a place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=40, help="of each variant [%(default)s]")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder) / "venv")
        uncompiled = Installation(Path(folder) / "uncompiled", bytecode=False)
        print(f"{machine()}; {runs} runs each, interleaved\n")
        print("As a plain process:\n")
        _report(_plain(installation, uncompiled), runs)
        if not can_be_pid_1():
            print("\nAs PID 1: needs root and unshare.")
            return
        print(f"\nAs PID 1, each behind `{' '.join(PID_NAMESPACE)}`:\n")
        _report(_as_pid_1(installation), runs)


def _plain(installation: Installation, uncompiled: Installation) -> list[Variant]:
    fast = installation.isolated()
    peers = installed_peers()
    options = {"tini": ["-s"]}
    return [
        Variant("`true` alone", []),
        *_interpreters(installation, []),
        Variant("`pyinit -s`", [installation.pyinit, "-s", "--"], is_python=True),
        Variant(
            "`pyinit` (looks whether it is a subreaper, warns)", [installation.pyinit, "--"], is_python=True
        ),
        Variant("`pyinit -s`, `-IS` in its first line", [fast, "-s", "--"], is_python=True),
        Variant(
            "`pyinit -s`, no bytecode",
            [uncompiled.python, "-B", uncompiled.pyinit, "-s", "--"],
            is_python=True,
        ),
        *(
            Variant(
                f"pyinit as `{name}`",
                [installation.called(name), *options.get(name, []), "--"],
                is_python=True,
            )
            for name in DROPINS
        ),
        *(Variant(f"the real {name}", [path, *options.get(name, []), "--"]) for name, path in peers.items()),
    ]


def _as_pid_1(installation: Installation) -> list[Variant]:
    fast = installation.isolated()
    inside = PID_NAMESPACE
    return [
        Variant("`true` alone", inside),
        *_interpreters(installation, inside),
        Variant("`pyinit`", [*inside, installation.pyinit, "--"], is_python=True),
        Variant("`pyinit`, `-IS` in its first line", [*inside, fast, "--"], is_python=True),
        *(
            Variant(f"pyinit as `{name}`", [*inside, installation.called(name), "--"], is_python=True)
            for name in DROPINS
        ),
        *(Variant(f"the real {name}", [*inside, path, "--"]) for name, path in installed_peers().items()),
    ]


def _interpreters(installation: Installation, before: list[str]) -> list[Variant]:
    return [
        Variant("`python -I -S -c pass`", [*before, INTERPRETER, "-I", "-S"], is_interpreter=True),
        Variant("`python -I -c pass` in a venv", [*before, installation.python, "-I"], is_interpreter=True),
    ]


def _report(variants: list[Variant], runs: int) -> None:
    results = Results()
    for turn in range(-1, runs):  # the first fills the page cache, and is not counted
        for variant in variants:
            _time(variant, results, counts=turn >= 0)
        say(f"{turn + 1} of {runs}")
    for _ in range(3):
        for variant in variants:
            if "alone" not in variant.name:
                _weigh(variant, results)
    bare, site = (variant.name for variant in variants if variant.is_interpreter)
    bare_s, site_s = (statistics.median(results.wall_s[name]) for name in (bare, site))
    rows = []
    for variant in variants:
        name = variant.name
        wall_s = statistics.median(results.wall_s[name])
        has_site = "-IS" not in name
        parts = ""
        if variant.is_python:
            added_s = site_s - bare_s if has_site else 0.0
            parts = f"{bare_s * 1e3:.1f} + {added_s * 1e3:.1f} + {(wall_s - bare_s - added_s) * 1e3:.1f}"
        rows.append(
            (
                name,
                spread(results.wall_s[name]),
                f"{wall_s / bare_s:.2f}",
                parts,
                spread(results.first_s[name]),
                f"{statistics.median(results.cpu_s[name]) * 1e3:.1f}",
                _mib(results.peak_kib[name]),
                _mib([value - statistics.median(results.peak_kib[bare]) for value in results.peak_kib[name]])
                if variant.is_python
                else "",
                _mib(results.pss_kib[name]),
            )
        )
    heads = (
        *("", "whole run, ms", "of bare", "interpreter + site + ours, ms", "to the child's output, ms"),
        *("CPU, ms", "peak RSS, MiB", "of it ours", "PSS, MiB"),
    )
    print(table(heads, rows))


def _time(variant: Variant, results: Results, *, counts: bool) -> None:
    code, wall_s, cpu_s = Process(variant.command("/bin/true", "pass")).wait()
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    echo = Process(variant.command("/bin/echo", "import posix; posix.write(1, b'x')"), stdout=write_end)
    os.close(write_end)
    has_begun = os.read(read_end, 1)
    first_s = time.perf_counter() - echo.begun_s
    code_of_echo = echo.wait()[0]
    os.close(read_end)
    if code or code_of_echo or not has_begun:
        raise SystemExit(f"{variant.name}: exit codes {code} and {code_of_echo}")
    if counts:
        results.wall_s[variant.name].append(wall_s)
        results.cpu_s[variant.name].append(cpu_s)
        results.first_s[variant.name].append(first_s)


def _weigh(variant: Variant, results: Results) -> None:
    """While the child, once it has said that it is there, waits for its stdin to end."""
    child_in, our_out = os.pipe2(os.O_CLOEXEC)
    our_in, child_out = os.pipe2(os.O_CLOEXEC)
    code = "import posix; posix.write(1, posix.read(0, 1)); posix.read(0, 1)"
    process = Process(variant.command("/bin/cat", code), stdin=child_in, stdout=child_out)
    os.close(child_in)
    os.close(child_out)
    os.write(our_out, b"x")
    os.read(our_in, 1)
    pid = children_of(process.pid)[0] if variant.words[0] == PID_NAMESPACE[0] else process.pid
    eventually(lambda: proc_fields(Path(f"/proc/{pid}/status"))["State"].startswith("S"))
    results.peak_kib[variant.name].append(int(proc_fields(Path(f"/proc/{pid}/status"))["VmHWM"].split()[0]))
    results.pss_kib[variant.name].append(
        int(proc_fields(Path(f"/proc/{pid}/smaps_rollup"))["Pss"].split()[0])
    )
    os.close(our_out)
    os.close(our_in)
    process.wait()


def _mib(values_kib: list[int] | list[float]) -> str:
    return f"{statistics.median(values_kib) / MIB_KIB:.1f}" if values_kib else ""


if __name__ == "__main__":
    main()

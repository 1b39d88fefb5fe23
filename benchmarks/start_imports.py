"""What does importing a standard module cost a start, in time and memory?

Method: ``python -I -S -c "import X"`` of the interpreter itself, interleaved; wall time by wait4, and VmHWM while it
waits for its stdin to end. "More" is against importing nothing. It is why nothing before the child's exec imports any
of these but ``os`` (style, pyproject's ruff exceptions, tests/unit/test_start_imports.py).

Finding (Python 3.11.7): see the table in README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from pathlib import Path

from measuring import INTERPRETER, Process, machine, proc_fields, spread, table

_WORLDS = (
    *(
        "",
        "os",
        "os, _socket",
        "os, errno, stat",
        "os, signal",
        "os, ctypes",
        "os, re",
        "os, typing",
        "os, socket",
    ),
    *("os, dataclasses", "os, ipaddress", "os, argparse", "os, subprocess", "os, asyncio"),
)


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, help="of each [%(default)s]")
    runs = parser.parse_args().runs
    place = machine()
    walls_s: dict[str, list[float]] = defaultdict(list)
    peaks_kib: dict[str, list[int]] = defaultdict(list)
    for turn in range(-1, runs):  # the first fills the page cache, and is not counted
        for names in _WORLDS:
            wall_s, peak_kib = _wall_s(names), _peak_kib(names)
            if turn >= 0:
                walls_s[names].append(wall_s)
                peaks_kib[names].append(peak_kib)
    nothing_s, nothing_kib = statistics.median(walls_s[""]), statistics.median(peaks_kib[""])
    rows = [
        (
            f"`{names}`" if names else "nothing",
            spread(walls_s[names]),
            f"{(statistics.median(walls_s[names]) - nothing_s) * 1e3:.1f}",
            f"{statistics.median(peaks_kib[names]) / 1024:.1f}",
            f"{(statistics.median(peaks_kib[names]) - nothing_kib) / 1024:.1f}",
        )
        for names in _WORLDS
    ]
    print(f"{place}; {runs} runs each, interleaved\n")
    print(table(("import", "whole run, ms", "more", "peak RSS, MiB", "more"), rows))


def _wall_s(names: str) -> float:
    return Process([INTERPRETER, "-I", "-S", "-c", f"import {names}" if names else "pass"]).wait()[1]


def _peak_kib(names: str) -> int:
    child_in, our_out = os.pipe2(os.O_CLOEXEC)
    our_in, child_out = os.pipe2(os.O_CLOEXEC)
    code = f"import posix{names and ', '}{names}; posix.write(1, b'x'); posix.read(0, 1)"
    process = Process([INTERPRETER, "-I", "-S", "-c", code], stdin=child_in, stdout=child_out)
    os.close(child_in)
    os.close(child_out)
    os.read(our_in, 1)
    peak_kib = int(proc_fields(Path(f"/proc/{process.pid}/status"))["VmHWM"].split()[0])
    os.close(our_out)
    os.close(our_in)
    process.wait()
    return peak_kib


if __name__ == "__main__":
    main()

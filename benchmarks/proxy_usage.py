"""What a process and its descendants use: processor time in nanoseconds, and memory as if nothing else shared it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from measuring import children_of

KIB = 1024
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """It and its descendants."""
    pids = [pid]
    for one in pids:
        pids += children_of(one)
    return pids


def cpu_ns(pid: int) -> int:
    """Of all threads of all of them that are left, from /proc/PID/task/TID/schedstat."""
    total = 0
    for one in tree(pid):
        for task in _tasks(one):
            with contextlib.suppress(OSError):  # a thread that ended meanwhile
                total += int((task / "schedstat").read_text().split()[0])
    return total


class Split(NamedTuple):
    """Processor time, by who ran."""

    user_ns: int
    system_ns: int


def split_ns(pid: int) -> Split:
    """From /proc/PID/stat, in ticks: for runs of seconds."""
    user = system = 0
    for one in tree(pid):
        after_name = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        user += int(after_name[11])
        system += int(after_name[12])
    return Split(user * _TICK_NS, system * _TICK_NS)


def memory_bytes(pid: int) -> int:
    """PSS, as it would be were there only this tree on the machine.

    The kernel's own PSS divides a page by all who have mapped it: with clients and an app of the same interpreter
    beside it, as here, a Python proxy would get a part of its memory for nothing.
    """
    private = 0
    shared: dict[tuple[str, ...], int] = {}
    for one in tree(pid):
        where = ("", "", "")
        # Nothing is lost where a process has just gone.
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps").read_text().splitlines():
                name, _, value = line.partition(":")
                if name.startswith("Private_") and name != "Private_Hugetlb":
                    private += int(value.split()[0])
                elif name in {"Shared_Clean", "Shared_Dirty"}:
                    kind = (*where, name)
                    shared[kind] = max(shared.get(kind, 0), int(value.split()[0]))
                elif "-" in line.partition(" ")[0]:
                    addresses, _, offset, device, inode, *_ = line.split()
                    # Of a file by its place in it; of a fork's memory by its address.
                    where = (device, inode, offset if inode != "0" else addresses)
    return (private + sum(shared.values())) * KIB


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []

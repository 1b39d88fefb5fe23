"""What a running process uses, from /proc."""

import os
from pathlib import Path
from typing import NamedTuple

from tests.support.process import status_fields

KIB = 1024
MIB = 1024 * KIB


class Figures(NamedTuple):
    """One look at a process.

    Attributes:
        resident_bytes: of its memory.
        descriptors: open ones.
        sockets: of those.
        threads: of it.
        cpu_s: processor time since its start.
    """

    resident_bytes: int
    descriptors: int
    sockets: int
    threads: int
    cpu_s: float


def figures_of(pid: int) -> Figures:
    """As it is now."""
    fields = status_fields(pid, ["VmRSS", "Threads"])
    targets = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets.append(str(entry.readlink()))
        except FileNotFoundError:
            continue  # closed since
    after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return Figures(
        resident_bytes=int(fields["VmRSS"].split()[0]) * KIB,
        descriptors=len(targets),
        sockets=sum(target.startswith("socket:") for target in targets),
        threads=int(fields["Threads"]),
        cpu_s=(int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK"),
    )

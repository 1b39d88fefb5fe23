"""Our descendants: who they are, and a signal to all of them."""

from __future__ import annotations

import os


def descendants() -> set[int]:
    """We and all that we have started and that is still there, by the numbers of /proc; nobody where there is none."""
    own = _own_number()
    if own is None:
        return set()
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = _parent(int(entry))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry))
    found, todo = {own}, [own]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def signal_descendants(signum: int, *, spared_group: int = 0) -> int:
    """Send a signal to all that descends from us, but for one process group; says to how many.

    By the tree and not kill(-1), which as PID 1 would reach `docker exec` sessions as well, and as a plain process
    everybody's. PID 1 has nothing else where there is no /proc, or that of another PID namespace: there a number is
    somebody else.
    """
    own = os.getpid()
    ours = descendants() - {own} if _own_number() == own else {-1} if own == 1 else set()
    sent = 0
    for pid in ours:
        try:
            if spared_group and pid > 0 and os.getpgid(pid) == spared_group:
                continue
            os.kill(pid, signum)
        except OSError:
            continue  # it ended meanwhile, or is another user's
        sent += 1
    return sent


def _own_number() -> int | None:
    """Our pid as /proc has it, which may be that of an outer namespace; None without."""
    try:
        return int(os.readlink("/proc/self"))
    except OSError:
        return None


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as line:
            # The name in parentheses can hold anything, parentheses and spaces too.
            return int(line.readall().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None

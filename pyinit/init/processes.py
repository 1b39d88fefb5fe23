"""Our descendants: who they are, and a signal to all of them."""

from __future__ import annotations

import os


def descendants(pid: int) -> set[int]:
    """A process and all that it has started and that is still there; it alone where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in _listed("/proc"):
        if entry.isdigit():
            parent = _parent(int(entry))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry))
    found, todo = {pid}, [pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def signal_descendants(signum: int) -> int:
    """Send a signal to all that descends from us; says to how many.

    By the tree and not kill(-1), which as PID 1 would reach `docker exec` sessions as well, and as a plain process
    everybody's. Without /proc PID 1 has nothing else.
    """
    own = os.getpid()
    ours = descendants(own) - {own}
    if not ours and own == 1 and not os.path.exists("/proc/self"):
        ours = {-1}
    sent = 0
    for pid in ours:
        try:
            os.kill(pid, signum)
        except OSError:
            continue  # it ended meanwhile, or is another user's
        sent += 1
    return sent


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as line:
            # The name in parentheses can hold anything, parentheses and spaces too.
            return int(line.readall().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []

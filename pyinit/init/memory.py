"""Whether the kernel has killed in our cgroup for lack of memory: a SIGKILL says nothing of why, and 137 neither.

Read when a child has died of one. The count is of all processes in the cgroup, the container as a rule, so that it is
evidence and no proof: who kills by hand after such a kill looks the same.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELD = "oom_kill "


def kills(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> int | None:
    """How many there were so far; None where the kernel does not tell.

    Args:
        root: where cgroups are mounted; a container sees its own there.
        own: names our cgroup, for where the whole tree is seen.
    """
    try:
        with open(own, encoding="utf-8", errors="surrogateescape") as lines:
            names = lines.read().splitlines()
    except OSError:
        names = []
    for path in _candidates(root, names):
        count = _count(path)
        if count is not None:
            return count
    return None


def _candidates(root: str, names: list[str]) -> Iterator[str]:
    """Our own cgroup's file first: the root's, where there is one, is the whole machine's."""
    for name in names:
        _, _, rest = name.partition(":")
        controllers, _, path = rest.partition(":")
        place = "" if "/../" in f"{path}/" else path.rstrip("/")  # outside of our cgroup namespace
        if not controllers:
            yield f"{root}{place}/memory.events"
        elif "memory" in controllers.split(","):
            # v1 has no memory.events; since Linux 4.13 this file counts.
            yield f"{root}/memory{place}/memory.oom_control"
    yield f"{root}/memory.events"
    yield f"{root}/memory/memory.oom_control"


def _count(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as lines:
            text = lines.read()
    except (OSError, ValueError):
        return None
    found = next((line[len(_FIELD) :] for line in text.splitlines() if line.startswith(_FIELD)), "")
    return int(found) if found.isdigit() else None

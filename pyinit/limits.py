"""What the machine allows us: descriptors and memory."""

from __future__ import annotations

import resource
from pathlib import Path

# More than this nobody needs, and some systems have a hard limit of 2^30.
_NOFILE_MAX = 1 << 20
# Kept from connections: listeners, log, operator's surface, the epoll descriptor, libraries being imported.
_NOFILE_RESERVE = 64

_DEFAULT_BUFFER_BYTES = 64 << 20
_CGROUP_SHARE = 10
# v1 says "no limit" with a number near 2^63.
_NO_LIMIT_BYTES = 1 << 60


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard one, for ourselves: called after the child was forked. Returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _NOFILE_MAX if hard == resource.RLIM_INFINITY else min(hard, _NOFILE_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def max_connections(descriptors: int) -> int:
    """How many clients so many descriptors serve: one for each, and one to the app."""
    return max(1, (descriptors - _NOFILE_RESERVE) // 2)


def buffer_memory_bytes(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """A tenth of the cgroup's memory limit, v2 or v1; 64 MiB without one.

    Args:
        root: where cgroups are mounted; a container sees its own there.
        own: names our cgroup, for where the whole tree is seen.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    paths = [Path(line.split(":", 2)[2].lstrip("/")) for line in lines if line.count(":") >= 2]
    candidates = [root / path / "memory.max" for path in paths]
    candidates += [root / "memory" / path / "memory.limit_in_bytes" for path in paths]
    candidates += [root / "memory.max", root / "memory" / "memory.limit_in_bytes"]
    found = [limit for candidate in candidates if (limit := _limit(candidate)) is not None]
    return min(found) // _CGROUP_SHARE if found else _DEFAULT_BUFFER_BYTES


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and 0 < int(text) < _NO_LIMIT_BYTES else None

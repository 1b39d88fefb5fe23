"""What the machine allows us: descriptors, memory and processors."""

from __future__ import annotations

import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    _Path = str | os.PathLike[str]

# More than this nobody needs, and some systems have a hard limit of 2^30.
_NOFILE_MAX = 1 << 20
# Kept from connections: listeners, log, operator's surface, the epoll descriptor, libraries being imported.
_NOFILE_RESERVE = 64

_DEFAULT_BUFFER_BYTES = 64 << 20
_CGROUP_SHARE = 10
_CGROUPS, _OWN_CGROUP = "/sys/fs/cgroup", "/proc/self/cgroup"
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


def buffer_memory_bytes(root: _Path = _CGROUPS, own: _Path = _OWN_CGROUP) -> int:
    """A tenth of the cgroup's memory limit, v2 or v1; 64 MiB without one.

    Args:
        root: where cgroups are mounted; a container sees its own there.
        own: names our cgroup, for where the whole tree is seen.
    """
    lines = (_text(own) or "").splitlines()
    paths = [line.split(":", 2)[2].strip("/") for line in lines if line.count(":") >= 2]
    candidates = [os.path.join(root, path, "memory.max") for path in (*paths, "")]
    candidates += [os.path.join(root, "memory", path, "memory.limit_in_bytes") for path in (*paths, "")]
    found = [limit for candidate in candidates if (limit := _limit(candidate)) is not None]
    return min(found) // _CGROUP_SHARE if found else _DEFAULT_BUFFER_BYTES


def _text(path: _Path) -> str | None:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


def _limit(path: str) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) if text.isdigit() and 0 < int(text) < _NO_LIMIT_BYTES else None


def cpu_count(root: _Path = _CGROUPS, own: _Path = _OWN_CGROUP, usable: int | None = None) -> int:
    """Whole processors that are ours: by the cgroup's quota, v2 or v1, and by affinity; at least 1.

    The host's number is no measure: in a container of one CPU on a machine of 64, 64 workers would share the
    one's time slices. A part of a processor does not count, as it is spent on being throttled.

    Args:
        root: where cgroups are mounted; a container sees its own there.
        own: names our cgroup, for where the whole tree is seen.
        usable: processors we may run on; None asks the kernel.
    """
    if usable is None:
        usable = len(os.sched_getaffinity(0))
    lines = (_text(own) or "").splitlines()
    root = os.fspath(root)
    quotas = [_cpu_max(root + "/cpu.max"), _cfs_quota(root + "/cpu"), _cfs_quota(root + "/cpu,cpuacct")]
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, text = rest.partition(":")
        parts = [part for part in text.split("/") if part]
        if ".." in parts:
            continue  # outside of our cgroup namespace: not to be seen from here
        # A quota holds for all below it, so each ancestor's counts too.
        for depth in range(len(parts), -1, -1):
            place = "/".join(parts[:depth])
            if not controllers:
                quotas.append(_cpu_max(os.path.join(root, place, "cpu.max")))
            elif "cpu" in controllers.split(","):
                quotas += [_cfs_quota(os.path.join(root, name, place)) for name in ("cpu", controllers)]
    return max(1, min([usable, *(int(quota) for quota in quotas if quota is not None)]))


def _cpu_max(path: str) -> float | None:
    """Processors by v2's file: quota and period in microseconds, or ``max``."""
    try:
        quota, period = (_text(path) or "").split()
        return int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None


def _cfs_quota(folder: str) -> float | None:
    """The same by v1's two files; a quota of -1 is none."""
    try:
        quota = int(_text(os.path.join(folder, "cpu.cfs_quota_us")) or "")
        period = int(_text(os.path.join(folder, "cpu.cfs_period_us")) or "")
        return quota / period if quota > 0 else None
    except (ValueError, ZeroDivisionError):
        return None

"""Where the app listens, as the kernel sees it: what is wrong with an app that does not answer, or can be reached.

Sockets are found by port in /proc/net/tcp, their owners by inode among our descendants: not the child's alone, as
what daemonises is reparented to us. Where another user's descriptors cannot be read, nothing is claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinit import ports
from pyinit.front import LOOPBACK
from pyinit.init.processes import descendants

if TYPE_CHECKING:
    from pyinit.front import Start


def is_stranger(start: Start) -> bool:
    """Whether what listens on the app's port is certainly none of the app's processes."""
    if start.child_pid is None or start.upstream.port is None or start.hosts != LOOPBACK:
        return False
    found = [it for it in ports.listening() if it.port == start.upstream.port]
    if not found or _holds_any({start.child_pid}, found):
        return False  # as nearly always, and who descends from us is a look at every process there is
    ours = descendants()
    if start.child_pid not in ours:
        return False  # without /proc whose it is cannot be told, nor of an app that has just gone
    held = ports.inodes(ours)
    return held is not None and not any(it.inode in held for it in found)


def other_port(start: Start) -> str | None:
    """That the app listens on another port than it is to, and what to do; None where that cannot be seen."""
    if start.child_pid is None:
        return None
    held = ports.inodes(descendants())
    elsewhere = sorted({it.port for it in ports.listening() if held and it.inode in held})
    if not elsewhere or start.upstream.port in elsewhere:
        return None
    public = [address.port for address in start.settings.listens]
    told = f"${start.settings.port_env}" if start.is_auto and start.settings.port_env else str(start.upstream)
    for port in elsewhere:
        if port in public:
            return f"the app listens on the public port {port} itself, beside us: it has to listen on {told}"
    return f"the app listens on port {elsewhere[0]}, not on {told}: give --upstream {elsewhere[0]}"


def _holds_any(pids: set[int], found: list[ports.Listening]) -> bool:
    held = ports.inodes(pids)
    return held is not None and any(it.inode in held for it in found)


def exposed_address(start: Start) -> str | None:
    """An address of the app's that is not loopback: it can be reached past the proxy. None without a child."""
    port = start.upstream.port
    if start.child_pid is None or port is None:
        return None
    return next(
        (f"{it.ip}:{it.port}" for it in ports.listening() if it.port == port and not it.is_loopback), None
    )

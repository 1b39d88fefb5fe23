"""The operator's listening sockets: names, what a name becomes where it is taken, and where there are to be none.

An abstract name (unix(7)) needs no file system, works read-only and is gone with us; it belongs to the network
namespace, which under host networking is everybody's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pyinit.values import Address

HEALTH_SUFFIX = ".health"
_BACKLOG = 64
# Of as many runs in one network namespace; a pod or a task has a handful.
_NAMES_MAX = 64
# linux/proc_ns.h: the PID namespace that the machine itself booted with; a container has another.
_PID_NAMESPACE_OF_THE_MACHINE = 0xEFFFFFFC
# Sockets of a machine's own services and engines: a network namespace that shows them is not a container's.
_MACHINE_SOCKETS = (
    "/run/systemd/",
    "/containerd",
    "@/containerd",
    "docker.sock",
    "/crio/",
    "dbus/system_bus_socket",
)


def uses_host_network() -> bool:
    """Whether we are in a container that shares the machine's network namespace."""
    try:
        if os.stat("/proc/self/ns/pid").st_ino == _PID_NAMESPACE_OF_THE_MACHINE:
            return False
        names = os.fsdecode(_unix_sockets())
    except OSError:
        return False
    return any(sign in names for sign in _MACHINE_SOCKETS)


def open_pair(address: Address) -> tuple[socket.socket, socket.socket | None]:
    """Sockets that listen: control, and health beside it (None on TCP, where health is a GET of /readyz).

    An abstract name that is taken gets a suffix: ``@pyinit``, ``@pyinit-2``... A path that nobody listens on any
    more, as after a kill, is taken over.

    Raises:
        OSError: not to be had.
    """
    if address.path is None:
        return _listen_tcp(address), None
    path = address.path
    if not path.startswith("@"):
        control = _listen_path(path)
        try:
            return control, _listen_path(path + HEALTH_SUFFIX)
        except OSError:
            control.close()
            _remove(path)
            raise
    for number in range(1, _NAMES_MAX + 1):
        name = path if number == 1 else f"{path}-{number}"
        opened: list[socket.socket] = []
        try:
            for one in (name, name + HEALTH_SUFFIX):
                opened.append(_listen_unix("\0" + one[1:]))  # noqa: PERF401  closed where the second is taken
        except OSError as problem:
            for sock in opened:
                sock.close()
            if problem.errno != errno.EADDRINUSE:
                raise
            continue
        return opened[0], opened[1]
    raise OSError(errno.EADDRINUSE, f"{path} and {_NAMES_MAX - 1} names after it are taken")


def open_admin(address: Address) -> socket.socket:
    """The read-only part's socket. Raises OSError."""
    return _listen_tcp(address)


class SocketFile(NamedTuple):
    """The file that a bind has made.

    Attributes:
        path: of it.
        device: where it is.
        inode: and which.
    """

    path: str
    device: int
    inode: int

    def remove(self) -> None:
        """Remove it, but not what another run has put in its place. Gone already is as well."""
        try:
            now = os.lstat(self.path)
            if (now.st_dev, now.st_ino) == (self.device, self.inode):
                os.unlink(self.path)
        except OSError:
            return


def file_of(sock: socket.socket) -> SocketFile | None:
    """The file that is ours to remove; None where the bind has made none."""
    name = sock.getsockname() if sock.family == socket.AF_UNIX else ""
    if not isinstance(name, str) or not name:
        return None
    try:
        status = os.lstat(name)
    except OSError:
        return None
    return SocketFile(name, status.st_dev, status.st_ino)


def drop_waiting(sock: socket.socket) -> None:
    """Close what waits in its queue."""
    for _ in range(_BACKLOG + 1):
        try:
            sock.accept()[0].close()
        except OSError:
            return


def name_of(sock: socket.socket) -> str:
    """The address as a user writes it."""
    name = sock.getsockname()
    if sock.family != socket.AF_UNIX:
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return "@" + os.fsdecode(name[1:]) if isinstance(name, bytes) else f"unix:{name}"


def _listen_unix(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)  # noqa: FBT003  the library's signature
        sock.bind(name)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _listen_path(path: str) -> socket.socket:
    try:
        return _listen_unix(path)
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE or not _is_left_over(path):
            raise
    _remove(path)
    return _listen_unix(path)


def _is_left_over(path: str) -> bool:
    """Whether a socket's file has nobody behind it."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)  # noqa: FBT003  the library's signature
        if sock.connect_ex(path) != errno.ECONNREFUSED:
            return False
    return not _is_bound(path)


def _is_bound(path: str) -> bool:
    """Whether somebody holds the path and does not listen yet: another run that starts at this moment."""
    try:
        rows = _unix_sockets().splitlines()
    except OSError:
        return False
    return any(row.split(maxsplit=7)[7:] == [os.fsencode(path)] for row in rows)


def _unix_sockets() -> bytes:
    """Those of this network namespace, one a line."""
    with open("/proc/net/unix", "rb") as table:
        return table.read()


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _listen_tcp(address: Address) -> socket.socket:
    host = address.host or "127.0.0.1"
    family, _, _, _, name = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family)
    try:
        sock.setblocking(False)  # noqa: FBT003  the library's signature
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(name)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock

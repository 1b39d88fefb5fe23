"""The public addresses: bound before the child exists, so that a taken port fails before anything starts.

Only bound: until the app is ready a connect is refused, as it is with the app alone. Through ``_socket``, as
``socket`` imports enum and selectors, which the child's exec would wait for.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat

from pyinit.errors import ListenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyinit.values import Address

WRONG_ADDRESS = 2
TAKEN = 125


def bind(address: Address) -> list[_socket.socket]:
    """Bind one public address; a name can stand for several.

    Raises:
        ListenError: the line for the user.
    """
    if address.path is not None:
        return [_bind_unix(address, address.path)]
    assert address.port is not None  # noqa: S101  either a path or a port
    if address.host is None:
        return [_bind_all(address, address.port)]
    # A str is encoded with the idna codec, which imports re and unicodedata: milliseconds before the child's exec.
    host = address.host.encode() if address.host.isascii() else address.host
    try:
        found = _socket.getaddrinfo(host, address.port, 0, _socket.SOCK_STREAM, 0, _socket.AI_PASSIVE)
    except OSError as problem:
        raise ListenError(
            f"--listen {address}: no such address ({problem.strerror})", WRONG_ADDRESS
        ) from None
    except UnicodeError as problem:
        raise ListenError(f"--listen {address}: no host name ({problem})", WRONG_ADDRESS) from None
    places = dict.fromkeys((family, place) for family, _, _, _, place in found)
    return [_bind_inet(address, family, place, dual=False) for family, place in places]


def free_port() -> int:
    """A loopback port that is free now; the kernel hands the same one out again only after many others."""
    with_port = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        with_port.bind(("127.0.0.1", 0))
        return int(with_port.getsockname()[1])
    finally:
        with_port.close()


def _bind_all(address: Address, port: int) -> _socket.socket:
    """Dual-stack; on 0.0.0.0 where there is no IPv6."""
    try:
        return _bind_inet(address, _socket.AF_INET6, ("::", port), dual=True)
    except _NoSuchFamilyError:
        return _bind_inet(address, _socket.AF_INET, ("0.0.0.0", port), dual=False)


class _NoSuchFamilyError(Exception):
    """This machine has no such address family."""


def _bind_inet(address: Address, family: int, place: tuple[object, ...], *, dual: bool) -> _socket.socket:
    try:
        sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    except OSError as problem:
        if dual and problem.errno == errno.EAFNOSUPPORT:
            raise _NoSuchFamilyError from None
        raise
    try:
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, not dual)
        # For our bind: connections of a run before may still be in TIME_WAIT. Cleared after it: with it set on
        # both sides an app that binds the same port would succeed, and we would fail at listen().
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.bind(place)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 0)
    except OSError as problem:
        sock.close()
        if dual and problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise _NoSuchFamilyError from None
        raise _explained(address, problem) from None
    return sock


def _explained(address: Address, problem: OSError) -> ListenError:
    if problem.errno == errno.EADDRINUSE:
        return ListenError(f"--listen {address}: the port is taken by another process", TAKEN)
    if problem.errno == errno.EACCES:
        text = f"--listen {address}: this user may not bind it (below 1024 takes CAP_NET_BIND_SERVICE)"
        return ListenError(text, WRONG_ADDRESS)
    if problem.errno == errno.EADDRNOTAVAIL:
        return ListenError(f"--listen {address}: no interface here has that address", WRONG_ADDRESS)
    return ListenError(f"--listen {address}: {problem.strerror}", WRONG_ADDRESS)


def _bind_unix(address: Address, path: str) -> _socket.socket:
    """Bind a path; a socket file that nobody listens on is left from before, and goes."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        if _is_stale(path):
            os.unlink(path)
        sock.bind(path)
    except OSError as problem:
        sock.close()
        if problem.errno == errno.EADDRINUSE:
            raise ListenError(
                f"--listen {address}: the path exists, and is in use or no socket", TAKEN
            ) from None
        raise ListenError(f"--listen {address}: {problem.strerror}", WRONG_ADDRESS) from None
    return sock


def _is_stale(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except OSError:
        return False
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        return not _is_bound(path)
    except OSError:
        return False
    else:
        return False
    finally:
        probe.close()


def _is_bound(path: str) -> bool:
    """Whether somebody holds the path without listening yet: another pyinit whose app is still starting."""
    try:
        with open("/proc/net/unix", "rb") as table:
            return any(row.split()[7:] == [os.fsencode(path)] for row in table)
    except OSError:
        return False

"""Which pyinit is meant: an address that was given, or the pairs of sockets in this network namespace.

On the way of every health check, so nothing is imported that costs time: ``_socket``, as ``socket`` takes
milliseconds, and pyinit.values for a TCP address alone.
"""

import _socket
import os
import sys

from pyinit.ctl.problem import FORBIDDEN, USAGE, Nobody, Problem, is_late

HEALTH_SUFFIX = ".health"
_USUAL = "@pyinit"
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = "/proc/net/unix"
# Flags of a listening socket there (net/unix: __SO_ACCEPTCON).
_LISTENS = "00010000"
_UCRED_BYTES = 12


class Place:
    """Where to connect.

    Attributes:
        text: the address as a user writes it.
        name: for AF_UNIX, as connect takes it; None for TCP.
        host: for TCP.
        port: the same.
    """

    __slots__ = ("host", "name", "port", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.host, self.port = "", 0
        self.name: str | None
        if text.startswith("@"):
            self.name = "\0" + text[1:]
        elif text.startswith(("/", "unix:")):
            self.name = text.removeprefix("unix:")
        else:
            self.name = None
            from pyinit.values import tcp_address  # noqa: PLC0415  for TCP alone

            try:
                address = tcp_address(text)
            except ValueError:
                accepted = "@NAME, unix:/path or HOST:PORT"
                raise Problem(f"--control {text}: not {accepted}", USAGE) from None
            self.host, self.port = address.host or "127.0.0.1", address.port or 0

    def health(self) -> "Place":
        """Its health socket; on TCP there is none, and a GET of /readyz is the same."""
        beside = Place(self.text)
        beside.name = None if self.name is None else self.name + HEALTH_SUFFIX
        return beside

    def __repr__(self) -> str:
        return f"Place({self.text})"


def connect(place: Place, timeout_s: float) -> _socket.socket:
    """A connection; the socket keeps the timeout. Raises OSError, TimeoutError among it."""
    if place.name is not None:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        target: str | tuple[object, ...] = place.name
    else:
        found = _socket.getaddrinfo(place.host, place.port, 0, _socket.SOCK_STREAM)
        family, target = found[0][0], found[0][4]
        sock = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(target)
    except BlockingIOError:
        # unix(7): a full queue; whoever should empty it does not.
        sock.close()
        raise TimeoutError from None
    except BaseException:
        sock.close()
        raise
    return sock


def listener_of(sock: _socket.socket) -> tuple[int, int] | None:
    """Pid and user of who listens (SO_PEERCRED, of the time of its listen); pid 0 in a PID namespace not ours to see.

    None on TCP, which does not tell.
    """
    if sock.family != _socket.AF_UNIX:
        return None
    raw = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED_BYTES)
    return int.from_bytes(raw[:4], sys.byteorder, signed=True), int.from_bytes(raw[4:8], sys.byteorder)


def pairs(names: str) -> list[str]:
    """Addresses that listen and have a health socket beside them.

    Args:
        names: what /proc/net/unix holds.
    """
    listening: dict[str, None] = {}
    for line in names.splitlines():
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[3] == _LISTENS:
            listening[fields[7]] = None
    found = [
        name.removesuffix(HEALTH_SUFFIX)
        for name in listening
        if name.endswith(HEALTH_SUFFIX) and name.removesuffix(HEALTH_SUFFIX) in listening
    ]
    # By length first: @pyinit-10 comes after @pyinit-9.
    found.sort(key=lambda name: (len(name), name))
    return [name if name.startswith("@") else f"unix:{name}" for name in found]


def names_here() -> str | None:
    """The unix sockets of this network namespace; None where /proc does not tell."""
    try:
        with open(_NAMES, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None


def candidates(
    given: str | None, variable: str | None, names: "Callable[[], str | None]" = names_here
) -> list[str]:
    """Every address that may be meant. Raises Nobody where there is none.

    Args:
        given: --control.
        variable: PYINIT_CONTROL, which the container's pyinit had as well: with a name that was taken it listens
            on the name and a number.
        names: asked where the two do not decide.
    """
    if given:
        return [given]
    if variable == "off":
        raise Nobody(
            "no pyinit to ask: PYINIT_CONTROL=off, so it has no control socket (--control ADDR for another)"
        )
    if variable and not variable.startswith("@"):
        return [variable]
    listing = names()
    if listing is None:
        return [variable or _USUAL]
    found = pairs(listing)
    if variable:
        stem = variable + "-"
        suffixed = [name for name in found if name.startswith(stem) and name[len(stem) :].isdigit()]
        return [variable, *suffixed]
    # A path may be one of another container's file system.
    found = [name for name in found if name.startswith("@") or os.path.exists(name[5:])]
    if not found:
        raise Nobody(
            "no pyinit here: no control socket in this network namespace. Init mode has none; it is off under host"
            " networking and with --control off; one on TCP has to be given (--control HOST:PORT); another"
            " container's is to be asked from there, or from a network namespace it shares"
        )
    return found


def choose(given: str | None, variable: str | None, timeout_s: float) -> Place:
    """The one that is meant: of several the one in our own PID namespace, which is our container's."""
    found = candidates(given, variable)
    if len(found) == 1:
        return Place(found[0])
    near, late = [], []
    for text in found:
        try:
            if _is_near(Place(text).health(), timeout_s):
                near.append(text)
        except TimeoutError:
            late.append(text)
        except OSError:
            continue  # it has just gone, or may not be opened
    if len(near) == 1:
        return Place(near[0])
    if late:
        # It may be ours, and a neighbour's answer would be taken for it.
        raise is_late(late[0], timeout_s)
    if not variable:
        raise Problem(
            f"several pyinits in this network namespace: {', '.join(found)}; say which with --control {found[0]}"
            " or PYINIT_CONTROL",
            USAGE,
        )
    return Place(found[0])


def _is_near(place: Place, timeout_s: float) -> bool:
    sock = connect(place, timeout_s)
    listener = listener_of(sock)
    sock.close()
    return listener is not None and listener[0] > 0


def explain(problem: OSError, place: Place, timeout_s: float) -> Problem:
    """Why there is no connection, as a sentence."""
    if isinstance(problem, TimeoutError):
        return is_late(place.text, timeout_s)
    if isinstance(problem, PermissionError):
        return Problem(f"{place.text} may not be opened by uid {os.geteuid()}", FORBIDDEN)
    if isinstance(problem, ConnectionRefusedError | FileNotFoundError):
        return Nobody(f"no pyinit at {place.text}: nothing listens there, in this network namespace")
    return Nobody(f"no pyinit at {place.text}: {problem.strerror or problem}")

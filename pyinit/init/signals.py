"""Signals as policy: names, which are blocked, what is passed on, and what means "stop".

Nothing here sends or receives one. Signals are *blocked and waited for* (sigwaitinfo in init mode, a signalfd
in the event loop), as tini and catatonit do: no handler, so no re-entrancy, and nothing is lost between two
waits. Refused: ``signal.signal`` handlers, which merge repeated real-time signals into one, and
``loop.add_signal_handler``, which uvloop refuses for SIGCHLD.

``_signal`` is the C half of ``signal``; the Python half turns numbers into enums and costs 9 ms of a 20 ms
start (real-time signals have no enum anyway).
"""

from __future__ import annotations

import _signal

SIGCHLD: int = _signal.SIGCHLD
SIGCONT: int = _signal.SIGCONT
SIGHUP: int = _signal.SIGHUP
SIGINT: int = _signal.SIGINT
SIGKILL: int = _signal.SIGKILL
SIGPIPE: int = _signal.SIGPIPE
SIGQUIT: int = _signal.SIGQUIT
SIGSTOP: int = _signal.SIGSTOP
SIGTERM: int = _signal.SIGTERM
SIGTSTP: int = _signal.SIGTSTP
SIGTTIN: int = _signal.SIGTTIN
SIGTTOU: int = _signal.SIGTTOU
SIGXFSZ: int = _signal.SIGXFSZ
SIGRTMIN: int = _signal.SIGRTMIN
SIGRTMAX: int = _signal.SIGRTMAX

HIGHEST = SIGRTMAX

# The kernel raises these for a fault of our own: blocked or passed on they would hide it (tini and catatonit
# leave out the same).
SYNCHRONOUS: frozenset[int] = frozenset(
    (
        _signal.SIGFPE,
        _signal.SIGILL,
        _signal.SIGSEGV,
        _signal.SIGBUS,
        _signal.SIGABRT,
        _signal.SIGTRAP,
        _signal.SIGSYS,
    )
)

# 1 to 31 but SIGKILL and SIGSTOP, and the real-time ones: all that a process can block and wait for. SIGRTMIN is 34,
# as the C library keeps 32 and 33.
CATCHABLE: frozenset[int] = frozenset(_signal.valid_signals()) - {SIGKILL, SIGSTOP}
# What stays blocked and is waited for, as with tini.
WAITED: frozenset[int] = CATCHABLE - SYNCHRONOUS - {SIGTTIN, SIGTTOU}


class Dispositions:
    """What the interpreter and we changed, so that the child can be given it back."""

    __slots__ = ("default", "ignored")

    def __init__(self, *, default: frozenset[int], ignored: frozenset[int]) -> None:
        self.default = default
        self.ignored = ignored

    def restore(self) -> None:
        """Give the process its dispositions back; for the forked child, just before exec."""
        for signum in self.default:
            _signal.signal(signum, _signal.SIG_DFL)
        for signum in self.ignored:
            _signal.signal(signum, _signal.SIG_IGN)


def settle() -> Dispositions:
    """Block what tini blocks, ignore SIGTTIN and SIGTTOU for ourselves, and say what the child must get back.

    The synchronous ones, blocked so far as everything is, are let through: one that somebody sent us ends a plain
    process and is dropped for PID 1. A blocked SIGTTOU would let a background write through.

    CPython ignores SIGPIPE and SIGXFSZ at start and an exec would hand that on; whether they were ignored
    before cannot be told any more, so the child gets the default. An inherited ignored SIGINT it leaves
    alone; its own handler would fall back to the default at exec, but a SIGINT that is passed on before the
    forked copy has exec'd would run it there.

    With SIGCHLD ignored (exec keeps that) the kernel would reap our children itself and tell nobody: no
    SIGCHLD, no exit code (waitpid(2), NOTES). So for us it is at its default.
    """
    default, ignored = {SIGPIPE, SIGXFSZ}, set[int]()
    if callable(_signal.getsignal(SIGINT)):
        default.add(SIGINT)
    if _signal.signal(SIGCHLD, _signal.SIG_DFL) == _signal.SIG_IGN:
        ignored.add(SIGCHLD)
    for signum in (SIGTTIN, SIGTTOU):
        before = _signal.signal(signum, _signal.SIG_IGN)
        (ignored if before == _signal.SIG_IGN else default).add(signum)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, WAITED)
    return Dispositions(default=frozenset(default), ignored=frozenset(ignored))


def number(text: str) -> int | None:
    """The signal meant by a name (TERM, SIGTERM, RTMIN+3, RTMAX-2) or a number; None if there is none."""
    if _is_short_number(text):
        value = int(text)
        return value if value in _signal.valid_signals() else None
    bare = text.upper().removeprefix("SIG")
    for base, sign in (("RTMIN", 1), ("RTMAX", -1)):
        if bare.startswith(base + "+-"[sign < 0]) and _is_short_number(bare[6:]):
            value = _table()[base] + sign * int(bare[6:])
            return value if SIGRTMIN <= value <= SIGRTMAX else None
    return _table().get(bare)


def name(signum: int) -> str:
    """SIGTERM for 15; SIGRTMIN+1 for 35; the bare number for one without a name."""
    for bare, value in _table().items():
        if value == signum:
            return f"SIG{bare}"
    if SIGRTMIN < signum < SIGRTMAX:
        return f"SIGRTMIN+{signum - SIGRTMIN}"
    return str(signum)


def describe(signum: int) -> str:
    """The signal in words, as strsignal(3) gives it."""
    text: str | None = _signal.strsignal(signum)
    return text or f"signal {signum}"


def _is_short_number(text: str) -> bool:
    # int() refuses what isdigit() takes: superscripts, and more than 4300 digits.
    return len(text) <= 9 and text.isascii() and text.isdigit()


def _table() -> dict[str, int]:
    return {
        attribute[3:]: getattr(_signal, attribute)
        for attribute in dir(_signal)
        if attribute.startswith("SIG") and not attribute.startswith("SIG_") and attribute != "SIGCLD"
    }


class Forwarding:
    """Which signal goes to the child when one comes.

    Args:
        rewrites: signal -> the one to send instead, 0 to drop it.
    """

    __slots__ = ("_rewrites",)

    def __init__(self, rewrites: dict[int, int]) -> None:
        self._rewrites = rewrites

    def translate(self, signum: int) -> int:
        """The signal to send to the child; 0 for none. SIGCHLD is ours and never passed on."""
        if signum == SIGCHLD:
            return 0
        return self._rewrites.get(signum, signum)

    def __repr__(self) -> str:
        return f"Forwarding({self._rewrites})"

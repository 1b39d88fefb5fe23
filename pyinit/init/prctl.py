"""prctl(2), which the standard library lacks; ctypes is imported only where a run needs it."""

from __future__ import annotations

import os

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


def become_subreaper() -> None:
    """Have orphaned descendants become our children, as they do PID 1's. Raises OSError."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def is_subreaper() -> bool:
    """Whether this process is marked as a subreaper (exec keeps the mark)."""
    import ctypes  # noqa: PLC0415  start time

    value = ctypes.c_int(0)
    try:
        _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.addressof(value))
    except OSError:
        return False
    return bool(value.value)


def set_parent_death_signal(signum: int) -> None:
    """Have the kernel send us a signal when our parent ends. Raises OSError."""
    _prctl(_PR_SET_PDEATHSIG, signum)


def _prctl(option: int, argument: int) -> None:
    import ctypes  # noqa: PLC0415  start time

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

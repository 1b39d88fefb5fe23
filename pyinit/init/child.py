"""The child beside a running event loop: its signals, its exit, everybody else's zombies.

Signals stay blocked and come through a signalfd: the same policy as in init mode, real-time ones are not merged,
and no handler runs between two bytecodes. The standard library has no signalfd before 3.14's C API; it is one
libc call, made after the child has been exec'd.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import TYPE_CHECKING

from pyinit.init import memory, reaper, signals
from pyinit.init.processes import signal_descendants

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pyinit.init.signals import Forwarding
    from pyinit.log import EventLog

_KILL_AGAIN_S, _LEAVE_AFTER_S = 0.05, 0.2
_SFD_CLOEXEC, _SFD_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK  # signalfd(2): the same values
_SIGINFO_BYTES = 128
_SIGSET_BYTES = 128  # glibc and musl alike


class Child:
    """The one command, and whatever else becomes our child.

    Args:
        pid: of the command; None in sidecar mode.
        forwarding: which signal is passed on for which.
        to_group: signals go to its process group.
        warn_on_reap: a line for each process reaped that is not the child.
        on_signal: takes every signal but SIGCHLD; decides what is passed on.
        on_exit: takes the child's exit code, once.
        log: for events.
        on_other_exit: takes pid and exit code of every other process; False where it knows nothing of it.

    Attributes:
        code: the child's exit code; None while it runs.
        reaped_count: processes reaped that were neither the child nor known to on_other_exit.
    """

    def __init__(
        self,
        pid: int | None,
        *,
        forwarding: Forwarding,
        to_group: bool,
        warn_on_reap: bool,
        on_signal: Callable[[int], None],
        on_exit: Callable[[int], None],
        log: EventLog,
        on_other_exit: Callable[[int, int], bool] | None = None,
    ) -> None:
        self.pid = pid
        self.code: int | None = None
        self.reaped_count = 0
        self._has_others = False
        self._alone: asyncio.Future[None] | None = None
        self._forwarding = forwarding
        self._to_group = to_group
        self._warn_on_reap = warn_on_reap
        self._on_signal = on_signal
        self._on_exit = on_exit
        self._on_other_exit = on_other_exit
        self._log = log
        self._fd = -1
        self._own_pid = os.getpid()
        self._has_killed = False
        self._memory_kills = memory.kills()  # of those before us nothing is to be said

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Receive signals from here on; those that came since the start are among them."""
        self._fd = _signalfd(signals.WAITED)
        loop.add_reader(self._fd, self._readable)
        self._reap()  # a SIGCHLD for several exits is one

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 16 * _SIGINFO_BYTES)
        except BlockingIOError:
            return
        for at in range(0, len(data), _SIGINFO_BYTES):
            # struct signalfd_siginfo: ssi_signo, ssi_errno, ssi_code, ssi_pid.
            signum, _, _, sender = struct.unpack_from("=IiiI", data, at)
            if signum == signals.SIGCHLD:
                self._reap()
            elif sender != self._own_pid:
                # A write to a closed socket sends the writer SIGPIPE: blocked, it arrives here, and is ours alone.
                self._on_signal(signum)

    def _reap(self) -> None:
        ended, self._has_others = reaper.reap()
        for pid, status in ended:
            if pid == self.pid and self.code is None:
                self.code = reaper.exit_code(status)
                fields: dict[str, object] = {"pid": pid, "code": self.code}
                if os.WIFSIGNALED(status):
                    fields["signal"] = signals.name(os.WTERMSIG(status))
                self._log.info("child.exited", **fields)
                if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signals.SIGKILL:
                    self._name_killer(pid)
                self._on_exit(self.code)
                continue
            if self._on_other_exit is not None and self._on_other_exit(pid, reaper.exit_code(status)):
                continue
            self.reaped_count += 1
            if self._warn_on_reap:
                self._log.warning("process.reaped", pid=pid)
            else:
                self._log.debug("process.reaped", pid=pid)

        if not self._has_others and self._alone is not None and not self._alone.done():
            self._alone.set_result(None)

    def _name_killer(self, pid: int) -> None:
        now = memory.kills()
        if self._has_killed or now is None or now <= (self._memory_kills or 0):
            return
        self._log.error(
            "child.out_of_memory",
            pid=pid,
            oom_kills=now - (self._memory_kills or 0),
            reason="the kernel has killed in this container for lack of memory since we started: raise the limit,"
            " or have Node stay below it (--max-old-space-size)",
        )

    async def left_alone(
        self, limit_s: float, loop: asyncio.AbstractEventLoop, *, stop_signum: int | None
    ) -> None:
        """Wait until all that the child left behind has ended; at the limit it gets SIGKILL.

        Args:
            limit_s: how long.
            loop: ours.
            stop_signum: what came to stop the child: the others are told of it too, or they would be waited for in
                vain. None where the child ended by itself.
        """
        if not self._has_others:
            return
        translated = 0 if stop_signum is None else self._forwarding.translate(stop_signum)
        if translated:
            signal_descendants(translated, spared_group=self.pid or 0 if self._to_group else 0)
        self._alone = loop.create_future()
        overdue = loop.call_later(limit_s, self._kill_others, loop)
        try:
            await self._alone
        finally:
            overdue.cancel()

    def _kill_others(self, loop: asyncio.AbstractEventLoop) -> None:
        self._log.warning("process.killed", count=signal_descendants(signals.SIGKILL), reason="out of time")
        # Again for what was forked while we looked; what SIGKILL does not end (state D) ends with us.
        loop.call_later(_KILL_AGAIN_S, signal_descendants, signals.SIGKILL)
        loop.call_later(_LEAVE_AFTER_S, self._leave_others)

    def _leave_others(self) -> None:
        if self._alone is not None and not self._alone.done():
            self._alone.set_result(None)

    def pass_on(self, signum: int) -> None:
        """Send a signal on to the child, as --rewrite and -g say."""
        translated = self._forwarding.translate(signum)
        if translated and self._alone is not None:
            signal_descendants(translated)  # --wait-all: who is left has nobody else to tell them
        elif translated:
            self._send(translated, to_group=self._to_group)

    def kill(self) -> None:
        """SIGKILL to its group, whatever -g says: nothing of it may outlive its time."""
        self._has_killed = True
        self._send(signals.SIGKILL, to_group=True)

    def _send(self, signum: int, *, to_group: bool) -> None:
        if self.pid is None or self.code is not None:
            return
        try:
            os.kill(-self.pid if to_group else self.pid, signum)
        except ProcessLookupError:
            self._log.warning("signal.not_forwarded", signal=signals.name(signum), reason="the child is gone")
        except PermissionError:
            self._log.warning("signal.not_forwarded", signal=signals.name(signum), reason="not permitted")
        else:
            self._log.debug("signal.forwarded", signal=signals.name(signum), pid=self.pid, to_group=to_group)

    def __repr__(self) -> str:
        return f"Child(pid={self.pid}, code={self.code})"


def _signalfd(signums: frozenset[int]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    bits = sum(1 << (signum - 1) for signum in signums)
    # An array of unsigned long, so the byte order of each word is the machine's.
    word_bytes = ctypes.sizeof(ctypes.c_ulong)
    words = [
        bits >> (8 * word_bytes * i) & ((1 << 8 * word_bytes) - 1) for i in range(_SIGSET_BYTES // word_bytes)
    ]
    mask = b"".join(word.to_bytes(word_bytes, sys.byteorder) for word in words)
    fd: int = libc.signalfd(-1, mask, _SFD_CLOEXEC | _SFD_NONBLOCK)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd

"""Init mode: wait for a signal, pass it on, reap, leave with the child's code. No event loop.

One call waits for everything (sigwaitinfo), so an idle init never wakes up; tini polls once a second. Only a
stop under way has a time limit.
"""

from __future__ import annotations

import _signal
import os
from time import monotonic

from pyinit.init import prctl, reaper, signals
from pyinit.init.signals import Forwarding
from pyinit.init.spawn import Launch, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyinit.log import InitLog

# design 6: everything, our own exit included, happens within the platform's grace less this.
RESERVE_S = 0.5
# docker stop's, where nothing else is known.
DEFAULT_GRACE_S = 10.0
# The coreutils convention (env, timeout): the command was not at fault.
OWN_FAILURE = 125


class InitPlan:
    """What an init run is to do.

    Args:
        launch: the child.
        forwarding: which signal is passed on for which.
        to_group: signals go to the child's process group.
        subreaper: become one first.
        parent_death_signal: 0 for none.
        warn_on_reap: a warning for each process reaped that is not the child.
        expect_exits: child codes that count as 0.
        stop_signals: the ones that drain_delay_s and stop_timeout_s are about.
        drain_delay_s: how long a stop signal is held back.
        stop_timeout_s: the platform's grace; None for no SIGKILL of ours.
    """

    __slots__ = (
        "drain_delay_s",
        "expect_exits",
        "forwarding",
        "launch",
        "parent_death_signal",
        "stop_signals",
        "stop_timeout_s",
        "subreaper",
        "to_group",
        "warn_on_reap",
    )

    def __init__(
        self,
        launch: Launch,
        *,
        forwarding: Forwarding,
        stop_signals: frozenset[int],
        to_group: bool = False,
        subreaper: bool = False,
        parent_death_signal: int = 0,
        warn_on_reap: bool = False,
        expect_exits: frozenset[int] = frozenset(),
        drain_delay_s: float = 0.0,
        stop_timeout_s: float | None = None,
    ) -> None:
        self.launch = launch
        self.forwarding = forwarding
        self.stop_signals = stop_signals
        self.to_group = to_group
        self.subreaper = subreaper
        self.parent_death_signal = parent_death_signal
        self.warn_on_reap = warn_on_reap
        self.expect_exits = expect_exits
        self.drain_delay_s = drain_delay_s
        self.stop_timeout_s = stop_timeout_s


def run_init(plan: InitPlan, log: InitLog) -> int:
    """Start the child, be its init, and return the code to exit with."""
    if plan.parent_death_signal:
        prctl.set_parent_death_signal(plan.parent_death_signal)
    if plan.subreaper:
        prctl.become_subreaper()
        log.trace("Registered as child subreaper")
    elif os.getpid() != 1 and not prctl.is_subreaper():
        log.warning("Not running as PID 1 and not registered as a child subreaper:")
        log.warning("zombie reaping won't work for processes that the child leaves behind.")
        log.warning("Use -s or TINI_SUBREAPER to become a subreaper, or run as PID 1.")
    pid = spawn(plan.launch, log.fatal)
    name = plan.launch.command[0].decode("utf-8", "backslashreplace")
    log.info(f"Spawned child process '{name}' with pid '{pid}'")
    init = _Init(plan, pid, log)
    try:
        code = init.loop()
    except Exception as problem:  # noqa: BLE001  PID 1 must not die with a traceback alone
        log.fatal(f"internal error: {problem!r}; stopping the child")
        give_up(pid, (plan.stop_timeout_s or DEFAULT_GRACE_S) - RESERVE_S)
        return OWN_FAILURE
    return 0 if code in plan.expect_exits else code


class _Init:
    """The loop's state: the child, and the stop that may be under way."""

    __slots__ = ("_held", "_kill_at_s", "_log", "_pid", "_plan", "_release_at_s")

    def __init__(self, plan: InitPlan, pid: int, log: InitLog) -> None:
        self._plan = plan
        self._pid = pid
        self._log = log
        self._held = 0
        self._release_at_s: float | None = None
        self._kill_at_s: float | None = None

    def loop(self) -> int:
        while True:
            signum = self._wait()
            if signum == signals.SIGCHLD:
                self._log.debug("Received SIGCHLD")
            elif signum:
                self._take(signum)
            code = self._reap()
            if code is not None:
                self._log.trace("Exiting: child has exited")
                return code
            if self._due():
                self._act_on_deadlines()

    def _due(self) -> list[float]:
        return [at for at in (self._release_at_s, self._kill_at_s) if at is not None]

    def _wait(self) -> int:
        """The next signal; 0 where there is none for the child, or a deadline has come."""
        due = self._due()
        if not due:
            return self._signum(_signal.sigwaitinfo(signals.WAITED))
        info = _signal.sigtimedwait(signals.WAITED, max(0.0, min(due) - monotonic()))
        return 0 if info is None else self._signum(info)

    def _act_on_deadlines(self) -> None:
        """After every signal, not only where none came: a child that floods us must not outlive its time."""
        now_s = monotonic()
        if self._release_at_s is not None and now_s >= self._release_at_s:
            self._release()
        if self._kill_at_s is not None and now_s >= self._kill_at_s:
            self._kill_at_s = None
            self._log.warning("The child did not stop in time: sending SIGKILL to its process group")
            self._send(signals.SIGKILL, to_group=True)

    @staticmethod
    def _signum(info: object) -> int:
        """What came; 0 for a signal of our own: a write to a closed stderr sends the writer SIGPIPE."""
        signum: int = getattr(info, "si_signo", 0)
        is_own = getattr(info, "si_pid", 0) == os.getpid() and signum != signals.SIGCHLD
        return 0 if is_own else signum

    def _take(self, signum: int) -> None:
        plan = self._plan
        is_stop = signum in plan.stop_signals
        if is_stop and self._kill_at_s is None and plan.stop_timeout_s is not None:
            self._kill_at_s = monotonic() + max(0.0, plan.stop_timeout_s - RESERVE_S)
        if self._release_at_s is not None:
            # Held back: a repeated SIGTERM changes nothing; Ctrl-C again, or SIGQUIT, means now.
            if signum in (signals.SIGINT, signals.SIGQUIT):
                self._held = signum
                self._release()
                return
            if is_stop:
                return
        elif is_stop and plan.drain_delay_s and not self._held:
            self._held = signum
            self._release_at_s = monotonic() + plan.drain_delay_s
            self._log.info(f"Holding '{signals.describe(signum)}' back for {plan.drain_delay_s:g} s")
            return
        self._pass_on(signum)

    def _release(self) -> None:
        self._release_at_s = None
        self._pass_on(self._held)

    def _pass_on(self, signum: int) -> None:
        translated = self._plan.forwarding.translate(signum)
        if not translated:
            self._log.debug(f"Dropping signal: '{signals.describe(signum)}'")
            return
        self._log.debug(f"Passing signal: '{signals.describe(translated)}'")
        self._send(translated, to_group=self._plan.to_group)

    def _send(self, signum: int, *, to_group: bool) -> None:
        try:
            os.kill(-self._pid if to_group else self._pid, signum)
        except ProcessLookupError:
            self._log.warning(f"Child was dead when forwarding signal '{signals.describe(signum)}'")
        except PermissionError:
            # The child runs as another user. tini exits here and takes the container with it.
            self._log.warning(f"Not permitted to send '{signals.describe(signum)}' to the child")

    def _reap(self) -> int | None:
        """Reap everything; the child's code if it was among them."""
        code = None
        for pid, status in reaper.reap():
            self._log.debug(f"Reaped child with pid: '{pid}'")
            if pid != self._pid:
                if self._plan.warn_on_reap:
                    self._log.warning(f"Reaped zombie process with pid={pid}")
                continue
            code = reaper.exit_code(status)
            if os.WIFSIGNALED(status):
                words = signals.describe(os.WTERMSIG(status))
                self._log.info(f"Main child exited with signal (with signal '{words}')")
            else:
                self._log.info(f"Main child exited normally (with status '{code}')")
        return code


def give_up(pid: int, left_s: float) -> None:
    """After a fault in our own core: SIGTERM for the child, what is left of its time, then SIGKILL to its group."""
    end_s = monotonic() + left_s
    for signum, target in ((signals.SIGTERM, pid), (signals.SIGKILL, -pid)):
        try:
            os.kill(target, signum)
        except OSError:
            return  # it is gone, or not ours to stop
        while (wait_s := end_s - monotonic()) > 0:
            if any(ended == pid for ended, _ in reaper.reap()):
                return
            _signal.sigtimedwait({signals.SIGCHLD}, wait_s)

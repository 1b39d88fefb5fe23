"""Init mode: wait for a signal, pass it on, reap, leave with the child's code. No event loop.

tini's loop, under its names and catatonit's as well; what pyinit adds to it is off unless asked for.

One call waits for everything (sigwaitinfo), so an idle init never wakes up; tini polls once a second. Only a
stop under way has a time limit.
"""

from __future__ import annotations

import _signal
import os
from time import monotonic

from pyinit.errors import PyinitError, SpawnError
from pyinit.init import prctl, reaper, signals
from pyinit.init.signals import Forwarding
from pyinit.init.spawn import Launch, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.log import StepLog

# design 6: everything, our own exit included, happens within the platform's grace less this.
RESERVE_S = 0.5
# docker stop's, where nothing else is known.
DEFAULT_GRACE_S = 10.0
# --wait-all: of that reserve, what the killed have to be gone.
_LEAVE_AFTER_S = 0.25
_KILL_AGAIN_S = 0.05
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
        wait_all: after the child, wait for all other descendants; within stop_timeout_s from the stop signal or from
            the child's end, whichever is first.
        kill_must_work: a signal that may not be sent to the child ends us with 1, as tini; else it is a warning.
        explains_kills: a SIGKILL that was not ours is looked into.
        on_failure: for a child that cannot be started, as for spawn; None for tini's line and codes.
    """

    __slots__ = (
        "drain_delay_s",
        "expect_exits",
        "explains_kills",
        "forwarding",
        "kill_must_work",
        "launch",
        "on_failure",
        "parent_death_signal",
        "stop_signals",
        "stop_timeout_s",
        "subreaper",
        "to_group",
        "wait_all",
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
        wait_all: bool = False,
        kill_must_work: bool = False,
        explains_kills: bool = False,
        on_failure: Callable[[SpawnError], int] | None = None,
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
        self.wait_all = wait_all
        self.kill_must_work = kill_must_work
        self.explains_kills = explains_kills
        self.on_failure = on_failure


class KillRefused(PyinitError):
    """A signal could not be sent to the child, and that is to end us."""


def run_init(plan: InitPlan, log: StepLog) -> int:
    """Start the child, be its init, and return the code to exit with."""
    try:
        _prepare(plan, log)
        pid = spawn(plan.launch, plan.on_failure or (lambda problem: _fail(problem, log)))
    except SpawnError as problem:
        log.fatal(str(problem))
        return 1
    name = plan.launch.command[0].decode("utf-8", "surrogateescape")
    log.info(f"Spawned child process '{name}' with pid '{pid}'")
    init = _Init(plan, pid, log)
    try:
        code = init.loop()
    except KillRefused as problem:
        log.fatal(str(problem))
        return 1
    except Exception as problem:  # noqa: BLE001  PID 1 must not die with a traceback alone
        log.fatal(f"internal error: {problem!r}; stopping the child")
        give_up(pid, (plan.stop_timeout_s or DEFAULT_GRACE_S) - RESERVE_S)
        return OWN_FAILURE
    return 0 if code in plan.expect_exits else code


def _prepare(plan: InitPlan, log: StepLog) -> None:
    """What has to be in place before the fork. Raises SpawnError."""
    if plan.parent_death_signal:
        try:
            prctl.set_parent_death_signal(plan.parent_death_signal)
        except OSError as problem:
            raise SpawnError(
                "setting up the parent death signal", os.strerror(problem.errno or 0)
            ) from problem
    if plan.subreaper:
        try:
            prctl.become_subreaper()
        except OSError as problem:
            raise SpawnError("registering as child subreaper", os.strerror(problem.errno or 0)) from problem
        log.trace("Registered as child subreaper")
    elif os.getpid() != 1 and not prctl.is_subreaper():
        # One message, as with tini: whoever counts brackets finds one.
        log.warning(
            f"{log.name} is not running as PID 1 and isn't registered as a child subreaper.\n"
            "Processes that the child leaves behind go to another init, so zombie reaping won't work.\n"
            "Run it as PID 1, or register it as a subreaper with -s or TINI_SUBREAPER."
        )


def _fail(problem: SpawnError, log: StepLog) -> int:
    log.fatal(str(problem))
    return problem.exit_code


class _Init:
    """The loop's state: the child, and the stop that may be under way."""

    __slots__ = (
        "_code",
        "_has_children",
        "_held",
        "_kill_at_s",
        "_leave_at_s",
        "_log",
        "_pid",
        "_plan",
        "_release_at_s",
        "_stop_signum",
    )

    def __init__(self, plan: InitPlan, pid: int, log: StepLog) -> None:
        self._plan = plan
        self._pid = pid
        self._log = log
        self._code: int | None = None
        self._has_children = True
        self._held = 0
        self._stop_signum = 0
        self._release_at_s: float | None = None
        self._kill_at_s: float | None = None
        self._leave_at_s: float | None = None

    def loop(self) -> int:
        while True:
            signum = self._wait()
            if signum == signals.SIGCHLD:
                self._log.debug("Received SIGCHLD")
            elif signum:
                self._take(signum)
            self._reap()
            if self._code is not None and not self._waits_for_others():
                self._log.trace("Exiting: child has exited")
                return self._code
            if self._due():
                self._act_on_deadlines()

    def _waits_for_others(self) -> bool:
        """--wait-all, and there are others; what SIGKILL does not end at once (state D) ends with us."""
        if not self._plan.wait_all or not self._has_children:
            return False
        return self._leave_at_s is None or monotonic() < self._leave_at_s

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
            self._kill(now_s)

    def _kill(self, now_s: float) -> None:
        if self._leave_at_s is None:
            who = "the processes left" if self._code is not None else "the child"
            self._log.warning(f"Out of time for {who}: sending SIGKILL")
            self._leave_at_s = now_s + _LEAVE_AFTER_S
        self._kill_at_s = None
        if self._plan.wait_all:
            _signal_all(signals.SIGKILL)
            # Again for what was forked while we looked, and for nobody who outlasts us.
            self._kill_at_s = now_s + _KILL_AGAIN_S if now_s < self._leave_at_s else None
        else:
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
        if is_stop:
            self._start_clock()
        if self._release_at_s is not None:
            # Held back: a repeated SIGTERM changes nothing; Ctrl-C again, or SIGQUIT, means now.
            if signum in (signals.SIGINT, signals.SIGQUIT):
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
        if is_stop:
            self._stop_signum = signum

    def _start_clock(self) -> None:
        timeout_s = self._plan.stop_timeout_s
        if timeout_s is not None and self._kill_at_s is None and self._leave_at_s is None:
            self._kill_at_s = monotonic() + max(0.0, timeout_s - RESERVE_S)

    def _release(self) -> None:
        self._release_at_s = None
        self._pass_on(self._held)
        self._stop_signum = self._held

    def _pass_on(self, signum: int) -> None:
        translated = self._plan.forwarding.translate(signum)
        if not translated:
            self._log.debug(f"Dropping signal: '{signals.describe(signum)}'")
            return
        self._log.debug(f"Passing signal: '{signals.describe(translated)}'")
        if self._code is not None:
            _signal_all(translated)  # --wait-all: who is left has nobody else to tell them
        else:
            self._send(translated, to_group=self._plan.to_group)

    def _send(self, signum: int, *, to_group: bool) -> None:
        try:
            os.kill(-self._pid if to_group else self._pid, signum)
        except ProcessLookupError:
            self._log.warning("Child was dead when forwarding signal")
        except OSError as problem:
            reason = os.strerror(problem.errno or 0)
            if self._plan.kill_must_work:
                raise KillRefused(f"Unexpected error when forwarding signal: '{reason}'") from problem
            # The child runs as another user. tini exits here and takes the container with it.
            self._log.warning(f"Signal '{signals.describe(signum)}' was not forwarded: {reason}")

    def _reap(self) -> None:
        """Reap everything; the child's end is the code."""
        ended, self._has_children = reaper.reap()
        for pid, status in ended:
            self._log.debug(f"Reaped child with pid: '{pid}'")
            if pid != self._pid:
                if self._plan.warn_on_reap:
                    self._log.warning(f"Reaped zombie process with pid={pid}")
                continue
            self._code = reaper.exit_code(status)
            if os.WIFSIGNALED(status):
                words = signals.describe(os.WTERMSIG(status))
                self._log.info(f"Main child exited with signal (with signal '{words}')")
                if self._plan.explains_kills and os.WTERMSIG(status) == signals.SIGKILL:
                    self._name_killer()
            else:
                self._log.info(f"Main child exited normally (with status '{self._code}')")
            if self._plan.wait_all:
                self._start_clock()
                self._tell_the_rest()
        self._log.trace("No child to reap" if self._has_children else "No child to wait")

    def _name_killer(self) -> None:
        if self._leave_at_s is not None:
            return  # it was us
        from pyinit.init.memory import kills  # noqa: PLC0415  for such an end alone

        count = kills()
        if count:
            self._log.warning(
                f"The kernel has killed {count} time(s) in this container for lack of memory: raise the limit, or have"
                " the command stay below it"
            )

    def _tell_the_rest(self) -> None:
        """--wait-all: the stop that the child has heard of, for those who have not and would be waited for in vain."""
        translated = self._plan.forwarding.translate(self._stop_signum) if self._stop_signum else 0
        if translated:
            _signal_all(translated, spared_group=self._pid if self._plan.to_group else 0)


def _signal_all(signum: int, *, spared_group: int = 0) -> None:
    from pyinit.init.processes import signal_descendants  # noqa: PLC0415  --wait-all alone

    signal_descendants(signum, spared_group=spared_group)


def give_up(pid: int, left_s: float) -> None:
    """After a fault in our own core: SIGTERM for the child, what is left of its time, then SIGKILL to its group."""
    end_s = monotonic() + left_s
    for signum, target in ((signals.SIGTERM, pid), (signals.SIGKILL, -pid)):
        try:
            os.kill(target, signum)
        except OSError:
            return  # it is gone, or not ours to stop
        while (wait_s := end_s - monotonic()) > 0:
            if any(ended == pid for ended, _ in reaper.reap()[0]):
                return
            _signal.sigtimedwait({signals.SIGCHLD}, wait_s)

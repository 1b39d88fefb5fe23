"""Front and sidecar mode: what is built, and who carries out what the drain decides.

Readiness, signals, the child's exit and the proxy's quiet become events of the machine; its actions are done
here. One timer stands for its next deadline.
"""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, assert_never

import uvloop

from pyinit import collector, diagnosis, logsetup
from pyinit.admin.surface import Surface
from pyinit.assembly import build_front, upstream_address
from pyinit.drain import phases
from pyinit.drain.phases import Action, DrainMachine, Phase
from pyinit.drain.report import report_fields
from pyinit.errors import DrainAborted
from pyinit.form import form
from pyinit.init import signals
from pyinit.init.child import Child
from pyinit.init.run import OWN_FAILURE
from pyinit.init.signals import Forwarding
from pyinit.logbatch import BatchSink
from pyinit.oversight import Oversight
from pyinit.proxy.listener import address_text
from pyinit.proxy.probe import Probe

if TYPE_CHECKING:
    from pyinit.front import Start
    from pyinit.logsetup import LeveledLog

# timeout(1)'s exit code, for --start-required.
START_TIMED_OUT = 124
_WARN_EVERY_S = 10.0
# An app that listens on the wrong port has done so by then, and its operator is still looking.
_FIRST_DIAGNOSIS_S = 3.0
# design 4: the child is gone: what waits is answered, and within a second we are too.
_LAST_WORDS_S = 0.9
_NOT_READY_AFTER = 3
# --ready-interval is the app's time to answer too, but not less than this.
_ANSWER_LEAST_S = 1.0
# What whoever asks is told, from the moment a stop or drain has begun.
_NOT_READY_PHASES = {
    Phase.LAME_DUCK: "lame duck: still accepting, about to drain",
    Phase.DRAINING: "draining",
    Phase.DRAINED: "drained, waiting for the stop signal",
    Phase.STOPPING: "stopping: the app has its time to end",
    Phase.KILLING: "stopping: the app is being killed",
    Phase.DONE: "stopped",
}
# From the last connection's end to our exit: the report, the loop's end.
_EXIT_S = 0.05


def run(start: Start) -> int:
    """Run until the end; returns the exit code."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_run(start))
    finally:
        # What is still under way (a connect, a probe) has nobody to report to.
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


async def _run(start: Start) -> int:
    settings = start.settings
    sink = BatchSink(2, asyncio.get_running_loop().call_soon)
    log = logsetup.configure(settings.log_format, settings.log_level, sink)
    try:
        return await App(start, log, sink).run()
    finally:
        # Before anything that is said of a fault of ours.
        sink.flush()
        sink.tell_dropped()


class App:
    """One run, from the child's start to our exit.

    Args:
        start: what was decided and done before the loop.
        log: for events.
        sink: where its lines go.

    Attributes:
        signals: those received, by name.
    """

    def __init__(self, start: Start, log: LeveledLog, sink: BatchSink) -> None:
        settings = start.settings
        self._start = start
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._callback_failed)
        self._machine = DrainMachine(start.budget, has_child=start.child_pid is not None)
        sockets = [(socket.socket(fileno=sock.detach()), is_raw) for sock, is_raw in start.bound]
        self._listening = [(address_text(sock), is_raw) for sock, is_raw in sockets]
        self._unreachable = asyncio.Event()  # a request found nobody at the app's address
        self._front = build_front(
            start,
            sockets,
            on_quiet=lambda: self.handle(phases.Quiet()),
            on_new_connection=lambda: self.handle(phases.ConnectionOpened()),
            on_unreachable=self._unreachable.set,
            log=log,
        )
        self._child = Child(
            start.child_pid,
            forwarding=Forwarding(dict(settings.rewrites)),
            to_group=settings.kill_process_group,
            warn_on_reap=settings.warn_on_reap,
            on_signal=self._signalled,
            on_exit=self._child_exited,
            on_other_exit=self._front.exited,
            log=log,
        )
        self._probe = Probe(upstream_address(start), settings.ready_path)
        self._stop_signals = frozenset((signals.SIGTERM, signals.SIGINT, *settings.stop_signals))
        self._timer: asyncio.TimerHandle | None = None
        self._done: asyncio.Future[int] = self._loop.create_future()
        self._readiness: asyncio.Task[None] | None = None
        self._signalling: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._code_override: int | None = None
        self._app_not_ready: str | None = None
        self.signals: Counter[str] = Counter()
        self._surface = Surface(
            Oversight(
                start,
                machine=self._machine,
                front=self._front,
                child=self._child,
                listening=[address for address, _ in self._listening],
                app=self,
                log=log,
                sink=sink,
            ),
            control=settings.control,
            is_control_named="control" in settings.given,
            admin=settings.admin,
            log=log,
        )

    async def run(self) -> int:
        """Run until the end; returns the exit code."""
        self._announce()
        self._child.attach(self._loop)
        self._front.start()
        self._surface.open()
        self._readiness = self._loop.create_task(self._watch_readiness())
        # What start-up made stays to the end; the collector need not walk it again and again. Nor once now: that takes
        # 6 ms, in which the app may have come to listen, and finds next to nothing.
        collector.settle()
        try:
            return await self._done
        finally:
            try:
                await self._surface.close()
            except Exception:  # noqa: BLE001  whatever fails here, we exit with the child's code
                self._log.error("control.failed", traceback=traceback.format_exc())

    def _announce(self) -> None:
        start, settings = self._start, self._start.settings
        budget = start.budget
        for address, is_raw in self._listening:
            self._log.info("listener.bound", address=address, raw=is_raw)
        fields: dict[str, object] = {
            "form": form(),
            "platform": start.platform.name,
            "found_by": start.found_by,
            "stop_timeout_s": settings.stop_timeout_s or start.platform.stop_timeout_s,
            "drain_delay_s": budget.lame_duck_s,
            "drain_s": round(budget.drain_s, 3),
            "close_spread_s": round(budget.close_spread_s, 3),
            "child_s": round(budget.child_s, 3),
        }
        if settings.stop_timeout_s is None:
            fields["note"] = (
                "the grace period is assumed, not known: set PYINIT_STOP_TIMEOUT where it is another"
            )
        self._log.info("platform.found", **fields)
        if start.platform.note:
            self._log.info("platform.note", text=start.platform.note)
        if start.child_pid is not None:
            # The program alone: arguments can hold tokens, and this line goes to wherever logs go.
            program = start.program.decode("utf-8", "backslashreplace")
            self._log.info(
                "child.spawned", pid=start.child_pid, program=program, upstream=str(start.upstream)
            )

            self._announce_npm()

    def _announce_npm(self) -> None:
        found = self._start.npm
        if found is None:
            return
        fields = {"command": found.call, "runs": found.runs, "package": found.source}
        if found.is_replaced:
            self._log.info("child.npm_replaced", **fields)
            return
        reason = f"{found.tool} does not pass signals on dependably: {found.hint}"
        self._log.warning("child.runs_npm", **fields, around=found.around, reason=reason)

    # -- readiness -------------------------------------------------------------------------------------------

    @property
    def not_ready(self) -> str | None:
        """Why not; None while ready."""
        phase = self._machine.phase
        if phase is Phase.STARTING:
            return f"starting: {self._probe.reason or 'the app does not answer yet'}"
        return _NOT_READY_PHASES.get(phase, self._app_not_ready)

    def _set_app_readiness(self, reason: str | None) -> None:
        self._app_not_ready = reason
        self._front.set_readiness(self.not_ready)

    async def _watch_readiness(self) -> None:
        """Until ready, and on from there; a fault of ours in it is retried, not final."""
        while True:
            try:
                if self._machine.phase is Phase.STARTING:
                    await self._become_ready()
                await self._keep_asking(self._start.settings.ready_interval_s)
            except Exception:  # noqa: BLE001  a probe that fails must not leave the app unreachable for ever
                self._log.error("callback.failed", where="readiness", traceback=traceback.format_exc())
                await asyncio.sleep(1)
            else:
                return

    async def _become_ready(self) -> None:
        settings = self._start.settings
        waiting = self._loop.create_task(self._await_app())
        try:
            limit_s = settings.start_timeout_s
            elapsed_s = 0.0
            for until_s in self._warn_times(limit_s):
                await asyncio.wait([waiting], timeout=until_s - elapsed_s)
                elapsed_s = until_s
                if waiting.done():
                    break
                self._say_not_ready(elapsed_s, is_late=elapsed_s >= limit_s)
                if elapsed_s >= limit_s and settings.start_required:
                    self._log.error("start.timed_out", seconds=limit_s, exit_code=START_TIMED_OUT)
                    self._code_override = START_TIMED_OUT
                    self.handle(phases.StopRequested(signals.SIGTERM))
                    return
            await waiting
        finally:
            waiting.cancel()
        self.handle(phases.ChildReady())
        duration_s = round(monotonic() - self._start.began_s, 3)
        self._log.info("app.ready", upstream=str(self._start.upstream), duration_s=duration_s)
        exposed = diagnosis.exposed_address(self._start)
        if exposed is not None:
            self._log.warning(
                "upstream.exposed",
                address=exposed,
                reason="the app can be reached past the proxy: have it listen on 127.0.0.1",
            )

    @staticmethod
    def _warn_times(limit_s: float) -> list[float]:
        """Seconds after the start: one early look, then the limit and each 10 s, for a day."""
        times = [_FIRST_DIAGNOSIS_S] if limit_s > _FIRST_DIAGNOSIS_S else []
        return times + [limit_s + _WARN_EVERY_S * i for i in range(8640)]

    async def _await_app(self) -> None:
        """Ready, and it is our app that answers."""
        await self._front.ready()
        said = False
        while True:
            await self._probe.wait_until_ready()
            if not diagnosis.is_stranger(self._start):
                return
            if not said:
                said = True
                self._log.error(
                    "upstream.stranger",
                    upstream=str(self._start.upstream),
                    reason="another process listens on the app's port: nothing is sent there",
                )
            await asyncio.sleep(1)

    def _say_not_ready(self, elapsed_s: float, *, is_late: bool) -> None:
        """One line on an app that does not answer: where it listens instead, if that can be seen, or what it said."""
        start = self._start
        hint = diagnosis.other_port(start)
        # An app of ours may well take more than the early look's time; one that runs beside us ought to be there.
        if is_late or hint is not None or start.child_pid is None:
            self._log.warning(
                "app.not_ready",
                upstream=str(start.upstream),
                seconds=elapsed_s,
                reason=hint or self._probe.reason or "it does not answer yet",
            )

    async def _keep_asking(self, interval_s: float) -> None:
        """The repeated probe: a hung app turns not ready, and comes back. The child is left alone.

        Without --ready-path it is a connect, which a hung app's kernel answers too, and which an idle app wakes up
        for, or logs as a broken handshake. So there it waits for a request that finds nobody, and ends with a success.
        """
        failures = 0
        while self._machine.phase is Phase.SERVING:
            if self._start.settings.ready_path is None and not failures and self._app_not_ready is None:
                self._unreachable.clear()
                await self._unreachable.wait()
            else:
                await asyncio.sleep(interval_s)
            reason = await self._probe.ask(max(interval_s, _ANSWER_LEAST_S))
            if self._machine.phase is not Phase.SERVING:
                return
            if reason is None:
                failures = 0
                if self._app_not_ready is not None:
                    self._log.info("app.ready_again")
                    self._set_app_readiness(None)
                continue
            failures += 1
            if failures == _NOT_READY_AFTER:
                self._set_app_readiness(reason)
                self._log.warning("app.not_ready", reason=reason, failures=failures)

    # -- events ----------------------------------------------------------------------------------------------

    def _signalled(self, signum: int) -> None:
        machine = self._machine
        is_stopping = machine.began_s is not None
        if machine.phase is Phase.DONE:
            # --wait-all, and those who are waited for; else nobody is left to hear it.
            self._child.pass_on(signum)
            return
        is_again = signum == signals.SIGINT and machine.stop_signum is not None
        self.signals[signals.name(signum)] += 1
        self._log.info("signal.received", signal=signals.name(signum))
        if is_again or (signum == signals.SIGQUIT and is_stopping):
            self.handle(phases.HurryRequested())
        elif signum in self._stop_signals:
            self.handle(phases.StopRequested(signum))
        else:
            self._child.pass_on(signum)

    def _child_exited(self, code: int) -> None:
        if self._machine.phase is Phase.STARTING:
            start = self._start
            self._log.error(
                "child.exited_early",
                code=code,
                reason=f"the app exited before it listened on {start.upstream}"
                + (
                    ""
                    if code in (0, 126, 127)
                    else "; if it wanted the public port, that is ours: it then needs --upstream PORT"
                ),
            )
        self.handle(phases.ChildExited())

    def handle(self, event: phases.Event) -> None:
        """Hand an event to the machine and do what it says. A fault in one action does not stop the others."""
        machine = self._machine
        before = machine.phase
        try:
            actions = machine.handle(event, monotonic())
        except Exception as problem:  # noqa: BLE001  the core itself: front.start ends us, the child in its time
            if not self._done.done():
                self._done.set_exception(problem)
            return
        if machine.phase is not before:
            self._front.set_readiness(self.not_ready)
            self._log_phase(machine.phase, before)
        for action in actions:
            try:
                self._do(action)
            except Exception:  # noqa: BLE001  the rest of the shutdown goes on
                self._log.error("drain.action_failed", action=action.name, traceback=traceback.format_exc())
        self._arm()

    def _log_phase(self, phase: Phase, before: Phase) -> None:
        """With the census of this moment, which workers have to be asked for."""
        self._front.ask(
            lambda now: self._log.info(
                "drain.phase_changed", phase=phase.value, was=before.value, **now.census
            )
        )

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_s = self._machine.next_deadline_s()
        if deadline_s is not None:
            delay_s = max(0.0, deadline_s - monotonic())
            self._timer = self._loop.call_later(delay_s, self.handle, phases.DeadlineReached())

    def _do(self, action: Action) -> None:
        match action:
            case Action.START_ACCEPTING:
                self._start_accepting()
            case Action.ANNOUNCE_STOP:
                self._front.announce_stop()
                if self._readiness is not None and self._readiness is not asyncio.current_task():
                    self._readiness.cancel()
                if self._start.settings.drain_notify:
                    self._child.pass_on(self._start.settings.drain_notify)
            case Action.STOP_ACCEPTING:
                self._stop_accepting()
            case Action.CLOSE_IDLE:
                self._front.close_idle()
            case Action.CLOSE_STREAMS:
                self._front.close_streams()
            case Action.CUT:
                if self._child.code is None:
                    error = DrainAborted("this server is stopping", 503)
                else:
                    error = DrainAborted("the app has exited", 502)
                self._front.cut(error)
            case Action.CLOSE_POOL:
                self._front.close_pool()
            case Action.SIGNAL_CHILD:
                self._signalling = self._loop.create_task(self._signal_child())
            case Action.KILL_CHILD:
                self._log.warning("child.killed", reason="it did not stop in its time")
                self._child.kill()
            case Action.FINISH:
                self._finishing = self._loop.create_task(self._finish())
            case _:
                assert_never(action)

    def _start_accepting(self) -> None:
        try:
            self._front.listen()
        except OSError as problem:
            # Bound since before the app's start, so only somebody who shares the port on purpose gets here.
            reason = problem.strerror or str(problem)
            self._log.error("listener.failed", reason=reason, exit_code=OWN_FAILURE)
            self._code_override = OWN_FAILURE
            self.handle(phases.StopRequested(signals.SIGTERM))

    async def _signal_child(self) -> None:
        """The stop signal, once our connections to the app are closed: its own server.close() waits for them."""
        try:
            await self._front.upstreams_gone()
        except Exception:  # noqa: BLE001  the app gets its signal all the same
            self._log.error("drain.action_failed", action="SIGNAL_CHILD", traceback=traceback.format_exc())
        self._child.pass_on(self._machine.stop_signum or signals.SIGTERM)

    def _stop_accepting(self) -> None:
        machine, budget = self._machine, self._start.budget
        began_s = machine.began_s if machine.began_s is not None else monotonic()
        left_s = began_s + budget.drain_s - monotonic()
        limit_s = left_s / 2 if self._child.code is None else 0.0
        self._front.stop_accepting(max(0.0, limit_s))

    async def _finish(self) -> None:
        """The last words: what is still on its way, the report, the exit code."""
        try:
            await self._last_words()
        except Exception:  # noqa: BLE001  whatever fails here, we exit
            self._log.error("drain.action_failed", action="FINISH", traceback=traceback.format_exc())
        finally:
            if not self._done.done():
                self._done.set_result(self._exit_code())

    async def _last_words(self) -> None:
        limit_s = _LAST_WORDS_S
        if self._machine.began_s is not None:
            left_s = self._machine.began_s + self._start.budget.total_s - monotonic()
            limit_s = max(0.0, min(limit_s, left_s - _EXIT_S))
        await self._front.settle(limit_s)
        if self._start.settings.wait_all:
            await self._child.left_alone(
                self._left_for_others_s(), self._loop, stop_signum=self._machine.stop_signum
            )
        fields = report_fields(self._machine, self._front.outcomes, monotonic())
        self._log.info("drain.finished", exit_code=self._exit_code(), **fields)

    def _left_for_others_s(self) -> float:
        """--wait-all: from the stop, or from the child's exit where it ended by itself."""
        total_s, began_s = self._start.budget.total_s, self._machine.began_s
        left_s = total_s if began_s is None else began_s + total_s - monotonic()
        return max(0.0, left_s - _EXIT_S)

    def _exit_code(self) -> int:
        settings = self._start.settings
        if self._code_override is not None:
            return self._code_override
        is_drain = self._machine.began_s is not None  # an app that exits by itself has a code that says more
        if settings.drain_exit_code is not None and is_drain and self._front.outcomes.cut_count:
            return settings.drain_exit_code
        if self._start.child_pid is None:
            return 0
        # KILLING ended by its deadline: the child outlives SIGKILL, and 137 is what it will have been.
        code = 128 + signals.SIGKILL if self._child.code is None else self._child.code
        return 0 if code in settings.expect_exits else code

    def _callback_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Whatever a callback of the loop let through: logged, and the loop goes on."""
        problem = context.get("exception")
        trace = "".join(traceback.format_exception(problem)) if isinstance(problem, BaseException) else None
        self._front.count_fault()
        self._log.error("callback.failed", where=str(context.get("message")), traceback=trace)

    def __repr__(self) -> str:
        return f"App({self._machine!r}, {self._front!r}, {self._child!r})"

"""The life of a stop: phases, what moves them, what is to be done.

TRANSITIONS is the whole machine as data, and total: a pair that is to be ignored is not in a list of
exceptions, it is IGNORED in the table (PID 1 may not fall over a late event). The diagram in the README is
generated from it and from WITHOUT_STOP (tests/unit/drain/test_phases.py).

    STARTING   the app is not ready yet
    SERVING    it is
    LAME_DUCK  not ready to whoever asks, still accepting: a load balancer's time to notice
    DRAINING   no new connections; what is in flight finishes
    DRAINED    all of it has; waiting for the stop signal (a drain was asked for from outside)
    STOPPING   the app was signalled and has its time
    KILLING    it has had it
    DONE       the app is gone
"""

from enum import Enum
from typing import NamedTuple

from pyinit.drain.budget import NO_NEW_CONNECTION_S, Budget


class Phase(Enum):
    """Where in its life pyinit is."""

    STARTING = "starting"
    SERVING = "serving"
    LAME_DUCK = "lame_duck"
    DRAINING = "draining"
    DRAINED = "drained"
    STOPPING = "stopping"
    KILLING = "killing"
    DONE = "done"


class _Event:
    """No dataclass: eight of them, compiled at each start, took 4 ms of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ChildReady(_Event):
    """The app answers."""

    __slots__ = ()


class StopRequested(NamedTuple):
    """A stop signal came (or somebody asked for the same)."""

    signum: int


class DrainRequested(_Event):
    """A drain without a stop: a preStop hook, whose time is the same grace."""

    __slots__ = ()


class HurryRequested(_Event):
    """SIGINT again, or SIGQUIT: to the next phase at once."""

    __slots__ = ()


class ConnectionOpened(_Event):
    """A new client connection that is no health probe."""

    __slots__ = ()


class Quiet(_Event):
    """No listener and no client connection is left."""

    __slots__ = ()


class DeadlineReached(_Event):
    """The instant that next_deadline_s named has come."""

    __slots__ = ()


class ChildExited(_Event):
    """The app's main process is gone; in sidecar mode there never was one."""

    __slots__ = ()


Event = (
    ChildReady
    | StopRequested
    | DrainRequested
    | HurryRequested
    | ConnectionOpened
    | Quiet
    | DeadlineReached
    | ChildExited
)


class Action(Enum):
    """What the edge is to do, in the order given."""

    START_ACCEPTING = "listen"
    ANNOUNCE_STOP = "say not ready, close connections after their response, notify the app where asked to"
    STOP_ACCEPTING = "stop accepting"
    CLOSE_IDLE = "close idle connections, after their grace"
    CLOSE_STREAMS = "ask streams and tunnels to leave"
    CUT = "end what is left"
    CLOSE_POOL = "close our connections to the app"
    SIGNAL_CHILD = "signal the app"
    KILL_CHILD = "SIGKILL to the app's group"
    FINISH = "report and exit"


class Transition(NamedTuple):
    """Where a (phase, event) pair leads; ``to`` None stays."""

    to: Phase | None
    actions: tuple[Action, ...] = ()


IGNORED = Transition(None)
_A = Action
_P = Phase

_TO_LAME_DUCK = Transition(_P.LAME_DUCK, (_A.ANNOUNCE_STOP,))
_TO_DRAINING = Transition(_P.DRAINING, (_A.STOP_ACCEPTING, _A.CLOSE_IDLE, _A.CLOSE_STREAMS))
_TO_STOPPING = Transition(_P.STOPPING, (_A.CUT, _A.CLOSE_POOL, _A.SIGNAL_CHILD))
_STOP_BEFORE_READY = Transition(
    _P.STOPPING, (_A.ANNOUNCE_STOP, _A.STOP_ACCEPTING, _A.CLOSE_POOL, _A.SIGNAL_CHILD)
)
_TO_KILLING = Transition(_P.KILLING, (_A.KILL_CHILD,))
_DONE = Transition(_P.DONE, (_A.ANNOUNCE_STOP, _A.STOP_ACCEPTING, _A.CUT, _A.CLOSE_POOL, _A.FINISH))

TRANSITIONS: dict[tuple[Phase, type], Transition] = {
    (_P.STARTING, ChildReady): Transition(_P.SERVING, (_A.START_ACCEPTING,)),
    (_P.STARTING, StopRequested): _STOP_BEFORE_READY,
    (_P.STARTING, DrainRequested): Transition(_P.DRAINED, (_A.ANNOUNCE_STOP, _A.STOP_ACCEPTING)),
    (_P.STARTING, HurryRequested): IGNORED,
    (_P.STARTING, ConnectionOpened): IGNORED,
    (_P.STARTING, Quiet): IGNORED,
    (_P.STARTING, DeadlineReached): IGNORED,
    (_P.STARTING, ChildExited): _DONE,
    (_P.SERVING, ChildReady): IGNORED,
    (_P.SERVING, StopRequested): _TO_LAME_DUCK,
    (_P.SERVING, DrainRequested): _TO_LAME_DUCK,
    (_P.SERVING, HurryRequested): IGNORED,
    (_P.SERVING, ConnectionOpened): IGNORED,
    (_P.SERVING, Quiet): IGNORED,
    (_P.SERVING, DeadlineReached): IGNORED,
    (_P.SERVING, ChildExited): _DONE,
    (_P.LAME_DUCK, ChildReady): IGNORED,
    (_P.LAME_DUCK, StopRequested): IGNORED,
    (_P.LAME_DUCK, DrainRequested): IGNORED,
    (_P.LAME_DUCK, HurryRequested): _TO_DRAINING,
    (_P.LAME_DUCK, ConnectionOpened): IGNORED,
    (_P.LAME_DUCK, Quiet): IGNORED,
    (_P.LAME_DUCK, DeadlineReached): _TO_DRAINING,
    (_P.LAME_DUCK, ChildExited): _DONE,
    (_P.DRAINING, ChildReady): IGNORED,
    (_P.DRAINING, StopRequested): IGNORED,
    (_P.DRAINING, DrainRequested): IGNORED,
    (_P.DRAINING, HurryRequested): _TO_STOPPING,
    (_P.DRAINING, ConnectionOpened): IGNORED,
    (_P.DRAINING, Quiet): _TO_STOPPING,
    (_P.DRAINING, DeadlineReached): _TO_STOPPING,
    (_P.DRAINING, ChildExited): _DONE,
    (_P.DRAINED, ChildReady): IGNORED,
    (_P.DRAINED, StopRequested): Transition(_P.STOPPING, (_A.CLOSE_POOL, _A.SIGNAL_CHILD)),
    (_P.DRAINED, DrainRequested): IGNORED,
    (_P.DRAINED, HurryRequested): IGNORED,
    (_P.DRAINED, ConnectionOpened): IGNORED,
    (_P.DRAINED, Quiet): IGNORED,
    (_P.DRAINED, DeadlineReached): IGNORED,
    (_P.DRAINED, ChildExited): _DONE,
    (_P.STOPPING, ChildReady): IGNORED,
    (_P.STOPPING, StopRequested): IGNORED,
    (_P.STOPPING, DrainRequested): IGNORED,
    (_P.STOPPING, HurryRequested): _TO_KILLING,
    (_P.STOPPING, ConnectionOpened): IGNORED,
    (_P.STOPPING, Quiet): IGNORED,
    (_P.STOPPING, DeadlineReached): _TO_KILLING,
    (_P.STOPPING, ChildExited): Transition(_P.DONE, (_A.FINISH,)),
    (_P.KILLING, ChildReady): IGNORED,
    (_P.KILLING, StopRequested): IGNORED,
    (_P.KILLING, DrainRequested): IGNORED,
    (_P.KILLING, HurryRequested): IGNORED,
    (_P.KILLING, ConnectionOpened): IGNORED,
    (_P.KILLING, Quiet): IGNORED,
    # A process in an uninterruptible wait outlives SIGKILL for as long as it likes; our exit does not wait.
    (_P.KILLING, DeadlineReached): Transition(_P.DONE, (_A.FINISH,)),
    (_P.KILLING, ChildExited): Transition(_P.DONE, (_A.FINISH,)),
    (_P.DONE, ChildReady): IGNORED,
    (_P.DONE, StopRequested): IGNORED,
    (_P.DONE, DrainRequested): IGNORED,
    (_P.DONE, HurryRequested): IGNORED,
    (_P.DONE, ConnectionOpened): IGNORED,
    (_P.DONE, Quiet): IGNORED,
    (_P.DONE, DeadlineReached): IGNORED,
    (_P.DONE, ChildExited): IGNORED,
}

# What holds instead while only a drain was asked for, from outside: it ends, and waits for the signal.
WITHOUT_STOP: dict[tuple[Phase, type], Transition] = {
    pair: Transition(_P.DRAINED, (_A.CUT,))
    for pair, transition in TRANSITIONS.items()
    if transition is _TO_STOPPING
}


class DrainMachine:
    """Phases of a shutdown. Knows no clock, no socket, no process.

    Args:
        budget: deadlines from the stop's beginning.
        has_child: False in sidecar mode, where a drain ends in DONE.

    Attributes:
        phase: where it is.
        stop_signum: the first stop signal; None before one came (a drain alone is no stop).
        began_s: when the budget's clock started: with the stop or drain; anew with a stop signal that finds a drain's
            budget spent. None before.
        entered_s: phase -> when it was entered, for the report.
    """

    def __init__(self, budget: Budget, *, has_child: bool) -> None:
        self.phase = Phase.STARTING
        self.stop_signum: int | None = None
        self.began_s: float | None = None
        self.entered_s: dict[Phase, float] = {}
        self._budget = budget
        self._has_child = has_child
        self._last_opened_s: float | None = None
        self._ordered: set[Action] = set()

    def handle(self, event: Event, now_s: float) -> list[Action]:
        """What an event means now.

        Args:
            event: late and repeated ones are fine in any phase.
            now_s: monotonic; never before an earlier call's.

        Returns:
            Actions for the edge, in order; each is given once in a life.
        """
        return [action for action in self._decide(event, now_s) if self._is_new(action)]

    def _is_new(self, action: Action) -> bool:
        is_new = action not in self._ordered
        self._ordered.add(action)
        return is_new

    def _decide(self, event: Event, now_s: float) -> list[Action]:
        if isinstance(event, StopRequested | DrainRequested) and self.phase is not Phase.DONE:
            if self.began_s is None or (isinstance(event, StopRequested) and self._is_drain_long_ago(now_s)):
                self.began_s = now_s
            if isinstance(event, StopRequested) and self.stop_signum is None:
                self.stop_signum = event.signum
        if isinstance(event, ConnectionOpened):
            self._last_opened_s = now_s
        if isinstance(event, DeadlineReached) and not self._is_due(now_s):
            return []
        pair = (self.phase, type(event))
        transition = TRANSITIONS[pair]
        if self.stop_signum is None:
            transition = WITHOUT_STOP.get(pair, transition)
        if transition.to is None:
            return []
        actions = list(transition.actions)
        self.phase = transition.to
        self.entered_s[self.phase] = now_s
        if self.phase is Phase.LAME_DUCK and self._is_due(now_s):
            actions += self._decide(DeadlineReached(), now_s)
        elif self.phase is Phase.STOPPING and not self._has_child:
            actions = [action for action in actions if action is not Action.SIGNAL_CHILD]
            actions += self._decide(ChildExited(), now_s)
        return actions

    def _is_drain_long_ago(self, now_s: float) -> bool:
        """Whether a stop signal is another grace's than the drain that was asked for from outside.

        A preStop hook's grace has its SIGKILL at the budget's end; who is still there after that was drained by a
        person, and the app is to have its time.
        """
        assert self.began_s is not None  # noqa: S101  asked of a drain that has begun
        return self.phase is Phase.DRAINED and now_s >= self.began_s + self._budget.kill_s

    def next_deadline_s(self) -> float | None:
        """When to hand in DeadlineReached; None while nothing is due. Ask again after every event."""
        if self.began_s is None:
            return None
        budget = self._budget
        match self.phase:
            case Phase.LAME_DUCK:
                # Without a lame duck there is nothing to wait for; with one, until nobody new comes.
                quiet_s = self.began_s + budget.lame_duck_s
                if budget.lame_duck_s and self._last_opened_s is not None:
                    quiet_s = max(quiet_s, self._last_opened_s + NO_NEW_CONNECTION_S)
                return min(quiet_s, self.began_s + budget.lame_duck_max_s)
            case Phase.DRAINING:
                return self.began_s + budget.drain_s
            case Phase.STOPPING:
                return self.began_s + budget.kill_s
            case Phase.KILLING:
                return self.began_s + budget.total_s
            case _:
                return None

    def _is_due(self, now_s: float) -> bool:
        deadline_s = self.next_deadline_s()
        return deadline_s is not None and now_s >= deadline_s

    def __repr__(self) -> str:
        return f"DrainMachine({self.phase.name}, stop_signum={self.stop_signum}, began_s={self.began_s})"

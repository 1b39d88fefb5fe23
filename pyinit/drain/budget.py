"""The time to stop, split: one grace period in, a deadline for each phase out.

All deadlines count from the stop's beginning, so what a phase leaves over the next one has.
"""

from pyinit.errors import SettingsError

# design 6: everything, our own exit included, happens within the platform's grace less this: the signal takes
# time to reach us and the exit to be seen.
RESERVE_S = 0.5
# From SIGKILL to our exit: the kernel ends the group, we reap it and write the report.
KILL_RESERVE_S = 0.1
# Kept for the app where --child-timeout does not say: most of the work is waiting for clients, not for it.
CHILD_SHARE = 0.3
# A lame duck ends here at the latest, whatever still connects.
LAME_DUCK_SHARE = 0.5
# ... and before, once nobody new has connected for so long: the load balancer has noticed.
NO_NEW_CONNECTION_S = 2.0
# Where --close-spread does not say: of this part of the shortest drain a platform's own spread takes no more, as the
# last one to be asked has still to answer.
SPREAD_SHARE_MAX = 0.5


class Budget:
    """Deadlines of a stop, in seconds from its beginning.

    Attributes:
        total_s: by then we have exited.
        lame_duck_s: the lame duck lasts so long at least; 0 for none.
        lame_duck_max_s: and so long at most.
        drain_s: by then the drain is over, whatever is left is cut.
        kill_s: by then the child has exited, or is killed.
        child_s: what is kept for the child.
        close_spread_s: streams and tunnels are asked to leave within so long from the end of the lame duck.
    """

    __slots__ = (
        "child_s",
        "close_spread_s",
        "drain_s",
        "kill_s",
        "lame_duck_max_s",
        "lame_duck_s",
        "total_s",
    )

    def __init__(
        self,
        *,
        stop_timeout_s: float,
        drain_delay_s: float,
        child_timeout_s: float | None,
        close_spread_s: float | None = None,
        close_spread_share: float = 0.0,
        stream_grace_s: float | None = 0.0,
        has_child: bool = True,
    ) -> None:
        """Split a grace period.

        Args:
            stop_timeout_s: the platform's own grace period.
            drain_delay_s: how long the lame duck lasts at least.
            child_timeout_s: None for 30 % of the budget.
            close_spread_s: None for the share.
            close_spread_share: of the drain without its lame duck; what does not fit is left out of it.
            stream_grace_s: before event streams are asked to leave; None where they are not.
            has_child: a sidecar keeps no time for one.

        Raises:
            SettingsError: a split that cannot fit, as no orchestrator can be argued with later.
        """
        self.total_s = stop_timeout_s - RESERVE_S
        if self.total_s < 0.5:
            raise SettingsError(
                f"--stop-timeout {stop_timeout_s:g} leaves no time to drain: {RESERVE_S:g} s of it are kept for"
                " our exit; give at least 1"
            )
        self.kill_s = self.total_s - KILL_RESERVE_S
        if not has_child:
            child_timeout_s = 0.0
        self.child_s = CHILD_SHARE * self.total_s if child_timeout_s is None else child_timeout_s
        self.lame_duck_s = drain_delay_s
        longest_s = LAME_DUCK_SHARE * self.total_s
        self.drain_s = self.kill_s - self.child_s
        # A long --child-timeout can leave less than half: a lame duck that goes on would take the app's time.
        self.lame_duck_max_s = min(longest_s, self.drain_s)
        if drain_delay_s > longest_s:
            raise SettingsError(
                f"--drain-delay {drain_delay_s:g} is more than half of --stop-timeout {stop_timeout_s:g} less"
                f" {RESERVE_S:g} s; at most {longest_s:g} fits"
            )
        if self.drain_s <= drain_delay_s:
            raise SettingsError(
                f"--drain-delay {drain_delay_s:g} and --child-timeout {self.child_s:g} leave nothing of"
                f" --stop-timeout {stop_timeout_s:g} to drain in"
            )
        # A lame duck that newcomers prolong leaves the least.
        shortest_s = self.drain_s - (self.lame_duck_max_s if drain_delay_s else 0.0)
        grace_s = stream_grace_s or 0.0
        if grace_s and grace_s >= shortest_s:
            raise SettingsError(
                f"--stream-grace {grace_s:g} does not fit: of --stop-timeout {stop_timeout_s:g} the drain has"
                f" {shortest_s:g} s after the longest lame duck; -1 leaves event streams alone to its end"
            )
        if close_spread_s is None:
            share_s = close_spread_share * (self.drain_s - drain_delay_s)
            close_spread_s = min(share_s, SPREAD_SHARE_MAX * (shortest_s - grace_s))
        elif close_spread_s and grace_s + close_spread_s >= shortest_s:
            after_grace = f" after --stream-grace {grace_s:g}" if grace_s else ""
            raise SettingsError(
                f"--close-spread {close_spread_s:g}{after_grace} does not fit: of --stop-timeout"
                f" {stop_timeout_s:g} the drain has {shortest_s:g} s after the longest lame duck"
            )
        self.close_spread_s = close_spread_s

    def __repr__(self) -> str:
        return (
            f"Budget(total={self.total_s:g}, lame_duck={self.lame_duck_s:g}..{self.lame_duck_max_s:g},"
            f" drain={self.drain_s:g}, kill={self.kill_s:g})"
        )

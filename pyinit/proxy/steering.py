"""What the drain can do with a proxy, wherever it runs; and the proxy that runs in this process.

App knows a Front alone: Single is one ProxyServer on App's own loop, ``fleet.Fleet`` is several in processes of
their own, each of which is again a Single, steered by messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pyinit.proxy import survey
from pyinit.proxy.stats import Levels

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.drain.outcomes import InFlight, Outcomes
    from pyinit.errors import DrainAborted
    from pyinit.proxy.server import ProxyServer
    from pyinit.proxy.stats import Stats

# A close takes a turn of the loop or two; one that does not come must not hold the signal back.
_POOL_CLOSES_S = 0.05
_SETTLE_POLL_S = 0.01
# A question crosses to a worker and back in well under a millisecond, unless the machine is busy, as it is in a stop;
# an answer that does not come must not hold the log back for longer.
ANSWER_S = 0.2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How things stand.

    Attributes:
        census: client connections by state; those that are none are left out.
        stats: since the start.
        outcomes: since the stop's beginning.
        levels: of this moment.
        in_flight: exchanges and tunnels by kind; those that are none are left out.
        oldest: of those, the oldest first; survey.OLDEST_MAX at most.
        workers: how many proxies it is of.
        workers_serving: of those, the ones that run, have loaded, and answer.
        worker_exits: proxies that have ended before their time.
        silent_workers: of those, how many did not answer in time: their connections are not in the census.
    """

    census: dict[str, int]
    stats: Stats
    outcomes: Outcomes
    levels: Levels = field(default_factory=Levels)
    in_flight: dict[str, int] = field(default_factory=dict)
    oldest: tuple[InFlight, ...] = ()
    workers: int = 1
    workers_serving: int = 1
    worker_exits: int = 0
    silent_workers: int = 0


class Front(Protocol):
    """A proxy in front of the app, as App steers it. The machine's order of actions is the order of calls."""

    @property
    def outcomes(self) -> Outcomes:
        """What became of what the stop found; final after ``settle``."""
        ...

    def start(self) -> None:
        """Get ready; nothing is accepted yet."""

    async def ready(self) -> None:
        """Returns once what is accepted would be served."""

    def listen(self) -> None:
        """Accept from here on. Raises OSError where somebody else has come to listen there."""

    def set_readiness(self, not_ready: str | None) -> None:
        """What --health-path answers from here on: why not ready; None for ready."""

    def announce_stop(self) -> None:
        """From here on every response closes its connection, and newcomers are told of."""

    def stop_accepting(self, limit_s: float) -> None:
        """Stop the listeners without a reset; quiet follows when they and all connections are gone."""

    def close_idle(self) -> None:
        """Idle connections go, after their grace."""

    def close_streams(self) -> None:
        """Streams and tunnels are asked to leave."""

    def cut(self, error: DrainAborted) -> None:
        """End whatever is left."""

    def close_pool(self) -> None:
        """Close our idle connections to the app, and those that become idle."""

    async def upstreams_gone(self) -> None:
        """After close_pool: returns once no connection to the app is left, or soon after anyway."""

    async def settle(self, limit_s: float) -> None:
        """Wait until all is quiet, so long at most; then close whatever there is. The end."""

    def ask(self, then: Callable[[Snapshot], None], within_s: float = ANSWER_S) -> None:
        """Have a Snapshot of this moment: at once, or as soon as it is known. Answers keep their order.

        Args:
            then: takes it.
            within_s: who has not answered by then is left out.
        """

    def exited(self, pid: int, code: int) -> bool:
        """A process has ended that is not the app; whether it was one of the proxy's."""
        ...

    def set_log_level(self, level: str) -> None:
        """Where it has a log of its own: the least that is logged."""

    def count_fault(self) -> None:
        """A callback outside any connection has failed."""


class Single:
    """The proxy in this process.

    Args:
        server: ours from here on.
        sockets: bound ones, each with whether it is a ``tcp:`` address; ours too.
        is_shared: other processes have the same sockets: one that has called listen() on them, and unlinks
            the unix ones.
    """

    def __init__(
        self, server: ProxyServer, sockets: list[tuple[socket.socket, bool]], *, is_shared: bool = False
    ) -> None:
        self.server = server
        self._sockets = sockets
        self._is_shared = is_shared
        self._has_listened = False

    @property
    def outcomes(self) -> Outcomes:
        """See Front."""
        return self.server.outcomes

    def start(self) -> None:
        """See Front: there is nothing to start."""

    async def ready(self) -> None:
        """See Front: it is, since it was made."""

    def listen(self) -> None:
        """See Front."""
        self._has_listened = True
        self.server.listen(self._sockets, is_shared=self._is_shared)

    def set_readiness(self, not_ready: str | None) -> None:
        """See Front."""
        self.server.not_ready = not_ready

    def announce_stop(self) -> None:
        """See Front."""
        self.server.announce_stop()

    def stop_accepting(self, limit_s: float) -> None:
        """See Front."""
        if not self._has_listened:
            for sock, _ in self._sockets:
                if sock.family == socket.AF_UNIX and not self._is_shared:
                    # The bind has made the file. Gone already is as well.
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(sock.getsockname())
                sock.close()
        self.server.stop_accepting(limit_s)

    def close_idle(self) -> None:
        """See Front."""
        self.server.close_idle()

    def close_streams(self) -> None:
        """See Front."""
        self.server.close_streams()

    def cut(self, error: DrainAborted) -> None:
        """See Front."""
        self.server.cut(error)

    def close_pool(self) -> None:
        """See Front."""
        self.server.close_pool()

    async def upstreams_gone(self) -> None:
        """See Front."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + _POOL_CLOSES_S
        while self.server.upstreams and loop.time() < end_s:  # noqa: ASYNC110  a turn or two, in a stop alone
            await asyncio.sleep(0)

    async def settle(self, limit_s: float) -> None:
        """See Front."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + limit_s
        while loop.time() < end_s and (self.server.connections or self.server.listeners):  # noqa: ASYNC110  the same
            await asyncio.sleep(_SETTLE_POLL_S)
        self.server.abort()

    def ask(self, then: Callable[[Snapshot], None], within_s: float = ANSWER_S) -> None:  # noqa: ARG002  it is here
        """See Front."""
        then(self.snapshot())

    def snapshot(self) -> Snapshot:
        """How things stand now."""
        server = self.server
        census = {state.value: count for state, count in server.connections.census().items() if count}
        in_flight, oldest = survey.in_flight(server)
        return Snapshot(census, server.stats, server.outcomes, survey.levels(server), in_flight, oldest)

    def exited(self, pid: int, code: int) -> bool:  # noqa: ARG002  see Front: none is ours
        """See Front."""
        return False

    def set_log_level(self, level: str) -> None:
        """See Front: it has App's."""

    def count_fault(self) -> None:
        """See Front."""
        self.server.stats.callback_faults += 1

    def __repr__(self) -> str:
        return f"Single({self.server!r})"

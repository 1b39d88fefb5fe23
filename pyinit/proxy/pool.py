"""Idle connections to the app: which one is taken, and how long one may wait.

An app closes an idle connection without asking (Node after 5 s). A request that crosses that close on the wire
is lost or has to be sent twice, so ours go first: a second before the time the app announces, at 4 s without one
(what Node does when it announces nothing).
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

IDLE_WITHOUT_HINT_S = 4.0
MARGIN_S = 1.0


class Pooled(Protocol):
    """What the pool needs to know of a connection."""

    is_usable: bool
    idle_until_s: float

    def close(self) -> None:
        """Close it: nothing is under way on it."""
        ...


T = TypeVar("T", bound=Pooled)


def idle_until_s(announced_s: int | None, now_s: float) -> float:
    """Until when an idle connection may be taken again, from the app's ``Keep-Alive: timeout``."""
    return now_s + (IDLE_WITHOUT_HINT_S if announced_s is None else announced_s - MARGIN_S)


class Pool(Generic[T]):
    """Idle connections to one app.

    Args:
        is_fifo: take the one that waited longest; for apps that use cluster, whose workers each get their
            turn then. The other way keeps few connections warm and lets the rest expire.
    """

    __slots__ = ("_idle", "_is_fifo", "is_closed")

    def __init__(self, *, is_fifo: bool) -> None:
        self._idle: deque[T] = deque()
        self._is_fifo = is_fifo
        self.is_closed = False

    def take(self, now_s: float) -> T | None:
        """A connection that may be used now, or None: then connect."""
        idle = self._idle
        while idle:
            connection = idle.popleft() if self._is_fifo else idle.pop()
            if connection.is_usable and connection.idle_until_s > now_s:
                return connection
            connection.close()
        return None

    def put(self, connection: T, now_s: float) -> None:
        """Give a connection back, its exchange complete on both sides."""
        if self.is_closed or connection.idle_until_s <= now_s:
            connection.close()
        else:
            self._idle.append(connection)

    def discard(self, connection: T) -> None:
        """The app has closed an idle one."""
        try:
            self._idle.remove(connection)
        except ValueError:
            return

    def expire(self, now_s: float) -> None:
        """Close those that have waited long enough."""
        expired = [connection for connection in self._idle if connection.idle_until_s <= now_s]
        for connection in expired:
            self._idle.remove(connection)
            connection.close()

    def close(self) -> None:
        """Close all, and whatever comes back: the app's own server.close() waits for them."""
        self.is_closed = True
        while self._idle:
            self._idle.pop().close()

    def __len__(self) -> int:
        return len(self._idle)

    def __repr__(self) -> str:
        return f"Pool({len(self._idle)} idle{', closed' if self.is_closed else ''})"

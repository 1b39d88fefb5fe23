"""The census: every client connection by state, and the moment when none is left.

Connections enter and leave; nothing is counted per request, as each connection carries its state itself.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Generic, Protocol, TypeVar


class State(Enum):
    """What a client connection is doing."""

    NEW = "new"  # not a byte of a request yet
    ACTIVE = "active"  # a request, or part of one
    IDLE = "idle"  # between requests
    TUNNEL = "tunnel"  # upgraded, or a tcp: listener's
    LINGERING = "lingering"  # our FIN is out
    CLOSED = "closed"


class Tracked(Protocol):
    """What the tracker needs to know of a connection."""

    @property
    def state(self) -> State:
        """Its state now."""
        ...


T = TypeVar("T", bound=Tracked)


class Tracker(Generic[T]):
    """Connections that are open.

    Args:
        on_empty: called each time the last one leaves.
    """

    def __init__(self, on_empty: Callable[[], None]) -> None:
        self._open: set[T] = set()
        self._on_empty = on_empty

    def enter(self, connection: T) -> None:
        """A connection was accepted."""
        self._open.add(connection)

    def leave(self, connection: T) -> None:
        """A connection is gone; saying so twice does no harm."""
        if connection in self._open:
            self._open.remove(connection)
            if not self._open:
                self._on_empty()

    def census(self) -> dict[State, int]:
        """How many are in each state."""
        counts = dict.fromkeys(State, 0)
        for connection in self._open:
            counts[connection.state] += 1
        return counts

    def __iter__(self) -> Iterator[T]:
        """A copy: connections may leave while it is walked."""
        return iter(tuple(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        return f"Tracker({', '.join(f'{s.value}={n}' for s, n in self.census().items() if n)})"

"""What became of the exchanges and connections that a drain found: counts, and each one that was cut."""

from dataclasses import dataclass, field
from enum import StrEnum

# A report is one log line; a stop that cuts more than this says how many more.
CUT_LISTED_MAX = 100


class Kind(StrEnum):
    """What a client connection carries."""

    EXCHANGE = "exchange"
    STREAM = "stream"  # an exchange whose response is an event stream
    WEBSOCKET = "websocket"
    TUNNEL = "tunnel"  # any other upgrade, or a tcp: listener's


@dataclass(frozen=True, slots=True)
class InFlight:
    """An exchange or tunnel in flight: now, or at the moment when it was cut.

    Attributes:
        method: of the request; empty for a tcp: tunnel, and where no whole head is known.
        target: as it may be logged; empty where method is.
        age_s: since its request came.
        peer: the client's address.
        kind: of what it is.
    """

    method: str
    target: str
    age_s: float
    peer: str
    kind: Kind = Kind.EXCHANGE


@dataclass(slots=True)
class Outcomes:
    """Counts since the drain began.

    Attributes:
        exchanges_finished: requests answered to their end, and the answer taken.
        connections_closed_idle: connections closed between requests, or before any.
        tunnels_finished: tunnels that ended by themselves.
        websockets_closed: those whose ends we sent a Close 1001.
        streams_ended: event streams that we ended, between two events.
        cut_count: exchanges and tunnels that were cut.
        cut: the first CUT_LISTED_MAX of them.
    """

    exchanges_finished: int = 0
    connections_closed_idle: int = 0
    tunnels_finished: int = 0
    websockets_closed: int = 0
    streams_ended: int = 0
    cut_count: int = 0
    cut: list[InFlight] = field(default_factory=list)

    def add_cut(self, exchange: InFlight) -> None:
        """Count one that was cut."""
        self.cut_count += 1
        if len(self.cut) < CUT_LISTED_MAX:
            self.cut.append(exchange)

"""What a client connection and a connection to the app carry between them: an exchange, or a tunnel.

In front of both, on a client connection alone, there may be a preamble.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pyinit.drain.outcomes import InFlight, Kind
    from pyinit.errors import PyinitError
    from pyinit.proxy.downstream import Downstream
    from pyinit.proxy.upstream import Upstream


class Relay(Protocol):
    """The two ends hand what they receive to one of these.

    Attributes:
        upstream: the app's end; None while connecting and once it is gone.
        downstream: the client's end.
    """

    upstream: Upstream | None
    downstream: Downstream

    @property
    def began_s(self) -> float:
        """When its request came."""
        ...

    @property
    def kind(self) -> Kind | None:
        """What it is; None for what nobody waits for."""
        ...

    def as_in_flight(self) -> InFlight | None:
        """As a report lists it, now; None as above."""
        ...

    def client_data(self, data: bytes) -> None:
        """Bytes from the client."""

    def client_eof(self) -> None:
        """The client's FIN."""

    def client_lost(self) -> None:
        """The client's connection is gone."""

    def app_data(self, data: bytes) -> None:
        """Bytes from the app."""

    def app_eof(self) -> None:
        """The app's FIN."""

    def app_lost(self) -> None:
        """The app's connection is gone, its FIN not seen before."""

    def connected(self, upstream: Upstream) -> None:
        """The connect asked for has succeeded."""

    def connect_failed(self, error: PyinitError) -> None:
        """It has failed."""

    def check(self, now_s: float) -> None:
        """Once a second: has anything taken too long?"""

    def leave(self, delay_s: float) -> None:
        """Asked to leave, once so many seconds have passed: what can be ended properly is; else nothing happens."""

    def cut(self, error: PyinitError) -> None:
        """End it now: the drain's deadline has come, or the app is gone."""

    def broke(self) -> None:
        """An exception of ours is about to end it."""

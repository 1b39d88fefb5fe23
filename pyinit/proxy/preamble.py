"""The PROXY header in front of a trusted peer's connection, with ``--proxy-protocol``.

It stands where an exchange or a tunnel does, so that reading costs the requests behind it nothing: once the header
is whole it is gone. A connection that has sent no more than this has asked for nothing: it stays NEW, and a drain
treats it so.

Its clock is a request head's, ``--head-timeout`` from the first byte. Before that it is an unused connection like
any other, which ``--idle-timeout`` ends without a word: AWS's load balancer sends the header with the client's first
bytes, not before, so browsers that connect ahead of need would be cut, and logged, after 15 s. Nor is a peer logged
that leaves without a byte: that is how a TCP health check looks.

Without a header, or with a malformed one, the connection is closed with no answer: the specification asks never to
guess, and who sends something else may not speak HTTP at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinit.errors import ProtocolError
from pyinit.http1.proxy_protocol import ProxyHeaderReader

if TYPE_CHECKING:
    from pyinit.errors import PyinitError
    from pyinit.proxy.downstream import Downstream
    from pyinit.proxy.upstream import Upstream


class Preamble:
    """Waits for the header of one connection. A Relay without an app.

    Args:
        downstream: told by ``announced``.
    """

    kind = None  # nothing has been asked yet
    began_s = 0.0

    __slots__ = ("_reader", "downstream", "upstream")

    def __init__(self, downstream: Downstream) -> None:
        self.downstream = downstream
        self.upstream: Upstream | None = None
        self._reader = ProxyHeaderReader()

    def client_data(self, data: bytes) -> None:
        """See Relay."""
        downstream, reader = self.downstream, self._reader
        if not reader.held_bytes:
            downstream.since_s = downstream.server.now_s()
        try:
            taken = reader.feed(data)
        except ProtocolError as fault:
            self._refuse(fault.reason)
            return
        if taken is None:
            downstream.hold_bytes(reader.held_bytes)
        else:
            downstream.announced(*taken)

    def client_eof(self) -> None:
        """See Relay."""
        if self._reader.held_bytes:
            self._refuse("the connection ended within its PROXY header")
        else:
            self.downstream.drop()

    def client_lost(self) -> None:
        """See Relay."""

    def app_data(self, data: bytes) -> None:
        """See Relay: never called, as the app's four below."""

    def app_eof(self) -> None:
        """See Relay."""

    def app_lost(self) -> None:
        """See Relay."""

    def connected(self, upstream: Upstream) -> None:
        """See Relay."""

    def connect_failed(self, error: PyinitError) -> None:
        """See Relay."""

    def as_in_flight(self) -> None:
        """See Relay."""

    def check(self, now_s: float) -> None:
        """See Relay."""
        downstream = self.downstream
        server = downstream.server
        if not self._reader.held_bytes or server.idle_close_at_s is not None:
            downstream.check_idle(now_s)
        elif now_s - downstream.since_s > server.config.head_timeout_s:
            self._refuse("the PROXY header took longer than --head-timeout")

    def leave(self, delay_s: float) -> None:
        """See Relay: it is closed as the unused connection that it is."""

    def cut(self, error: PyinitError) -> None:  # noqa: ARG002  nothing was asked, so nothing is lost
        """See Relay."""
        self.downstream.close_gracefully()

    def broke(self) -> None:
        """See Relay: nothing was asked."""

    def _refuse(self, reason: str) -> None:
        downstream = self.downstream
        # Each connection can bring it about, where a load balancer is not set up for this.
        downstream.server.warn_rarely("proxy_header.refused", peer=downstream.peer, reason=reason)
        downstream.drop()

    def __repr__(self) -> str:
        return f"Preamble({self._reader!r})"

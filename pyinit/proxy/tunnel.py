"""A byte relay with half-close: after a 101, and on ``tcp:`` listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pyinit.drain.outcomes import InFlight, Kind
from pyinit.drain.tracker import State
from pyinit.proxy.flow import CONNECTING, PEER_IS_FULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.errors import PyinitError
    from pyinit.proxy.downstream import Downstream
    from pyinit.proxy.upstream import Upstream


class Tunnel:
    """Bytes both ways until both sides have ended, or one is lost. Has no idle limit.

    Args:
        downstream: the client's end.
        upstream: the app's end; None where it is still to be connected.
        method: of the request that was upgraded, for the report; empty for a tcp: listener.
        target: of that request, as it may be logged.
        began_s: when it came.
        on_end: called once, with whose failure ended it (client, upstream, stop, pyinit; None for none) and why.

    Attributes:
        bytes_in: what the client has sent on to the app.
        bytes_out: what the app has sent on to the client.
    """

    kind: ClassVar[Kind] = Kind.TUNNEL

    __slots__ = (
        "_app_ended",
        "_client_ended",
        "_first",
        "_on_end",
        "began_s",
        "bytes_in",
        "bytes_out",
        "downstream",
        "method",
        "target",
        "upstream",
    )

    def __init__(
        self,
        downstream: Downstream,
        upstream: Upstream | None,
        *,
        method: str,
        target: str,
        began_s: float,
        on_end: Callable[[Tunnel, str | None, str], None] | None = None,
    ) -> None:
        self.downstream = downstream
        self.upstream = upstream
        self.method = method
        self.target = target
        self.began_s = began_s
        self._client_ended = False
        self._app_ended = False
        self._first = b""
        self._on_end = on_end
        self.bytes_in = 0
        self.bytes_out = 0

    def begin(self) -> None:
        """For a tcp: listener: connect to the app; the client is read when that is done."""
        self.downstream.gate.hold(CONNECTING)
        self.downstream.server.connect(self)

    def connected(self, upstream: Upstream) -> None:
        """See Relay."""
        downstream = self.downstream
        if downstream.relay is not self:
            upstream.abort()
            return
        self.upstream = upstream
        upstream.relay = self
        if downstream.is_write_paused:
            upstream.gate.hold(PEER_IS_FULL)
        downstream.server.hold_where_full(upstream)
        if self._first:
            downstream.hold_unsent(0)
            upstream.transport.write(self._first)
            self._first = b""
        if self._client_ended:
            upstream.transport.write_eof()
        downstream.gate.release(CONNECTING)

    def connect_failed(self, error: PyinitError) -> None:
        """See Relay. Without HTTP there is no answer but a reset: a FIN would look like an empty success."""
        server = self.downstream.server
        server.stats.upstream_failures += 1
        server.stats.upstream_connect_failures += 1
        server.log.warning("upstream.connect_failed", reason=str(error))
        self._ended("upstream", str(error))
        self.downstream.cut()

    def client_data(self, data: bytes) -> None:
        """See Relay."""
        if self.downstream.is_newcomer:
            self.downstream.is_newcomer = False
            self.downstream.server.first_request(None)
        self.downstream.server.stats.bytes_in += len(data)
        self.bytes_in += len(data)
        if self.upstream is None:
            self._first += data  # read before the gate closed: one read at most
            self.downstream.hold_unsent(len(self._first))
        else:
            self.upstream.transport.write(data)

    def app_data(self, data: bytes) -> None:
        """See Relay."""
        self.downstream.server.stats.bytes_out += len(data)
        self.bytes_out += len(data)
        self.downstream.transport.write(data)

    def client_eof(self) -> None:
        """See Relay."""
        self._client_ended = True
        if self._app_ended:
            self._end()
        elif self.upstream is not None:
            self.upstream.transport.write_eof()

    def app_eof(self) -> None:
        """See Relay."""
        self._app_ended = True
        if self._client_ended:
            self._end()
        else:
            self.downstream.transport.write_eof()

    def client_lost(self) -> None:
        """See Relay. A reset client: what the app has still to say has nowhere to go."""
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None
        self._ended("client")

    def app_lost(self) -> None:
        """See Relay."""
        self.upstream = None
        if self._app_ended:
            self._end()
        else:
            self.downstream.cut()
            self._ended("upstream", "the app closed the connection without its end")

    def check(self, now_s: float) -> None:
        """See Relay: a silent tunnel has no limit."""

    def leave(self, delay_s: float) -> None:
        """See Relay: nobody knows where these bytes could be ended; they have until the drain's deadline."""

    def cut(self, error: PyinitError) -> None:
        """See Relay."""
        self._report_cut()
        self.downstream.cut()
        self._ended("stop", str(error))

    def broke(self) -> None:
        """See Relay."""
        self._ended("pyinit")

    def _ended(self, failed: str | None, reason: str = "") -> None:
        """Say so, once."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self, failed, reason)

    def _report_cut(self) -> None:
        """Count it, and end the app's side."""
        self.downstream.server.outcomes.add_cut(self.as_in_flight())
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None

    def as_in_flight(self) -> InFlight:
        """See Relay."""
        downstream = self.downstream
        age_s = round(downstream.server.now_s() - self.began_s, 3)
        return InFlight(self.method, self.target, age_s, downstream.peer, self.kind)

    def _count(self) -> None:
        """It has ended by itself."""
        server = self.downstream.server
        server.outcomes.tunnels_finished += server.is_stopping

    def _end(self) -> None:
        downstream, upstream = self.downstream, self.upstream
        self._count()
        if upstream is not None:
            upstream.relay = None
            upstream.close()
            self.upstream = None
        if downstream.state is State.TUNNEL:
            downstream.close_gracefully()
        self._ended(None)

    def __repr__(self) -> str:
        return f"Tunnel({self.method} {self.target}, client_ended={self._client_ended}, app_ended={self._app_ended})"

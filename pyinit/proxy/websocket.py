"""A tunnel that carries WebSocket frames, and can be ended properly: each end gets a Close 1001.

    relaying   bytes both ways, followed to know where frames end
    leaving    in each direction the frame under way is finished, then our Close follows it, and whatever comes
               after that is read and dropped
    over       each end has got a Close and sent its own (or its FIN, or nothing for too long)

The Close that ends a direction may also be a peer's own: it has passed, so that ours would come after the end. With
a Close sent and received the server closes TCP first (RFC 6455 section 7.1.1): towards the client that is us, with a
half-close and a linger as after any response, towards the app we wait for its FIN. The client's goes out when the
app's end is done as well: the drain takes the client's connection for the whole tunnel, and signals the app when
none is left.

Considered: to relay the app's echo as the client's Close, and so to deliver what the app says before it. An app that
hangs would then keep its clients from leaving in time, and one that does not echo, for ever.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from pyinit.drain.outcomes import Kind
from pyinit.http1.websocket import GOING_AWAY, FrameFollower, close_frame
from pyinit.proxy.flow import MEMORY, PEER_IS_FULL
from pyinit.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.errors import PyinitError
    from pyinit.proxy.downstream import Downstream
    from pyinit.proxy.upstream import Upstream

# An echo takes a round trip, and 1 and 2 s more where a segment is lost twice (RFC 6298 section 5.5). Counted from
# the last byte that came, as what a client has queued goes before its echo. From an app it is the last byte that was
# still passed on: one that knows no Close and speaks on, as a ticker does, would hold the drain up to its deadline.
ECHO_S = 3.0
# After the app's Close: its FIN is due at once, and where it does not come ours does (RFC 6455 section 7.1.1).
APP_FIN_S = 1.0


class WebSocketTunnel(Tunnel):
    """See Tunnel; both ends are connected from the start."""

    kind: ClassVar[Kind] = Kind.WEBSOCKET

    __slots__ = (
        "_app_heard_s",
        "_client_heard_s",
        "_from_app",
        "_from_client",
        "_has_closed_app",
        "_has_closed_client",
        "_is_leaving",
        "_leave_at_s",
    )

    def __init__(
        self,
        downstream: Downstream,
        upstream: Upstream,
        *,
        method: str,
        target: str,
        began_s: float,
        on_end: Callable[[Tunnel, str | None, str], None] | None = None,
    ) -> None:
        super().__init__(downstream, upstream, method=method, target=target, began_s=began_s, on_end=on_end)
        self._from_client = FrameFollower(masked=True)
        self._from_app = FrameFollower(masked=False)
        self._leave_at_s: float | None = None
        self._is_leaving = False
        self._has_closed_client = False  # our Close has gone to it
        self._has_closed_app = False
        self._client_heard_s = 0.0  # since it got its Close, or the last byte after it
        self._app_heard_s = 0.0  # the same, or the last byte before it that was passed on

    # -- relaying --------------------------------------------------------------------------------------------

    def client_data(self, data: bytes) -> None:
        """See Relay."""
        if self._is_leaving:
            self._client_data_leaving(data)
            return
        self._from_client.follow(data)
        self.downstream.server.stats.bytes_in += len(data)
        self.bytes_in += len(data)
        if self.upstream is not None:
            self.upstream.transport.write(data)

    def app_data(self, data: bytes) -> None:
        """See Relay."""
        if self._is_leaving:
            self._app_data_leaving(data)
            return
        self._from_app.follow(data)
        self.downstream.server.stats.bytes_out += len(data)
        self.bytes_out += len(data)
        self.downstream.transport.write(data)

    # -- leaving ---------------------------------------------------------------------------------------------

    def leave(self, delay_s: float) -> None:
        """See Relay."""
        self._leave_at_s = self.downstream.server.now_s() + delay_s
        if delay_s <= 0:
            self._leave()

    def _leave(self) -> None:
        self._leave_at_s = None
        if self._client_ended or self._app_ended or self._from_client.is_lost or self._from_app.is_lost:
            return  # half of it is over without a Close, or it is no WebSocket: as any other tunnel
        self._is_leaving = True
        now_s = self._client_heard_s = self._app_heard_s = self.downstream.server.now_s()
        if self._from_app.is_at_boundary:
            self._close_client()
        if self._from_client.is_at_boundary:
            self._close_app()
        self._look(now_s)

    def _close_client(self) -> None:
        """Our Close to the client, and the end of what the app says to it."""
        self._has_closed_client = True
        self._client_heard_s = self.downstream.server.now_s()
        self.downstream.transport.write(close_frame(GOING_AWAY))
        self._read_on()

    def _close_app(self) -> None:
        self._has_closed_app = True
        self._app_heard_s = self.downstream.server.now_s()
        if self.upstream is not None:
            self.upstream.transport.write(close_frame(GOING_AWAY, os.urandom(4)))
        self._read_on()

    def _client_data_leaving(self, data: bytes) -> None:
        follower = self._from_client
        now_s = self._client_heard_s = self.downstream.server.now_s()
        had_closed = follower.has_closed
        if not self._has_closed_app and not had_closed:
            end = follower.follow_to_boundary(data)
            self.downstream.server.stats.bytes_in += end
            self.bytes_in += end
            if self.upstream is not None:
                self.upstream.transport.write(data[:end])
            data = data[end:]
            if follower.is_at_boundary:
                self._close_app()
            elif follower.has_closed:
                self._app_heard_s = now_s
        follower.follow(data)
        self._look(now_s)

    def _app_data_leaving(self, data: bytes) -> None:
        follower = self._from_app
        now_s = self.downstream.server.now_s()
        had_closed = follower.has_closed
        if not self._has_closed_client and not had_closed:
            self._app_heard_s = now_s
            end = follower.follow_to_boundary(data)
            self.downstream.server.stats.bytes_out += end
            self.bytes_out += end
            self.downstream.transport.write(data[:end])
            data = data[end:]
            if follower.is_at_boundary:
                self._close_client()
            elif follower.has_closed:
                self._client_heard_s = now_s
        follower.follow(data)
        if follower.has_closed and not had_closed:
            self._app_heard_s = now_s
        self._look(now_s)

    def _read_on(self) -> None:
        """What is dropped waits for nobody: not for the other end to read, nor for memory."""
        if self._has_closed_app:
            self.downstream.gate.release(PEER_IS_FULL | MEMORY)
        if self._has_closed_client and self.upstream is not None:
            self.upstream.gate.release(PEER_IS_FULL | MEMORY)

    # -- the end ---------------------------------------------------------------------------------------------

    @property
    def _client_has_close(self) -> bool:
        return self._has_closed_client or self._from_app.has_closed

    @property
    def _app_has_close(self) -> bool:
        return self._has_closed_app or self._from_client.has_closed

    def _look(self, now_s: float) -> None:
        """End it where both ends are done."""
        is_client_done = self._client_has_close and (
            self._from_client.has_closed or self._client_ended or now_s - self._client_heard_s > ECHO_S
        )
        app_s = APP_FIN_S if self._from_app.has_closed else ECHO_S
        is_app_done = self.upstream is None or (
            self._app_has_close and (self._app_ended or now_s - self._app_heard_s > app_s)
        )
        if (is_client_done and is_app_done) or (self._client_ended and self._app_ended):
            self._end()

    def check(self, now_s: float) -> None:
        """See Relay."""
        if self._leave_at_s is not None and now_s >= self._leave_at_s:
            self._leave()
        elif self._is_leaving:
            self._read_on()  # a write of ours can have filled the other end since
            self._look(now_s)

    def client_eof(self) -> None:
        """See Relay. A FIN is not passed on after our Close: the app ends first."""
        if self._is_leaving and self._app_has_close:
            self._client_ended = True
            self._look(self.downstream.server.now_s())
        else:
            super().client_eof()

    def app_eof(self) -> None:
        """See Relay. After our Close the client is still to echo it."""
        if self._is_leaving and self._client_has_close:
            self._app_ended = True
            self._look(self.downstream.server.now_s())
        else:
            super().app_eof()

    def client_lost(self) -> None:
        """See Relay. An app that has its Close is not told of a reset."""
        if not self._is_leaving or not self._app_has_close:
            super().client_lost()
            return
        self._count()
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.relay = None
            upstream.close()
        self._ended(None)

    def app_lost(self) -> None:
        """See Relay."""
        if self._is_leaving and self._client_has_close:
            self.upstream = None
            self._look(self.downstream.server.now_s())
        else:
            super().app_lost()

    def cut(self, error: PyinitError) -> None:
        """See Relay. Where each end has its Close nothing is lost but an echo; a frame under way is cut."""
        if not self._is_leaving or not self._client_has_close:
            super().cut(error)
            return
        if self._app_has_close:
            self._end()
            return
        self._report_cut()
        self.downstream.close_gracefully()
        self._ended("stop", str(error))

    def _count(self) -> None:
        if self._has_closed_client or self._has_closed_app:
            self.downstream.server.outcomes.websockets_closed += 1
        else:
            super()._count()

    def __repr__(self) -> str:
        return (
            f"WebSocketTunnel({self.method} {self.target}, leaving={self._is_leaving},"
            f" from_client={self._from_client!r}, from_app={self._from_app!r})"
        )

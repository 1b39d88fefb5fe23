"""One connection to the app: its transport, its reading, and whose exchange it carries."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from pyinit.http1.head import HeadReader
from pyinit.proxy.flow import MEMORY, PEER_IS_FULL, ReadGate, reset

if TYPE_CHECKING:
    from pyinit.proxy.relay import Relay
    from pyinit.proxy.server import ProxyServer

# design 5: response heads. Node's own client takes 16 KiB, nginx 4 to 8; ours is no reason for an app to fail.
RESPONSE_HEAD_MAX_BYTES = 64 * 1024
_REST_BYTES = 64 * 1024
# Of that, for a client that does not take it; what its kernel has room for is not bounded by us.
_REST_UNREAD_MAX_BYTES = 1 << 20


class Upstream(asyncio.BufferedProtocol):
    """A connection to the app.

    Attributes:
        relay: what it carries; None while idle.
        reader: finds response heads.
        was_reused: whether an exchange went over it before this one.
        is_usable: not closing, and nothing unexpected came.
        idle_until_s: when the pool drops it.
    """

    __slots__ = (
        "_asked_by",
        "_server",
        "gate",
        "idle_until_s",
        "is_usable",
        "reader",
        "relay",
        "transport",
        "was_reused",
    )

    transport: asyncio.Transport
    gate: ReadGate

    def __init__(self, server: ProxyServer, relay: Relay) -> None:
        self._server = server
        self.relay: Relay | None = None
        self._asked_by: Relay | None = relay
        self.reader = HeadReader(RESPONSE_HEAD_MAX_BYTES, is_response=True)
        self.was_reused = False
        self.is_usable = True
        self.idle_until_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol. A stream transport always; uvloop's are no subclass of asyncio's."""
        transport.set_write_buffer_limits(high=0)
        self.transport = transport
        self.gate = ReadGate(transport)
        server, relay, self._asked_by = self._server, self._asked_by, None
        server.upstreams.add(self)
        server.stats.upstream_connects += 1
        assert relay is not None  # noqa: S101  given at the start
        try:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # Here, and not when the connect's future is seen to be done some turns of the loop later: an app's
            # greeting, or its close, can have come by then.
            relay.connected(self)
        except Exception:  # noqa: BLE001  one connection's fault must not be the process's
            server.callback_failed(relay, "upstream.connection_made")
            self.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  one buffer serves all
        """See asyncio.BufferedProtocol."""
        return self._server.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        data = self._server.read_buffer[:nbytes].tobytes()
        if self.gate.reasons:
            self.gate.enforce()
        relay = self.relay
        if relay is None:
            # A response before any request: whatever it answers, it is not ours to guess.
            self._server.log.warning("upstream.unexpected_bytes", bytes=nbytes)
            self.abort()
            return
        try:
            relay.app_data(data)
        except Exception:  # noqa: BLE001  one connection's fault must not be the process's
            self._server.callback_failed(relay, "upstream.buffer_updated")

    def eof_received(self) -> bool:
        """See asyncio.Protocol; True keeps our direction open, as a tunnel may still write."""
        self.is_usable = False
        relay = self.relay
        if relay is None:
            return False
        try:
            relay.app_eof()
        except Exception:  # noqa: BLE001  as above
            self._server.callback_failed(relay, "upstream.eof_received")
        return self.relay is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.is_usable = False
        server = self._server
        if exc is not None:
            self._read_the_rest()
        server.upstreams.discard(self)
        server.writes_resumed(self)  # what it did not take is held no longer
        relay, self.relay = self.relay, None
        if relay is None:
            server.pool.discard(self)
            return
        try:
            relay.app_lost()
        except Exception:  # noqa: BLE001  as above
            server.callback_failed(relay, "upstream.connection_lost")

    def _read_the_rest(self) -> None:
        """What the app said before its reset: an early 413 or 401 to an upload, above all.

        A write that fails ends the transport at once, and what waits in the receive queue is not read any more
        (54 of 60 such answers were lost); the descriptor is still open in connection_lost, on both loops.
        """
        relay = self.relay
        fd = self.transport.get_extra_info("socket").fileno()
        try:
            while relay is not None and self.relay is relay and (data := os.read(fd, _REST_BYTES)):
                relay.app_data(data)
                if relay.downstream.transport.get_write_buffer_size() > _REST_UNREAD_MAX_BYTES:
                    return
        except OSError:
            return  # that was all
        except Exception:  # noqa: BLE001  as above
            self._callback_failed("upstream.connection_lost")

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the app does not read; so neither do we read its client."""
        relay = self.relay
        try:
            if relay is not None:
                relay.downstream.gate.hold(PEER_IS_FULL)
            self._server.writes_paused(self)
        except Exception:  # noqa: BLE001  as above
            self._callback_failed("upstream.pause_writing")

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        relay = self.relay
        try:
            self._server.writes_resumed(self)
            if relay is not None:
                relay.downstream.gate.release(PEER_IS_FULL)
        except Exception:  # noqa: BLE001  as above
            self._callback_failed("upstream.resume_writing")

    def _callback_failed(self, where: str) -> None:
        if self.relay is not None:
            self._server.callback_failed(self.relay, where)
        self.abort()

    def release(self, now_s: float, until_s: float) -> None:
        """The exchange is complete: back to the pool."""
        self.relay = None
        self.was_reused = True
        if self.gate.reasons:
            self.gate.release(PEER_IS_FULL | MEMORY)
        self.idle_until_s = until_s
        self._server.pool.put(self, now_s)

    def close(self) -> None:
        """Close after what is written."""
        self.is_usable = False
        self.transport.close()

    def abort(self) -> None:
        """End it with a reset: a FIN in the middle of a tunnel, or of a close-delimited message, would be an end."""
        self.is_usable = False
        self.relay = None
        reset(self.transport)

    def __repr__(self) -> str:
        return f"Upstream(relay={self.relay!r}, reused={self.was_reused}, usable={self.is_usable})"

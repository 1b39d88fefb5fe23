"""One client connection: its states and times, the head of its next request, and its closing.

    NEW                                      until the first byte of a request; a PROXY header is none
    NEW -> ACTIVE -> IDLE -> ACTIVE ...      requests
           ACTIVE -> TUNNEL                  an upgrade; a tcp: connection begins here
    any    -> LINGERING -> CLOSED            our FIN is out, what still comes is read and dropped
    any    -> CLOSED                         lost, or cut

No timer of its own: the server looks at every connection once a second and asks ``check``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pyinit.drain.outcomes import InFlight
from pyinit.drain.tracker import State
from pyinit.errors import ProtocolError
from pyinit.http1 import replies
from pyinit.http1.framing import request_body
from pyinit.http1.head import HeadReader
from pyinit.http1.last_head import LastHead
from pyinit.proxy.exchange import Exchange, loggable, status_of
from pyinit.proxy.flow import CONNECTING, MEMORY, PEER_IS_FULL, PIPELINED, UNREAD, ReadGate, reset
from pyinit.proxy.kernel import (
    has_reset,
    is_client_slow_to_resend,
    received_bytes,
    undelivered_bytes,
    unread_bytes,
)
from pyinit.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pyinit.errors import DrainAborted
    from pyinit.http1.forward import Forwarder
    from pyinit.http1.message import RequestHead
    from pyinit.http1.proxy_protocol import ProxyHeader
    from pyinit.proxy.relay import Relay
    from pyinit.proxy.server import ProxyServer

# After our FIN: so long for the client's, then the close. A close over unread input sends a reset, which can
# destroy the answer on its way (RFC 9112 section 9.6).
LINGER_S = 1.0
# In a drain a connection without a byte gets so long from its accept: its first request may be on the wire. A lost one
# comes again by a probe after two round trips and 0.2 s (RFC 8985 section 7.2), and where that is lost as well after
# three times the worst round trip that the client's kernel has measured to us lately (Linux keeps it for new
# connections): a SYN-ACK lost once makes that 1 s. Linux's timers of such a length are up to 0.26 s late.
NEW_GRACE_S = 4.0
# ... and where our SYN-ACK was lost, perhaps twice: it takes 3 s for the way, and probes after 6.2 s.
NEW_GRACE_SLOW_S = 7.0
# What an idle connection has on top of --idle-grace where its client would send a lost request again so late.
SLOW_GRACE_S = 3.0
# An idle connection forgets its last head after that: to learn it anew costs less than ten thousand of them.
_FORGET_S = 5.0
# RFC 8446 section 5.1: a handshake record; "HTTP" spoken to the wrong listener is the usual cause.
_TLS_HANDSHAKE = b"\x16\x03"
_HTTP2_PREFACE = b"PRI * HTTP/2.0"
# What each request asks for: by its name a member of an Enum takes ten times as long as a global.
_ACTIVE, _IDLE, _LINGERING = State.ACTIVE, State.IDLE, State.LINGERING


class Downstream(asyncio.BufferedProtocol):
    """A client connection.

    Args:
        server: whose it is.
        sock: what was accepted.
        is_raw: of a ``tcp:`` listener.

    Attributes:
        state: see above.
        relay: the exchange or tunnel it carries, or its preamble; None between requests.
        peer: the client's address for logs.
        forwarder: what is added to its requests.
        since_s: when the state, or the wait in it, began.
        is_write_paused: the client does not read: the kernel did not take all we wrote.
        has_ended: the client's FIN has come.
        has_entered: the server counts it among its connections.
        undelivered: in a stop: told where the last answer's bytes are lost with us; None where there was none.
        is_newcomer: accepted while we are stopping, and has asked for nothing yet.
        pending: bytes of the next request, read before its turn.
    """

    __slots__ = (
        "_held_bytes",
        "_is_answer_under_way",
        "_is_raw",
        "_last_head",
        "_owed_until",
        "_reader",
        "_sock",
        "_unread_bytes",
        "_unsent_bytes",
        "_write_paused_s",
        "forwarder",
        "gate",
        "has_ended",
        "has_entered",
        "is_newcomer",
        "is_write_paused",
        "peer",
        "pending",
        "relay",
        "server",
        "since_s",
        "state",
        "transport",
        "undelivered",
    )

    transport: asyncio.Transport
    gate: ReadGate
    forwarder: Forwarder

    def __init__(self, server: ProxyServer, sock: socket.socket | None = None, *, is_raw: bool) -> None:
        self.server = server
        self._sock = sock
        self.state = State.NEW
        self.relay: Relay | None = None
        self.peer = ""
        self.since_s = 0.0
        self.is_write_paused = False
        self.has_ended = False
        self.has_entered = False
        self.undelivered: Callable[[], None] | None = None
        self.pending = b""
        self._is_raw = is_raw
        self.is_newcomer = server.is_stopping  # a lame duck waits until these stay away
        self._reader = HeadReader(server.config.head_max_bytes)
        self._last_head = LastHead(server.config.head_max_bytes)
        self._held_bytes = 0
        self._unsent_bytes = 0
        self._write_paused_s = 0.0
        self._unread_bytes = 0
        self._is_answer_under_way = False
        self._owed_until: int | None = None  # in a drain: so much of what came is still answered

    # -- asyncio's callbacks ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol. A stream transport always; uvloop's are no subclass of asyncio's."""
        transport.set_write_buffer_limits(high=0)
        self.transport = transport
        self.gate = ReadGate(transport)
        try:
            self._begin()
        except Exception:  # noqa: BLE001  one connection's fault must not be the process's
            self.server.callback_failed(self, "downstream.connection_made")

    def _begin(self) -> None:
        server = self.server
        self.since_s = server.now_s()
        identity = server.identify(self.transport)
        if identity is None:
            self.state = State.CLOSED
            self.transport.abort()
            return
        self.peer, self.forwarder = identity
        server.entered(self)
        if server.gauge.is_full:
            self.gate.hold(MEMORY)
        if self._is_raw:
            self.state = State.TUNNEL
            on_end = self._raw_ended if server.config.access_log else None
            tunnel = Tunnel(self, None, method="", target="", began_s=self.since_s, on_end=on_end)
            self.relay = tunnel
            tunnel.begin()
        elif server.preamble is not None and self.forwarder.is_trusted:
            self.relay = server.preamble(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  one buffer serves all
        """See asyncio.BufferedProtocol."""
        return self.server.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        try:
            data = self.server.read_buffer[:nbytes].tobytes()
            if self.gate.reasons:
                self.gate.enforce()
            if self.relay is not None:
                self.relay.client_data(data)
            elif self.state is not _LINGERING:
                self._head_data(data)
        except Exception:  # noqa: BLE001  one connection's fault must not be the process's
            self.server.callback_failed(self, "downstream.buffer_updated")

    def eof_received(self) -> bool:
        """See asyncio.Protocol; True keeps our direction open: a FIN after a request is still answered."""
        self.has_ended = True
        try:
            if self.relay is not None:
                self.relay.client_eof()
            elif self.state is State.LINGERING:
                self._end_lingering()
            else:
                # Between requests, or in the middle of a head that will never be whole.
                self._end_unasked()
        except Exception:  # noqa: BLE001  as above
            self.server.callback_failed(self, "downstream.eof_received")
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  lost is lost
        """See asyncio.Protocol."""
        server = self.server
        relay, self.relay = self.relay, None
        self.state = State.CLOSED
        try:
            self.hold_bytes(0)
            server.writes_resumed(self)
            if relay is not None:
                relay.client_lost()
        except Exception:  # noqa: BLE001  as above
            server.callback_failed(relay or self, "downstream.connection_lost")
        finally:
            server.left(self)

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the client does not read; so neither do we read the app for it."""
        self.is_write_paused = True
        self._write_paused_s = self.server.now_s()
        try:
            self._unread_bytes = undelivered_bytes(self.transport, self._sock)
            relay = self.relay
            if relay is not None and relay.upstream is not None:
                relay.upstream.gate.hold(PEER_IS_FULL)
            self.server.writes_paused(self)
        except Exception:  # noqa: BLE001  as above
            self.server.callback_failed(self, "downstream.pause_writing")

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.is_write_paused = False
        try:
            self.server.writes_resumed(self)
            relay = self.relay
            if relay is not None and relay.upstream is not None:
                relay.upstream.gate.release(PEER_IS_FULL)
            if self.gate.reasons & UNREAD:
                self.gate.release(UNREAD)
                self._next_pending_soon()
        except Exception:  # noqa: BLE001  as above
            self.server.callback_failed(self, "downstream.resume_writing")

    def announced(self, header: ProxyHeader, rest: bytes) -> None:
        """The preamble is over: from here on the connection is its source's.

        Args:
            header: who that is.
            rest: what was read after it.
        """
        server = self.server
        self.relay = None
        self.hold_bytes(0)
        identity = server.identify(self.transport, header)
        if identity is None:
            self.drop()
            return
        self.peer, self.forwarder = identity
        self.since_s = server.now_s()
        if header.is_local:
            self.is_newcomer = False  # a load balancer's health check: a lame duck does not wait for its end
        if rest:
            self._head_data(rest)

    # -- requests --------------------------------------------------------------------------------------------

    def _head_data(self, data: bytes) -> None:
        """Bytes where a request head is expected."""
        server = self.server
        now_s = server.now_s()
        block = b""
        head = None
        try:
            again = None if self._reader.has_begun else self._last_head.again(data)
            if again is not None:
                head, rest = again
                self.state = _ACTIVE
                self.since_s = now_s
            else:
                taken = self._reader.feed(data)
                if self.state is not _ACTIVE and (taken is not None or self._reader.held_bytes):
                    # Not for an empty line alone: the client is as idle as before (RFC 9112 section 2.2).
                    self.state = _ACTIVE
                    self.since_s = now_s
                if taken is None:
                    self.hold_bytes(self._reader.held_bytes)
                    return
                block, rest = taken
                if self._held_bytes:
                    self.hold_bytes(0)
                head = server.requests.parse(block)
                self._last_head.learn(block, head)
            health_path = server.config.health_path
            if health_path and head.target.startswith(health_path) and self._answer_health(head, rest):
                return
            if self.is_newcomer:
                self.is_newcomer = False
                server.first_request(head)
            exchange = self.relay = Exchange(self, head, now_s)
            exchange.begin(rest)
        except ProtocolError as fault:
            self._advise(data)
            is_head = block.startswith(b"HEAD ") or (head is not None and head.method == b"HEAD")
            self.refuse(fault, with_body=not is_head, block=block)

    def _answer_health(self, head: RequestHead, rest: bytes) -> bool:
        """Answer --health-path; False where it is not that. Only what checks health is ours: a POST is the app's.

        Not in the counters: a load balancer's checks are most of an idle service's requests, and their 503s in a lame
        duck would look like requests that a stop has lost. Nor does whoever asks prolong it.
        """
        server = self.server
        is_head = head.method == b"HEAD"
        if head.target.partition(b"?")[0] != server.config.health_path or not (
            is_head or head.method == b"GET"
        ):
            return False
        self.is_newcomer = False
        has_body = request_body(head) is not None  # nobody reads it, so nothing can follow
        close = not head.keep_alive or has_body or (server.is_stopping and not rest)
        why = server.not_ready
        status, text = (200, "ready") if why is None else (503, f"not ready: {why}")
        self.transport.write(
            replies.reply(status, text, date_line=server.date_line(), close=close, with_body=not is_head)
        )
        if rest and not close:
            self.hold(rest)
        self.exchange_ended(server.now_s(), keep=not close)
        return True

    def hold(self, data: bytes) -> None:
        """Keep bytes of the next request; nothing more is read until its turn."""
        self.pending += data
        self.hold_bytes(len(self.pending) + self._unsent_bytes)
        self.gate.hold(PIPELINED)

    def hold_unsent(self, unsent_bytes: int) -> None:
        """So much of a request waits for its connection to the app; 0 once that is there."""
        self._unsent_bytes = unsent_bytes
        self.hold_bytes(len(self.pending) + unsent_bytes)

    def hold_bytes(self, held_bytes: int) -> None:
        """Account for what is kept of this client's input."""
        if held_bytes != self._held_bytes:
            self.server.gauge.add(held_bytes - self._held_bytes)
            self._held_bytes = held_bytes

    def exchange_ended(self, now_s: float, *, keep: bool) -> None:
        """The exchange is complete both ways; the next request, or the end."""
        self.relay = None
        if self.gate.reasons:
            self.gate.release(PEER_IS_FULL)  # the app may have answered before it had read it all
        if not keep or (self.has_ended and not self.pending):
            self.close_gracefully()
            return
        self.state = _IDLE
        self.since_s = now_s
        self._is_answer_under_way = True
        if self.is_write_paused:
            # Else a client that asks on and never reads has answers of ours piled up: no app is held back for those.
            self.gate.hold(UNREAD)
        elif self.pending:
            self._next_pending_soon()

    def _next_pending_soon(self) -> None:
        """Not at once: a client that pipelines a thousand requests would nest as many calls."""
        if self.pending:
            asyncio.get_running_loop().call_soon(self._next_pending)

    def start_tunnel(self, tunnel: Tunnel) -> None:
        """The exchange has become a tunnel: what was held back belongs to it."""
        data, self.pending = self.pending, b""
        self.hold_bytes(0)
        if data:
            tunnel.client_data(data)
        if self.has_ended:
            tunnel.client_eof()
        self.gate.release(PIPELINED)
        if self.server.are_streams_leaving:
            tunnel.leave(self.server.leave_delay_s())

    def _next_pending(self) -> None:
        if self.state is not State.IDLE:
            return
        data, self.pending = self.pending, b""
        self.hold_bytes(0)
        self.gate.release(PIPELINED)
        try:
            self._head_data(data)
        except Exception:  # noqa: BLE001  one connection's fault must not be the process's
            self.server.callback_failed(self, "downstream.next_pending")
        if self.has_ended and self.relay is None and not self.transport.is_closing():
            self._end_unasked()  # the FIN came in the middle of that head, or before any

    def has_more(self) -> bool:
        """Whether a next request, or part of one, is here: read already, or still in the kernel.

        In a drain, after the grace, only what is here then: a client that pipelines for ever has a last answer too.
        """
        server = self.server
        is_late = server.idle_close_at_s is not None and server.now_s() >= server.idle_close_at_s
        # Before what waits: what comes between the two looks is then taken for owed, not the reverse.
        received = received_bytes(self.transport) if is_late else None
        waiting = len(self.pending) + unread_bytes(self.transport)
        if not waiting or received is None:
            return bool(waiting)
        if self._owed_until is None:
            self._owed_until = received
        return received - waiting < self._owed_until

    @property
    def _is_in_head(self) -> bool:
        return self.state is State.ACTIVE and self.relay is None

    def refuse(self, fault: ProtocolError, *, with_body: bool = True, block: bytes = b"") -> None:
        """Answer a request that breaks the rules, and close.

        Args:
            fault: why.
            with_body: see reply.
            block: its head, where that is whole and there is no exchange yet.
        """
        server, status, relay = self.server, status_of(fault), self.relay
        since_s = self.since_s if self.state is State.ACTIVE else server.now_s()
        server.stats.refused += 1
        server.log_refusal(peer=self.peer, status=status, reason=fault.reason)
        reply_bytes = self.reply(status, fault.reason, with_body=with_body)
        if isinstance(relay, Exchange):
            relay.refused(fault, reply_bytes)
        elif server.config.access_log:
            # What cannot be read as a request line has neither; bytes of any kind, which the log escapes.
            method, target = [*block.partition(b"\r\n")[0].split(b" "), b"", b""][:2]
            server.log.access(
                method=loggable(method),
                target=loggable(target if server.config.logs_query else target.partition(b"?")[0]),
                status=status,
                duration_s=server.now_s() - since_s,
                upstream_s=None,
                bytes_in=0,
                bytes_out=reply_bytes,
                peer=self.peer,
                client=self.forwarder.client(None) or self.peer,
                failed="request",
                reason=fault.reason,
            )

    def reply(self, status: int, text: str, *, with_body: bool = True) -> int:
        """Send a response of ours, and close; how many bytes its body has."""
        self.relay = None
        server = self.server
        server.stats.responses[status // 100] += 1
        answer = replies.reply(status, text, date_line=server.date_line(), with_body=with_body)
        self.transport.write(answer)
        self.close_gracefully()
        return replies.body_bytes(answer)

    def _raw_ended(self, tunnel: Tunnel, failed: str | None, reason: str) -> None:
        """A ``tcp:`` connection has no request to make a line of."""
        server = self.server
        fields = {"failed": failed, "reason": reason} if failed else {}
        server.log.info(
            "tunnel.closed",
            duration_s=round(server.now_s() - tunnel.began_s, 6),
            bytes_in=tunnel.bytes_in,
            bytes_out=tunnel.bytes_out,
            peer=self.peer,
            **fields,
        )

    def _advise(self, data: bytes) -> None:
        for beginning, name in ((_TLS_HANDSHAKE, "a TLS handshake"), (_HTTP2_PREFACE, "HTTP/2")):
            if data.startswith(beginning):
                self.server.warn_rarely(
                    "request.not_http",
                    peer=self.peer,
                    reason=f"{name}: --listen tcp:ADDR passes it on to the app",
                )

    # -- closing ---------------------------------------------------------------------------------------------

    def close_gracefully(self) -> None:
        """FIN after what is written, then wait for the client's."""
        if self.state in (State.LINGERING, State.CLOSED):
            return
        if self.state in (State.IDLE, State.NEW) and self.server.is_stopping:
            self.server.outcomes.connections_closed_idle += 1
            if self.undelivered is None:
                since_s = self.since_s
                self.undelivered = lambda: self._idle_undelivered(since_s)
        self.state = State.LINGERING
        self.since_s = 0.0
        self.relay = None
        self.pending = b""
        self._unsent_bytes = 0
        self.hold_bytes(0)
        if self.transport.is_closing():
            return
        self.transport.write_eof()
        self.gate.release(CONNECTING | PIPELINED | PEER_IS_FULL | UNREAD)
        if self.has_ended:
            self._end_lingering()

    def _end_unasked(self) -> None:
        """The client has ended with no request under way; the answer to its last may be."""
        if undelivered_bytes(self.transport, self._sock):
            self.close_gracefully()
        else:
            self.transport.close()

    def _end_lingering(self) -> None:
        """Both FINs are out; what is not acknowledged keeps the connection until it is."""
        if not undelivered_bytes(self.transport, self._sock):
            self.transport.close()

    def expire(self, error: DrainAborted) -> None:
        """The drain's deadline: what is under way here is cut, and told of."""
        if self.relay is not None:
            self.relay.cut(error)
        elif self._is_in_head or self.pending:
            self._report_cut(self.since_s)
            self.reply(error.status, str(error))
        else:
            self.close_gracefully()

    def give_up(self) -> None:
        """Our own end: what the client's kernel has not acknowledged goes with us (design 6), and counts as cut."""
        if (
            self.undelivered is not None and undelivered_bytes(self.transport, self._sock) > 1
        ):  # one is our FIN
            self.undelivered()
        self.transport.abort()

    def _idle_undelivered(self, since_s: float) -> None:
        """The answer was whole before the stop; which one it was is not kept for every idle connection."""
        self.server.outcomes.connections_closed_idle -= 1
        self._report_cut(since_s)

    def _report_cut(self, since_s: float) -> None:
        """Count a request that no exchange stands for."""
        age_s = round(self.server.now_s() - since_s, 3)
        self.server.outcomes.add_cut(InFlight("", "", age_s, self.peer))

    def drop(self) -> None:
        """Close without a word: nothing was asked."""
        self.relay = None
        self.state = State.CLOSED
        self.hold_bytes(0)
        self.transport.close()

    def cut(self) -> None:
        """End it so that nobody takes it for an end: a reset."""
        self.relay = None
        self.state = State.CLOSED
        reset(self.transport)

    # -- time ------------------------------------------------------------------------------------------------

    def check(self, now_s: float) -> None:
        """Once a second, oftener in a drain: has anything taken too long?"""
        config = self.server.config
        if self.is_write_paused and now_s - self._write_paused_s > config.write_timeout_s:
            undelivered = undelivered_bytes(self.transport, self._sock)
            # Where memory is used up nobody may keep hold of it by a byte now and then: others wait for that room.
            if undelivered >= self._unread_bytes or self.server.gauge.is_full:
                self.server.log.info("client.not_reading", peer=self.peer, unread_bytes=undelivered)
                if self.relay is not None:
                    self.relay.client_lost()  # or the app would be left with a connection that nobody reads
                self.cut()
                return
            self._unread_bytes = undelivered
            self._write_paused_s = now_s
        if self.gate.reasons and has_reset(self.transport):
            self.transport.abort()
            return
        match self.state:
            case State.NEW if self.relay is not None:
                self.relay.check(now_s)
            case State.NEW | State.IDLE:
                self.check_idle(now_s)
            case State.ACTIVE if self._is_in_head:
                if now_s - self.since_s > config.head_timeout_s:
                    self.refuse(ProtocolError("the request head took longer than --head-timeout", 408))
            case State.ACTIVE | State.TUNNEL:
                if self.relay is not None:
                    self.relay.check(now_s)
            case State.LINGERING:
                self._check_lingering(now_s)
            case State.CLOSED:
                pass

    def check_idle(self, now_s: float) -> None:
        """Has nothing come for too long, or is it to go in a drain?"""
        server = self.server
        if self.gate.reasons & UNREAD and (self.pending or server.idle_close_at_s is None):
            self.since_s = now_s  # not idle yet: --write-timeout is its limit
        elif server.idle_close_at_s is None:
            if now_s - self.since_s > server.config.idle_timeout_s and not self.has_more():
                if self.state is State.NEW:
                    self.drop()
                else:
                    self.close_gracefully()
            elif now_s - self.since_s > _FORGET_S:
                self._last_head.forget()
        elif self.state is State.NEW:
            self._close_when_due(self.since_s + NEW_GRACE_S, NEW_GRACE_SLOW_S - NEW_GRACE_S, now_s)
        else:
            if self._is_answer_under_way:
                # The client has its time from when it has the answer: one that was lost is late.
                self._is_answer_under_way = bool(undelivered_bytes(self.transport, self._sock))
                if self._is_answer_under_way:
                    self.since_s = now_s
            grace_s = server.config.idle_grace_s
            due_s = max(server.idle_close_at_s, self.since_s + grace_s)
            self._close_when_due(due_s, SLOW_GRACE_S if grace_s else 0.0, now_s)

    def _close_when_due(self, due_s: float, longer_s: float, now_s: float) -> None:
        """Close, but one whose client is slow to send a lost request again only so much later.

        And not one whose next request is here and has not had its turn: many looks like this one come before it.
        """
        if now_s < due_s or self.has_more():
            return
        if now_s >= due_s + longer_s or not is_client_slow_to_resend(self.transport):
            self.close_gracefully()

    def _check_lingering(self, now_s: float) -> None:
        undelivered = undelivered_bytes(self.transport, self._sock)
        if undelivered:
            # Written, not yet acknowledged: a slow client, or a slow way. --write-timeout bounds one that takes
            # nothing at all; where it is our own buffer that is full, check() has looked already.
            if undelivered != self._unread_bytes:
                self._unread_bytes = undelivered
                self._write_paused_s = now_s
            elif now_s - self._write_paused_s > self.server.config.write_timeout_s:
                self.cut()
        elif self.has_ended:
            self.transport.close()
        elif not self.since_s:
            self.since_s = now_s
        elif now_s - self.since_s >= LINGER_S:
            self.transport.close()

    def __repr__(self) -> str:
        return f"Downstream({self.peer}, {self.state.value}, relay={self.relay!r})"

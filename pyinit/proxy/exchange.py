"""The hot path: one request and its response, both directions.

    begin          the head is rewritten, the body framed; an idle connection to the app is taken, or one made
    client_data    framed, then written to the app
    app_data       the response head judged and written; then its body, framed
    _finish        both complete: the app's connection goes back to the pool, the client's to its next request

Failure before the response head has gone out: an answer of ours with the error's status. After it there is
nothing left to say: the client sees a cut, never a false end. One replay, on a fresh connection, where a reused
one died without a byte and the request is idempotent and had no body (RFC 9110 section 9.2.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinit.drain.outcomes import InFlight, Kind
from pyinit.drain.tracker import State
from pyinit.errors import (
    DrainAborted,
    ProtocolError,
    PyinitError,
    UpstreamClosed,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from pyinit.http1 import forward, replies
from pyinit.http1.body import ChunkedBody, LengthBody, UntilCloseBody, is_all_chunks
from pyinit.http1.framing import request_body, response_body
from pyinit.http1.response import KNOWN_HEAD_BYTES
from pyinit.http1.sse import EventStream, accepts_event_stream
from pyinit.http1.tracing import trace_ids
from pyinit.proxy.flow import CONNECTING, PEER_IS_FULL
from pyinit.proxy.handshake import switched_to
from pyinit.proxy.pool import idle_until_s
from pyinit.proxy.tunnel import Tunnel
from pyinit.proxy.websocket import WebSocketTunnel
from pyinit.proxy.wording import random_id

if TYPE_CHECKING:
    from pyinit.http1.body import BodyFramer
    from pyinit.http1.message import RequestHead, ResponseHead
    from pyinit.proxy.downstream import Downstream
    from pyinit.proxy.upstream import Upstream

# RFC 9110 section 9.2.2. PUT and DELETE are idempotent too, and replayed only as they come without a body.
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
# 103 Early Hints and 102 may repeat; an app that sends more than this is broken (RFC 9110 section 15.2).
_INTERIM_MAX = 100
# Small enough to be copied once more rather than written apart: one system call instead of two.
_JOIN_BYTES = 16 * 1024
# The framer of bodies that came whole with their head: there is nothing left for one to do.
_CAME_WHOLE = LengthBody(0)
_CAME_WHOLE.complete = True
# --head-max can be megabytes; a line that fits into a pipe's page goes out whole or not at all.
_TARGET_MAX = 2000


class Exchange:
    """One request with its response.

    Attributes:
        upstream: the app's connection; None while connecting and once it is gone.
        began_s: when the request head was complete.
    """

    __slots__ = (
        "_added_id",
        "_bytes_in",
        "_bytes_out",
        "_closes",
        "_end_at_s",
        "_events",
        "_first",
        "_has_request",
        "_head",
        "_interim_count",
        "_is_over",
        "_is_replay",
        "_request_body",
        "_response",
        "_response_at_s",
        "_response_body",
        "_server",
        "_waiting_since_s",
        "began_s",
        "downstream",
        "upstream",
    )

    def __init__(self, downstream: Downstream, head: RequestHead, now_s: float) -> None:
        self.downstream = downstream
        self.upstream: Upstream | None = None
        self.began_s = self._waiting_since_s = now_s
        self._server = downstream.server
        self._head = head
        self._first: bytes | None = None  # what to send once connected, or again
        self._request_body: BodyFramer | None = None
        self._has_request = False  # the request's last byte has come
        self._response: ResponseHead | None = None
        self._response_at_s: float | None = None
        self._response_body: BodyFramer | None = None
        self._events: EventStream | None = None
        self._end_at_s: float | None = None  # in a drain: when an event stream is to end
        self._closes = False
        self._interim_count = 0
        self._is_replay = False
        self._is_over = False
        self._bytes_in = 0
        self._bytes_out = 0
        self._added_id = b""  # the X-Request-Id that we have given it

    # -- the request -----------------------------------------------------------------------------------------

    def begin(self, rest: bytes) -> None:
        """Send the request on its way.

        Args:
            rest: what was read after the head.

        Raises:
            ProtocolError: a fault in the body's first bytes; nothing has been sent.
        """
        head, downstream, server = self._head, self.downstream, self._server
        if not head.is_chunked and not head.content_length:
            self._has_request = True
            if rest:
                downstream.hold(rest)
                rest = b""
        elif head.content_length == len(rest) and server.config.body_max_bytes is None:
            self._request_body = _CAME_WHOLE
            self._has_request = True
            self._bytes_in = len(rest)
            server.stats.bytes_in += len(rest)
        else:
            framer = self._request_body = request_body(head)
            assert framer is not None  # noqa: S101  or the first case had been it
            rest = self._frame(framer, rest)
        server.stats.requests += 1
        if head.max_forwards == 0:
            self._answer_as_last()
            return
        if server.config.adds_request_id and not head.request_id:
            request_id = random_id()
            message = downstream.forwarder.request(head, [b"X-Request-Id: " + request_id])
            if request_id in message:  # or there was no room for it
                self._added_id = request_id
        else:
            message = downstream.forwarder.request(head)
        if rest:
            message += rest
        upstream = server.pool.take(self.began_s)
        if upstream is not None:
            if self._request_body is None:
                self._first = message  # for a replay, should one be allowed
            self._attach(upstream, message)
        else:
            self._first = message
            if not self._has_request:
                downstream.gate.hold(CONNECTING)
            downstream.hold_unsent(len(message))
            server.connect(self)

    def _frame(self, framer: BodyFramer, data: bytes) -> bytes:
        """The part of what was read that is this request's; what follows is kept for its turn."""
        limit = self.downstream.server.config.body_max_bytes
        if limit is not None and (self._head.content_length or 0) > limit:
            raise ProtocolError("the request body is longer than --body-max", 413)
        end = framer.take(data, 0)
        if limit is not None and isinstance(framer, ChunkedBody) and framer.data_bytes > limit:
            raise ProtocolError("the request body is longer than --body-max", 413)
        self._bytes_in += end
        self.downstream.server.stats.bytes_in += end
        if framer.complete:
            self._has_request = True
            self._waiting_since_s = self.downstream.server.now_s()
            if end < len(data):
                self.downstream.hold(data[end:])
                return data[:end]
        return data

    def client_data(self, data: bytes) -> None:
        """See Relay."""
        downstream = self.downstream
        if self._has_request:
            downstream.hold(data)
            return
        framer = self._request_body
        assert framer is not None  # noqa: S101  or the request would be complete
        try:
            piece = self._frame(framer, data)
        except ProtocolError as fault:
            self._client_broke(fault)
            return
        self._waiting_since_s = downstream.server.now_s()
        if self.upstream is not None:
            self.upstream.transport.write(piece)
            if framer.complete and self._response is not None and self._response_is_complete:
                self._finish()
        elif self._first is not None:
            self._first += piece  # read before the gate closed: one read at most
            downstream.hold_unsent(len(self._first))

    def _client_broke(self, fault: ProtocolError) -> None:
        """A fault in the body: the app must not take what it has for a whole message."""
        self._over()
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None
        if self._response is None:
            self.downstream.refuse(fault, with_body=self._head.method != b"HEAD")
        else:
            self._log("request", reason=fault.reason, status=status_of(fault))
            self.downstream.cut()

    def client_eof(self) -> None:
        """See Relay: after a whole request it is still answered; in the middle of one there is none."""
        if not self._has_request:
            self.client_lost()
            self.downstream.transport.abort()

    def client_lost(self) -> None:
        """See Relay: nobody is there for the answer; the app sees its request aborted."""
        if self._is_over:
            return
        self._over()
        # Whoever has had enough of an event stream gives nothing up: it has no other end.
        self.downstream.server.stats.clients_lost += self._events is None
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None
        self._log("client", status=499)  # nginx's status for a client that left before its answer

    def _answer_as_last(self) -> None:
        """OPTIONS or TRACE with Max-Forwards: 0 (RFC 9110 section 7.6.2)."""
        downstream = self.downstream
        close = not self._head.keep_alive or not self._has_request or downstream.server.is_stopping
        date_line = downstream.server.date_line()
        if self._head.method == b"TRACE":
            answer = replies.trace_reply(self._head, date_line, close=close)
        else:
            answer = replies.options_reply(date_line, close=close)
        downstream.transport.write(answer)
        downstream.server.stats.responses[2] += 1
        self._over()
        if downstream.server.is_stopping:
            self._count_finished()
        if downstream.server.config.access_log:
            self._bytes_out = replies.body_bytes(answer)
            self._access(None, status=200)
        downstream.exchange_ended(downstream.server.now_s(), keep=not close)

    # -- the app's connection --------------------------------------------------------------------------------

    def _attach(self, upstream: Upstream, message: bytes) -> None:
        self.upstream = upstream
        upstream.relay = self
        downstream = self.downstream
        if downstream.is_write_paused:
            upstream.gate.hold(PEER_IS_FULL)
        server = self._server
        if server.gauge.is_full:
            server.hold_where_full(upstream)
        upstream.transport.write(message)

    def connected(self, upstream: Upstream) -> None:
        """See Relay."""
        if self._is_over or self.downstream.relay is not self:
            # The client left meanwhile. A connection without a request yet serves the next one.
            now_s = self.downstream.server.now_s()
            upstream.release(now_s, idle_until_s(None, now_s))
            return
        message, self._first = self._first or b"", None
        self._waiting_since_s = self.downstream.server.now_s()
        self.downstream.hold_unsent(0)
        self._attach(upstream, message)
        self.downstream.gate.release(CONNECTING)

    def connect_failed(self, error: PyinitError) -> None:
        """See Relay."""
        if not self._is_over and self.downstream.relay is self:
            self.downstream.server.stats.upstream_connect_failures += 1
            self._fail(error)

    def app_eof(self) -> None:
        """See Relay: the end of a close-delimited body; of any other, a cut."""
        body = self._response_body
        if isinstance(body, UntilCloseBody):
            body.eof()
            self._finish()
            return
        self.app_lost()

    def app_lost(self) -> None:
        """See Relay."""
        upstream, self.upstream = self.upstream, None
        if self._is_over or upstream is None:
            return
        upstream.abort()
        if self._response_is_complete:
            # The app answered early and left; what the client still sends has no taker.
            self._end(self.downstream.server.now_s(), keep=False)
            return
        is_untouched = self._response is None and not upstream.reader.held_bytes and not self._interim_count
        error = UpstreamClosed(reused=upstream.was_reused, response_bytes=0 if is_untouched else 1)
        if (
            error.reused
            and is_untouched
            and self._first is not None
            and self._head.method in _IDEMPOTENT
            and not self._is_replay
        ):
            self._is_replay = True
            self.downstream.server.stats.replays += 1
            self.downstream.server.connect(self)
            return
        if self.downstream.server.is_stopping:
            # An app that leaves under its requests: whether we or its exit ended them is a race of no interest.
            self._report_cut()
        self._fail(error)

    # -- the response ----------------------------------------------------------------------------------------

    @property
    def _response_is_complete(self) -> bool:
        return self._response is not None and (self._response_body is None or self._response_body.complete)

    def app_data(self, data: bytes) -> None:
        """See Relay."""
        try:
            if self._response is None:
                if not self._is_all(data):
                    self._response_head(data)
            elif self._response_is_complete:
                self._poisoned()
            else:
                self._response_data(data)
        except ProtocolError as fault:
            broken = UpstreamProtocolError(fault.reason)
            broken.__cause__ = fault
            self._fail(broken)

    def _is_all(self, data: bytes) -> bool:
        """Whether this is the whole of a response that asks for nothing special; then it is answered and over.

        Most are: a head, and a body of a length that has come with it, to a whole request. Everything
        else is for ``_response_head``, and so is whatever is not quite like it.
        """
        upstream, downstream, server, request = self.upstream, self.downstream, self._server, self._head
        assert upstream is not None  # noqa: S101  who else sent this
        end = data.find(b"\r\n\r\n")
        block = data[:end]
        head = server.responses.known.get(block)
        if head is None and 0 <= end <= KNOWN_HEAD_BYTES and not upstream.reader.has_begun:
            head = server.responses.parse(block)  # and known from here on, should it not be all
        at = end + 4
        if (
            head is None
            or end < 0
            or (
                head.plain_bytes != len(data) - at and not (head.is_plain_chunked and is_all_chunks(data, at))
            )
            or upstream.reader.has_begun
            or not upstream.is_usable
            or not request.minor
            or request.upgrade is not None
            or not self._has_request
            or (self._request_body is not None and upstream.transport.get_write_buffer_size())
            or request.method == b"HEAD"
            or server.is_stopping
            or server.config.access_log
        ):
            return False
        now_s = server.now_s()
        keep = request.keep_alive
        # First of all: what follows is done while the client reads.
        head_end, body = server.kept_end if keep else forward.CLOSING_END, data[at:]
        if len(body) <= _JOIN_BYTES:
            downstream.transport.write(b"".join((head.wire, head_end, body)))
        else:
            downstream.transport.writelines((head.wire, head_end, body))
        stats = server.stats
        stats.answered_at_once(head.status, now_s - self._waiting_since_s, now_s - self.began_s)
        stats.bytes_out += len(body)
        self._is_over = True
        self.upstream = None
        upstream.release(now_s, idle_until_s(head.keep_alive_s, now_s))
        downstream.exchange_ended(now_s, keep=keep)
        return True

    def _response_head(self, data: bytes) -> None:
        upstream, downstream = self.upstream, self.downstream
        assert upstream is not None  # noqa: S101  who else sent this
        server, request = downstream.server, self._head
        while True:
            taken = upstream.reader.feed(data)
            if taken is None:
                return
            block, data = taken
            head = server.responses.parse(block)
            if head.status >= 200:
                break
            self._first = None  # the app has seen the request: no replay
            if head.status == 101:
                self._switch(head, data)
                return
            self._interim_count += 1
            if self._interim_count > _INTERIM_MAX:
                raise ProtocolError("too many interim responses")
            if request.minor:  # RFC 9110 section 15.2: never to an HTTP/1.0 client
                downstream.transport.write(forward.interim(head))
            if not data:
                return
        self._first = None
        body = response_body(head, request.method)
        if body is None:
            end = 0
        else:
            if head.is_event_stream and request.method == b"GET" and accepts_event_stream(request.lines):
                self._follow_events(body)
            elif not request.minor and isinstance(body, ChunkedBody):
                body.spans = []
            end = body.take(data, 0)  # a fault here is still answered
        self._response = head
        self._response_at_s = server.now_s()
        self._response_body = body
        # Closed after this response: where the client asked for it; where only a close can end the body; where
        # the rest of the request would have no taker; in a drain, unless more requests are here already.
        close = self._closes = (
            not request.keep_alive
            or isinstance(body, UntilCloseBody)
            or (body is not None and not request.minor and head.is_chunked)
            or (not self._has_request and not head.keep_alive)
            or (server.is_stopping and not (self._has_request and downstream.has_more()))
        )
        out = forward.response(
            head,
            close=close,
            client_minor=request.minor,
            date_line=b"" if head.has_date else server.date_line(),
            kept_end=server.kept_end,
        )
        stats = server.stats
        stats.responses[head.status // 100] += 1
        stats.app_was_awaited(server.now_s() - self._waiting_since_s)
        self._send(out, data, end)
        self._after_read(end, len(data))

    def _response_data(self, data: bytes) -> None:
        body = self._response_body
        assert body is not None  # noqa: S101  or the response would be complete
        end = body.take(data, 0)
        self._send(b"", data, end)
        self._after_read(end, len(data))

    def _after_read(self, end: int, read: int) -> None:
        if self._events is not None and self._events.is_ended:
            self._end_stream()
        elif self._response_body is None or self._response_body.complete:
            if end < read:
                self._poisoned()
            if self._has_request:
                self._finish()

    def _send(self, head: bytes, data: bytes, end: int) -> None:
        """Head and body bytes to the client, in as few writes as pay."""
        body = self._response_body
        if self._events is not None:
            data = self._events.pass_on(data, end)
        elif isinstance(body, ChunkedBody) and body.spans is not None:
            data = b"".join([data[start:stop] for start, stop in body.spans])
            body.spans = []
        elif end < len(data):
            data = data[:end]
        downstream = self.downstream
        self._bytes_out += len(data)
        # Here, and not at the exchange's end: what is endless is seen as it runs, and no way out can forget it.
        downstream.server.stats.bytes_out += len(data)
        transport = downstream.transport
        if not head:
            if data:
                transport.write(data)
        elif len(data) <= _JOIN_BYTES:
            transport.write(head + data)
        else:
            transport.writelines([head, data])

    # -- event streams ---------------------------------------------------------------------------------------

    def _follow_events(self, body: BodyFramer) -> None:
        """The response is an event stream: where it can be ended is known from here on."""
        assert isinstance(body, ChunkedBody | UntilCloseBody)  # noqa: S101  what else has no length
        self._events = EventStream(body, is_chunked=bool(self._head.minor) and isinstance(body, ChunkedBody))
        if self._end_at_s is None:
            # One that begins in a drain leaves as those do which the drain has found.
            self._plan_end(self.downstream.server.leave_delay_s())

    def _plan_end(self, delay_s: float) -> None:
        server = self.downstream.server
        if server.event_streams_end_at_s is not None:
            self._end_at_s = max(server.event_streams_end_at_s, server.now_s()) + delay_s

    def leave(self, delay_s: float) -> None:
        """See Relay: an event stream ends between two events; every other exchange is answered to its end."""
        self._plan_end(delay_s)
        self._end_if_due(self.downstream.server.now_s())

    def _end_if_due(self, now_s: float) -> None:
        events = self._events
        if events is None or self._is_over or self._end_at_s is None or now_s < self._end_at_s:
            return
        self._end_at_s = None  # said once; from here on each read may be the last
        if ending := events.leave():
            self.downstream.transport.write(ending)
        if events.is_ended:
            self._end_stream()

    def _end_stream(self) -> None:
        """The client has a whole message; the app sees its connection closed, as by a client that leaves."""
        self._is_over = True
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
        downstream = self.downstream
        downstream.server.outcomes.streams_ended += 1
        downstream.undelivered = self._undelivered
        if downstream.server.config.access_log:
            self._access(None)
        # Where the head went out before the drain, the client may have sent requests behind this one.
        downstream.exchange_ended(
            downstream.server.now_s(), keep=not self._closes and bool(downstream.pending)
        )

    def _poisoned(self) -> None:
        """Bytes after the end of the response: whose they are cannot be known, so nobody gets them."""
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            self.downstream.server.log.warning("upstream.extra_bytes", target=self.log_target)
            upstream.abort()
            if not self._has_request:
                self._end(self.downstream.server.now_s(), keep=False)

    def _switch(self, head: ResponseHead, rest: bytes) -> None:
        """101: what was offered is accepted, and both connections carry bytes from here on."""
        upstream, downstream, request = self.upstream, self.downstream, self._head
        assert upstream is not None  # noqa: S101  who else sent this
        protocol = switched_to(request, head)
        self._is_over = True
        self._response = head
        self._response_at_s = downstream.server.now_s()
        downstream.server.stats.responses[1] += 1
        kind = WebSocketTunnel if protocol == b"websocket" else Tunnel
        tunnel = kind(
            downstream,
            upstream,
            method=request.method.decode(),
            target=self.log_target,
            began_s=self.began_s,
            on_end=self._tunnel_ended if downstream.server.config.access_log else None,
        )
        downstream.relay = upstream.relay = tunnel
        downstream.state = State.TUNNEL
        downstream.transport.write(forward.interim(head))
        if rest:
            tunnel.app_data(rest)
        downstream.start_tunnel(tunnel)

    def _finish(self) -> None:
        """Both messages are complete."""
        now_s = self.downstream.server.now_s()
        upstream, response = self.upstream, self._response
        assert response is not None  # noqa: S101  complete means it came
        if upstream is not None:
            self.upstream = None
            if (
                response.keep_alive
                and upstream.is_usable
                # Node stops reading HTTP from a connection once its app has been given the upgrade, declined or not:
                # the next request would reach the app's upgrade handler as bytes.
                and self._head.upgrade is None
                # An app that answers early may never read the rest, and the next request would wait behind it.
                and (self._request_body is None or not upstream.transport.get_write_buffer_size())
                and not isinstance(self._response_body, UntilCloseBody)
            ):
                upstream.release(now_s, idle_until_s(response.keep_alive_s, now_s))
            else:
                upstream.relay = None
                upstream.close()
        self._end(now_s, keep=not self._closes)

    def _end(self, now_s: float, *, keep: bool) -> None:
        self._is_over = True
        downstream = self.downstream
        server = downstream.server
        if self._events is None:  # whose length says how long its client stayed
            server.stats.exchange_ended(now_s - self.began_s)
        if server.is_stopping:
            self._count_finished()
        if server.config.access_log:
            self._access(None)
        downstream.exchange_ended(now_s, keep=keep)

    # -- failure ---------------------------------------------------------------------------------------------

    def _over(self) -> None:
        """It ends by other ways than _end: what it took until then counts as well."""
        self._is_over = True
        server = self.downstream.server
        now_s = server.now_s()
        if self._events is None:
            server.stats.exchange_ended(now_s - self.began_s)
        if self._response is None and self._has_request and self.upstream is not None:
            # Or an app that hangs, and whose clients give up, would look quick.
            server.stats.app_was_awaited(now_s - self._waiting_since_s)

    def _fail(self, error: PyinitError) -> None:
        """The app's side has failed, or we end it: an answer where none has begun, else a cut."""
        if self._is_over:
            return
        self._over()
        downstream = self.downstream
        if isinstance(error, UpstreamError):
            downstream.server.stats.upstream_failures += 1
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
        source = "upstream" if isinstance(error, UpstreamError) else "stop"
        if self._response is not None:
            self._log(source, reason=str(error))
            if isinstance(self._response_body, UntilCloseBody) or not self._head.minor:
                downstream.cut()  # here a FIN would be a proper end, so only a reset can tell
            else:
                downstream.close_gracefully()  # short of its length or its last chunk: all that came is delivered
            return
        status = status_of(error)
        self._bytes_out = downstream.reply(status, str(error), with_body=self._head.method != b"HEAD")
        self._log(source, reason=str(error), status=status)

    def refused(self, fault: ProtocolError, reply_bytes: int) -> None:
        """The client's connection has answered this request with its fault, in so many bytes of body."""
        self._is_over = True
        if self.downstream.server.config.access_log:
            self._bytes_out = reply_bytes
            self._access("request", reason=fault.reason, status=status_of(fault))

    def broke(self) -> None:
        """See Relay."""
        if not self._is_over:
            self._is_over = True
            if self.downstream.server.config.access_log:
                self._access("pyinit")

    def cut(self, error: PyinitError) -> None:
        """See Relay."""
        if self._is_over:
            return
        self._report_cut()
        self.downstream.undelivered = None  # an earlier answer's, and told of once
        self._fail(error)

    def _count_finished(self) -> None:
        """In a stop: answered to its end, as far as we can tell by now."""
        self.downstream.server.outcomes.exchanges_finished += 1
        self.downstream.undelivered = self._undelivered

    def _undelivered(self) -> None:
        """The client had not taken the whole answer when we ended."""
        outcomes = self.downstream.server.outcomes
        if self._events is not None and self._events.is_ended:
            outcomes.streams_ended -= 1
        else:
            outcomes.exchanges_finished -= 1
        self._report_cut()

    def _report_cut(self) -> None:
        self.downstream.server.outcomes.add_cut(self.as_in_flight())

    @property
    def kind(self) -> Kind:
        """See Relay."""
        return Kind.EXCHANGE if self._events is None else Kind.STREAM

    def as_in_flight(self) -> InFlight:
        """See Relay."""
        downstream = self.downstream
        age_s = round(downstream.server.now_s() - self.began_s, 3)
        return InFlight(self._head.method.decode(), self.log_target, age_s, downstream.peer, self.kind)

    def check(self, now_s: float) -> None:
        """See Relay."""
        config = self.downstream.server.config
        if self._end_at_s is not None:
            self._end_if_due(now_s)
        if self._is_over:
            return
        if not self._has_request:
            if self.downstream.gate.reasons:
                self._waiting_since_s = now_s  # it is us who do not read: what we wait for may well be there
            elif now_s - self._waiting_since_s > config.body_timeout_s:
                self._client_broke(ProtocolError("the request body stopped for --body-timeout", 408))
        elif (
            config.response_timeout_s is not None
            and self._response is None
            and self.upstream is not None
            and now_s - self._waiting_since_s > config.response_timeout_s
        ):
            self._fail(UpstreamTimeout("the app did not answer within --response-timeout"))

    # -- log -------------------------------------------------------------------------------------------------

    @property
    def log_target(self) -> str:
        """The target as it may be logged: without its query unless asked for."""
        target = self._head.target
        if not self.downstream.server.config.logs_query:
            target = target.partition(b"?")[0]
        return loggable(target)

    def _log(self, source: str, *, reason: str = "", status: int | None = None) -> None:
        """What is said of a request that failed.

        Args:
            source: whose failure it was: client, request, upstream or stop.
            reason: in words.
            status: where no response of the app's had begun.
        """
        downstream, head = self.downstream, self._head
        server = downstream.server
        if source == "upstream":
            server.log.warning(
                "request.failed",
                method=head.method.decode(),
                target=self.log_target,
                status=self._response.status if self._response else status,
                duration_s=round(server.now_s() - self.began_s, 6),
                bytes_in=self._bytes_in,
                bytes_out=self._bytes_out,
                peer=downstream.peer,
                **trace_ids(head, self._added_id),
                failed=source,
                reason=reason,
            )
        if server.config.access_log or source in ("request", "stop"):
            self._access(source, reason=reason, status=status)

    def _access(self, failed: str | None, *, reason: str = "", status: int | None = None) -> None:
        """The request's one line: ``request.finished``. The arguments are _log's; ``failed`` also pyinit, or None."""
        downstream, head = self.downstream, self._head
        server = downstream.server
        more = trace_ids(head, self._added_id)
        if failed is not None:
            more["failed"] = failed
            if reason:
                more["reason"] = reason
        response_at_s = self._response_at_s
        server.log.access(
            method=head.method.decode(),
            target=self.log_target,
            status=status if self._response is None else self._response.status,
            duration_s=server.now_s() - self.began_s,
            upstream_s=None if response_at_s is None else response_at_s - self.began_s,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            peer=downstream.peer,
            client=downstream.forwarder.client(head) or downstream.peer,
            **more,
        )

    def _tunnel_ended(self, tunnel: Tunnel, failed: str | None, reason: str) -> None:
        """What began as this request is over."""
        self._bytes_in, self._bytes_out = tunnel.bytes_in, tunnel.bytes_out
        self._access(failed, reason=reason)

    def __repr__(self) -> str:
        return f"Exchange({self._head!r}, has_request={self._has_request}, response={self._response!r})"


def loggable(target: bytes) -> str:
    """A target, or what stands in its place, as text of bounded length."""
    if len(target) > _TARGET_MAX:
        target = target[:_TARGET_MAX] + b"..."
    return target.decode("latin-1")


def status_of(error: PyinitError) -> int:
    """The one place where an error becomes a status."""
    if isinstance(error, ProtocolError):
        return error.status_hint
    if isinstance(error, UpstreamError | DrainAborted):
        return error.status
    return 502

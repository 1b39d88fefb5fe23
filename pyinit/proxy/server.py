"""One proxy: its listeners, connections, pool and counters, and what a drain can ask of it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING

from pyinit.drain.outcomes import Outcomes
from pyinit.drain.tracker import Tracker
from pyinit.errors import PyinitError, UpstreamConnectError, UpstreamTimeout
from pyinit.http1.forward import kept_end
from pyinit.http1.probes import is_health_probe
from pyinit.http1.request import RequestParser
from pyinit.http1.response import ResponseParser
from pyinit.proxy.accepted import attach
from pyinit.proxy.downstream import Downstream
from pyinit.proxy.flow import MEMORY, MemoryGauge
from pyinit.proxy.identity import identify
from pyinit.proxy.listener import Listener
from pyinit.proxy.pool import Pool
from pyinit.proxy.stats import Stats
from pyinit.proxy.upstream import Upstream
from pyinit.proxy.wording import http_date

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from pyinit.errors import DrainAborted
    from pyinit.http1.forward import Forwarder
    from pyinit.http1.message import RequestHead
    from pyinit.http1.proxy_protocol import ProxyHeader
    from pyinit.log import ProxyLog
    from pyinit.proxy.config import ProxyConfig
    from pyinit.proxy.identity import Known
    from pyinit.proxy.relay import Relay

# design 5: 64 KiB each way per connection: what one read can bring, and so what one direction can hold.
READ_BYTES = 64 * 1024
# One look at all connections replaces a timer for each. Slower than any limit needs while serving (an idle
# machine ought not to wake up), quicker in a drain, which is waited for.
_SWEEP_S = 1.0
_SWEEP_STOPPING_S = 0.1
# A limit is reached anew with every connection that comes and goes at it.
_SAY_AGAIN_S = 10.0


class ProxyServer:
    """A reverse proxy in front of one app, on the running loop.

    Args:
        config: limits and addresses.
        log: for events.
        on_quiet: called when listeners and client connections are gone, once stop_accepting was asked for.
        on_new_connection: called for each client that sends its first request head.
        on_unreachable: called for each connection to the app that could not be made.
    """

    def __init__(
        self,
        config: ProxyConfig,
        log: ProxyLog,
        *,
        on_quiet: Callable[[], None],
        on_new_connection: Callable[[], None] | None = None,
        on_unreachable: Callable[[], None] | None = None,
    ) -> None:
        self.config = config
        self.log = log
        self.stats = Stats()
        self.outcomes = Outcomes()
        self.requests = RequestParser(config.fields_max)
        self.kept_end = kept_end(config.idle_timeout_s)
        self.responses = ResponseParser()
        self.pool: Pool[Upstream] = Pool(is_fifo=config.pool_is_fifo)
        self.connections: Tracker[Downstream] = Tracker(self._check_quiet)
        self.upstreams: set[Upstream] = set()
        self.preamble = _preamble() if config.reads_proxy_header else None
        self.gauge = MemoryGauge(config.buffer_memory_bytes, self._memory_changed)
        # All connections read into this one: a loop has one thread, and each read is copied out before the next.
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.listeners: list[Listener] = []
        self.is_stopping = False
        self.not_ready: str | None = "starting"
        self.idle_close_at_s: float | None = None
        self.are_streams_leaving = False
        self.event_streams_end_at_s: float | None = None  # each its delay later
        # Not the loop's: uvloop's has milliseconds, and those of the turn's beginning.
        self.now_s = time.monotonic
        self._on_quiet = on_quiet
        self._on_new_connection = on_new_connection
        self._on_unreachable = on_unreachable
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: dict[Downstream | Upstream, int] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._is_accepting = True
        self._is_quiet = False
        self._is_paused = False
        self._is_aborted = False
        self._attaching_count = 0
        self._identities: Known = {}
        self._said: dict[str, tuple[float | None, int]] = {}  # what -> when last, and how often not since
        self._date_second = 0
        self._date_line = b""
        self._host_at = 0  # which of the upstream's hosts answered last

    # -- life ------------------------------------------------------------------------------------------------

    def listen(self, sockets: list[tuple[socket.socket, bool]], *, is_shared: bool = False) -> None:
        """Begin to accept.

        Args:
            sockets: bound ones, each with whether it is a ``tcp:`` address.
            is_shared: see Listener.
        """
        for sock, is_raw in sockets:
            listener = Listener(
                sock, is_raw=is_raw, on_accept=self._accepted, log=self.log, is_shared=is_shared
            )
            self.listeners.append(listener)
            listener.start()

    def announce_stop(self) -> None:
        """From here on every response closes its connection."""
        self.is_stopping = True
        self._sweep_soon()

    def stop_accepting(self, limit_s: float) -> None:
        """Stop the listeners without a reset; ``on_quiet`` follows when they and all connections are gone."""
        # Now, as a client that is asked to leave next may be back before the task's first turn.
        for listener in self.listeners:
            listener.refuse()
        self._task(self._stop_listeners(limit_s))

    async def _stop_listeners(self, limit_s: float) -> None:
        try:
            await asyncio.gather(*(listener.stop(limit_s) for listener in self.listeners))
        finally:
            self.listeners.clear()
            self._is_accepting = False
            self._loop.call_soon(self._check_quiet)

    def close_idle(self) -> None:
        """Idle connections go after ``idle_grace_s``, in which each may send a last request."""
        self.idle_close_at_s = self.now_s() + self.config.idle_grace_s
        self._sweep()

    def close_streams(self) -> None:
        """Streams and tunnels are asked to leave, and from here on those that only begin now."""
        self.are_streams_leaving = True
        if self.config.stream_grace_s is not None:
            self.event_streams_end_at_s = self.now_s() + self.config.stream_grace_s
        for downstream in self.connections:
            try:
                if downstream.relay is not None:
                    downstream.relay.leave(self.leave_delay_s())
            except Exception:  # noqa: BLE001  the others must be asked all the same
                self.callback_failed(downstream, "server.close_streams")

    def leave_delay_s(self) -> float:
        """How long one of them waits: any part of ``close_spread_s``, or all their clients come back at once."""
        return self.config.close_spread_s * int.from_bytes(os.urandom(4)) / (1 << 32)

    def cut(self, error: DrainAborted) -> None:
        """End whatever is left."""
        for downstream in self.connections:
            try:
                downstream.expire(error)
            except Exception:  # noqa: BLE001  the others must be ended all the same
                self.callback_failed(downstream, "server.cut")

    def close_pool(self) -> None:
        """Close our idle connections to the app, and those that become idle."""
        self.pool.close()

    def abort(self) -> None:
        """Close everything at once; the end."""
        self._is_aborted = True
        for task in self._tasks:
            task.cancel()
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()
        for downstream in self.connections:
            downstream.give_up()
        for upstream in tuple(self.upstreams):
            upstream.abort()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    def _check_quiet(self) -> None:
        if self._is_accepting or self.connections or self._attaching_count or self._is_quiet:
            return
        self._is_quiet = True
        self._on_quiet()

    # -- connections -----------------------------------------------------------------------------------------

    def _accepted(self, sock: socket.socket, is_raw: bool) -> None:  # noqa: FBT001  a callback's arguments
        made: list[Downstream] = []

        def make() -> Downstream:
            made.append(Downstream(self, sock, is_raw=is_raw))
            return made[0]

        self._attaching_count += 1
        attach(self._loop.connect_accepted_socket(make, sock), sock, partial(self._attached, made))
        if self._is_at_limit():
            if not self._is_paused:
                self.warn_rarely("listener.at_limit", max_connections=self.config.max_connections)
            self._is_paused = True
            for listener in self.listeners:
                listener.pause()

    def _attached(self, made: list[Downstream], problem: Exception | None) -> None:
        # One that has entered counts as a connection from then on: twice, and a limit is reached at half of it.
        if not made or not made[0].has_entered:
            self._attaching_count -= 1
        if isinstance(problem, OSError):
            self.log.debug("connection.lost_at_accept", reason=str(problem))
        elif problem is not None:
            self._failed("connect_accepted_socket", problem)
        elif self._is_aborted:
            made[0].give_up()  # accepted in that very turn
        if self._is_paused:
            self._resume_accepting()
        if not self._is_accepting:
            self._check_quiet()

    def _is_at_limit(self) -> bool:
        return len(self.connections) + self._attaching_count >= self.config.max_connections

    def _resume_accepting(self) -> None:
        if self._is_paused and not self._is_at_limit():
            self._is_paused = False
            for listener in self.listeners:
                listener.resume()

    def entered(self, downstream: Downstream) -> None:
        """A client connection has begun."""
        self.stats.connections += 1
        downstream.has_entered = True
        self._attaching_count -= 1
        self.connections.enter(downstream)
        if self._sweep_timer is None:
            self._sweep_soon()

    def left(self, downstream: Downstream) -> None:
        """It is gone."""
        self.connections.leave(downstream)
        self._resume_accepting()

    def first_request(self, head: RequestHead | None) -> None:
        """A connection accepted while we are stopping has sent its first request; None: bytes of its own."""
        if self._on_new_connection is not None and (head is None or not is_health_probe(head)):
            self._on_new_connection()

    def identify(
        self, transport: asyncio.Transport, header: ProxyHeader | None = None
    ) -> tuple[str, Forwarder] | None:
        """See identity.identify."""
        return identify(self.config, self._identities, transport, header)

    # -- the app ---------------------------------------------------------------------------------------------

    def connect(self, relay: Relay) -> None:
        """Connect to the app for a relay, which hears of it by connected or connect_failed."""
        self._task(self._connect(relay))

    async def _connect(self, relay: Relay) -> None:
        error: PyinitError
        try:
            await asyncio.wait_for(self._open_upstream(relay), self.config.connect_timeout_s)
        except TimeoutError:
            error = UpstreamTimeout("no connection to the app within --connect-timeout")
        except OSError as problem:
            error = UpstreamConnectError(f"no connection to the app: {_reason(problem)}")
        except Exception:  # noqa: BLE001  one connection's fault must not be the process's
            self.callback_failed(relay, "server.connect")
            return
        else:
            return
        try:
            if self._on_unreachable is not None:
                self._on_unreachable()
            relay.connect_failed(error)
        except Exception:  # noqa: BLE001  the same
            self.callback_failed(relay, "server.connect")

    async def _open_upstream(self, relay: Relay) -> None:
        address = self.config.upstream
        if address.path:
            await self._loop.create_unix_connection(lambda: Upstream(self, relay), address.path)
            return
        for turn in range(len(address.hosts)):
            at = (self._host_at + turn) % len(address.hosts)
            try:
                await self._loop.create_connection(
                    lambda: Upstream(self, relay), address.hosts[at], address.port
                )
            except OSError:
                if turn == len(address.hosts) - 1:
                    raise
                continue
            self._host_at = at
            return

    # -- memory ----------------------------------------------------------------------------------------------

    def writes_paused(self, end: Downstream | Upstream) -> None:
        """A peer does not read: what is left of a write is held."""
        held = end.transport.get_write_buffer_size()
        self._held[end] = held
        self.gauge.add(held)
        if isinstance(end, Upstream):
            end.gate.release(MEMORY)  # see hold_where_full

    def writes_resumed(self, end: Downstream | Upstream) -> None:
        """It has read, or is gone."""
        self.gauge.add(-self._held.pop(end, 0))

    def _memory_changed(self, is_full: bool) -> None:  # noqa: FBT001  a callback's argument
        if is_full:
            self.warn_rarely("memory.full", limit_bytes=self.config.buffer_memory_bytes)
        for downstream in self.connections:
            if is_full:
                downstream.gate.hold(MEMORY)
            else:
                downstream.gate.release(MEMORY)
        for upstream in tuple(self.upstreams):
            if is_full:
                self.hold_where_full(upstream)
            else:
                upstream.gate.release(MEMORY)

    @property
    def held_ends(self) -> Collection[Downstream | Upstream]:
        """Connections whose peer does not read: what it has not taken is held."""
        return self._held.keys()

    def hold_where_full(self, upstream: Upstream) -> None:
        """Stop reading the app while the memory is used up, but not where only reading it can free some.

        A request that is held back for its turn waits for the response before it; and an app that does not
        take a request's body may first want its response taken. Both for ever, were the app not read.
        """
        if not self.gauge.is_full:
            return
        is_waited_for = upstream in self._held or (
            upstream.relay is not None and bool(upstream.relay.downstream.pending)
        )
        if is_waited_for or upstream.relay is None:  # an idle one says nothing but its end
            upstream.gate.release(MEMORY)
        else:
            upstream.gate.hold(MEMORY)

    # -- time ------------------------------------------------------------------------------------------------

    def date_line(self) -> bytes:
        """``Date: ...`` of this second."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second = second
            self._date_line = b"Date: " + http_date(second)
        return self._date_line

    def _sweep_soon(self) -> None:
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._sweep_timer = self._loop.call_later(
            _SWEEP_STOPPING_S if self.is_stopping else _SWEEP_S, self._sweep
        )

    def _sweep(self) -> None:
        """Look at every connection; goes on while there is one."""
        now_s = self.now_s()
        self.pool.expire(now_s)
        for downstream in self.connections:
            try:
                downstream.check(now_s)
            except Exception:  # noqa: BLE001  one connection's fault must not be the process's
                self.callback_failed(downstream, "downstream.check")
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        if self.connections or self.upstreams:
            self._sweep_soon()

    # -- faults ----------------------------------------------------------------------------------------------

    def warn_rarely(self, event: str, **fields: object) -> None:
        """Say what every request can bring about under load: each _SAY_AGAIN_S, with how often it was not said."""
        unsaid = self._unsaid(event)
        if unsaid is not None:
            self.log.warning(event, unsaid=unsaid, **fields)

    def log_refusal(self, *, peer: str, status: int, reason: str) -> None:
        """A request that broke a rule. Strangers can send any number: each rule is said as rarely as above.

        All of them are there at debug; ``reason`` is one of ours, so that the rules are few.
        """
        unsaid = self._unsaid(f"request.refused {reason}")
        if unsaid is None:
            self.log.debug("request.refused", peer=peer, status=status, reason=reason)
        else:
            self.log.info("request.refused", peer=peer, status=status, reason=reason, unsaid=unsaid)

    def _unsaid(self, what: str) -> int | None:
        """How often it was not said since it was; None where it is too soon to say it again."""
        now_s = self.now_s()
        said_s, unsaid = self._said.get(what, (None, 0))
        if said_s is not None and now_s - said_s < _SAY_AGAIN_S:
            self._said[what] = (said_s, unsaid + 1)
            return None
        self._said[what] = (now_s, 0)
        return unsaid

    def callback_failed(self, owner: Downstream | Relay, where: str) -> None:
        """An exception of ours: log it, count it, end that one connection. Never raises."""
        self.stats.callback_faults += 1
        self.log.error("callback.failed", where=where, traceback=traceback.format_exc())
        try:
            downstream = owner if isinstance(owner, Downstream) else owner.downstream
            relay = downstream.relay if isinstance(owner, Downstream) else owner
            try:
                if relay is not None:
                    if relay.upstream is not None:
                        relay.upstream.abort()
                    relay.broke()
            finally:
                downstream.cut()
        except Exception:  # noqa: BLE001  see above
            self.log.error("callback.failed", where="callback_failed", traceback=traceback.format_exc())  # noqa: TRY400  an EventLog

    def _task(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._failed(repr(task.get_coro()), problem)
        self._check_quiet()

    def _failed(self, where: str, problem: BaseException) -> None:
        self.stats.callback_faults += 1
        text = "".join(traceback.format_exception(problem))
        self.log.error("callback.failed", where=where, traceback=text)

    def __repr__(self) -> str:
        return f"ProxyServer({self.connections!r}, {self.pool!r}, stopping={self.is_stopping})"


def _preamble() -> Callable[[Downstream], Relay]:
    from pyinit.proxy.preamble import Preamble  # noqa: PLC0415  2 ms at the start that few have a use for

    return Preamble


def _reason(problem: OSError) -> str:
    """Why a connect failed, without the address: the text goes to clients.

    A name that resolves to nothing has a number of its own kind (gai_strerror(3)), and several addresses that
    fail together have none.
    """
    if isinstance(problem, socket.gaierror):
        return problem.strerror or "its name has no address"
    return os.strerror(problem.errno) if problem.errno else "none of its addresses answers"

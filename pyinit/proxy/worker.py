"""A worker's side of the fleet: carries out what PID 1 orders, and tells what PID 1 has to know."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, assert_never

from pyinit.errors import DrainAborted
from pyinit.proxy import ipc
from pyinit.proxy.server import ProxyServer
from pyinit.proxy.steering import Single

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.log import ProxyLog
    from pyinit.proxy.config import ProxyConfig

# Newcomers of a lame duck come by the thousand; whoever counts seconds since the last one need not hear of each.
_OPENED_EVERY_S = 0.1
_REPORT_EVERY_S = 0.5
# An app that is not there fails every request; whoever looks into it takes seconds.
_UNREACHABLE_EVERY_S = 1.0


class Worker:
    """A proxy on the running loop, steered over a link.

    Args:
        configure: the message that made it.
        config: from that message, with the networks that its texts stand for.
        send: says something to PID 1.
        on_end: called when everything is closed, and the last report sent.
        dropped_count: how many lines of the log nobody took.
        log: for events.
    """

    def __init__(
        self,
        configure: ipc.Configure,
        config: ProxyConfig,
        *,
        send: Callable[[ipc.Notice], None],
        on_end: Callable[[], None],
        dropped_count: Callable[[], int],
        log: ProxyLog,
    ) -> None:
        server = ProxyServer(
            config,
            log,
            on_quiet=self._quiet,
            on_new_connection=self._connection_opened,
            on_unreachable=self._app_unreachable,
        )
        sockets = [(socket.socket(fileno=fd), is_raw) for fd, is_raw in configure.listeners]
        self._single = Single(server, sockets, is_shared=True)
        self._send = send
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._said_opened_s = 0.0
        self._said_unreachable_s: float | None = None
        self._unreachable_due: asyncio.TimerHandle | None = None
        self._said_quiet = False
        self._next_report: asyncio.TimerHandle | None = None
        self._pool_closing: asyncio.Task[None] | None = None
        self._on_end = on_end
        self._dropped_count = dropped_count

        self._report(0)  # the first word: we are there

    def take(self, message: ipc.Message) -> None:
        """Carry out an order."""
        single = self._single
        match message:
            case ipc.Listen():
                single.listen()
            case ipc.Readiness():
                single.set_readiness(message.not_ready)
            case ipc.AnnounceStop():
                single.announce_stop()
                self._report_often()
            case ipc.StopAccepting():
                single.stop_accepting(message.limit_s)
            case ipc.CloseIdle():
                single.close_idle()
            case ipc.CloseStreams():
                single.close_streams()
            case ipc.Cut():
                single.cut(DrainAborted(message.reason, message.status))
            case ipc.ClosePool():
                single.close_pool()
                self._pool_closing = self._loop.create_task(self._tell_upstreams_gone())
            case ipc.Ask():
                self._report(message.number)
            case ipc.SetLogLevel():
                self._log.set_level(message.level)
            case ipc.Abort():
                self.abort()
            case (
                ipc.Configure()
                | ipc.Quiet()
                | ipc.ConnectionOpened()
                | ipc.AppUnreachable()
                | ipc.UpstreamsGone()
                | ipc.Report()
            ):
                self._log.error("worker.bad_order", kind=type(message).__name__)
            case _:
                assert_never(message)

    def _report_often(self) -> None:
        """In a stop PID 1 is told without being asked: what we have in flight is cut where we end before our time."""
        if not self._said_quiet:
            self._report(0)
            self._next_report = self._loop.call_later(_REPORT_EVERY_S, self._report_often)

    def abort(self) -> None:
        """Close everything; the end."""
        if self._next_report is not None:
            self._next_report.cancel()
        self._single.server.abort()
        self._report(0)
        if self._pool_closing is not None:
            self._pool_closing.cancel()
        self._on_end()

    def count_fault(self) -> None:
        """A callback outside any connection has failed."""
        self._single.count_fault()

    async def _tell_upstreams_gone(self) -> None:
        await self._single.upstreams_gone()
        self._send(ipc.UpstreamsGone())

    def _quiet(self) -> None:
        if not self._said_quiet:  # the server says so at every chance
            self._said_quiet = True
            self._report(0)
            self._send(ipc.Quiet())

    def _connection_opened(self) -> None:
        now_s = self._loop.time()
        if now_s - self._said_opened_s >= _OPENED_EVERY_S:
            self._said_opened_s = now_s
            self._send(ipc.ConnectionOpened())

    def _app_unreachable(self) -> None:
        """Said once a second; what comes sooner is said at its end, as it may be the last that finds nobody."""
        if self._unreachable_due is not None:
            return
        now_s = self._loop.time()
        last_s = self._said_unreachable_s
        wait_s = 0.0 if last_s is None else last_s + _UNREACHABLE_EVERY_S - now_s
        if wait_s > 0:
            self._unreachable_due = self._loop.call_later(wait_s, self._say_unreachable)
        else:
            self._say_unreachable()

    def _say_unreachable(self) -> None:
        self._unreachable_due = None
        self._said_unreachable_s = self._loop.time()
        self._send(ipc.AppUnreachable())

    def _report(self, number: int) -> None:
        now = self._single.snapshot()
        now.stats.log_lines_dropped = self._dropped_count()
        self._send(
            ipc.Report(number, now.census, now.stats, now.outcomes, now.levels, now.in_flight, now.oldest)
        )

    def __repr__(self) -> str:
        return f"Worker({self._single!r})"

"""A worker process: what is built in it, and that it lives no longer than PID 1 (``--workers``).

Started by assembly through init.spawn, in a process group of its own and with every signal blocked, so that neither
Ctrl-C nor a signal to anybody's group ends it before its connections are. PID 1 alone does, over the link, whose
end is PID 1's too; should the loop not get to see it, the kernel's SIGKILL ends us.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import uvloop

from pyinit import collector, logsetup, values
from pyinit.init import prctl, signals
from pyinit.log import Sink
from pyinit.logbatch import BatchSink
from pyinit.proxy import ipc
from pyinit.proxy.link import Link
from pyinit.proxy.worker import Worker

if TYPE_CHECKING:
    from pyinit.log import EventLog

# For the last report: PID 1 waits for it no longer.
_FLUSH_S = 0.2


def main(argv: list[str]) -> None:
    """Run until PID 1 says so, or is gone; does not return.

    Args:
        argv: the descriptor of our end of the link, after the program's name.
    """
    prctl.set_parent_death_signal(signals.SIGKILL)
    sink = Sink(2)
    code = 1
    try:
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        batches = BatchSink(2, loop.call_soon)
        try:
            loop.run_until_complete(_run(socket.socket(fileno=int(argv[1])), batches))
        finally:
            batches.flush()
            batches.tell_dropped()
        code = 0
    except Exception as problem:  # noqa: BLE001  before there is a log: one line, as for any start that failed
        sink.write(f"pyinit: a worker failed: {problem!r}\n".encode("utf-8", "backslashreplace"))
    finally:
        # Nothing here is left to be tidied up, and PID 1 may be waiting for our end.
        os._exit(code)


async def _run(sock: socket.socket, sink: BatchSink) -> None:
    process = _Process(sock, sink)
    await process.done
    # Before the link's end: PID 1 takes that for ours, and its own end kills whoever is still writing.
    sink.flush()
    sink.tell_dropped()
    await process.link.flushed(_FLUSH_S)
    process.link.close()


class _Process:
    """The link, and the worker once it has been configured."""

    def __init__(self, sock: socket.socket, sink: BatchSink) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._callback_failed)
        self._sink = sink
        self._log: EventLog | None = None
        self._worker: Worker | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.link = Link(sock, on_message=self._take, on_end=self._link_ended)

    def _take(self, message: ipc.Message) -> None:
        if self._worker is None:
            try:
                self._configure(message)
            except Exception as problem:  # noqa: BLE001  reported by main; PID 1 starts another
                self._finish(problem)
            return
        try:
            self._worker.take(message)
        except Exception:  # noqa: BLE001  the rest of the orders are carried out all the same
            self._worker.count_fault()
            self._say_failed(type(message).__name__, traceback.format_exc())

    def _configure(self, message: ipc.Message) -> None:
        if not isinstance(message, ipc.Configure):
            raise TypeError(f"{type(message).__name__} before Configure")
        log = logsetup.configure(message.log_format, message.log_level, self._sink, worker=message.worker)
        networks = tuple(values.Network(text) for text in message.trusted)
        config = replace(message.proxy, trusted=networks)
        self._log = log
        self._worker = Worker(
            message,
            config,
            send=self.link.send,
            on_end=self._finish,
            dropped_count=lambda: self._sink.dropped_count,
            log=log,
        )
        # What start-up made stays to the end; the collector need not walk it again and again.
        gc.collect()
        collector.settle()

    def _link_ended(self, reason: str) -> None:
        if self._log is not None:
            self._log.debug("worker.link_ended", reason=reason)
        self._finish(None)

    def _finish(self, problem: Exception | None = None) -> None:
        if self.done.done():
            return
        if problem is not None:
            self.done.set_exception(problem)
        else:
            self.done.set_result(None)

    def _callback_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Whatever a callback of the loop let through: logged, and the loop goes on."""
        problem = context.get("exception")
        trace = "".join(traceback.format_exception(problem)) if isinstance(problem, BaseException) else ""
        if self._worker is not None:
            self._worker.count_fault()
        self._say_failed(str(context.get("message")), trace)

    def _say_failed(self, where: str, trace: str) -> None:
        if self._log is not None:
            self._log.error("callback.failed", where=where, traceback=trace)

    def __repr__(self) -> str:
        return f"_Process({self._worker!r}, {self.link!r})"

"""Writing lines to stderr and stdout without ever blocking, and without touching the child's descriptors.

O_NONBLOCK lives on the open file description, which descriptors 0 to 2 share with the child: setting it there
would make the child's writes fail with EAGAIN. So a pipe or a terminal is opened anew through /proc, which
gives a description of our own; a socket is written with MSG_DONTWAIT; a regular file never blocks. Where the
reopening is refused (another user's pipe), a poll before a write of at most PIPE_BUF bytes does nearly as
well. What does not fit is dropped and counted: a blocked log must not block PID 1.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class StepLog(Protocol):
        """What init mode's loop is given: sentences, by level, as tini has them."""

        name: str

        def fatal(self, text: str) -> None: ...  # noqa: D102
        def warning(self, text: str) -> None: ...  # noqa: D102
        def info(self, text: str) -> None: ...  # noqa: D102
        def debug(self, text: str) -> None: ...  # noqa: D102
        def trace(self, text: str) -> None: ...  # noqa: D102

    class EventLog(Protocol):
        """What code that has something to say is given: an event, ``noun.verb`` in the past, and its fields."""

        def debug(self, event: str, **fields: object) -> None: ...  # noqa: D102
        def info(self, event: str, **fields: object) -> None: ...  # noqa: D102
        def warning(self, event: str, **fields: object) -> None: ...  # noqa: D102
        def error(self, event: str, **fields: object) -> None: ...  # noqa: D102

    class ProxyLog(EventLog, Protocol):
        """What a proxy is given: it has a line for each request as well."""

        def access(
            self,
            *,
            method: str,
            target: str,
            status: int | None,
            duration_s: float,
            upstream_s: float | None,
            bytes_in: int,
            bytes_out: int,
            peer: str,
            client: str,
            **more: str,
        ) -> None:
            """``request.finished``: one request, however it ended.

            Args:
                method: of the request; empty where its head was refused.
                target: as it may be logged.
                status: of the response; None where there was none.
                duration_s: from the whole request head to the end.
                upstream_s: from there to the head of the app's response; None where none came.
                bytes_in: of the request's body.
                bytes_out: of the response's body.
                peer: the connection's other end.
                client: the address the app is told.
                more: trace and request ids; ``failed`` and ``reason``.
            """

        def set_level(self, level: str) -> None: ...  # noqa: D102


# A line takes its writer microseconds; one that was stopped in the middle of it is not waited for.
_TRIES_MAX = 100
PIPE_BUF = 4096  # pipe(7): a write of so much is all or nothing; POLLOUT on a pipe promises room for it


def printable(text: str) -> str:
    r"""Text as a terminal may be given it: what would steer one, or cannot be seen, as ``\x1b`` and the like."""
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)


class Sink:
    """Lines to one descriptor; never waits.

    Attributes:
        dropped_count: lines that did not fit, or could not be written at all.
        on_flow: called with how many were dropped since it last was, once a line has gone out again.
    """

    __slots__ = (
        "_fd",
        "_own_fd",
        "_rest",
        "_socket",
        "_told_count",
        "_wants_poll",
        "dropped_count",
        "on_flow",
    )

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._own_fd = -1
        self._socket: object = None
        self._wants_poll = False
        self._rest = b""
        self._told_count = 0
        self.dropped_count = 0
        self.on_flow: Callable[[int], None] | None = None

    def write(self, lines: bytes, count: int = 1) -> None:
        """Write a line (with its newline), or several, or drop them whole.

        A pipe can take half of a line longer than PIPE_BUF; the rest then goes first next time, so that no
        other line lands inside it.
        """
        if not self._put(lines):
            self.dropped_count += count
        elif self.dropped_count != self._told_count:
            self.tell_dropped()

    def tell_dropped(self) -> None:
        """Say how many lines are missing of which nobody has heard."""
        dropped_count = self.dropped_count
        untold = dropped_count - self._told_count
        if untold and self.on_flow is not None:
            self._told_count = dropped_count
            self.on_flow(untold)
            if self.dropped_count != dropped_count:  # that was one more: they are still to be told of
                self.dropped_count = dropped_count
                self._told_count = dropped_count - untold

    def _put(self, lines: bytes) -> bool:
        """Whether they went, or at least began to."""
        try:
            if self._own_fd < 0:
                self._open()
            if self._rest:
                self._rest = self._rest[self._send(self._rest) :]
                if self._rest:
                    return False
            sent = self._send(lines)
            self._rest = lines[sent:] if sent else b""
        except OSError:
            # A closed or broken stderr: there is nobody to tell.
            return False
        return sent > 0

    def _open(self) -> None:
        mode = os.fstat(self._fd).st_mode
        if stat.S_ISSOCK(mode):
            import _socket  # noqa: PLC0415  a socket as stderr is rare, and init mode counts milliseconds

            self._own_fd = os.dup(self._fd)
            self._socket = _socket.socket(fileno=self._own_fd)
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self._own_fd = os.open(f"/proc/self/fd/{self._fd}", flags)
            except OSError:
                self._own_fd, self._wants_poll = self._fd, True
        else:
            # A description of our own would have an offset of its own, and we would write over the child's
            # lines; a regular file does not block anyway.
            self._own_fd = self._fd

    def _send(self, data: bytes) -> int:
        """How many bytes went out; 0 where none can now."""
        try:
            if self._socket is not None:
                import _socket  # noqa: PLC0415  see _open

                assert isinstance(self._socket, _socket.socket)  # noqa: S101  for the type checker
                return self._socket.send(data, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
            if self._wants_poll:
                import select  # noqa: PLC0415  see _open

                poll = select.poll()
                poll.register(self._own_fd, select.POLLOUT)
                if not poll.poll(0):
                    return 0
                data = data[:PIPE_BUF]
            return self._write_now(data)
        except OSError as problem:
            if problem.errno in (errno.EAGAIN, errno.EINTR):
                return 0
            raise

    def _write_now(self, data: bytes) -> int:
        """os.write; again where a terminal was only taken by another's line (tty_write_lock), the child's say."""
        for _ in range(_TRIES_MAX):
            try:
                return os.write(self._own_fd, data)
            except BlockingIOError:
                import select  # noqa: PLC0415  see _open

                poll = select.poll()
                poll.register(self._own_fd, select.POLLOUT)
                if not poll.poll(0):
                    return 0  # full
                os.sched_yield()
        return 0

    def __repr__(self) -> str:
        return f"Sink(fd={self._fd}, dropped={self.dropped_count}, pending={len(self._rest)} bytes)"


class InitLog:
    """Init mode's messages, in tini's form: ``[WARN  NAME (PID)] text``.

    FATAL and WARN go to stderr, the rest to stdout; the verbosity is tini's (1: warnings, 4: everything).
    """

    __slots__ = ("_err", "_out", "_verbosity", "name")

    def __init__(self, name: str, verbosity: int) -> None:
        self.name = name
        self._verbosity = verbosity
        self._err = Sink(2)
        self._out = Sink(1)

    def fatal(self, text: str) -> None:
        """Something that ends us; always shown."""
        self._write(self._err, "FATAL", text)

    def warning(self, text: str) -> None:
        """Verbosity 1, the default."""
        if self._verbosity > 0:
            self._write(self._err, "WARN ", text)

    def info(self, text: str) -> None:
        """Verbosity 2, -v."""
        if self._verbosity > 1:
            self._write(self._out, "INFO ", text)

    def debug(self, text: str) -> None:
        """Verbosity 3, -vv."""
        if self._verbosity > 2:
            self._write(self._out, "DEBUG", text)

    def trace(self, text: str) -> None:
        """Verbosity 4, -vvv."""
        if self._verbosity > 3:
            self._write(self._out, "TRACE", text)

    def _write(self, sink: Sink, level: str, text: str) -> None:
        line = f"[{level} {self.name} ({os.getpid()})] {text}\n"
        sink.write(line.encode("utf-8", "surrogateescape"))

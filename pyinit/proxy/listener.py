"""One public address: accepting, pausing, and stopping without a reset.

Closing a listener resets every connection in its accept queue and every one in a handshake: dozens to hundreds
per stop under load, for nginx, Caddy, HAProxy and Node as well. Instead:

  1. SO_BINDTOIFINDEX to an interface that does not exist: a new SYN finds no listener and is refused at once,
     which any client may retry, while handshakes under way still complete. No privilege, Linux 5.7.
  2. accept until no SYN_RECV socket is left on the port (a lost SYN-ACK is sent again after 1 s).
  3. accept until EAGAIN, close.

Where the option is refused, a classic BPF filter drops pure SYNs; where that is too, accept until EAGAIN and
close, which is said in the log.

A handshake answered with a SYN cookie is nowhere but in its client's hands, and its last packet has to find the
listener: the option would have it reset (13 to 23 in a stop, at 20 ms with net.ipv4.tcp_syncookies=2). Where
cookies were sent since we listen, as in a flood, the filter goes first where it is allowed, and the option after the
time of a handshake. Not always: a SYN that is dropped is sent again after 1 s, one that is refused knows at once.

Accepting is our own callback on the listening descriptor rather than ``loop.create_server``: that can neither
pause at a limit nor accept until EAGAIN at the end.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import select
import socket
import struct
from typing import TYPE_CHECKING

from pyinit.proxy.accepted import accepted_socket
from pyinit.proxy.syn_queue import cookies_sent, count_handshakes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.log import EventLog

# Node's default is 511; the kernel cuts it to net.core.somaxconn (4096 by default).
BACKLOG = 4096
# As many as one wake-up accepts: others have their turn between.
_ACCEPTS_PER_TURN = 64
# With several processes at one queue: all are woken, and each is to have its share (nginx's multi_accept off).
_ACCEPTS_PER_TURN_SHARED = 1
_EMFILE_PAUSE_S = 0.5
_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 60, 15, 4
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ERRORS_OF_ONE_CONNECTION = (
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.ENONET,
    errno.EPERM,
)

_SO_BINDTOIFINDEX = 62
_NO_SUCH_INTERFACE = 0x7FFFFFFF
# Two rounds of a lost SYN-ACK: the kernel sends it again after 1 s, and once more 2 s later.
HANDSHAKES_WAIT_S = 3.0
_HANDSHAKES_POLL_S = 0.02
# One look finds nothing of a SYN that another processor was at when we began to refuse; so twice.
_EMPTY_LOOKS = 2
# Without sock_diag: a handshake across most ways.
_HANDSHAKES_BLIND_S = 0.1

# Classic BPF on a TCP socket sees the segment from its TCP header on: load the flags (byte 13), keep SYN and
# ACK; a SYN without ACK is dropped, all else passes.
_BPF_DROP_SYN = (
    (0x30, 0, 0, 13),  # ldb [13]
    (0x54, 0, 0, 0x12),  # and #SYN|ACK
    (0x15, 0, 1, 0x02),  # jeq #SYN, drop, pass
    (0x06, 0, 0, 0),  # ret #0
    (0x06, 0, 0, 0xFFFFFFFF),  # ret #-1
)
_SO_ATTACH_FILTER = 26


class Listener:
    """Accepts on one bound socket.

    Args:
        sock: bound, not listening yet; ours from here on.
        is_raw: a ``tcp:`` address.
        on_accept: takes each accepted socket, which is what the loop needs of one.
        log: for what an operator has to know.
        is_shared: one of several processes' copies of the socket, which another one has listening and, where it
            is a unix socket, unlinks.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        is_raw: bool,
        on_accept: Callable[[socket.socket, bool], None],
        log: EventLog,
        is_shared: bool = False,
    ) -> None:
        self.sock = sock
        self._family = int(sock.family)
        self._is_shared = is_shared
        self._accepts_per_turn = _ACCEPTS_PER_TURN_SHARED if is_shared else _ACCEPTS_PER_TURN
        self.is_raw = is_raw
        self._on_accept = on_accept
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._is_reading = False
        self._is_listening = False
        self._refuses: bool | None = None  # None before it was tried
        self._cookies_before = 0
        self._awaits_cookies = False
        self._said_emfile = False
        self.name = address_text(sock)

    def start(self) -> None:
        """Listen: from here on a connect succeeds. Raises OSError where somebody else has come to listen there."""
        if self._is_shared:
            self.sock.setblocking(False)  # noqa: FBT003  the library's signature
        else:
            begin_listening(self.sock)
        self._is_listening = True
        if self.sock.family != socket.AF_UNIX:
            self._cookies_before = cookies_sent()
        self.resume()

    def pause(self) -> None:
        """Leave new connections in the kernel's queue: a limit is reached."""
        if self._is_reading:
            self._loop.remove_reader(self.sock.fileno())
            self._is_reading = False

    def resume(self) -> None:
        """Accept again."""
        if self._is_listening and not self._is_reading:
            self._loop.add_reader(self.sock.fileno(), self._accept_some)
            self._is_reading = True

    def _accept_some(self) -> None:
        for _ in range(self._accepts_per_turn):
            if not self._is_reading or not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Accept one connection; False where none waits, or none can be had now."""
        try:
            fd, _ = self.sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001  not a whole socket
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as problem:
            if problem.errno in _OUT_OF_RESOURCES:
                if not self._said_emfile:
                    self._said_emfile = True
                    self._log.error(
                        "listener.out_of_descriptors", address=self.name, reason=os.strerror(problem.errno)
                    )
                self.pause()
                self._loop.call_later(_EMFILE_PAUSE_S, self.resume)
                return False
            if problem.errno == errno.EINVAL:
                self.pause()  # another process at the same unix socket has shut it, and it would stay readable
                return False
            # accept(2): errors of the connection itself are handed up here; the next one may be well.
            return problem.errno in _ERRORS_OF_ONE_CONNECTION
        self._on_accept(accepted_socket(fd, self._family, self._loop), self.is_raw)
        return True

    def refuse(self) -> None:
        """Have new connects refused from here on; what is under way is for ``stop``."""
        if self._is_listening and self._refuses is None:
            if self.sock.family != socket.AF_UNIX:
                self._refuses = self._refuse_new()
            elif not self._is_shared:
                self._refuses = True
                self._unlink()

    async def stop(self, limit_s: float) -> None:
        """Stop accepting without a reset.

        Args:
            limit_s: how long handshakes may be waited for, HANDSHAKES_WAIT_S at most; and connections that
                the kernel has accepted while we were at a limit.
        """
        if not self._is_listening:
            self.sock.close()
            return
        self.refuse()
        if self._awaits_cookies:
            await asyncio.sleep(min(limit_s, _HANDSHAKES_BLIND_S))
            self._set_option()
        if self._refuses is not False:
            await self._all_accepted(limit_s)
        self.pause()
        self._is_listening = False
        if self.sock.family == socket.AF_UNIX:
            # A connect that had found the path before it was unlinked would come between EAGAIN and the close.
            self.sock.shutdown(socket.SHUT_RD)
        while self._accept_one():
            pass
        self._say_left_over()
        self.sock.close()

    def close(self) -> None:
        """Close at once."""
        self.pause()
        self._is_listening = False
        self.sock.close()

    def _unlink(self) -> None:
        path = self.sock.getsockname()
        try:
            os.unlink(path)
        except OSError as problem:
            self._log.warning("listener.unlink_failed", address=self.name, reason=str(problem))

    def _refuse_new(self) -> bool:
        """Have new SYNs refused, or dropped; False where nothing does it."""
        if cookies_sent() > self._cookies_before and self._attach_filter() is None:
            self._awaits_cookies = True
            return True
        first = self._set_option()
        if first is None:
            return True
        second = self._attach_filter()
        if second is None:
            return True
        self._log.warning(
            "listener.plain_close",
            address=self.name,
            reason=f"connections in a handshake will be reset: SO_BINDTOIFINDEX: {first}; filter: {second}",
        )
        return False

    def _set_option(self) -> OSError | None:
        """SO_BINDTOIFINDEX; why not, where it is refused."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NO_SUCH_INTERFACE)
        except OSError as problem:
            return None if self._is_refusing() else problem
        return None

    def _attach_filter(self) -> OSError | None:
        """SO_ATTACH_FILTER, which takes CAP_NET_ADMIN on TCP in newer kernels; why not, where it is refused."""
        code = b"".join(struct.pack("=HBBI", *step) for step in _BPF_DROP_SYN)
        memory = ctypes.create_string_buffer(code)
        program = struct.pack("@HP", len(_BPF_DROP_SYN), ctypes.addressof(memory))
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        except OSError as problem:
            return problem
        return None

    def _is_refusing(self) -> bool:
        """Whether another process has set the option: it can be set once by a user without CAP_NET_RAW."""
        try:
            return self.sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX) == _NO_SUCH_INTERFACE
        except OSError:
            return False

    async def _all_accepted(self, limit_s: float) -> None:
        """Wait until no handshake is under way, and none that is over waits for a limit to be left."""
        now_s = self._loop.time()
        end_s = now_s + limit_s
        wait_s = HANDSHAKES_WAIT_S if self.sock.family != socket.AF_UNIX else 0.0
        handshakes_end_s = now_s + wait_s
        empty_looks = 0
        is_blind = False
        while (now_s := self._loop.time()) < end_s:
            if not self._is_reading and self._has_waiting():
                # --max-connections or EMFILE. The queue may be full too: its handshakes are completed by what
                # their clients send again, once there is room.
                handshakes_end_s = now_s + wait_s
                empty_looks = 0
            elif now_s >= handshakes_end_s or empty_looks == _EMPTY_LOOKS:
                return
            elif not is_blind:
                try:
                    empty_looks = 0 if self._count_handshakes() else empty_looks + 1
                except OSError as problem:
                    if (
                        problem.errno not in _OUT_OF_RESOURCES
                    ):  # else there may be a descriptor at the next look
                        self._log.info("listener.sock_diag_missing", reason=str(problem))
                        is_blind = True
                        wait_s = _HANDSHAKES_BLIND_S
                        handshakes_end_s = now_s + wait_s
            await asyncio.sleep(_HANDSHAKES_POLL_S)

    def _count_handshakes(self) -> int:
        port = self.sock.getsockname()[1]
        return sum(count_handshakes(family, port) for family in {socket.AF_INET, self.sock.family})

    def _has_waiting(self) -> bool:
        """Whether a connection is in the accept queue."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def _say_left_over(self) -> None:
        """What cannot be accepted, for want of descriptors, is reset by the close; an operator ought to know."""
        if self.sock.family == socket.AF_UNIX or not self._has_waiting():
            return
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
        (waiting,) = struct.unpack_from(
            "=I", info, 24
        )  # tcpi_unacked: of a listener, its accept queue's length
        if waiting:
            self._log.warning("listener.not_accepted", address=self.name, connections=waiting)

    def __repr__(self) -> str:
        return f"Listener({self.name}, listening={self._is_listening}, reading={self._is_reading})"


def begin_listening(sock: socket.socket) -> None:
    """From here on a connect to a bound socket succeeds. Raises OSError where somebody else listens there."""
    sock.setblocking(False)  # noqa: FBT003  the library's signature
    if sock.family != socket.AF_UNIX:
        # Accepted sockets inherit both (tcp(7), socket(7)): no system calls per connection.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # A client that has closed while its answer is awaited says so only when it is asked: its kernel keeps the
        # socket for 60 s (tcp_fin_timeout), and answers with a reset then. By default the first probe is after 2 h.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_COUNT)
        # Cleared since the bind, so that an app could not take the port (pyinit.sockets); listen() makes the
        # bind's check once more, and without it fails for TIME_WAITs of our last run, whose sockets inherit it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.listen(BACKLOG)


def address_text(sock: socket.socket) -> str:
    """The bound address as a person writes it."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

"""Connections to the operator's HTTP sockets: whose they are, how many, and how long without a request.

aiohttp bounds the size of a head and of a body, but no time in which either has to come or an answer be taken. So
each connection has an instant by which it must have a request under way; one look at all of them, while there are any.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from pyinit.admin.accepting import Accepting
from pyinit.admin.pace import Pace
from pyinit.admin.peers import Access, peer_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pyinit.admin.accepting import Reserve
    from pyinit.admin.peers import Peer
    from pyinit.log import EventLog

# For each socket: a hundred dashboards on --admin must not keep its operator out of the control socket.
PER_SOCKET_MAX = 64
# Of those, who may wait for our end (GET /status/end), for which there is no time limit.
WAITING_MAX = PER_SOCKET_MAX // 2
# Who may not ask is told so, but not in place of who may.
STRANGERS_MAX = 8
# From the accept to the end of the first request's head; from a request's end to that of the next one's, the taking of
# the answer included.
FIRST_REQUEST_S = 5.0
NEXT_REQUEST_S = 15.0
_LOOK_S = 0.5


class Visitor(asyncio.Protocol):
    """A connection: what aiohttp makes of it, and what it says of itself.

    Attributes:
        peer: None over TCP.
        access: what it may do.
        door: by which it came in.
        deadline_s: by then it has a request under way; None while it has.
        transport: None before it is attached.
        inner: aiohttp's protocol.
    """

    __slots__ = ("_on_end", "access", "deadline_s", "door", "inner", "peer", "transport")

    def __init__(
        self,
        door: Door,
        peer: Peer | None,
        deadline_s: float,
        *,
        inner: asyncio.Protocol,
        on_end: Callable[[Visitor], None],
    ) -> None:
        self.door = door
        self.peer = peer
        # A TCP socket does not tell who asks: the read-only part.
        self.access = Access.READ if peer is None else peer.access
        self.deadline_s: float | None = deadline_s
        self.transport: asyncio.Transport | None = None
        self.inner = inner
        self._on_end = on_end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol. A stream transport always; uvloop's are no subclass of asyncio's."""
        self.transport = cast("asyncio.Transport", transport)
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """See asyncio.Protocol."""
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        try:
            self.inner.connection_lost(exc)
        finally:
            self._on_end(self)

    def __repr__(self) -> str:
        return f"Visitor({self.peer}, {self.access.name}, deadline_s={self.deadline_s})"


class Door:
    """One listening socket, and who has come in by it.

    Attributes:
        accepting: None once we are closed.
        count: of its visitors.
        pace: of their answers: who looks by one does not keep waiting who looks by another.
        sock: it.
        waiting_count: of those, who wait for our end.
    """

    __slots__ = ("accepting", "count", "pace", "sock", "waiting_count")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.count = 0
        self.waiting_count = 0
        self.pace = Pace()
        self.accepting: Accepting | None = None


class Visitors:
    """All of them.

    Args:
        make: a protocol for a connection.
        reserve: for when there is no descriptor left.
        log: for events.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol], *, reserve: Reserve, log: EventLog) -> None:
        self._make = make
        self._reserve = reserve
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._doors: list[Door] = []
        self._visitors: dict[object, Visitor] = {}  # by aiohttp's protocol
        self._attaching: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, sock: socket.socket) -> None:
        """Accept on a listening socket, which stays the caller's."""
        door = Door(sock)
        self._doors.append(door)
        door.accepting = Accepting(sock, lambda accepted: self._accepted(door, accepted), self._reserve)

    def begun(self, protocol: object) -> Visitor | None:
        """A request's head is complete; None for a connection that is gone."""
        visitor = self._visitors.get(protocol)
        if visitor is not None:
            visitor.deadline_s = None
        return visitor

    def door_of(self, protocol: object) -> Door | None:
        """By which a connection came in; None for one that is gone."""
        visitor = self._visitors.get(protocol)
        return None if visitor is None else visitor.door

    def ended(self, protocol: object) -> None:
        """It has been answered, but for the writing."""
        visitor = self._visitors.get(protocol)
        if visitor is not None:
            visitor.deadline_s = self._loop.time() + NEXT_REQUEST_S

    def _accepted(self, door: Door, accepted: socket.socket) -> None:
        try:
            accepted.setblocking(False)  # noqa: FBT003  the library's signature
            peer = peer_of(accepted)
        except OSError:
            accepted.close()
            return
        deadline_s = self._loop.time() + FIRST_REQUEST_S
        visitor = Visitor(door, peer, deadline_s, inner=self._make(), on_end=self._left)
        strangers = sum(one.access is Access.NONE for one in self._visitors.values())
        if visitor.access is Access.NONE and strangers >= STRANGERS_MAX:
            accepted.close()
            return
        door.count += 1
        if door.count >= PER_SOCKET_MAX and door.accepting is not None:
            door.accepting.pause()
        self._visitors[visitor.inner] = visitor
        task = self._loop.create_task(self._attach(visitor, accepted))
        self._attaching.add(task)
        task.add_done_callback(self._attaching.discard)

    async def _attach(self, visitor: Visitor, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: visitor, accepted)
        except BaseException as problem:
            accepted.close()
            self._left(visitor)
            if not isinstance(problem, OSError):
                raise
        else:
            if self._timer is None:
                self._timer = self._loop.call_later(_LOOK_S, self._look)

    def _left(self, visitor: Visitor) -> None:
        if self._visitors.pop(visitor.inner, None) is None:
            return
        door = visitor.door
        door.count -= 1
        if door.accepting is None:
            return  # we are closed
        if door.count < PER_SOCKET_MAX:
            door.accepting.resume()
        # Once its descriptor is closed, and before a client of the proxy's has it.
        self._loop.call_soon(self._reserve.restore)

    def _look(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        for visitor in tuple(self._visitors.values()):
            if (
                visitor.deadline_s is not None
                and now_s >= visitor.deadline_s
                and visitor.transport is not None
            ):
                self._log.debug("control.timed_out", peer=str(visitor.peer or "TCP"))
                visitor.transport.abort()
        self._reserve.restore()
        if self._visitors:
            self._timer = self._loop.call_later(_LOOK_S, self._look)

    def close(self) -> None:
        """Accept nobody any more, and end who has no request under way."""
        for door in self._doors:
            if door.accepting is not None:
                door.accepting.pause()
                door.accepting = None
        for task in self._attaching:
            task.cancel()
        for visitor in tuple(self._visitors.values()):
            if visitor.deadline_s is not None and visitor.transport is not None:
                visitor.transport.close()  # after what is written
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """End whoever is left; the end."""
        for visitor in tuple(self._visitors.values()):
            if visitor.transport is not None:
                visitor.transport.abort()

    def __repr__(self) -> str:
        return f"Visitors({list(self._visitors.values())!r})"

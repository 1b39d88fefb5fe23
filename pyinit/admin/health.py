"""The health socket: who connects reads one line, ``ready`` or ``not ready: why``, and its end.

No HTTP and nothing imported for it: a container's health check asks every few seconds for ever.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from pyinit.admin.peers import Access, peer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.admin.peers import Peer

_ACCEPTS_PER_TURN = 16


class HealthSocket:
    """Answers on a listening socket, on the running loop.

    Args:
        sock: ours from here on.
        not_ready: says why not; None while ready.
        on_refused: told of a peer who may not ask.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        not_ready: Callable[[], str | None],
        on_refused: Callable[[Peer], None],
    ) -> None:
        self._sock = sock
        self._not_ready = not_ready
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._accept_some)

    def _accept_some(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                accepted, _ = self._sock.accept()
            except OSError:
                return  # none waits, or none can be had now: it is asked again in seconds
            with accepted:
                self._answer(accepted)

    def _answer(self, accepted: socket.socket) -> None:
        peer = peer_of(accepted)
        if peer is not None and peer.access is Access.NONE:
            self._on_refused(peer)
            return
        reason = self._not_ready()
        line = "ready\n" if reason is None else f"not ready: {' '.join(reason.split())}\n"
        try:
            # A fresh socket's buffer takes a line whole.
            accepted.send(line.encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            return  # it has gone again

    def close(self) -> None:
        """Answer nobody any more; the socket is the caller's to close."""
        self._loop.remove_reader(self._sock.fileno())

"""The health socket: who connects reads one line, ``ready`` or ``not ready: why``, and its end.

No HTTP and nothing imported for it: a container's health check asks every few seconds for ever.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pyinit.admin.accepting import Accepting
from pyinit.admin.peers import Access, peer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinit.admin.accepting import Reserve
    from pyinit.admin.peers import Peer


class HealthSocket:
    """Answers on a listening socket, on the running loop.

    Args:
        sock: the caller's to close.
        not_ready: says why not; None while ready.
        on_refused: told of a peer who may not ask.
        reserve: for when there is no descriptor left.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        not_ready: Callable[[], str | None],
        on_refused: Callable[[Peer], None],
        reserve: Reserve,
    ) -> None:
        self._not_ready = not_ready
        self._on_refused = on_refused
        self._accepting = Accepting(sock, self._accepted, reserve)

    def _accepted(self, accepted: socket.socket) -> None:
        with accepted:
            peer = peer_of(accepted)
            if peer is not None and peer.access is Access.NONE:
                self._on_refused(peer)
                line = "refused: our own user or root may ask\n"
            else:
                reason = self._not_ready()
                line = "ready\n" if reason is None else f"not ready: {' '.join(reason.split())}\n"
            try:
                # A fresh socket's buffer takes a line whole.
                accepted.send(
                    line.encode(errors="backslashreplace"), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
                )
            except OSError:
                return  # it has gone again

    def close(self) -> None:
        """Answer nobody any more."""
        self._accepting.pause()

"""Clients that each open a connection for one request, again and again, and what became of every one."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from typing import TYPE_CHECKING

from tests.support.far_front import syns_sent_again
from tests.support.front import DEADLINE_S

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.support.front import Front

SERVED = "served"
# Nobody had accepted these: any client may try again.
REFUSED, REFUSED_LATE = "refused at once", "refused after a second SYN"
_REQUEST = b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n"
_PAUSE_S = 0.01
_BEFORE_THE_STOP = 100


class Newcomers:
    """They run while the app is stopped.

    Args:
        make_socket: one at the client's end.
        address: of the app.
        count: clients at once.

    Attributes:
        outcomes: what became of how many connects; any kind but the three above is a loss.
    """

    def __init__(
        self, make_socket: Callable[[], socket.socket], address: tuple[str, int] | str, *, count: int = 40
    ) -> None:
        self._make_socket = make_socket
        self._address = address
        self._count = count
        self._is_over = False
        self.outcomes: Counter[str] = Counter()

    @property
    def lost(self) -> dict[str, int]:
        """Accepted by the kernel, and not served."""
        return {kind: n for kind, n in self.outcomes.items() if kind not in (SERVED, REFUSED, REFUSED_LATE)}

    def stop(self, app: Front) -> int:
        """Stop the app under them, once they have been served for a while; its exit code."""
        return asyncio.run(self._stop(app))

    async def _stop(self, app: Front) -> int:
        clients = [asyncio.create_task(self._client()) for _ in range(self._count)]
        try:
            async with asyncio.timeout(DEADLINE_S):
                while self.outcomes[SERVED] < _BEFORE_THE_STOP:  # noqa: ASYNC110  counted by many
                    await asyncio.sleep(_PAUSE_S)
            app.signal()
            return await asyncio.to_thread(app.wait)
        finally:
            self._is_over = True
            await asyncio.gather(*clients)

    async def _client(self) -> None:
        while not self._is_over:
            with self._make_socket() as sock:
                sock.settimeout(0)
                try:
                    async with asyncio.timeout(DEADLINE_S):
                        outcome = await self._ask(sock)
                except TimeoutError:
                    outcome = "timed out"
            self.outcomes[outcome] += 1
            if outcome != SERVED:
                await asyncio.sleep(_PAUSE_S)

    async def _ask(self, sock: socket.socket) -> str:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(sock, self._address)
        except (ConnectionRefusedError, FileNotFoundError):
            return REFUSED if isinstance(self._address, str) or not syns_sent_again(sock) else REFUSED_LATE
        except OSError as problem:
            if problem.errno == errno.EAGAIN:  # a unix socket whose queue is full: nothing was accepted
                return REFUSED
            return f"connect: {problem.strerror}"
        answer = b""
        try:
            await loop.sock_sendall(sock, _REQUEST)
            while data := await loop.sock_recv(sock, 65536):
                answer += data
        except ConnectionError as problem:
            return f"{problem.strerror} after {len(answer)} bytes"
        if answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"hello"):
            return SERVED
        return f"ended with {answer[:40]!r}"

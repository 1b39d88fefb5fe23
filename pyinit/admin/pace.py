"""How much of the event loop's time those who look may have: it is the proxy's, and its clients come first."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# A fifth: of a core's 200 ms in a second some hundred answers are made. Whoever looks once a second waits for nothing.
_PAUSES = 4
# aiohttp's own part of a request, which is not seen from within.
_LEAST_S = 0.0005


class Pace:
    """Answers one at a time; after each a pause of four times what it took.

    Sixty who ask for /metrics without end, on a port that anybody may read, had requests to the app wait 50 ms.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()  # first come, first served
        self._free_at_s = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, and have it."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            left_s = self._free_at_s - loop.time()
            if left_s > 0:
                await asyncio.sleep(left_s)
            began_s = time.thread_time()
            try:
                yield
            finally:
                took_s = max(_LEAST_S, time.thread_time() - began_s)
                self._free_at_s = loop.time() + _PAUSES * took_s

    def __repr__(self) -> str:
        return f"Pace(busy={self._lock.locked()})"

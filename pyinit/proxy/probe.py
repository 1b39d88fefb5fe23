"""Is the app ready: a TCP connect, or a GET of --ready-path."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from pyinit.errors import ProtocolError
from pyinit.http1.head import HeadReader
from pyinit.http1.response import ResponseParser

if TYPE_CHECKING:
    from pyinit.proxy.config import UpstreamAddress

# An app boots in tens of milliseconds or in minutes: asked again after a part of the time that has passed already, so
# that it is found ready that much later at the most. A refused connect costs us 30 us and the app nothing.
_LEAST_WAIT_S, _PART = 0.001, 1 / 20
# Each one an app answers runs its code, and may be in its log; one by name or network asks others as well.
_GENTLE_LEAST_WAIT_S, _GENTLE_PART = 0.01, 1 / 5
_LONGEST_WAIT_S = 0.25
_ANSWER_TIMEOUT_S = 5.0


def wait_s(elapsed_s: float, *, is_gentle: bool) -> float:
    """How long to wait before the app is asked again.

    Args:
        elapsed_s: since it was first asked.
        is_gentle: asking costs somebody more than a refused connect.
    """
    least_s, part = (_GENTLE_LEAST_WAIT_S, _GENTLE_PART) if is_gentle else (_LEAST_WAIT_S, _PART)
    return min(_LONGEST_WAIT_S, max(least_s, elapsed_s * part))


class Probe:
    """Asks one app.

    Args:
        address: where it listens.
        path: what has to answer 2xx or 3xx; None for a connect.

    Attributes:
        reason: why the app was not ready when last asked; None where it was.
    """

    def __init__(self, address: UpstreamAddress, path: str | None) -> None:
        self._address = address
        self._path = path
        self._is_far = not all(host.startswith("127.") or host == "::1" for host in address.hosts)
        self._was_reached = False
        self.reason: str | None = None

    async def wait_until_ready(self) -> None:
        """Return once the app is ready; ask until it is."""
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        while await self.ask() is not None:  # noqa: ASYNC110  nobody tells us
            await asyncio.sleep(wait_s(now_s() - began_s, is_gentle=self._is_far or self._was_reached))

    async def ask(self, limit_s: float = _ANSWER_TIMEOUT_S) -> str | None:
        """Why the app is not ready now; None where it is.

        Args:
            limit_s: for its answer.
        """
        self.reason = await self._find_reason(min(limit_s, _ANSWER_TIMEOUT_S))
        return self.reason

    async def _find_reason(self, limit_s: float) -> str | None:
        reason = "nothing listens"
        self._was_reached = False
        for host in self._address.hosts or (None,):
            try:
                async with asyncio.timeout(limit_s):
                    reader, writer = await self._connect(host)
            except TimeoutError:
                reason = f"no connection within {limit_s:g} s"
                continue
            except OSError as problem:
                reason = _words(problem)
                continue
            # It is there: that another address refuses would say nothing of it.
            self._was_reached = True
            try:
                async with asyncio.timeout(limit_s):
                    return await self._ask(host, reader, writer)
            except TimeoutError:
                return f"no answer within {limit_s:g} s"
            except OSError as problem:
                return _words(problem)
            except ProtocolError as fault:
                return fault.reason
        return reason

    async def _connect(self, host: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if host is None:
            return await asyncio.open_unix_connection(self._address.path)
        return await asyncio.open_connection(host, self._address.port)

    async def _ask(
        self, host: str | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> str | None:
        try:
            if self._path is None:
                return None
            authority = f"[{host}]" if host and ":" in host else host or "localhost"
            writer.write(
                f"GET {self._path} HTTP/1.1\r\nHost: {authority}:{self._address.port}\r\n"
                "User-Agent: pyinit-ready\r\nConnection: close\r\n\r\n".encode()
            )
            status = await _final_status(reader)
            return None if 200 <= status < 400 else f"{self._path} answers {status}"
        finally:
            writer.close()

    def __repr__(self) -> str:
        return f"Probe({self._address}, path={self._path})"


def _words(problem: OSError) -> str:
    """The kernel's: asyncio has an address's tuple in their place."""
    return os.strerror(problem.errno) if problem.errno and problem.errno > 0 else str(problem)


async def _final_status(reader: asyncio.StreamReader) -> int:
    heads, parser = HeadReader(64 * 1024, is_response=True), ResponseParser()
    while data := await reader.read(16 * 1024):
        while taken := heads.feed(data):
            head = parser.parse(taken[0])
            if head.status >= 200:
                return head.status
            data = taken[1]
            if not data:
                break
    raise ProtocolError("it closed the connection without an answer")

"""Python's clients with kept connections: ``python_clients.py KIND URL CONNECTIONS LEAST_S MOST_S [retries] [apart]``.

KIND is urllib3 (a PoolManager; requests sends through one, with its retries off), aiohttp (a ClientSession) or httpx
(an AsyncClient). By themselves urllib3 sends a request up to three more times, aiohttp once more where a kept
connection has died under an idempotent one, httpx never. apart is a pool for each worker.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    OpenClient = Callable[["Orders", "Counts"], AbstractAsyncContextManager[Callable[[], Awaitable[int]]]]

_TIMEOUT_S = 10.0
# From then on a connection has been kept, and thought.
_WARM_ANSWERS = 3


class Orders(NamedTuple):
    """What the command line says."""

    url: str
    connections: int
    least_s: float
    most_s: float
    retries: bool
    apart: bool

    def think_s(self) -> float:
        """How long a worker thinks now."""
        return random.uniform(self.least_s, self.most_s)


class Unconnected(Exception):
    """Nothing was established: whatever was to be sent can be sent again."""


class Counts:
    """What has come of all requests; its methods are for any thread."""

    def __init__(self, connections: int) -> None:
        self._lock = threading.Lock()
        self._unserved = connections
        self._counts = dict.fromkeys(("connections", "answered", "refused", "retried"), 0)
        self._lost: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """So many more."""
        with self._lock:
            self._counts[name] += number

    def lost(self, error: str) -> None:
        """One that was sent, and not answered."""
        with self._lock:
            self._lost[error] += 1

    def answered(self, answers: int) -> None:
        """A worker has had so many answers now; once all are warm, that is said."""
        with self._lock:
            self._counts["answered"] += 1
            self._unserved -= answers == _WARM_ANSWERS
            if answers == _WARM_ANSWERS and not self._unserved:
                print(json.dumps({"warm": True}), flush=True)

    def show(self) -> None:
        """For whoever started us."""
        print(json.dumps({**self._counts, "lost": self._lost}), flush=True)


def through_urllib3(orders: Orders, counts: Counts) -> None:
    """Threads at one PoolManager."""
    import urllib3  # noqa: PLC0415  each client alone, as its library may be missing

    retries = None if orders.retries else False

    class Connection(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            counts.add("connections")  # the pool's own count has the refused ones too

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    def new_pool(size: int) -> urllib3.PoolManager:
        manager = urllib3.PoolManager(maxsize=size)
        manager.pool_classes_by_scheme = {"http": Pool}
        return manager

    stopping = threading.Event()

    def work(pool: urllib3.PoolManager) -> None:
        answers = 0
        while not stopping.is_set():
            try:
                answer = pool.request("GET", orders.url, retries=retries, timeout=_TIMEOUT_S)
                counts.add("retried", len(answer.retries.history) if answer.retries else 0)
                if answer.status == 200:
                    answers += 1
                    counts.answered(answers)
                else:
                    counts.lost(f"HTTP {answer.status}")
            except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
                counts.add("refused")
            except urllib3.exceptions.MaxRetryError as problem:
                if isinstance(problem.reason, urllib3.exceptions.NewConnectionError):
                    counts.add("refused")
                else:
                    counts.lost(type(problem.reason).__name__)
            except urllib3.exceptions.ProtocolError as problem:
                counts.lost(type(problem.args[-1]).__name__)
            except urllib3.exceptions.HTTPError as problem:
                counts.lost(type(problem).__name__)
            stopping.wait(orders.think_s())

    if orders.apart:
        pools = [new_pool(1) for _ in range(orders.connections)]
    else:
        pools = [new_pool(orders.connections)] * orders.connections
    threads = [threading.Thread(target=work, args=(pool,)) for pool in pools]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join()


@asynccontextmanager
async def aiohttp_session(orders: Orders, counts: Counts) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """One ClientSession."""
    import aiohttp  # noqa: PLC0415  as above

    async def begun(_session: object, context: object, _what: object) -> None:
        context.attempts = getattr(context, "attempts", 0) + 1  # type: ignore[attr-defined]
        counts.add("retried", int(context.attempts > 1))  # type: ignore[attr-defined]

    async def created(_session: object, _context: object, _what: object) -> None:
        counts.add("connections")

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(created)
    trace.on_request_headers_sent.append(begun)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, trace_configs=[trace]) as session:
        if not orders.retries:
            session._retry_connection = False  # noqa: SLF001  there is no other switch

        async def send() -> int:
            try:
                async with session.get(orders.url) as answer:
                    await answer.read()
                    return answer.status
            except aiohttp.ClientConnectorError as problem:
                raise Unconnected from problem

        yield send


@asynccontextmanager
async def httpx_client(orders: Orders, counts: Counts) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """One AsyncClient."""
    import httpx  # noqa: PLC0415  as above

    async def trace(name: str, _info: object) -> None:
        if name == "connection.connect_tcp.complete":
            counts.add("connections")

    limits = httpx.Limits(max_keepalive_connections=orders.connections)
    async with httpx.AsyncClient(limits=limits, timeout=_TIMEOUT_S) as client:

        async def send() -> int:
            try:
                return (await client.get(orders.url, extensions={"trace": trace})).status_code
            except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
                raise Unconnected from problem

        yield send


async def through_tasks(open_client: OpenClient, orders: Orders, counts: Counts) -> None:
    """Tasks at one client."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(
        lambda _: stopping.set()
    )

    async def work(send: Callable[[], Awaitable[int]]) -> None:
        answers = 0
        while not stopping.is_set():
            try:
                status = await send()
                if status == 200:
                    answers += 1
                    counts.answered(answers)
                else:
                    counts.lost(f"HTTP {status}")
            except Unconnected:
                counts.add("refused")
            except Exception as problem:  # noqa: BLE001  each library has its own, and all are counted
                counts.lost(type(problem).__name__)
            try:
                async with asyncio.timeout(orders.think_s()):
                    await stopping.wait()
            except TimeoutError:
                continue

    async with AsyncExitStack() as stack:
        count = orders.connections if orders.apart else 1
        sends = [await stack.enter_async_context(open_client(orders, counts)) for _ in range(count)]
        await asyncio.gather(*(work(sends[number % count]) for number in range(orders.connections)))


def main() -> None:
    """Send until stdin ends, and say what has come of it."""
    kind, url, connections, least_s, most_s = sys.argv[1:6]
    orders = Orders(
        url,
        int(connections),
        float(least_s),
        float(most_s),
        "retries" in sys.argv[6:],
        "apart" in sys.argv[6:],
    )
    counts = Counts(orders.connections)
    if kind == "urllib3":
        through_urllib3(orders, counts)
    else:
        open_client = {"aiohttp": aiohttp_session, "httpx": httpx_client}[kind]
        asyncio.run(through_tasks(open_client, orders, counts))
    counts.show()


if __name__ == "__main__":
    main()

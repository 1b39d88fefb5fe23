"""What a proxy has at a moment, found by walking its connections when somebody asks, and at no other time.

10,000 connections, all with an exchange, take some 4 ms, and the census another 2.
"""

from __future__ import annotations

import heapq
from operator import attrgetter
from typing import TYPE_CHECKING

from pyinit.drain.outcomes import Kind
from pyinit.proxy.downstream import Downstream
from pyinit.proxy.stats import Levels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyinit.drain.outcomes import InFlight
    from pyinit.proxy.server import ProxyServer

# As many as a person looks at.
OLDEST_MAX = 20


def in_flight(server: ProxyServer) -> tuple[dict[str, int], tuple[InFlight, ...]]:
    """Exchanges and tunnels: how many of each kind, and the oldest OLDEST_MAX of them, the oldest first."""
    relays = [relay for downstream in server.connections if (relay := downstream.relay) is not None]
    kinds = [relay.kind for relay in relays]
    # Not a Counter: an Enum's hash is a call of Python's, and was half of it.
    counts = {kind.value: count for kind in Kind if (count := kinds.count(kind))}
    if None in kinds:
        relays = [relay for relay, kind in zip(relays, kinds, strict=True) if kind is not None]
    oldest = heapq.nsmallest(OLDEST_MAX, relays, key=attrgetter("began_s"))
    return counts, tuple(it for relay in oldest if (it := relay.as_in_flight()) is not None)


def oldest_of(parts: Iterable[InFlight]) -> tuple[InFlight, ...]:
    """The same of several proxies' oldest."""
    return tuple(heapq.nlargest(OLDEST_MAX, parts, key=attrgetter("age_s")))


def levels(server: ProxyServer) -> Levels:
    """Everything else that goes up and down."""
    held = server.held_ends
    clients = sum(isinstance(end, Downstream) for end in held)
    return Levels(
        max_connections=server.config.max_connections,
        upstreams=len(server.upstreams),
        upstreams_idle=len(server.pool),
        clients_not_reading=clients,
        app_not_reading=len(held) - clients,
        buffered_bytes=server.gauge.held_bytes,
        buffer_max_bytes=server.config.buffer_memory_bytes,
    )

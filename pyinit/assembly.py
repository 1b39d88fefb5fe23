"""The proxy as the settings want it: its configuration, and whether it runs here or in workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyinit import limits
from pyinit.init import signals, spawn
from pyinit.init.signals import Dispositions
from pyinit.init.spawn import Launch
from pyinit.log import Sink
from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.server import ProxyServer
from pyinit.proxy.steering import Single

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pyinit.errors import SpawnError
    from pyinit.front import Start
    from pyinit.log import ProxyLog
    from pyinit.proxy.steering import Front
    from pyinit.settings import Settings

_WORKER_MODULE = "pyinit.worker_start"


def build_front(
    start: Start,
    sockets: list[tuple[socket.socket, bool]],
    *,
    on_quiet: Callable[[], None],
    on_new_connection: Callable[[], None],
    on_unreachable: Callable[[], None],
    log: ProxyLog,
) -> Front:
    """The proxy, not started yet.

    Args:
        start: what was decided and done before the loop.
        sockets: the bound ones, each with whether it is a ``tcp:`` address; the proxy's from here on.
        on_quiet: see ProxyServer.
        on_new_connection: see ProxyServer.
        on_unreachable: see ProxyServer; not of each, with workers.
        log: for events.
    """
    settings = start.settings
    config = proxy_config(start)
    count = worker_count(settings)
    if count == 1:
        server = ProxyServer(
            config,
            log,
            on_quiet=on_quiet,
            on_new_connection=on_new_connection,
            on_unreachable=on_unreachable,
        )
        return Single(server, sockets)
    # Ten milliseconds that a start with one does not need.
    from pyinit.proxy.fleet import Fleet  # noqa: PLC0415
    from pyinit.proxy.ipc import Configure  # noqa: PLC0415
    from pyinit.proxy.shares import divide  # noqa: PLC0415

    trusted = tuple(network.text for network in settings.trust)
    # RLIMIT_NOFILE is each process's own, so what follows from it needs no dividing.
    parts = divide(config, count, connections=settings.max_connections)
    return Fleet(
        [
            Configure(index, part, trusted, (), settings.log_format, settings.log_level)
            for index, part in enumerate(parts)
        ],
        sockets,
        spawn=_spawn_worker,
        on_quiet=on_quiet,
        on_new_connection=on_new_connection,
        on_unreachable=on_unreachable,
        log=log,
    )


def upstream_address(start: Start) -> UpstreamAddress:
    """Where the app listens."""
    upstream = start.upstream
    return UpstreamAddress(hosts=start.hosts, port=upstream.port or 0, path=upstream.path or "")


def worker_count(settings: Settings) -> int:
    """How many proxies there are to be; no more than may have a client each."""
    count = limits.cpu_count() if settings.workers is None else settings.workers
    return min(count, settings.max_connections or count)


def _spawn_worker(link_fd: int, inherited: list[int]) -> int:
    """Fork and exec a worker; returns its pid. Raises SpawnError."""
    from pyinit.init import interpreter  # noqa: PLC0415  for workers alone

    launch = Launch(
        interpreter.command(_WORKER_MODULE, [str(link_fd)]),
        spawn.read_environment(),
        # Blocked and ignored as they are for us, to the end.
        mask=signals.WAITED,
        dispositions=Dispositions(default=frozenset(), ignored=frozenset()),
        terminal=spawn.leave_terminal,
        # 0 to 2 may be a /dev/null of ours that closes on exec: a client must not become a worker's stderr.
        keep=(0, 1, 2, link_fd, *inherited),
    )
    return spawn.spawn(launch, _failed)


def _failed(problem: SpawnError) -> int:
    Sink(2).write(f"pyinit: a worker could not be started: {problem} (pid {os.getpid()})\n".encode())
    return problem.exit_code


def proxy_config(start: Start) -> ProxyConfig:
    """What the proxy is told, from settings, platform and machine."""
    settings = start.settings
    descriptors = limits.raise_descriptor_limit()
    return ProxyConfig(
        upstream=upstream_address(start),
        trusted=tuple(settings.trust),
        reads_proxy_header=settings.proxy_protocol,
        forwarded=settings.forwarded,
        via=b"" if settings.via == "off" else settings.via.encode(),
        adds_request_id=settings.request_id,
        pool_is_fifo=settings.pool == "fifo",
        head_max_bytes=settings.head_max_bytes,
        app_head_max_bytes=settings.app_head_max_bytes,
        fields_max=settings.fields_max,
        head_timeout_s=settings.head_timeout_s,
        idle_timeout_s=settings.idle_timeout_s or start.platform.idle_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        write_timeout_s=settings.write_timeout_s,
        body_max_bytes=settings.body_max_bytes,
        connect_timeout_s=settings.connect_timeout_s,
        response_timeout_s=settings.response_timeout_s,
        max_connections=settings.max_connections or limits.max_connections(descriptors),
        buffer_memory_bytes=settings.buffer_memory_bytes or limits.buffer_memory_bytes(),
        idle_grace_s=settings.idle_grace_s,
        close_spread_s=start.budget.close_spread_s,
        stream_grace_s=settings.stream_grace_s,
        access_log=settings.access_log,
        logs_query=settings.log_query,
        health_path=(settings.health_path or "").encode(),
    )

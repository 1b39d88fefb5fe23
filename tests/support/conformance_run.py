"""The whole corpus against pyinit: the installed command in sidecar mode, or a ProxyServer in this process."""

from __future__ import annotations

import asyncio
import functools
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.server import ProxyServer
from tests.corpus.everything import TOPICS
from tests.support.conformance import Lane, Observed, run_all
from tests.support.process import TIME_SCALE
from tests.support.proxy_world import Recorded, eventually
from tests.support.recorder import Recorder
from tests.support.targets import OURS, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.corpus.case import Case

    Results = dict[str, list[tuple[Case, Observed]]]
else:
    Results = dict

# Nothing of ours is waited for so long: it is what a failure takes.
_PATIENCE_S = 5.0 * TIME_SCALE


class _Everybody:
    """The peers that are trusted by default are all that there are here."""

    def __contains__(self, packed: bytes) -> bool:
        return True


async def against(target: Target, *, lane_count: int, patience_s: float, settle_s: float) -> Results:
    """All rows against a proxy in a process of its own."""
    apps = [Recorder() for _ in range(lane_count)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            with target.run(Path(folder), [app.port for app in apps]) as ports:
                lanes = [Lane(port, app) for port, app in zip(ports, apps, strict=True)]
                return await _run(lanes, patience_s, settle_s)
        finally:
            for app in apps:
                await app.stop()


@functools.cache
def run_command() -> Results:
    """All rows against the command, once a session: its results are values."""
    return asyncio.run(against(OURS, lane_count=1, patience_s=_PATIENCE_S, settle_s=_PATIENCE_S))


async def in_process(log: Recorded, *, is_raw: bool = False, topics: Sequence[str] = ()) -> Results:
    """All rows against a ProxyServer on the running loop.

    Args:
        log: its log.
        is_raw: its listener relays bytes, as for ``tcp:``.
        topics: only these.
    """
    app = Recorder()
    config = ProxyConfig(UpstreamAddress(hosts=("127.0.0.1",), port=app.port), trusted=(_Everybody(),))
    server = ProxyServer(config, log, on_quiet=lambda: None)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    port = int(sock.getsockname()[1])
    server.listen([(sock, is_raw)])
    try:
        return await _run(
            [Lane(port, app)], 0.2 if is_raw else _PATIENCE_S, 0.1 if is_raw else _PATIENCE_S, topics
        )
    finally:
        server.abort()
        await app.stop()
        await eventually(lambda: not server.connections and not server.upstreams)


async def _run(
    lanes: Sequence[Lane], patience_s: float, settle_s: float, topics: Sequence[str] = ()
) -> Results:
    rows = [(topic, case) for topic in topics or TOPICS for case in TOPICS[topic]]
    found = await run_all([case for _, case in rows], lanes, patience_s=patience_s, settle_s=settle_s)
    results: Results = {}
    for (topic, _), result in zip(rows, found, strict=True):
        results.setdefault(topic, []).append(result)
    return results

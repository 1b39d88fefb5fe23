"""The corpus against a ProxyServer on the running loop, whichever that is."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.server import ProxyServer
from tests.support.conformance import Lane
from tests.support.conformance_run import PATIENCE_S, Results, run_lanes
from tests.support.proxy_world import Recorded, eventually
from tests.support.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Everybody:
    """The peers that are trusted by default are all that there are here."""

    def __contains__(self, packed: bytes) -> bool:
        return True


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
        return await run_lanes(
            [Lane(port, app)], 0.2 if is_raw else PATIENCE_S, 0.1 if is_raw else PATIENCE_S, topics
        )
    finally:
        server.abort()
        await app.stop()
        await eventually(lambda: not server.connections and not server.upstreams)

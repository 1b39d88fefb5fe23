"""What a proxy is told at its start: limits and addresses, as plain values."""

from dataclasses import dataclass
from typing import Protocol


class PeerSet(Protocol):
    """Some of all client addresses: a network, say."""

    def __contains__(self, packed: bytes, /) -> bool:
        """Whether an address, packed as inet_pton gives it, is among them."""
        ...


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """Where the app listens.

    Attributes:
        hosts: to be tried in order; empty for a unix socket.
        port: 0 for a unix socket.
        path: of a unix socket; empty otherwise.
    """

    hosts: tuple[str, ...] = ()
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        """As a person writes it."""
        if self.path:
            return f"unix:{self.path}"
        host = self.hosts[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Limits, times (seconds) and sizes (bytes); None is unlimited.

    Attributes:
        trusted: networks, each holding packed peer addresses whose forwarding fields are believed.
        reads_proxy_header: a trusted peer's connection begins with a PROXY header; not on ``tcp:`` listeners.
        stream_grace_s: in a drain event streams are left alone for so long; None: to the deadline.
        app_head_max_bytes: where the app refuses a head; what is added keeps below it where it can.
        health_path: a GET of this path is answered here, not by the app; empty for none.
    """

    upstream: UpstreamAddress
    trusted: tuple[PeerSet, ...] = ()
    reads_proxy_header: bool = False
    forwarded: str = "auto"
    via: bytes = b"pyinit"
    adds_request_id: bool = False
    pool_is_fifo: bool = False
    head_max_bytes: int = 16 * 1024
    app_head_max_bytes: int = 16 * 1024
    fields_max: int = 2000
    head_timeout_s: float = 15.0
    idle_timeout_s: float = 75.0
    body_timeout_s: float = 60.0
    write_timeout_s: float = 60.0
    body_max_bytes: int | None = None
    connect_timeout_s: float = 5.0
    response_timeout_s: float | None = None
    max_connections: int = 1000
    buffer_memory_bytes: int = 64 << 20
    idle_grace_s: float = 1.0
    close_spread_s: float = 0.0
    stream_grace_s: float | None = 0.0
    access_log: bool = False
    logs_query: bool = False
    health_path: bytes = b""

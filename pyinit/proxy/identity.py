"""Who a client is: its address for logs, and what its requests are given.

With a PROXY header it is the announced source, in all: the bytes after the header are that client's own, so whether
their forwarding fields are believed is asked of its address, not of the load balancer's. LOCAL is the load balancer
itself, as without a header. A header that names nobody (UNKNOWN, UNSPEC, UNIX) leaves the real peer's address, but
its fields are not believed: it stands for a client that the load balancer has no address of, and who could reach it
that way could forge one.

HAProxy (2.6) says LOCAL in v2 of what its own unix sockets bring, too, where it says UNKNOWN in v1. LOCAL is believed
all the same: the specification has it mean "without being relayed", and a health check may need its
X-Forwarded-Proto, or an app that redirects to https is found down.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING

from pyinit.http1.forward import Forwarder

if TYPE_CHECKING:
    import asyncio

    from pyinit.http1.proxy_protocol import Endpoint, ProxyHeader
    from pyinit.proxy.config import ProxyConfig


# The peer's and our address as the kernel has them, our port, whether the peer is believed: found out once for all
# connections with the same. The value has the peer's address as it is written in front of a port.
Known = dict[tuple[str, str, int, bool], tuple[str, Forwarder]]
_KNOWN_MAX = 128


def identify(
    config: ProxyConfig, known: Known, transport: asyncio.Transport, header: ProxyHeader | None = None
) -> tuple[str, Forwarder] | None:
    """Who the peer is, for logs, and what its requests are given; None where it has gone already.

    Args:
        config: networks that are trusted, and the forwarding mode.
        known: of this config; grows.
        transport: the client's connection.
        header: the PROXY header in front of it, once it is there.
    """
    if header is not None and header.source is not None and header.destination is not None:
        return _of(config, _shown(header.source), _shown(header.destination))
    is_believed = header is None or header.is_local
    local = transport.get_extra_info("sockname")
    if isinstance(
        local, str | bytes
    ):  # of a unix socket: its path. To ask the socket would be a system call more.
        forwarder = _forwarder(
            config.forwarded, config.via, b"", is_believed, b"localhost", b"", config.app_head_max_bytes
        )
        return "unix", forwarder
    peer = transport.get_extra_info("peername")
    if not peer or not local:
        # A reset right behind a request leaves the request to be read, but no name to ask for
        # (getpeername(2): ENOTCONN): whose it is decides what is believed of it.
        return None
    key = (peer[0], local[0], local[1], is_believed)
    of_address = known.get(key)
    if of_address is None:
        ip = _unmapped(peer[0])
        _, forwarder = _of(config, (ip, 0), (_unmapped(local[0]), local[1]), is_believed=is_believed)
        if len(known) >= _KNOWN_MAX:
            known.clear()
        of_address = known[key] = (f"[{ip}]" if ":" in ip else ip, forwarder)
    return f"{of_address[0]}:{peer[1]}", of_address[1]


def _of(
    config: ProxyConfig, peer: tuple[str, int], local: tuple[str, int], *, is_believed: bool = True
) -> tuple[str, Forwarder]:
    ip = peer[0]
    packed = socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
    is_trusted = is_believed and any(packed in network for network in config.trusted)
    forwarder = _forwarder(
        *(config.forwarded, config.via, ip.encode(), is_trusted, _text(local).encode()),
        *(str(local[1]).encode(), config.app_head_max_bytes),
    )
    return _text(peer), forwarder


def _shown(end: Endpoint) -> tuple[str, int]:
    family = socket.AF_INET if len(end.address) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, end.address), end.port


def _text(end: tuple[str, int]) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"


def _unmapped(ip: str) -> str:
    """An IPv4 client of a dual-stack listener, as it is known elsewhere; scope ids fall away."""
    return ip.removeprefix("::ffff:").partition("%")[0]


@lru_cache(maxsize=128)
def _forwarder(
    mode: str,
    via: bytes,
    peer_ip: bytes,
    is_trusted: bool,  # noqa: FBT001  positional, as a cache's key is quickest
    local_host: bytes,
    local_port: bytes,
    head_max_bytes: int,
) -> Forwarder:
    """One for all connections of an address: what it has found out is for each of a load balancer's."""
    return Forwarder(
        mode,
        via,
        peer_ip=peer_ip,
        is_trusted=is_trusted,
        local_host=local_host,
        local_port=local_port,
        head_max_bytes=head_max_bytes,
    )

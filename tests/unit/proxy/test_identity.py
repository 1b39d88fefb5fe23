"""Who a client is: what its connections have in common."""

import socket
from typing import TYPE_CHECKING, cast

from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.identity import Known, identify
from pyinit.values import Network

if TYPE_CHECKING:
    import asyncio

    from pyinit.http1.forward import Forwarder

CONFIG = ProxyConfig(upstream=UpstreamAddress(hosts=("127.0.0.1",), port=1), trusted=(Network("10.0.0.0/8"),))


class Socket:
    """Of IPv4."""

    family = socket.AF_INET


class Accepted:
    """A connection's ends."""

    def __init__(self, peer: tuple[str, int], local: tuple[str, int]) -> None:
        self._known = {"socket": Socket(), "peername": peer, "sockname": local}

    def get_extra_info(self, name: str) -> object:
        return self._known[name]


def forwarder_of(
    peer: tuple[str, int], local: tuple[str, int] = ("10.0.0.9", 80), known: Known | None = None
) -> "Forwarder":
    identity = identify(
        CONFIG, known if known is not None else {}, cast("asyncio.Transport", Accepted(peer, local))
    )
    assert identity is not None
    assert identity[0] == f"{peer[0]}:{peer[1]}"
    return identity[1]


def test_connections_of_an_address_share_what_was_found_out_and_others_do_not() -> None:
    first = forwarder_of(("10.0.0.1", 1))
    assert forwarder_of(("10.0.0.1", 2)) is first
    assert forwarder_of(("10.0.0.2", 1)) is not first
    assert forwarder_of(("10.0.0.1", 1), ("10.0.0.9", 81)) is not first
    assert first.is_trusted
    assert not forwarder_of(("192.0.2.1", 1)).is_trusted


def test_what_is_known_of_addresses_is_used_again_and_bounded() -> None:
    known: Known = {}
    first = forwarder_of(("10.0.0.1", 1), known=known)
    assert forwarder_of(("10.0.0.1", 2), known=known) is first
    assert len(known) == 1
    assert not forwarder_of(("192.0.2.1", 1), known=known).is_trusted
    for number in range(300):
        forwarder_of((f"10.0.1.{number % 250}", 1), ("10.0.0.9", 80 + number), known=known)
        assert len(known) <= 128

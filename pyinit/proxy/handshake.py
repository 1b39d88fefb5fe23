"""Whether a 101 answers the upgrade that was offered, so that both connections may become a tunnel.

An app can be made to say 101 without meaning it: one that passes on the status of what it fetches for a client, say.
It reads HTTP from its connection as before, and whatever the client sends would reach it past every check of ours.
"""

import base64

from pyinit.errors import ProtocolError
from pyinit.http1.message import RequestHead, ResponseHead

# RFC 6455 section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def switched_to(request: RequestHead, response: ResponseHead) -> bytes:
    """The name of the protocol, in lower case, that a 101 switches to.

    Raises ProtocolError where the 101 is no answer to this request.

    Args:
        request: what was sent; its ``upgrade`` is what was offered.
        response: a 101.
    """
    switched = (response.upgrade or b"").lower()
    offered = [protocol.strip().lower() for protocol in (request.upgrade or b"").split(b",")]
    if not switched or switched not in offered:
        raise ProtocolError("101 for an upgrade that nobody offered (RFC 9110 section 15.2.2)")
    name = switched.partition(b"/")[0]
    if name == b"websocket" and _accepts(response) != [_accept_of(request.websocket_key or b"")]:
        # The client would have to fail it for the same reason: no WebSocket that works is lost here.
        raise ProtocolError("101 without the Sec-WebSocket-Accept of this handshake (RFC 6455 section 4.1)")
    return name


def _accepts(response: ResponseHead) -> list[bytes]:
    pairs = (line.partition(b":") for line in response.lines)
    return [value.strip(b" \t") for name, _, value in pairs if name.lower() == b"sec-websocket-accept"]


def _accept_of(key: bytes) -> bytes:
    """Section 4.2.2, item 5.4; a proof that the key was read, for which SHA-1 is as good as any."""
    # OpenSSL's hashes are milliseconds of our start and 0.7 MiB, which an app without WebSockets does not need.
    import hashlib  # noqa: PLC0415

    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())

"""A PROXY header, v1 and v2, in front of what follows it.

The laws: nothing is raised but ProtocolError. Any split gives the same header and the same rest, or is refused where
the whole is, or waits where it does. What is waited for is no more than a header may be long. A header that names a
client says the same when it is written again, as a line and as a block, and a byte less is never whole.
"""

import socket

from pyinit.errors import ProtocolError
from pyinit.http1.proxy_protocol import ProxyHeader, ProxyHeaderReader
from tests.fuzz.target import Target, in_pieces
from tests.support.proxy_header import (
    AWS_HEALTH_CHECK,
    CRC32C,
    LOCAL,
    NOOP,
    PROXY,
    SIGNATURE,
    TCP4,
    UDP4,
    UNIX,
    addresses,
    binary,
    block,
    line,
    tlv,
    with_checksum,
)

# Nothing is held that is longer.
_HEADER_MAX_BYTES = 16 * 1024


def check(data: bytes) -> None:
    """See above."""
    whole = _read([data])
    assert _read(in_pieces(data)) == whole
    if not isinstance(whole, tuple):
        assert whole is None or len(data) <= _HEADER_MAX_BYTES
        return
    header, rest = whole
    assert data.endswith(rest)
    size = len(data) - len(rest)
    assert _read([data[: size - 1]]) == "waits"
    assert (header.source is None) == (header.destination is None)
    if header.source is not None and header.destination is not None:
        assert not header.is_local
        ends = header.source, header.destination
        if len(ends[0].address) == len(ends[1].address):
            family = socket.AF_INET if len(ends[0].address) == 4 else socket.AF_INET6
            source, destination = (socket.inet_ntop(family, end.address) for end in ends)
            ports = (ends[0].port, ends[1].port)
            assert _read([line(source, destination, ports) + rest]) == (header, rest)
            assert _read([with_checksum(binary(source, destination, ports)) + rest]) == (header, rest)


def _read(pieces: list[bytes]) -> tuple[ProxyHeader, bytes] | str | None:
    """The header and what follows; "waits" where it is not whole; None where it is refused."""
    reader = ProxyHeaderReader()
    try:
        for at, piece in enumerate(pieces):
            taken = reader.feed(piece)
            if taken is not None:
                return taken[0], taken[1] + b"".join(pieces[at + 1 :])
    except ProtocolError:
        return None
    return "waits"


_REST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

TARGET = Target(
    "proxy_header",
    check,
    (
        line("203.0.113.7") + _REST,
        line("2001:db8::1", "::1") + _REST,
        line("::ffff:1.2.3.4", "::") + _REST,
        b"PROXY UNKNOWN\r\n" + _REST,
        b"PROXY UNKNOWN anything at all\r\n",
        binary("203.0.113.7") + _REST,
        binary("2001:db8::1", "::1", tlvs=tlv(NOOP, b"\0\0") + tlv(0x20, b"x" * 40)) + _REST,
        with_checksum(binary("203.0.113.7", tlvs=tlv(NOOP, b"abc"))) + _REST,
        block(PROXY, TCP4, addresses("1.2.3.4") + tlv(CRC32C, b"1234")),
        block(PROXY, UDP4, addresses("1.2.3.4")),
        block(PROXY, UNIX, bytes(216)) + _REST,
        block(LOCAL, 0) + _REST,
        AWS_HEALTH_CHECK,
        SIGNATURE + b"\x21\x11\xff\xff",
    ),
    (
        *(
            b"PROXY ",
            b"TCP4 ",
            b"TCP6 ",
            b"UNKNOWN",
            b"\r\n",
            b"\r",
            b"\n",
            b" ",
            b"0",
            b"65536",
            b"::",
            b"1.2.3.4",
        ),
        *(
            SIGNATURE,
            b"\x20",
            b"\x21",
            b"\x11",
            b"\x21\x31",
            b"\0\0",
            b"\xff\xff",
            tlv(NOOP, b""),
            tlv(CRC32C, b"1234"),
        ),
    ),
)

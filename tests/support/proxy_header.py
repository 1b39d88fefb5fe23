"""PROXY headers as a load balancer sends them: an encoder apart from the code under test."""

import socket
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, UDP4, TCP6, UDP6, UNIX, UNIX_DGRAM = 0x11, 0x12, 0x21, 0x22, 0x31, 0x32
CRC32C, NOOP = 0x03, 0x04

# The health check of an AWS Network Load Balancer, from a packet dump (kubernetes/kubernetes issue 57250): LOCAL
# with the family of TCP over IPv4, no addresses, a checksum and padding.
AWS_HEALTH_CHECK = SIGNATURE + bytes.fromhex("20 11 0054 03 0004 bce5951f 04 004a") + bytes(74)


def line(source: str, destination: str = "10.0.0.1", ports: tuple[int, int] = (56324, 443)) -> bytes:
    """A v1 line, addresses as written."""
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {ports[0]} {ports[1]}\r\n".encode()


def block(command: int, family: int, content: bytes = b"", *, length: int | None = None) -> bytes:
    """A v2 header.

    Args:
        command: with the version: LOCAL, PROXY, or a wrong one.
        family: with the transport.
        content: addresses, ports and TLVs.
        length: as told; the content's own where None.
    """
    return (
        SIGNATURE + struct.pack(">BBH", command, family, len(content) if length is None else length) + content
    )


def addresses(source: str, destination: str = "10.0.0.1", ports: tuple[int, int] = (56324, 443)) -> bytes:
    """The addresses and ports of TCP over IPv4 or IPv6."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = [socket.inet_pton(family, text) for text in (source, destination)]
    return b"".join(packed) + struct.pack(">HH", *ports)


def binary(
    source: str, destination: str = "10.0.0.1", ports: tuple[int, int] = (56324, 443), tlvs: bytes = b""
) -> bytes:
    """A whole v2 header of TCP."""
    return block(PROXY, TCP6 if ":" in source else TCP4, addresses(source, destination, ports) + tlvs)


def tlv(kind: int, value: bytes) -> bytes:
    """One type, length and value."""
    return struct.pack(">BH", kind, len(value)) + value


def with_checksum(header: bytes, at: int | None = None) -> bytes:
    """A v2 header with a checksum TLV more: at its end, or before this byte of the header."""
    at = len(header) if at is None else at
    length = struct.unpack(">H", header[14:16])[0] + 7
    zeroed = header[:14] + struct.pack(">H", length) + header[16:at] + tlv(CRC32C, bytes(4)) + header[at:]
    return zeroed[: at + 3] + struct.pack(">I", castagnoli(zeroed)) + zeroed[at + 7 :]


def castagnoli(data: bytes) -> int:
    """CRC32C by its definition, a bit at a time (RFC 4960 appendix B)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF

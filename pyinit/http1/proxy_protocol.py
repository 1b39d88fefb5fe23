r"""The PROXY protocol, v1 and v2: what a load balancer says in front of a connection about whose it is.

Source: HAProxy's ``doc/proxy-protocol.txt`` ("the specification" below), sections 2 to 2.2.

    PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n                                    v1
    \r\n\r\n\0\r\nQUIT\n  0x21  0x11  length  addresses, ports  TLVs                 v2

Where the header names an IP address, that is the client. Where it does not, the receiver goes by the connection's
real address, and no byte of the block is looked at: LOCAL ("discard the protocol block including the family"),
UNKNOWN ("ignore anything presented before the CRLF"), an unspecified family or transport. Not for TLVs either: with
no family nobody knows where they begin. AWS's health checks are LOCAL with the family of TCP over IPv4 and no
addresses, so a reader that counts on addresses there takes them for broken.

Refused, where the specification leaves a choice:
  - datagrams: nobody's HTTP/1.1 comes over them, so a header that says so is about another connection;
  - a bare CR or LF in the line, after UNKNOWN too: a parser that ends the line there reads another request;
  - TLVs that do not fill their block to the byte, and two checksums;
  - more than 16 KiB. The length field could say 64, and all of it is held until the last byte is there. HAProxy
    itself writes and reads what fits its buffer of 16 KiB, nginx 4 KiB. AWS's and Google's TLVs take less than
    100 bytes, a client's certificate (PP2_SUBTYPE_SSL_CLIENT_CERT) some 1 to 4 KiB.

The TLVs' content is of no use here, but a checksum among them is verified, as section 2.2.3 asks.
"""

import re
from dataclasses import dataclass

from pyinit.errors import ProtocolError
from pyinit.http1.abnf import BARE_LINE_END

# Section 2.1: "worst case", CRLF included.
_LINE_MAX_BYTES = 107
_BLOCK_MAX_BYTES = 16 * 1024
_LINE_START = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED_BYTES = 16

# Section 2.1, after UNKNOWN anything.
_PORT = rb"(0|[1-9][0-9]{0,4})"
_LINE = re.compile(
    rb"PROXY (?:(TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) "
    + _PORT
    + rb" "
    + _PORT
    + rb"|UNKNOWN(?: [^\r\n]*)?)"
    rb"\r\n"
)
_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(_OCTET + rb"(?:\." + _OCTET + rb"){3}")
_GROUP = re.compile(rb"[0-9A-Fa-f]{1,4}")
_MAPPED = b"\0" * 10 + b"\xff\xff"

# Section 2.2: the command; family and transport, four bits each, with the bytes that both addresses take.
_VERSION = 2
_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = range(4)
_STREAM, _DGRAM = 1, 2
_ADDRESS_BYTES = {_INET: 12, _INET6: 36, _UNIX: 216}
_TLV_CRC32C = 0x03

# RFC 4960 appendix B (Castagnoli), reflected, by half bytes: the table of 256 is twice as quick, and made at
# import or 100 lines long. AWS's header of 100 bytes takes some 20 microseconds, once a connection.
_CRC_TABLE = (
    *(0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D),
    *(0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of the announced connection.

    Attributes:
        address: packed, 4 or 16 bytes; an IPv4-mapped one is given as IPv4. Not text: v1's has many spellings, and
            who is to be trusted is asked of the packed form.
        port: 0 to 65535.
    """

    address: bytes
    port: int


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says.

    Attributes:
        is_local: the sender speaks for itself: a health check, say.
        source: the client; None where no IP address is named.
        destination: where the client connected to; None with the source.
    """

    is_local: bool = False
    source: Endpoint | None = None
    destination: Endpoint | None = None


class ProxyHeaderReader:
    """Reads the header at the beginning of one connection."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def held_bytes(self) -> int:
        """How much of an unfinished header is kept here."""
        return len(self._buffer)

    def feed(self, data: bytes) -> tuple[ProxyHeader, bytes] | None:
        """Take bytes in; give the header out. Of no more use after that, or after an error.

        Args:
            data: raw bytes as received, any split.

        Returns:
            The header, and the bytes after it; None while it is not whole.

        Raises:
            ProtocolError: no header, or a malformed one; not to be answered with its status, as nobody knows
                whether the peer speaks HTTP.
        """
        buffer = self._buffer
        buffer += data
        if buffer.startswith(_LINE_START):
            is_line, size = True, _line_bytes(buffer)
        elif buffer.startswith(_SIGNATURE):
            is_line, size = False, _block_bytes(buffer)
        elif _LINE_START.startswith(buffer) or _SIGNATURE.startswith(buffer):
            return None
        else:
            # Section 2.2: "not covered by this specification and the connection must be dropped".
            raise ProtocolError("no PROXY header comes first: have it sent, or take the peer out of --trust")
        if size is None:
            return None
        whole = bytes(buffer[:size])
        header = _line(whole) if is_line else _block(whole)
        rest = bytes(buffer[size:])
        self._buffer = bytearray()
        return header, rest

    def __repr__(self) -> str:
        return f"ProxyHeaderReader({len(self._buffer)} bytes held)"


def _line_bytes(buffer: bytearray) -> int | None:
    """The length of a v1 line; None while its end has not come."""
    end = buffer.find(b"\r\n", 0, _LINE_MAX_BYTES)
    if end >= 0:
        return end + 2
    if len(buffer) >= _LINE_MAX_BYTES:
        raise ProtocolError("a PROXY line of more than 107 bytes")
    if BARE_LINE_END.search(buffer):
        raise ProtocolError("a PROXY line that does not end in CRLF")
    return None


def _line(line: bytes) -> ProxyHeader:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ProtocolError("a malformed PROXY line")
    family, *texts, source_port, destination_port = found.groups()
    if family is None:
        return ProxyHeader()
    source, destination = (_unmapped(_address(family, text)) for text in texts)
    ports = int(source_port), int(destination_port)
    if max(ports) > 0xFFFF:
        raise ProtocolError("a PROXY line with a port above 65535")
    return ProxyHeader(source=Endpoint(source, ports[0]), destination=Endpoint(destination, ports[1]))


def _address(family: bytes, text: bytes) -> bytes:
    packed = _packed_v4(text) if family == b"TCP4" else _packed_v6(text)
    if packed is None:
        raise ProtocolError(f"a malformed address after PROXY {family.decode()}")
    return packed


def _packed_v4(text: bytes) -> bytes | None:
    return bytes(map(int, text.split(b"."))) if _IPV4.fullmatch(text) else None


def _packed_v6(text: bytes) -> bytes | None:
    """What inet_pton(3) makes of it; None for what it refuses."""
    left, gap, right = text.partition(b"::")
    before, after = left.split(b":") if left else [], right.split(b":") if right else []
    pieces = before + after
    packed = []
    for at, piece in enumerate(pieces):
        if _GROUP.fullmatch(piece):
            packed.append(int(piece, 16).to_bytes(2))
        elif at == len(pieces) - 1 and not (gap and not after) and (last := _packed_v4(piece)) is not None:
            packed += (last[:2], last[2:])
        else:
            return None
    if not gap:
        return b"".join(packed) if len(packed) == 8 else None
    if len(packed) > 7:
        return None  # the gap stands for one group at the least
    zeros = [b"\0\0"] * (8 - len(packed))
    return b"".join([*packed[: len(before)], *zeros, *packed[len(before) :]])


def _block_bytes(buffer: bytearray) -> int | None:
    """The length of a v2 block; None while it is not whole. What no sender may send is refused at once."""
    if len(buffer) < _FIXED_BYTES:
        return None
    version, command = divmod(buffer[12], 16)
    if version != _VERSION or command not in (_LOCAL, _PROXY):
        raise ProtocolError(f"a PROXY header of version and command {buffer[12]:#04x}")
    family, transport = divmod(buffer[13], 16)
    # The family of LOCAL is ignored, whatever it is.
    if command == _PROXY and (family > _UNIX or transport > _STREAM):
        kind = "for datagrams" if transport == _DGRAM else "of an unknown family or transport"
        raise ProtocolError(f"a PROXY header {kind}: {buffer[13]:#04x}")
    size = _FIXED_BYTES + int.from_bytes(buffer[14:16])
    if size > _BLOCK_MAX_BYTES:
        raise ProtocolError(f"a PROXY header of {size} bytes; 16 KiB are read")
    return size if len(buffer) >= size else None


def _block(block: bytes) -> ProxyHeader:
    if block[12] % 16 == _LOCAL:
        return ProxyHeader(is_local=True)
    family, transport = divmod(block[13], 16)
    if _UNSPEC in (family, transport):
        return ProxyHeader()
    end = _FIXED_BYTES + _ADDRESS_BYTES[family]
    if len(block) < end:
        raise ProtocolError("a PROXY header shorter than its addresses")
    _check_tlvs(block, end)
    if family == _UNIX:
        return ProxyHeader()
    size = (end - _FIXED_BYTES - 4) // 2
    middle, ports = _FIXED_BYTES + size, _FIXED_BYTES + 2 * size
    return ProxyHeader(
        source=Endpoint(_unmapped(block[_FIXED_BYTES:middle]), int.from_bytes(block[ports : ports + 2])),
        destination=Endpoint(_unmapped(block[middle:ports]), int.from_bytes(block[ports + 2 : end])),
    )


def _check_tlvs(block: bytes, at: int) -> None:
    """Section 2.2: type, two bytes of length, value; each in its place, and a checksum right."""
    checksum_at = None
    while at < len(block):
        value = at + 3
        length = int.from_bytes(block[at + 1 : value])
        if value + length > len(block):
            raise ProtocolError("a PROXY header whose TLVs are longer than itself")
        if block[at] == _TLV_CRC32C:
            if length != 4 or checksum_at is not None:
                raise ProtocolError("a PROXY header with a malformed or second checksum")
            checksum_at = value
        at = value + length
    if checksum_at is not None:
        said = block[checksum_at : checksum_at + 4]
        if crc32c(block[:checksum_at] + b"\0\0\0\0" + block[checksum_at + 4 :]) != int.from_bytes(said):
            raise ProtocolError("a PROXY header with a wrong checksum")


def crc32c(data: bytes) -> int:
    """The checksum of section 2.2.3."""
    crc = 0xFFFFFFFF
    table = _CRC_TABLE
    for byte in data:
        crc ^= byte
        crc = table[crc & 15] ^ (crc >> 4)
        crc = table[crc & 15] ^ (crc >> 4)
    return crc ^ 0xFFFFFFFF


def _unmapped(address: bytes) -> bytes:
    """An IPv4 client of a dual-stack listener, as it is known elsewhere."""
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address

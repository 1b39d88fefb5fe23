"""PROXY headers: who they say the client is, which are refused, where they end, in any split."""

import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ProtocolError
from pyinit.http1.proxy_protocol import Endpoint, ProxyHeader, ProxyHeaderReader, crc32c
from tests.support.proxy_header import (
    AWS_HEALTH_CHECK,
    CRC32C,
    LOCAL,
    NOOP,
    PROXY,
    SIGNATURE,
    TCP4,
    TCP6,
    UDP4,
    UDP6,
    UNIX,
    UNIX_DGRAM,
    addresses,
    binary,
    block,
    castagnoli,
    line,
    tlv,
    with_checksum,
)
from tests.support.splits import TRAILING, Refused, in_every_split, outcome
from tests.support.strategies import law, pieces

NOBODY = ProxyHeader()
ITSELF = ProxyHeader(is_local=True)
UNIX_PATHS = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")


def parse(pieces: Sequence[bytes]) -> tuple[ProxyHeader, bytes] | None:
    reader = ProxyHeaderReader()
    for at, piece in enumerate(pieces):
        taken = reader.feed(piece)
        if taken is not None:
            assert reader.held_bytes == 0
            header, rest = taken
            return header, rest + b"".join(pieces[at + 1 :])
    assert reader.held_bytes == sum(map(len, pieces))
    return None


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def between(source: str, destination: str = "10.0.0.1", ports: tuple[int, int] = (56324, 443)) -> ProxyHeader:
    return ProxyHeader(
        source=Endpoint(packed(source), ports[0]), destination=Endpoint(packed(destination), ports[1])
    )


# -- accepted ------------------------------------------------------------------------------------------------

V4, V6, V6_LONGEST = "203.0.113.7", "2001:db8::7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

ACCEPTED = [
    ("v1, IPv4", line(V4), between(V4)),
    ("v1, IPv4, the widest", line("255.255.255.255", "255.255.255.255", (65535, 65535)),
     between("255.255.255.255", "255.255.255.255", (65535, 65535))),
    ("v1, IPv4, the narrowest", line("0.0.0.0", "0.0.0.0", (0, 0)), between("0.0.0.0", "0.0.0.0", (0, 0))),
    ("v1, IPv6", line(V6, "::1"), between(V6, "::1")),
    ("v1, IPv6 in capitals", b"PROXY TCP6 2001:DB8::A 2001:0db8::000a 1 2\r\n",
     between("2001:db8::a", "2001:db8::a", (1, 2))),
    ("v1, IPv6, the longest", line(V6_LONGEST, V6_LONGEST, (65535, 65535)),
     between(V6_LONGEST, V6_LONGEST, (65535, 65535))),
    ("v1, IPv4-mapped", line("::ffff:1.2.3.4", "::ffff:102:304"), between("1.2.3.4", "1.2.3.4")),
    ("v1, UNKNOWN alone", b"PROXY UNKNOWN\r\n", NOBODY),
    ("v1, UNKNOWN with addresses", b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n", NOBODY),
    ("v1, UNKNOWN with anything", b"PROXY UNKNOWN  \0\xff PROXY TCP4\t\r\n", NOBODY),
    ("v1, UNKNOWN of 107 bytes", b"PROXY UNKNOWN ".ljust(105, b"x") + b"\r\n", NOBODY),
    ("v2, IPv4", binary(V4), between(V4)),
    ("v2, IPv6", binary(V6, "::1", (0, 65535)), between(V6, "::1", (0, 65535))),
    ("v2, IPv4-mapped", binary("::ffff:1.2.3.4", "::1"), between("1.2.3.4", "::1")),
    ("v2, TLVs", binary(V4, tlvs=tlv(NOOP, b"") + tlv(0xEA, b"\1vpce-1") + tlv(0x20, b"\0" * 5)), between(V4)),
    ("v2, TLVs behind IPv6", binary(V6, "::1", tlvs=tlv(NOOP, b"xyz")), between(V6, "::1")),
    ("v2, a checksum", with_checksum(binary(V4)), between(V4)),
    ("v2, a checksum between TLVs", with_checksum(binary(V4, tlvs=tlv(5, b"id") + tlv(NOOP, b"\0\0")), 33),
     between(V4)),
    ("v2, a checksum behind IPv6", with_checksum(binary(V6, "::1")), between(V6, "::1")),
    ("v2, UNIX", block(PROXY, UNIX, UNIX_PATHS), NOBODY),
    ("v2, UNIX with a checksum", with_checksum(block(PROXY, UNIX, UNIX_PATHS)), NOBODY),
    ("v2, unspecified", block(PROXY, 0), NOBODY),
    ("v2, unspecified with content", block(PROXY, 0, b"whatever it is"), NOBODY),
    ("v2, an unspecified transport", block(PROXY, 0x10, addresses(V4)), NOBODY),
    ("v2, an unspecified family", block(PROXY, 0x01, b"\xff"), NOBODY),
    ("v2, LOCAL", block(LOCAL, 0), ITSELF),
    ("v2, LOCAL with addresses", block(LOCAL, TCP4, addresses(V4)), ITSELF),
    ("v2, LOCAL of a family that is none", block(LOCAL, 0xFF, b"\xff"), ITSELF),
    ("v2, LOCAL from AWS", AWS_HEALTH_CHECK, ITSELF),
    ("v2, the largest", binary(V4, tlvs=tlv(NOOP, bytes(16384 - 28 - 3))), between(V4)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wire", "header"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED]
)
def test_a_header_says_the_same_in_every_split(wire: bytes, header: ProxyHeader) -> None:
    assert in_every_split(parse, wire) == header


@pytest.mark.parametrize("wire", [case[1] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_a_header_without_its_end_is_waited_for(wire: bytes) -> None:
    for size in (*range(min(len(wire), 300)), len(wire) - 1):
        assert parse([wire[:size]]) is None


def test_a_second_header_is_left_to_who_reads_the_request() -> None:
    """A client can send one of its own behind the load balancer's, which says nothing of it."""
    assert parse([line(V4) + line("127.0.0.1")]) == (between(V4), line("127.0.0.1"))


# -- refused -------------------------------------------------------------------------------------------------

REFUSED = [
    ("a request", b"GET / HTTP/1.1\r\n"),
    ("an empty line and a request", b"\r\nGET / HTTP/1.1\r\n"),
    ("TLS", b"\x16\x03\x01"),
    ("a space before", b" PROXY TCP4"),
    ("lower case", b"proxy TCP4"),
    ("PROXY without a space", b"PROXY\r\n"),
    ("two spaces", b"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n"),
    ("two spaces within", b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n"),
    ("a tab", b"PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n"),
    ("a space at the end", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n"),
    ("another protocol", b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n"),
    ("a protocol in lower case", b"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n"),
    ("UNKNOWN and more without a space", b"PROXY UNKNOWNX\r\n"),
    ("nothing after PROXY", b"PROXY \r\n"),
    ("a missing port", b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"),
    ("a third port", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n"),
    ("a port above 65535", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n"),
    ("a port of six digits", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 100000\r\n"),
    ("a port with a leading zero", b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n"),
    ("two zeros for a port", b"PROXY TCP4 1.2.3.4 5.6.7.8 00 2\r\n"),
    ("a signed port", b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n"),
    ("a port that is a word", b"PROXY TCP4 1.2.3.4 5.6.7.8 http 2\r\n"),
    ("an octet of 256", b"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n"),
    ("an octet with a leading zero", b"PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n"),
    ("three octets", b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n"),
    ("five octets", b"PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n"),
    ("hexadecimal IPv4", b"PROXY TCP4 1.2.3.a 5.6.7.8 1 2\r\n"),
    ("IPv6 in TCP4", b"PROXY TCP4 ::1 ::1 1 2\r\n"),
    ("IPv4 in TCP6", b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n"),
    ("a mixture", b"PROXY TCP6 ::1 5.6.7.8 1 2\r\n"),
    ("a zone", b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"),
    ("brackets", b"PROXY TCP6 [::1] ::1 1 2\r\n"),
    ("two gaps", b"PROXY TCP6 1::2::3 ::1 1 2\r\n"),
    ("nine groups", b"PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n"),
    ("a name", b"PROXY TCP4 localhost 5.6.7.8 1 2\r\n"),
    ("LF alone", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n"),
    ("LF alone after UNKNOWN", b"PROXY UNKNOWN\nGET / HTTP/1.1\r\n"),
    ("CR alone", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rG"),
    ("CR alone after UNKNOWN", b"PROXY UNKNOWN x\ry\r\n"),
    ("a NUL", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\0\r\n"),
    ("107 bytes without an end", b"PROXY UNKNOWN ".ljust(107, b"x")),
    ("108 bytes", b"PROXY UNKNOWN ".ljust(106, b"x") + b"\r\n"),
    ("a wrong signature", SIGNATURE[:-1] + b"\r"),
    ("version 1 in binary", block(0x11, TCP4, addresses(V4))),
    ("version 3", block(0x31, TCP4, addresses(V4))),
    ("an unknown command", block(0x22, TCP4, addresses(V4))),
    ("datagrams over IPv4", block(PROXY, UDP4, addresses(V4))),
    ("datagrams over IPv6", block(PROXY, UDP6, addresses(V6, "::1"))),
    ("unix datagrams", block(PROXY, UNIX_DGRAM, UNIX_PATHS)),
    ("unspecified datagrams", block(PROXY, 0x02)),
    ("an unknown family", block(PROXY, 0x41, addresses(V4))),
    ("an unknown transport", block(PROXY, 0x13, addresses(V4))),
    ("no addresses", block(PROXY, TCP4)),
    ("short IPv4 addresses", block(PROXY, TCP4, addresses(V4)[:-1])),
    ("short IPv6 addresses", block(PROXY, TCP6, addresses(V6, "::1")[:-1])),
    ("short unix addresses", block(PROXY, UNIX, UNIX_PATHS[:-1])),
    ("a TLV of one byte", binary(V4, tlvs=b"\4")),
    ("a TLV of two bytes", binary(V4, tlvs=b"\4\0")),
    ("a TLV beyond the end", binary(V4, tlvs=b"\4\0\1")),
    ("a second TLV beyond the end", binary(V4, tlvs=tlv(NOOP, b"x") + b"\4\0\1")),
    ("a TLV beyond the end behind UNIX", block(PROXY, UNIX, UNIX_PATHS + b"\4\0\1")),
    ("a wrong checksum", binary(V4, tlvs=tlv(CRC32C, b"\0\0\0\0"))),
    ("another's checksum", with_checksum(binary(V4)).replace(packed(V4), packed("203.0.113.8"))),
    ("a wrong checksum behind UNIX", block(PROXY, UNIX, UNIX_PATHS + tlv(CRC32C, b"\0\0\0\0"))),
    ("a checksum of three bytes", binary(V4, tlvs=tlv(CRC32C, b"\0\0\0"))),
    ("two checksums", with_checksum(with_checksum(binary(V4)))),
    ("more than 16 KiB", block(PROXY, TCP4, length=16384 - 15)),
    ("as much as the length can say", block(PROXY, TCP4, length=65535)),
    ("LOCAL of more than 16 KiB", block(LOCAL, 0, length=65535)),
]  # fmt: skip


@pytest.mark.parametrize("wire", [case[1] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_header_is_refused_in_every_split(wire: bytes) -> None:
    assert isinstance(in_every_split(parse, wire), Refused)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"G", "no PROXY header comes first"),
        (b"\r\n\r\nG", "no PROXY header comes first"),
        (b"PROXY TCP4 1.2.3.4\n", "does not end in CRLF"),
        (block(0x31, TCP4, length=12), "version and command 0x31"),
        (block(PROXY, UDP4, length=12), "for datagrams: 0x12"),
        (block(PROXY, 0xF1, length=12), "unknown family or transport: 0xf1"),
        (block(PROXY, TCP4, length=65535), "65551 bytes"),
    ],
)
def test_what_can_become_no_header_is_refused_at_once(wire: bytes, reason: str) -> None:
    """Or its sender would wait for the timeout to hear of it."""
    refused = outcome(parse, [wire])
    assert isinstance(refused, Refused)
    assert reason in refused.reason


# -- laws ----------------------------------------------------------------------------------------------------

ports = st.integers(0, 65535)
v4 = st.ip_addresses(v=4).map(str)
# Addresses with short gaps, long ones, and an IPv4 one at the end: ipaddress writes them its own way.
v6 = st.ip_addresses(v=6).map(str) | st.lists(st.sampled_from((0, 1, 0xABCD)), min_size=8, max_size=8).map(
    lambda groups: socket.inet_ntop(socket.AF_INET6, b"".join(it.to_bytes(2) for it in groups))
)
ends = st.tuples(v4, v4) | st.tuples(v6, v6)
tlvs = st.lists(
    st.tuples(st.integers(0, 255).filter(lambda kind: kind != CRC32C), st.binary(max_size=40)), max_size=5
)


def expected(source: str, destination: str, numbers: tuple[int, int]) -> ProxyHeader:
    def plain(text: str) -> bytes:
        address = packed(text)
        return (
            address[12:] if address.startswith(b"\0" * 10 + b"\xff\xff") and len(address) == 16 else address
        )

    return ProxyHeader(
        source=Endpoint(plain(source), numbers[0]), destination=Endpoint(plain(destination), numbers[1])
    )


@law
@given(ends, st.tuples(ports, ports), tlvs, st.booleans(), st.booleans(), st.data())
def test_what_is_sent_is_read_whatever_the_split(
    pair: tuple[str, str],
    numbers: tuple[int, int],
    extra: list[tuple[int, bytes]],
    is_binary: bool,  # noqa: FBT001  hypothesis fills it in
    is_checked: bool,  # noqa: FBT001  the same
    data: st.DataObject,
) -> None:
    wire = line(*pair, numbers)
    if is_binary:
        wire = binary(*pair, numbers, b"".join(tlv(*one) for one in extra))
        wire = with_checksum(wire) if is_checked else wire
    parts = data.draw(pieces(wire + TRAILING))
    assert parse(parts) == (expected(*pair, numbers), TRAILING)


@law
@given(
    st.lists(
        st.sampled_from(["", ":", "::", "0", "1", "ffff", "1:", ":2", "00000", "1.2.3.4", "g"]), max_size=12
    )
)
def test_an_ipv6_address_is_what_inet_pton_takes_for_one(parts: list[str]) -> None:
    text = "".join(parts)[:40]
    try:
        wanted: ProxyHeader | Refused = expected(text, "::1", (1, 2)) if ":" in text else Refused(400)
    except OSError:
        wanted = Refused(400)
    got = outcome(parse, [f"PROXY TCP6 {text} ::1 1 2\r\n".encode()])
    assert got == ((wanted, b"") if isinstance(wanted, ProxyHeader) else wanted)


@law
@given(
    st.binary(max_size=60),
    st.sampled_from((b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, binary(V4))),
    st.data(),
)
def test_anything_is_read_the_same_in_any_split_or_refused(
    tail: bytes, start: bytes, data: st.DataObject
) -> None:
    wire = start + tail
    assert outcome(parse, data.draw(pieces(wire))) == outcome(parse, [wire])


@law
@given(st.integers(16, 27), st.integers(0, 7))
def test_a_bit_that_fell_over_is_seen_by_the_checksum(at: int, bit: int) -> None:
    wire = bytearray(with_checksum(binary(V4)))
    wire[at] ^= 1 << bit
    assert isinstance(outcome(parse, [bytes(wire)]), Refused)


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of every catalogue
    assert crc32c(b"") == 0
    sent = int.from_bytes(AWS_HEALTH_CHECK[19:23])
    assert crc32c(AWS_HEALTH_CHECK[:19] + bytes(4) + AWS_HEALTH_CHECK[23:]) == sent
    assert crc32c(bytes(range(256))) == castagnoli(bytes(range(256)))


def test_a_reader_shows_what_it_holds() -> None:
    reader = ProxyHeaderReader()
    reader.feed(b"PROXY TCP4")
    assert repr(reader) == "ProxyHeaderReader(10 bytes held)"
    with pytest.raises(ProtocolError):
        reader.feed(b"\n")

"""A message body: chunked by its framer, and by length.

The laws: any split takes the same bytes, finds the same payload and refuses the same. What is whole to us is whole to
llhttp and h11, with the same payload, at the same byte; what is not, is not to them. What is passed on before the end
has come llhttp takes: no byte of it is one that no body could hold.
"""

import h11

from pyinit.errors import ProtocolError
from pyinit.http1.body import BodyFramer, ChunkedBody, LengthBody
from tests.fuzz import words
from tests.fuzz.target import Target, framed, in_pieces
from tests.support.oracles import Llhttp, read_by_h11

_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def check(data: bytes) -> None:
    """See above. The first two bytes are the length of the other reading of the rest."""
    _check_chunked(data)
    length = int.from_bytes(data[:2], "big") % 257
    if length:
        rest = data[2:]
        whole, split = _read(LengthBody(length), [rest]), _read(LengthBody(length), in_pieces(rest))
        assert whole == split == (min(length, len(rest)), rest[:length], length <= len(rest))


def _read(framer: BodyFramer, pieces: list[bytes]) -> tuple[int, bytes, bool] | None:
    """How far it goes, its payload, and whether it is whole; None where it is refused."""
    taken, found = 0, b""
    try:
        for piece in pieces:
            if not piece:
                continue
            end, payload = framed(framer, piece)
            taken += end
            found += payload
            if framer.complete:
                break
            assert end == len(piece)
    except ProtocolError:
        return None
    return taken, found, framer.complete


def _check_chunked(data: bytes) -> None:
    framer = ChunkedBody()
    whole = _read(framer, [data])
    assert _read(ChunkedBody(), in_pieces(data)) == whole
    if whole is None:
        _check_refused(data)
        return
    taken, payload, is_complete = whole
    assert len(framer._line) <= 16 * 1024
    node = Llhttp()
    method = node.read(_HEAD + data[:taken])
    if is_complete:
        assert method is not None
        assert (node.ends, node.payload) == (1, payload)
        assert framer.data_bytes == len(payload)
        others = read_by_h11(_HEAD + data)
        assert (others.payload, others.is_whole, others.rest) == (payload, True, data[taken:])
        short = Llhttp()
        short.read(_HEAD + data[: taken - 1])
        assert short.ends == 0
    else:
        assert method is not None
        assert node.ends == 0
        try:
            assert not read_by_h11(_HEAD + data).is_whole
        except h11.RemoteProtocolError:
            return  # it will be refused there: not read otherwise


def _check_refused(data: bytes) -> None:
    """What was passed on before the fault showed is no whole message: byte by byte, the most that can be."""
    framer, passed = ChunkedBody(), 0
    try:
        for byte in range(len(data)):
            framer.take(data[byte : byte + 1], 0)
            assert not framer.complete
            passed += 1
    except ProtocolError:
        pass
    node = Llhttp()
    node.read(_HEAD + data[:passed])
    assert node.ends == 0


TARGET = Target(
    "body",
    check,
    (
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\nGET /",
        b'000a;a=b;c="d\\"e";f\r\n0123456789\r\n1\r\nx\r\n00\r\nX: y\r\nz:\r\n\r\n',
        b"A\r\n0123456789\r\nB;x\r\n01234567890\r\n0;y\r\n\r\n",
        b"1\r\nab\r\n",
        b"1 \r\na\r\n0\r\n\r\n",
        b"1\na\n0\n\n",
        b"-1\r\n",
        b"0x1\r\na\r\n0\r\n\r\n",
        b"1;\r\na\r\n0\r\n\r\n",
        b"1;a\nb\r\na\r\n0\r\n\r\n",
        b"0\r\nContent-Length: 1\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX\r",
        b"0\r\nContent-Length:",
        b"1\r\na\r\nf;\xff",
        b"fffffffffffffff\r\na",
        b"ffffffffffffffff1\r\na",
        b"\x00\x05hello, world",
    ),
    (*words.LINES, *words.CHUNKS),
)

"""One direction of a WebSocket: where its frames end.

The laws: nothing is ever raised. Any split gives the same place: at a boundary, within a frame, behind a Close, or
lost. It is the place that a reading of RFC 6455 section 5.2 byte by byte finds. A frame under way is followed to its
end and no byte further.
"""

from pyinit.http1.websocket import FrameFollower, close_frame
from tests.fuzz.target import Target, in_pieces

_CLOSE = 0x8
_NEVER_BYTES = 1 << 63


def check(data: bytes) -> None:
    """See above. The first byte says which direction it is."""
    masked, stream = bool(data[:1] and data[0] & 1), data[1:]
    whole = _followed([stream], masked=masked)
    assert _followed(in_pieces(stream), masked=masked) == whole == _place(stream, masked=masked)
    for cut in {len(stream) // 3, len(stream) // 2}:
        _check_to_boundary(stream, cut, masked=masked)


def _followed(pieces: list[bytes], *, masked: bool) -> str:
    follower = FrameFollower(masked=masked)
    for piece in pieces:
        follower.follow(piece)
    return _state(follower)


def _state(follower: FrameFollower) -> str:
    if follower.is_lost:
        return "lost"
    if follower.has_closed:
        return "closed"
    return "boundary" if follower.is_at_boundary else "within"


def _place(stream: bytes, *, masked: bool) -> str:
    """The same by the letter, from the beginning, one frame after the other."""
    at = 0
    while at < len(stream):
        head = stream[at : at + 2]
        if len(head) < 2:
            return "within"
        if bool(head[1] & 0x80) is not masked:
            return "lost"
        size = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
        told = stream[at + 2 : at + 2 + size]
        if len(told) < size:
            return "within"
        length = int.from_bytes(told) if size else head[1] & 0x7F
        if length >= _NEVER_BYTES:
            return "lost"
        at += 2 + size + 4 * masked + length
        if at > len(stream):
            return "within"
        if head[0] & 0x0F == _CLOSE:
            return "closed"
    return "boundary"


def _check_to_boundary(stream: bytes, cut: int, *, masked: bool) -> None:
    follower = FrameFollower(masked=masked)
    follower.follow(stream[:cut])
    before = _state(follower)
    taken = follower.follow_to_boundary(stream[cut:])
    assert 0 <= taken <= len(stream) - cut
    assert _state(follower) == _place(stream[: cut + taken], masked=masked)
    if before in ("boundary", "closed"):
        assert taken == 0
    elif _state(follower) in ("within", "lost"):
        assert taken == len(stream) - cut
    else:
        # And not sooner.
        assert all(
            _place(stream[:end], masked=masked) in ("within", "lost") for end in range(cut, cut + taken)
        )


_TO_CLIENT, _TO_APP = b"\0", b"\1"

TARGET = Target(
    "websocket",
    check,
    (
        _TO_CLIENT + b"\x81\x05hello" + close_frame(1001),
        _TO_APP + b"\x81\x85\x01\x02\x03\x04hello" + close_frame(1000, b"\x01\x02\x03\x04"),
        _TO_CLIENT + b"\x01\x02he" + b"\x89\x00" + b"\x80\x03llo",
        _TO_CLIENT + b"\x82\x7e\x00\x80" + bytes(128) + b"\x8a\x00",
        _TO_CLIENT + b"\x82\x7f\0\0\0\0\0\0\0\x03abc\x88\x02\x03\xe8more",
        _TO_APP + b"\xc1\x80\0\0\0\0" * 3,
        _TO_CLIENT + b"\x81\x81\0\0\0\0x",
        _TO_CLIENT + b"\x82\x7f\x80\0\0\0\0\0\0\0x",
    ),
    (
        *(
            b"\x81\x00",
            b"\x81\x80\0\0\0\0",
            b"\x88\x00",
            b"\x88\x80\0\0\0\0",
            b"\x82\x7e",
            b"\x82\x7f",
            b"\x82\xfe",
        ),
        *(
            b"\0\0\0\0\0\0\0\1",
            b"\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\0\0\0\0\0\0\0",
            b"\x01\x01x",
            b"\0",
        ),
    ),
)

"""The follower: every shape of frame, whole and at every split, beside the framing of an implementation of RFC 6455."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from pyinit.http1.websocket import GOING_AWAY, FrameFollower, close_frame
from tests.support.strategies import law

if TYPE_CHECKING:
    from collections.abc import Generator

TEXT, BINARY, CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
KEY = b"\x12\x34\x56\x78"


def frame(
    opcode: int, payload: bytes = b"", *, masked: bool, first: int = 0x80, size: int | None = None
) -> bytes:
    """A frame by the letter of RFC 6455 section 5.2; broken ones too.

    Args:
        opcode: any.
        payload: sent as it is: a key of zeros changes nothing.
        masked: whether the mask bit and a key are there.
        first: the bits above the opcode.
        size: of the bytes that tell the length: 1, 3 or 9, the least by itself.
    """
    length = len(payload)
    if size is None:
        size = 1 if length < 126 else 3 if length < 1 << 16 else 9
    mask = 0x80 if masked else 0
    told = {
        1: lambda: bytes([mask | length]),
        3: lambda: bytes([mask | 126]) + length.to_bytes(2),
        9: lambda: bytes([mask | 127]) + length.to_bytes(8),
    }[size]()
    return bytes([first | opcode]) + told + bytes(4 * masked) + payload


def follower(*, masked: bool, after: bytes = b"") -> FrameFollower:
    made = FrameFollower(masked=masked)
    made.follow(after)
    return made


SHAPES = [
    ("empty", TEXT, b"", {}),
    ("short", TEXT, b"hello", {}),
    ("the longest of one length byte", BINARY, bytes(125), {}),
    ("the shortest of two", BINARY, bytes(126), {}),
    ("two of them", BINARY, bytes(300), {}),
    ("eight of them", BINARY, bytes(1 << 16), {}),
    ("a length longer than it need be", BINARY, bytes(5), {"size": 3}),
    ("a length much longer than it need be", BINARY, bytes(5), {"size": 9}),
    ("a first fragment", TEXT, b"he", {"first": 0}),
    ("a fragment", CONT, b"ll", {"first": 0}),
    ("the last one", CONT, b"o", {}),
    ("compressed", TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", {"first": 0xC0}),
    ("all the bits of extensions", TEXT, b"x", {"first": 0xF0}),
    ("a ping", Opcode.PING, b"p", {}),
    ("a pong", Opcode.PONG, bytes(125), {}),
    ("an opcode of the future", 0x3, b"x", {}),
    ("a control frame of the future", 0xB, b"", {}),
    ("a fragmented ping, which nobody may send", Opcode.PING, b"p", {"first": 0}),
    ("a ping that is too long", Opcode.PING, bytes(126), {}),
]
both_ways = pytest.mark.parametrize("masked", [True, False], ids=["to the app", "to the client"])


@both_ways
@pytest.mark.parametrize(
    ("opcode", "payload", "extra"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES]
)
def test_a_boundary_is_after_a_frame_and_nowhere_in_it(
    *, masked: bool, opcode: int, payload: bytes, extra: dict[str, int]
) -> None:
    """Whatever the frame is: the two ends judge it, and we could only be wrong."""
    data = frame(opcode, payload, masked=masked, **extra)
    places = range(1, len(data)) if len(data) < 400 else [*range(1, 16), len(data) // 2, len(data) - 1]
    for at in places:
        cut = follower(masked=masked, after=data[:at])
        assert not cut.is_at_boundary, at
        cut.follow(data[at:])
        assert cut.is_at_boundary
        assert (
            follower(masked=masked, after=data[:at]).follow_to_boundary(data[at:] + b"next") == len(data) - at
        )
    whole = follower(masked=masked, after=data)
    assert (whole.is_at_boundary, whole.has_closed, whole.is_lost) == (True, False, False)


@both_ways
def test_before_the_first_frame_is_a_boundary_too(*, masked: bool) -> None:
    fresh = FrameFollower(masked=masked)
    assert (fresh.is_at_boundary, fresh.has_closed) == (True, False)
    assert fresh.follow_to_boundary(frame(TEXT, b"x", masked=masked)) == 0
    assert fresh.is_at_boundary


@both_ways
@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8why", bytes(125), bytes(200)])
def test_a_close_has_passed_once_it_is_whole_and_there_is_no_boundary_after_it(
    *, masked: bool, payload: bytes
) -> None:
    """Nothing of ours may follow it, and what a peer sends after it means nothing (RFC 6455 section 5.5.1)."""
    before = frame(TEXT, b"x", masked=masked)
    data = frame(Opcode.CLOSE, payload, masked=masked)
    for at in range(len(data)):
        cut = follower(masked=masked, after=before + data[:at])
        assert (cut.has_closed, cut.is_at_boundary) == (False, at == 0)
        cut.follow(data[at:])
        assert (cut.has_closed, cut.is_at_boundary) == (True, False)
    ended = follower(masked=masked, after=before + data + b"\xff\xff\xff")
    for more in (b"\xff", bytes(20), frame(TEXT, b"x", masked=masked)):
        ended.follow(more)
        assert (ended.has_closed, ended.is_at_boundary, ended.is_lost) == (True, False, False)
    half = follower(masked=masked, after=data[:1])
    assert half.follow_to_boundary(data[1:] + b"more") == len(data) - 1
    assert half.has_closed


@both_ways
@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1])
def test_a_length_that_cannot_be_is_no_frame(*, masked: bool, length: int) -> None:
    """RFC 6455 section 5.2: the most significant bit must be 0."""
    data = bytes([0x82, 0x7F | 0x80 * masked]) + length.to_bytes(8)
    _is_lost(data, masked=masked)


@both_ways
def test_a_mask_on_the_wrong_side_is_no_frame(*, masked: bool) -> None:
    """Two ends that speak something else after their 101 must not get a Close in the middle of it."""
    _is_lost(frame(TEXT, b"hello", masked=not masked), masked=masked)


def _is_lost(data: bytes, *, masked: bool) -> None:
    good = frame(TEXT, b"x", masked=masked)
    for at in range(1, len(data)):
        cut = follower(masked=masked, after=good + data[:at])
        cut.follow(data[at:])
        assert cut.is_lost
        for more in (b"", good, bytes(1 << 16), frame(Opcode.CLOSE, masked=masked)):
            assert cut.follow_to_boundary(more) == len(more), "it goes on as an opaque one"
            cut.follow(more)
            assert (cut.is_at_boundary, cut.has_closed, cut.is_lost) == (False, False, True)


@pytest.mark.parametrize("length", [(1 << 63) - 1, 1 << 40])
def test_a_frame_that_will_never_end_is_only_very_long(length: int) -> None:
    long = follower(masked=False, after=b"\x82\x7f" + length.to_bytes(8))
    for _ in range(3):
        long.follow(bytes(1 << 16))
        assert (long.is_at_boundary, long.is_lost) == (False, False)


@both_ways
def test_the_rest_of_a_large_frame_is_found_in_its_last_read(*, masked: bool) -> None:
    data = frame(BINARY, bytes(200_000), masked=masked) + frame(TEXT, b"next", masked=masked)
    end = len(data) - len(frame(TEXT, b"next", masked=masked))
    large = follower(masked=masked, after=data[:70_000])
    assert large.follow_to_boundary(data[70_000:140_000]) == 70_000
    assert not large.is_at_boundary
    assert large.follow_to_boundary(data[140_000:]) == end - 140_000
    assert large.is_at_boundary


# -- our own -------------------------------------------------------------------------------------------------


def parsed(data: bytes, *, mask: bool) -> Frame:
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    steps: Generator[None, None, Frame] = Frame.parse(reader.read_exact, mask=mask)
    try:
        while True:
            next(steps)
    except StopIteration as done:
        found: Frame = done.value
    assert not reader.buffer
    return found


def test_our_close_is_one_that_both_ends_read() -> None:
    for key, masked in ((None, False), (KEY, True)):
        data = close_frame(GOING_AWAY, key)
        read = parsed(data, mask=masked)
        assert (read.opcode, read.fin, Close.parse(read.data)) == (Opcode.CLOSE, True, Close(1001, ""))
        assert follower(masked=masked, after=data).has_closed
    assert close_frame(GOING_AWAY, KEY)[2:6] == KEY


# -- beside websockets ---------------------------------------------------------------------------------------

frames = st.builds(
    Frame,
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT]),
    st.binary(max_size=200) | st.integers(65_530, 65_545).map(bytes) | st.integers(120, 130).map(bytes),
    fin=st.booleans(),
) | st.builds(Frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))


@law
@given(
    messages=st.lists(frames, max_size=6),
    masked=st.booleans(),
    closes=st.booleans(),
    cuts=st.lists(st.integers(0, 200_000), max_size=8),
)
def test_any_split_of_what_websockets_sends_has_the_same_boundaries(
    *, messages: list[Frame], masked: bool, closes: bool, cuts: list[int]
) -> None:
    coded = [message.serialize(mask=masked) for message in messages]
    ends = {0}
    for one in coded:
        ends.add(max(ends) + len(one))
    data = b"".join(coded)
    if closes:
        data += Frame(Opcode.CLOSE, Close(1000, "bye").serialize()).serialize(mask=masked)
    size = len(data)
    places = sorted({0, size, *(cut % (size + 1) for cut in cuts), *(end for end in ends if cuts)})
    followed = FrameFollower(masked=masked)
    for begin, end in pairwise(places):
        followed.follow(data[begin:end])
        assert followed.is_at_boundary == (end in ends)
        assert followed.has_closed == (closes and end == size)
    stepped = FrameFollower(masked=masked)
    for begin, end in pairwise(places):
        at = begin
        while at < end:
            if stepped.is_at_boundary:
                stepped.follow(data[at : at + 1])
                at += 1
                continue
            at += stepped.follow_to_boundary(data[at:end])
            assert stepped.is_at_boundary == (at in ends)
    assert stepped.has_closed == closes


def test_a_compressed_message_in_fragments_is_followed() -> None:
    """What permessage-deflate does is within the payload, and one bit above the opcode."""
    deflate = PerMessageDeflate(
        remote_no_context_takeover=False,
        local_no_context_takeover=False,
        remote_max_window_bits=15,
        local_max_window_bits=15,
    )
    followed = FrameFollower(masked=True)
    for first, last in ((b"much " * 500, b"of it " * 500), (b"again " * 900, b"")):
        for part in (Frame(TEXT, first, fin=False), Frame(CONT, last)):
            followed.follow(part.serialize(mask=True, extensions=[deflate]))
            assert followed.is_at_boundary


def test_its_state_is_in_its_repr() -> None:
    assert repr(follower(masked=False, after=b"\x82\x05ab")) == "FrameFollower(left=3, head=0, closed=False)"
    assert repr(follower(masked=False, after=b"\x88\x00")) == "FrameFollower(left=0, head=0, closed=True)"
    assert repr(follower(masked=False, after=b"\x82\x80")) == "FrameFollower(lost, closed=False)"

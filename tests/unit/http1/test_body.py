"""Framers: where a body ends, in any split, and which chunk lines and trailers are refused."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ProtocolError
from pyinit.http1.body import BodyFramer, ChunkedBody, LengthBody, UntilCloseBody, is_all_chunks
from tests.support.splits import TRAILING, Refused, in_every_split, outcome
from tests.support.strategies import chunked_bodies, law, pieces

KIB = 1024


def framed(make: Callable[[], BodyFramer]) -> Callable[[Sequence[bytes]], tuple[int, bytes] | None]:
    """How many bytes a body has on the wire."""

    def parse(pieces: Sequence[bytes]) -> tuple[int, bytes] | None:
        framer = make()
        taken = 0
        for index, piece in enumerate(pieces):
            end = framer.take(b"before" + piece, 6) - 6
            taken += end
            if framer.complete:
                return taken, piece[end:] + b"".join(pieces[index + 1 :])
            assert end == len(piece)
        return None

    return parse


def payload(pieces: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """A chunked body without its framing, as an HTTP/1.0 client gets it."""
    framer = ChunkedBody()
    found = []
    for index, piece in enumerate(pieces):
        framer.spans = []
        end = framer.take(piece, 0)
        found += [piece[first:last] for first, last in framer.spans]
        if framer.complete:
            assert framer.data_bytes == sum(map(len, found))
            return b"".join(found), piece[end:] + b"".join(pieces[index + 1 :])
    return None


# -- chunked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"0\r\n\r\n", b"", id="no chunk at all"),
        pytest.param(b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="one chunk"),
        pytest.param(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc", id="two chunks"),
        pytest.param(
            b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, id="hex in any case"
        ),
        pytest.param(b"0005\r\nhello\r\n000\r\n\r\n", b"hello", id="zeros in front"),
        pytest.param(b"0" * 14 + b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="15 digits"),
        pytest.param(b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", id="data that looks like an end"),
        pytest.param(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", id="data that looks like a last chunk"),
        pytest.param(b"2;a\r\nhi\r\n0;b=c\r\n\r\n", b"hi", id="extensions"),
        pytest.param(b'2;a="b; c\t\xe9\\"\\\\";d;e=f\r\nhi\r\n0\r\n\r\n', b"hi", id="quoted extensions"),
        pytest.param(
            b"2;a=" + b"b" * (4096 - 6) + b"\r\nhi\r\n0\r\n\r\n", b"hi", id="the longest chunk line"
        ),
        pytest.param(b"2\r\nhi\r\n0\r\nX-A: b\r\nempty:\r\n\r\n", b"hi", id="trailers"),
        pytest.param(b"0\r\nX: a\x80\t b\r\n\r\n", b"", id="a trailer with obs-text"),
        pytest.param(b"0\r\n" + b"X: a\r\n" * 128 + b"\r\n", b"", id="as many trailers as are allowed"),
        pytest.param(
            b"0\r\nX: " + b"a" * (16 * KIB - 7) + b"\r\n\r\n", b"", id="trailers as long as is allowed"
        ),
        pytest.param(b"5", None, id="a size that goes on"),
        pytest.param(b"5\r\nhel", None, id="data that goes on"),
        pytest.param(b"5\r\nhello", None, id="data without its line end"),
        pytest.param(b"0\r\n", None, id="the final line is missing"),
        pytest.param(b"0\r\nX: a\r\n\r", None, id="the final LF is missing"),
    ],
)
def test_a_chunked_body(raw: bytes, expected: bytes | None) -> None:
    assert in_every_split(payload, raw) == expected
    assert in_every_split(framed(ChunkedBody), raw) == (None if expected is None else len(raw))


MALFORMED_CHUNK = "a malformed chunk"
MALFORMED_TRAILER = "a malformed trailer"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"0x5\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="0x"),
        pytest.param(b"x5\r\n", MALFORMED_CHUNK, id="x"),
        pytest.param(b"+5\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a plus"),
        pytest.param(b"-5\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a minus"),
        pytest.param(b"-0\r\n\r\n", MALFORMED_CHUNK, id="minus 0"),
        pytest.param(b"1_0\r\n" + b"a" * 16, MALFORMED_CHUNK, id="a size that Python's int takes"),
        pytest.param(b"\xb2\r\nhi\r\n", MALFORMED_CHUNK, id="a size in superscript"),
        pytest.param(b"\r\nhi\r\n", MALFORMED_CHUNK, id="an empty size"),
        pytest.param(b";a=b\r\nhi\r\n", MALFORMED_CHUNK, id="an extension without a size"),
        pytest.param(b"0" * 15 + b"5\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="16 digits"),
        pytest.param(b"f" * 16 + b"\r\n", MALFORMED_CHUNK, id="16 digits, a number beyond 63 bits"),
        pytest.param(
            b"1" + b"0" * 16 + b"5\r\nhello\r\n", MALFORMED_CHUNK, id="a size that wraps round at 64 bits"
        ),
        pytest.param(b" 5\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a space before the size"),
        pytest.param(b"5 \r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a space behind the size"),
        pytest.param(b"5\t\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a tab behind the size"),
        pytest.param(b"5 5\r\nhello\r\n", MALFORMED_CHUNK, id="two sizes"),
        pytest.param(b"5,5\r\nhello\r\n", MALFORMED_CHUNK, id="a list of sizes"),
        pytest.param(b"5.0\r\nhello\r\n", MALFORMED_CHUNK, id="a fraction"),
        pytest.param(b"5\x0b\r\nhello\r\n", MALFORMED_CHUNK, id="a vertical tab"),
        pytest.param(b"5\0\r\nhello\r\n", MALFORMED_CHUNK, id="a NUL"),
        pytest.param(b"5\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a bare LF behind the size"),
        pytest.param(b"5\rhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a bare CR behind the size"),
        pytest.param(b"5\r\r\nhello\r\n", MALFORMED_CHUNK, id="CR CR LF behind the size"),
        pytest.param(b"5\r\nhello0\r\n\r\n", MALFORMED_CHUNK, id="no CRLF behind the data"),
        pytest.param(b"5\r\nhello\n0\r\n\r\n", MALFORMED_CHUNK, id="a bare LF behind the data"),
        pytest.param(b"5\r\nhello\r0\r\n\r\n", MALFORMED_CHUNK, id="a bare CR behind the data"),
        pytest.param(b"5\r\nhello!\r\n0\r\n\r\n", MALFORMED_CHUNK, id="more data than the size"),
        pytest.param(b"6\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="less data than the size"),
        pytest.param(b"5\r\nhello\r\n\r\n0\r\n\r\n", MALFORMED_CHUNK, id="an empty line between chunks"),
        pytest.param(b"5;\r\nhello\r\n", MALFORMED_CHUNK, id="an empty extension"),
        pytest.param(b"5;;a\r\nhello\r\n", MALFORMED_CHUNK, id="an empty extension first"),
        pytest.param(b"5;=a\r\nhello\r\n", MALFORMED_CHUNK, id="an extension without a name"),
        pytest.param(b"5;a=\r\nhello\r\n", MALFORMED_CHUNK, id="an extension without its value"),
        pytest.param(b"5;a b\r\nhello\r\n", MALFORMED_CHUNK, id="an extension with a space in it"),
        pytest.param(b"5 ;a=b\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a space before the semicolon"),
        pytest.param(b"5; a=b\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a space behind the semicolon"),
        pytest.param(b"5;a =b\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a space before the equals sign"),
        pytest.param(b"5;a= b\r\nhello\r\n0\r\n\r\n", MALFORMED_CHUNK, id="a space behind the equals sign"),
        pytest.param(b"5;a\0\r\nhello\r\n", MALFORMED_CHUNK, id="a NUL in an extension"),
        pytest.param(b'5;a="\0"\r\nhello\r\n', MALFORMED_CHUNK, id="a NUL in a quoted extension"),
        pytest.param(b'5;a="\x7f"\r\nhello\r\n', MALFORMED_CHUNK, id="DEL in a quoted extension"),
        pytest.param(b'5;a="b\r\nhello\r\n', MALFORMED_CHUNK, id="an open quote"),
        pytest.param(b'5;a="b\\"\r\nhello\r\n', MALFORMED_CHUNK, id="an escaped closing quote"),
        pytest.param(b'5;a="b"c\r\nhello\r\n', MALFORMED_CHUNK, id="more behind a closing quote"),
        pytest.param(b'5;a="\r\n"\r\nhello\r\n', MALFORMED_CHUNK, id="a line end in quotes"),
        pytest.param(b"f;\xff", MALFORMED_CHUNK, id="the first byte of an extension that can be none"),
        pytest.param(
            b"f;a=\r", MALFORMED_CHUNK, id="an extension without its value, its CR the last that came"
        ),
        pytest.param(b"f;a=b c", MALFORMED_CHUNK, id="a space in an extension that goes on"),
        pytest.param(b'5;a="\n"\r\nhello\r\n', MALFORMED_CHUNK, id="a bare LF in quotes"),
        pytest.param(b"5;a\nhello\r\n", MALFORMED_CHUNK, id="a bare LF behind an extension"),
        pytest.param(b"5;a\xe9\r\nhello\r\n", MALFORMED_CHUNK, id="an extension beyond ASCII"),
        pytest.param(
            b"2;a=" + b"b" * (4096 - 5) + b"\r\nhi\r\n0\r\n\r\n", "chunk line", id="a chunk line too long"
        ),
        pytest.param(b"2;" + b"b" * 9000, "chunk line", id="a chunk line that does not end"),
        pytest.param(
            (b"1;" + b"b" * 4000 + b"\r\na\r\n") * 5 + b"0\r\n\r\n",
            "too many bytes",
            id="too many bytes of extensions",
        ),
        pytest.param(b"0\r\nX : a\r\n\r\n", MALFORMED_TRAILER, id="a space before a trailer's colon"),
        pytest.param(b"0\r\nX\r\n\r\n", MALFORMED_TRAILER, id="a trailer without a colon"),
        pytest.param(b"0\r\n: a\r\n\r\n", MALFORMED_TRAILER, id="a trailer without a name"),
        pytest.param(
            b"0\r\nX\r", MALFORMED_TRAILER, id="a trailer without a colon, its CR the last that came"
        ),
        pytest.param(b"0\r\nX: a\r\n b\r\n\r\n", MALFORMED_TRAILER, id="a folded trailer"),
        pytest.param(b"0\r\nX: a\n\r\n", MALFORMED_TRAILER, id="a bare LF behind a trailer"),
        pytest.param(b"0\r\nX: a\rY: b\r\n\r\n", MALFORMED_TRAILER, id="a bare CR in a trailer"),
        pytest.param(b"0\r\nX: a\0\r\n\r\n", MALFORMED_TRAILER, id="a NUL in a trailer"),
        pytest.param(b"0\r\nX: \x7f", MALFORMED_TRAILER, id="DEL in a trailer that goes on"),
        pytest.param(b"0\r\n\n", MALFORMED_TRAILER, id="a bare LF for the final line"),
        pytest.param(b"0\r\n\r\r\n", MALFORMED_TRAILER, id="CR CR LF for the final line"),
        pytest.param(b"0\r\n" + b"X: a\r\n" * 129 + b"\r\n", "too many trailers", id="too many trailers"),
        pytest.param(b"0\r\nX: " + b"a" * 17 * KIB + b"\r\n\r\n", "too long", id="trailers too long"),
        pytest.param(b"0\r\nX: " + b"a" * 17 * KIB, "too long", id="a trailer that does not end"),
    ],
)
def test_a_chunked_body_that_could_be_read_two_ways_is_refused(raw: bytes, reason: str) -> None:
    refused = in_every_split(payload, raw)
    assert isinstance(refused, Refused)
    assert refused.status == 400
    assert reason in refused.reason


@pytest.mark.parametrize(
    "name",
    (
        b"Transfer-Encoding content-length Host connection Keep-Alive TE trailer upgrade Expect max-forwards"
        b" Via authorization Cookie set-cookie Content-Encoding content-type content-range Range"
        b" cache-control forwarded X-Forwarded-For x-forwarded-proto x-forwarded-host x-forwarded-port"
        b" x-real-ip x-request-id"
    ).split(),
)
def test_a_trailer_that_is_for_heads_is_refused(name: bytes) -> None:
    refused = in_every_split(payload, b"0\r\n%b: 1\r\n\r\n" % name)
    assert isinstance(refused, Refused)
    assert "forbidden" in refused.reason


def test_a_forbidden_trailer_is_refused_as_soon_as_its_name_is_whole() -> None:
    """Its bytes go on as they are read."""
    assert in_every_split(payload, b"0\r\nContent-Length") is None
    assert in_every_split(payload, b"0\r\nContent-Length:") == Refused(400)


def test_which_trailers_are_forbidden_is_for_the_caller_to_say() -> None:
    raw = b"0\r\nX-Mine: 1\r\nHost: a\r\n\r\n"
    assert in_every_split(framed(lambda: ChunkedBody(frozenset())), raw) == len(raw)
    assert in_every_split(framed(lambda: ChunkedBody(frozenset((b"x-mine",)))), raw) == Refused(400)


def test_a_fault_shows_before_the_message_is_complete() -> None:
    """What is passed on was judged: an app never gets a last chunk behind a fault."""
    body = ChunkedBody()
    assert body.take(b"5;a\r\nhello\r\n", 0) == 12
    with pytest.raises(ProtocolError, match="malformed"):
        body.take(b"0\n\n", 0)
    assert not body.complete


def test_a_chunked_body_counts_data_as_it_is_announced() -> None:
    body = ChunkedBody()
    body.take(b"fff;a=b\r\nx", 0)
    assert body.data_bytes == 0xFFF
    assert repr(body) == "ChunkedBody(remaining=4094, complete=False)"
    with pytest.raises(ProtocolError, match="last chunk"):
        body.eof()


def test_a_chunked_body_is_whole_at_its_end() -> None:
    body = ChunkedBody()
    assert body.take(b"0\r\n\r\n" + TRAILING, 0) == 5
    assert body.take(TRAILING, 0) == 0
    body.eof()
    assert repr(body) == "ChunkedBody(trailers, complete=True)"


# -- by length -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "raw", "taken"),
    [
        pytest.param(5, b"hello", 5, id="all of it"),
        pytest.param(5, b"hello" + TRAILING, 5, id="not the next message"),
        pytest.param(5, b"hell", None, id="a byte short"),
        pytest.param(4, b"\r\n\r\n", 4, id="line ends are bytes as any"),
    ],
)
def test_a_body_by_length(length: int, raw: bytes, taken: int | None) -> None:
    assert in_every_split(framed(lambda: LengthBody(length)), raw) == taken


def test_a_body_shorter_than_its_length_is_a_fault() -> None:
    body = LengthBody(5)
    body.take(b"hell", 0)
    assert repr(body) == "LengthBody(remaining=1)"
    with pytest.raises(ProtocolError, match="shorter"):
        body.eof()
    body.take(b"o", 0)
    body.eof()


# -- until the close -------------------------------------------------------------------------------------


def test_a_body_until_the_close_ends_with_it() -> None:
    body = UntilCloseBody()
    assert body.take(b"before" + TRAILING, 6) == 6 + len(TRAILING)
    assert repr(body) == "UntilCloseBody(complete=False)"
    body.eof()
    assert body.complete


# -- laws ------------------------------------------------------------------------------------------------


@law
@given(data=st.data(), body=chunked_bodies(), rest=st.binary(max_size=20))
def test_any_split_gives_the_same_payload_and_leaves_the_rest(
    data: st.DataObject, body: tuple[bytes, bytes], rest: bytes
) -> None:
    raw, expected = body
    assert payload(data.draw(pieces(raw + rest))) == (expected, rest)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"0\r\n\r\n", True, id="no chunk at all"),
        pytest.param(b"5\r\nhello\r\n0\r\n\r\n", True, id="one chunk"),
        pytest.param(b"1\r\na\r\n02\r\nbc\r\n000\r\n\r\n", True, id="two chunks"),
        pytest.param(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", True, id="data that looks like a last chunk"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"5\r\n0\r\n\r\n", False, id="a whole chunk that looks like a last one"),
        pytest.param(b"6\r\n0\r\n\r\n", False, id="a part of one that does"),
        pytest.param(b"5\r\nhello0\r\n\r\n", False, id="no CRLF behind the data"),
        pytest.param(b"5;a\r\nhello\r\n0\r\n\r\n", False, id="an extension"),
        pytest.param(b"0;a\r\n\r\n", False, id="an extension of the last chunk"),
        pytest.param(b"0\r\na: b\r\n\r\n", False, id="a trailer"),
        pytest.param(b"0\r\n\r\n0\r\n\r\n", False, id="two bodies"),
    ],
)
def test_a_chunked_body_that_is_all_there_with_nothing_beside_its_chunks(raw: bytes, expected: bool) -> None:  # noqa: FBT001  a case
    assert is_all_chunks(b"0\r\n" + raw, 3) == expected


@law
@given(body=chunked_bodies(), data=st.data())
def test_what_is_all_chunks_is_one_whole_body(body: tuple[bytes, bytes], data: st.DataObject) -> None:
    raw = body[0]
    at = data.draw(st.integers(0, len(raw)))
    trick = data.draw(
        st.sampled_from((b"", b"\r", b"\n", b" ", b"0", b"1", b"\r\n", b"f" * 16, b"0\r\n\r\n"))
    )
    raw = raw[:at] + trick + raw[at + data.draw(st.integers(0, 2)) :]
    if is_all_chunks(raw, 0):
        assert framed(ChunkedBody)([raw]) == (len(raw), b"")


@law
@given(length=st.integers(1, 50), raw=st.binary(max_size=60), data=st.data())
def test_a_body_by_length_takes_so_many_bytes(length: int, raw: bytes, data: st.DataObject) -> None:
    expected = (length, raw[length:]) if len(raw) >= length else None
    assert framed(lambda: LengthBody(length))(data.draw(pieces(raw))) == expected


@law
@given(data=st.data(), body=chunked_bodies())
def test_any_split_of_a_broken_body_gives_the_same_outcome(
    data: st.DataObject, body: tuple[bytes, bytes]
) -> None:
    raw = body[0]
    at = data.draw(st.integers(0, len(raw)))
    trick = data.draw(st.sampled_from((b"\r", b"\n", b" ", b";", b'"', b"\0", b"0", b"", b"\r\n", b":")))
    raw = raw[:at] + trick + raw[at + data.draw(st.integers(0, 2)) :]
    assert outcome(payload, data.draw(pieces(raw))) == outcome(payload, [raw] if raw else [])

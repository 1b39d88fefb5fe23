r"""Event streams: which are ones, where their events end in any split, and that they end there as whole messages."""

from collections.abc import Callable, Iterator, Sequence
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.http1.body import ChunkedBody, UntilCloseBody
from pyinit.http1.response import ResponseParser
from pyinit.http1.sse import EventFollower, EventStream, accepts_event_stream
from tests.support.event_source import EventParser
from tests.support.raw_client import chunks
from tests.support.strategies import law, pieces

# -- which responses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([b"Accept: text/event-stream"], True, id="what EventSource sends"),
        pytest.param([b"accept:Text/Event-STREAM"], True, id="in any case"),
        pytest.param([b"Accept: text/html, text/event-stream;q=0.5 , */*"], True, id="in a list"),
        pytest.param(
            [b"Accept: text/html", b"Accept: \ttext/event-stream\t"], True, id="in a line behind another"
        ),
        pytest.param([b"Accept: text/event-stream; charset=utf-8; q=1.000"], True, id="with parameters"),
        pytest.param([b"Accept: text/event-stream;q=0.001"], True, id="with the least weight"),
        pytest.param(
            [b"Accept: text/event-stream;q=0, text/event-stream;v=1"], True, id="one of two refused"
        ),
        pytest.param([b'Accept: text/html;a="\\"",text/event-stream'], True, id="behind a quoted quote"),
        pytest.param([b"Accept: text/event-stream;q="], True, id="with no weight"),
        pytest.param([], False, id="no Accept"),
        pytest.param([b"Accept: */*"], False, id="anything"),
        pytest.param([b"Accept: text/*"], False, id="any text"),
        pytest.param([b"Accept: text/event-stream;q=0"], False, id="refused"),
        pytest.param(
            [b"Accept: text/event-stream ; charset=utf-8; Q=0.000"], False, id="refused in any spelling"
        ),
        pytest.param(
            [b"Accept: text/event-streams, application/x-text/event-stream"], False, id="a longer name"
        ),
        pytest.param([b'Accept: text/html;a="b, text/event-stream"'], False, id="within a quoted string"),
        pytest.param([b"Accept-X: text/event-stream", b"X: text/event-stream"], False, id="another field"),
    ],
)
def test_a_request_asks_for_an_event_stream_by_name(lines: list[bytes], *, expected: bool) -> None:
    assert accepts_event_stream(lines) is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([b"Content-Type: text/event-stream"], True, id="plain"),
        pytest.param(
            [b"content-type:TEXT/event-stream ;charset=utf-8"], True, id="with a parameter, in any case"
        ),
        pytest.param([b"Content-Type: text/event-stream", b"Transfer-Encoding: chunked"], True, id="chunked"),
        pytest.param([b"Content-Language: en", b"Content-Type: text/event-stream"], True, id="beside others"),
        pytest.param([], False, id="no type"),
        pytest.param([b"Content-Type: text/html"], False, id="another type"),
        pytest.param([b"Content-Type: text/event-streams"], False, id="a longer name"),
        pytest.param([b"Content-Type: text/event-stream"] * 2, False, id="a type given twice"),
        pytest.param([b"Content-Encoding: gzip", b"Content-Type: text/event-stream"], False, id="compressed"),
        pytest.param(
            [b"Content-Type: text/event-stream", b"Content-Encoding: identity"], False, id="any coding"
        ),
        pytest.param([b"Content-Type: text/event-stream", b"Content-Length: 9"], False, id="a length"),
    ],
)
def test_a_response_is_one_by_its_fields(lines: list[bytes], *, expected: bool) -> None:
    head = ResponseParser().parse(b"\r\n".join([b"HTTP/1.1 200 OK", *lines]))
    assert head.is_event_stream is expected


@pytest.mark.parametrize("status", [b"201", b"204", b"304", b"404", b"503"])
def test_only_200_is_one(status: bytes) -> None:
    """EventSource gives up at any other status: nobody would come back (HTML standard, section 9.2.2)."""
    head = ResponseParser().parse(b"HTTP/1.1 " + status + b" X\r\nContent-Type: text/event-stream")
    assert not head.is_event_stream


# -- where events end ----------------------------------------------------------------------------------------


def is_place(stream: bytes, at: int) -> bool:
    """Whether nothing is under way after so many bytes, as it can be known by the end of ``stream``."""
    parser = EventParser()
    parser.feed(stream[:at])
    if not parser.is_between:
        return False
    if stream[:at].endswith(b"\r"):
        if at < len(stream):
            return stream[at : at + 1] != b"\n"
        return stream.endswith(b"\r\r")
    return True


def check_follower(parts: Sequence[bytes]) -> bool:
    """Hold the follower against the reference after each piece; whether it is between events at the end."""
    follower = EventFollower()
    stream = b""
    for part in parts:
        ended = follower.feed(part)
        before = len(stream)
        stream += part
        assert follower.is_between == is_place(stream, len(stream)), (parts, stream)
        places = [at for at in range(1, len(part) + 1) if is_place(stream, before + at)]
        assert ended == max(places, default=0), (parts, stream)
    return follower.is_between


def every_split(data: bytes) -> Iterator[list[bytes]]:
    """At every place, with an empty piece there; the last bytes one by one too; and byte by byte."""
    for at in range(len(data) + 1):
        yield [data[:at], b"", data[at:]]
        yield [data[:at], *(data[at:][i : i + 1] for i in range(len(data) - at))]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"", True, id="nothing yet"),
        pytest.param(b"data: a\n\n", True, id="LF"),
        pytest.param(b"data: a\r\n\r\n", True, id="CRLF"),
        pytest.param(b"data: a\r\r", True, id="CR"),
        pytest.param(b"data: a\r\n\n", True, id="CRLF, then LF"),
        pytest.param(b"data: a\n\r\n", True, id="LF, then CRLF"),
        pytest.param(b"data: a\r\r\n", True, id="CR, then CRLF"),
        pytest.param(b"data: a\r\n\r\n\r\n", True, id="more empty lines"),
        pytest.param(b"id: 1\ndata: a\ndata: b\n\n: c\n\nid", False, id="in a field's name"),
        pytest.param(b"data: a\n\n:", False, id="a comment has begun"),
        pytest.param(b"data: a\n\n: heartbeat\n", True, id="a comment without an empty line"),
        pytest.param(b"data: a\r\n\r\n:\r\n:b\r\n", True, id="comments, CRLF"),
        pytest.param(b"data: a\n: c\n", False, id="a comment within an event"),
        pytest.param(b"data: a\n: c\n\n", True, id="a comment at an event's end"),
        pytest.param(b"retry: 5\n", False, id="a field of no event: who knows what follows"),
        pytest.param(b"data: a\n", False, id="a line, LF"),
        pytest.param(b"data: a\r\n", False, id="a line, CRLF"),
        pytest.param(b"data: a\r", False, id="a line, CR"),
        pytest.param(b"data: a\r\n\r", False, id="the CR of a CRLF that may come"),
        pytest.param(b"data: a\n\r", False, id="the same after LF"),
        pytest.param(b"data: a\r\r\r", True, id="CR, an empty line more"),
        pytest.param(b"\n", True, id="an empty line alone"),
        pytest.param(b"\xef\xbb\xbf", True, id="a byte order mark"),
        pytest.param(b"\xef\xbb", False, id="part of one"),
        pytest.param(b"\xef\xbb\xbf: c\n", True, id="a comment behind one"),
        pytest.param(b"\xef\xbb\xbf\n", True, id="an empty line behind one"),
        pytest.param(b"\n\xef\xbb\xbf", False, id="one that is not at the beginning"),
        pytest.param(b"\xef\xbb\n\n", True, id="no byte order mark after all"),
    ],
)
def test_where_an_event_ends_in_every_split(stream: bytes, *, expected: bool) -> None:
    for parts in every_split(stream):
        assert check_follower(parts) is expected, parts


_TOKENS = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\r\n\r\n",
    b":",
    b"a",
    b"data: x",
    b"id:1",
    b": c",
    b"\xef\xbb\xbf",
    b"\xef",
]


@law
@given(st.lists(st.sampled_from(_TOKENS), max_size=12).map(b"".join), st.data())
def test_law_the_follower_agrees_with_a_parser_that_dispatches(stream: bytes, data: st.DataObject) -> None:
    check_follower(data.draw(pieces(stream)))


# -- how it is ended -----------------------------------------------------------------------------------------

E1, E2, E3 = b"id: 1\ndata: a\n\n", b"id: 2\ndata: b\n\n", b"id: 3\ndata: c\n\n"
END = b"0\r\n\r\n"


def chunked(*parts: bytes) -> bytes:
    """Chunks without the last one."""
    return chunks(parts)[: -len(END)]


def read_all(events: EventStream, body: ChunkedBody | UntilCloseBody, reads: Sequence[bytes]) -> bytes:
    """What the client gets of these reads, up to the end."""
    passed = b""
    for data in reads:
        if events.is_ended:
            break
        passed += events.pass_on(data, body.take(data, 0))
    return passed


def dechunked(raw: bytes) -> tuple[bytes, bool]:
    """What a client has after these bytes, and whether it was told the end; asserts that there are no others."""
    body = ChunkedBody()
    body.spans = []
    assert body.take(raw, 0) == len(raw)
    return b"".join(raw[start:stop] for start, stop in body.spans), body.complete


@pytest.mark.parametrize(
    ("before", "ending"),
    [
        pytest.param(b"", END, id="before the first chunk"),
        pytest.param(chunked(E1), END, id="after a chunk"),
        pytest.param(chunked(E1)[:-1], b"\n" + END, id="within its CRLF"),
        pytest.param(chunked(E1)[:-2], b"\r\n" + END, id="before its CRLF"),
        pytest.param(chunked(E1[:5], E1[5:]), END, id="an event in two chunks"),
        pytest.param(chunked(E1, b":\n"), END, id="after a heartbeat"),
    ],
)
def test_an_idle_stream_ends_at_once(before: bytes, ending: bytes) -> None:
    body = ChunkedBody()
    events = EventStream(body, is_chunked=True)
    assert read_all(events, body, [before]) == before
    assert events.leave() == ending
    assert events.is_ended
    assert dechunked(before + ending)[1]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(chunked(E1[:5]), [chunked(E1[5:])], E1, id="in an event: its end"),
        pytest.param(chunked(E1, E2[:5]), [chunked(E2[5:] + E3[:3])], E1 + E2, id="an end within a chunk"),
        pytest.param(chunked(E1, E2[:5]), [chunked(E2[5:], E3)], E1 + E2 + E3, id="the last end in a read"),
        pytest.param(chunked(E1 + E2)[:10], [chunked(E1 + E2)[10:]], E1 + E2, id="in a chunk: its end"),
        pytest.param(chunked(E1 + E2)[:22], [chunked(E1 + E2)[22:-2]], E1 + E2, id="its end without CRLF"),
        pytest.param(chunked(E1) + b"f", [b"\r\n" + E2 + b"\r\n"], E1 + E2, id="in a size line"),
        pytest.param(
            chunked(E1 + E2[:5])[:9],
            [chunked(E1 + E2[:5])[9:] + chunked(E2[5:] + E3[:4])[:-4]],
            E1 + E2,
            id="the chunk under way tears an event, the next one is not whole",
        ),
        pytest.param(
            chunked(E1 + E2[:5])[:9],
            [chunked(E1 + E2[:5])[9:], chunked(E2[5:] + E3[:4])[:-4]],
            E1 + E2,
            id="the same in two reads",
        ),
        pytest.param(
            chunked(E1[:4]), [b"1", b"5\r\n", E1[4:] + E2[:10]], E1, id="our chunk, out of one not whole"
        ),
        pytest.param(chunked(E1)[:-2], [b"\r\n"], None, id="already ended"),
        pytest.param(
            chunked(E1[:4]), [chunked(b"\r\n", b"\r"), chunked(b"\n")], E1[:4] + b"\r\n\r\n", id="CRLF split"
        ),
        pytest.param(
            b"3;a=b\r\nid:", [b"\r\n1;x\r\n1\r\n", b'2;y="z"\r\n\n\n\r\n'], b"id:1\n\n", id="extensions"
        ),
    ],
)
def test_under_way_it_ends_with_the_event(before: bytes, after: list[bytes], expected: bytes | None) -> None:
    body = ChunkedBody()
    events = EventStream(body, is_chunked=True)
    raw = read_all(events, body, [before]) + events.leave()
    assert events.is_ended is (expected is None)
    raw += read_all(events, body, after)
    assert events.is_ended
    assert dechunked(raw) == (expected or E1, True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"ffff\r\n" + E1, [E2, E3], id="a chunk whose announced size never comes"),
        pytest.param(chunked(b"data: a\n"), [chunked(b"data: b\n")] * 3, id="no empty line ever"),
        pytest.param(chunked(E1[:3]), [chunked(E1[3:-1]), b"5"], id="an event that stays open"),
    ],
)
def test_what_has_no_such_moment_goes_on(before: bytes, after: list[bytes]) -> None:
    """And nobody is told an end."""
    body = ChunkedBody()
    events = EventStream(body, is_chunked=True)
    raw = read_all(events, body, [before]) + events.leave() + read_all(events, body, after)
    assert not events.is_ended
    stream, is_whole = dechunked(raw)
    assert not is_whole
    assert stream == dechunked(before + b"".join(after))[0]


@pytest.mark.parametrize("trailer", [b"", b"X-Sum: 1\r\n"])
@pytest.mark.parametrize("before", [b"", chunked(E1[:3]), chunked(E1)[:6]])
def test_an_app_that_ends_it_first_has_ended_it(before: bytes, trailer: bytes) -> None:
    whole = chunked(E1[:3], E1[3:], b"data: torn") + b"0\r\n" + trailer + b"\r\n"
    if not before:
        before, whole = chunked(E2[:1]), chunked(E2[1:-1]) + whole
    elif before == chunked(E1[:3]):
        whole = whole[len(before) :]
    else:
        before, whole = chunked(E1 + E2)[:6], chunked(E1 + E2)[6:] + whole
    body = ChunkedBody()
    events = EventStream(body, is_chunked=True)
    raw = read_all(events, body, [before]) + events.leave() + read_all(events, body, [whole])
    assert not events.is_ended
    assert dechunked(raw) == dechunked(before + whole)
    assert dechunked(raw)[1]


@pytest.mark.parametrize("app_is_chunked", [True, False], ids=["HTTP/1.0 client", "close-delimited"])
def test_without_chunks_the_end_is_where_the_bytes_end(*, app_is_chunked: bool) -> None:
    body = ChunkedBody() if app_is_chunked else UntilCloseBody()
    events = EventStream(body, is_chunked=False)
    reads = [E1 + E2[:3], E2[3:] + E3[:3]]
    if app_is_chunked:
        reads = [chunked(read) for read in reads]
    assert read_all(events, body, reads[:1]) == E1 + E2[:3]
    assert events.leave() == b""
    assert not events.is_ended
    assert read_all(events, body, reads[1:]) == E2[3:]
    assert events.is_ended


@pytest.mark.parametrize("app_is_chunked", [True, False], ids=["HTTP/1.0 client", "close-delimited"])
def test_without_chunks_an_idle_stream_ends_with_no_byte(*, app_is_chunked: bool) -> None:
    body = ChunkedBody() if app_is_chunked else UntilCloseBody()
    events = EventStream(body, is_chunked=False)
    read_all(events, body, [chunked(E1) if app_is_chunked else E1])
    assert events.leave() == b""
    assert events.is_ended


_LINES = st.sampled_from([b"data: x", b"id: 7", b": c", b"", b"", b""])
_STREAMS = st.lists(
    st.tuples(_LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])).map(b"".join), max_size=14
).map(b"".join)


@law
@given(_STREAMS, st.integers(0, 9), st.sampled_from([b"", END]), st.data())
def test_law_the_client_gets_whole_events_and_a_whole_message(
    stream: bytes, leave_at: int, end: bytes, data: st.DataObject
) -> None:
    reads = data.draw(pieces(chunked(*data.draw(pieces(stream))) + end))
    body = ChunkedBody()
    events = EventStream(body, is_chunked=True)
    raw = read_all(events, body, reads[:leave_at])
    assert raw == b"".join(reads[:leave_at]), "unchanged until it is to leave"
    if not body.complete:
        raw += events.leave()
        raw += read_all(events, body, reads[leave_at:])
    got, is_whole = dechunked(raw)
    assert stream.startswith(got)
    assert is_whole == (events.is_ended or bool(end))
    if events.is_ended:
        # A CR at the end may be judged by what was read behind it, or by the CR before it.
        assert is_place(stream, len(got)) or is_place(got, len(got)), "no event is torn"
    else:
        assert got == stream, "and none is kept back"


def cost(work: Callable[[], object]) -> float:
    """CPU seconds, the least of some."""
    spent = []
    for _ in range(5):
        began = process_time()
        work()
        spent.append(process_time() - began)
    return min(spent)


@pytest.mark.parametrize("repeated", [b'"\\', b'"', b'a;b="', b"text/event-stream;q=0,"])
def test_an_accept_of_any_length_is_read_once(repeated: bytes) -> None:
    """Four times as long it may take four times as long, and not sixteen: 16 KiB of quotes took a second."""
    short, long = (b"Accept: " + repeated * (size // len(repeated)) for size in (16_000, 64_000))
    assert (
        cost(lambda: accepts_event_stream([long])) < 9 * cost(lambda: accepts_event_stream([short])) + 0.002
    )


@pytest.mark.parametrize("repeated", [b"a\n\r", b"a\r\r", b"a\r\ra\n\r", b":\n\ra\r"])
def test_events_of_any_number_in_one_read_are_followed_once(repeated: bytes) -> None:
    """The same: 60 kB of lines that end with a CR took more than a second."""

    def follow(data: bytes) -> None:
        EventFollower().feed(data)

    short, long = repeated * 5_000, repeated * 20_000
    assert cost(lambda: follow(long)) < 9 * cost(lambda: follow(short)) + 0.002


def test_a_quoted_string_that_does_not_end_hides_what_follows() -> None:
    assert not accepts_event_stream([b'Accept: a;b="c, text/event-stream'])
    assert not accepts_event_stream([b'Accept: a;b="c\\", text/event-stream\\'])

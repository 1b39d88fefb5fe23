"""Response heads: that the one pass which judges nearly all of them finds what judging line by line does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import ProtocolError
from pyinit.http1.message import ResponseHead
from pyinit.http1.response import ResponseParser, _any, _common
from tests.support.strategies import TRICKS, law, responses, tokens

# As node:http has them.
_NODE = (b"Date: d", b"Connection: keep-alive", b"Keep-Alive: timeout=5")
USUAL = {
    "Node, a length it has counted": (b"ETag: a", *_NODE, b"Content-Length: 5"),
    "Node, a length the app has set": (b"Content-Length: 5", b"ETag: a", *_NODE),
    "Node, chunked": (b"X: a", *_NODE, b"Transfer-Encoding: chunked"),
    "events": (b"Content-Type: text/event-stream", *_NODE, b"Transfer-Encoding: Chunked"),
    "events up to the close": (b"content-type:TEXT/event-stream;a=b", b"Date: d", b"Connection: close"),
    "others": (b"connection:Keep-Alive", b"x:", b"keep-alive:\ttimeout=5, max=100"),
    "the other way round": (b"KEEP-ALIVE: timeout=5,max=9", b"x: a", b"Connection: Close"),
    "Keep-Alive alone": (b"Keep-Alive: timeout=5", b"x: a"),
    "names like them": (b"Te-x: a", b"Dat: a", b"Connections: a", b"Upgrade-To: a", b"Content-Length-: a"),
    "no field": (),
}
_STARTS = (
    b"HTTP/1.1 200 OK|HTTP/1.1 200 |HTTP/1.1 200|HTTP/1.0 200 OK|HTTP/1.2 200 OK|HTTP/1.1 100 Continue"
    b"|HTTP/1.1 101 Switching|HTTP/1.1 204 No|HTTP/1.1 304 No|HTTP/1.1 426 Up|HTTP/1.1 500 \xe9|HTTP/1.1 600 X"
    b"|HTTP/1.1 200 a\x00"
).split(b"|")
_NAMES = (
    b"Connection|Content-Length|Date|Keep-Alive|Transfer-Encoding|Upgrade|Proxy-Connection|TE|HTTP2-Settings"
    b"|Content-Type|X|Connectio|Content-Lengths|x-date"
).split(b"|")
_VALUES = (
    b"5|05|+5|5 |5, 5|123456789012345678|1234567890123456789|chunked|Chunked|chunked\t|gzip, chunked|keep-alive"
    b"|Keep-Alive|close|close |close, X|upgrade|x|x-date|timeout=5|timeout=5, max=1|timeout=5,max=x|timeout=123456789"
    b"|timeout=|Timeout=5|text/event-stream|websocket||\xff|a\x00|a\rb|a\nb"
).split(b"|")


def facts(head: ResponseHead) -> dict[str, object]:
    return {name: getattr(head, name) for name in dir(head) if not name.startswith("_")}


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    """Heads of fields that mean something, right and wrong ones, with others among them, and a fault or none."""
    line = st.builds(
        lambda name, recased, colon, value: recased(name) + colon + value,
        st.sampled_from(_NAMES) | tokens,
        st.sampled_from((bytes, bytes.lower, bytes.upper)),
        st.sampled_from((b": ", b": ", b":", b":\t", b":  ", b" :", b"")),
        st.sampled_from(_VALUES),
    )
    good = st.sampled_from([line for lines in USUAL.values() for line in lines])
    block = b"\r\n".join([draw(st.sampled_from(_STARTS)), *draw(st.lists(good | line, max_size=6))])
    at, trick = draw(st.integers(0, len(block))), draw(st.just(b"") | st.sampled_from(TRICKS))
    return block[:at] + trick + block[at:]


@law
@given(block=blocks() | responses().map(lambda message: message.block))
def test_one_pass_finds_what_is_found_line_by_line(block: bytes) -> None:
    """What is refused there it does not take: that would raise here."""
    common = _common(block)
    if common is not None:
        assert facts(common) == facts(_any(block))


@pytest.mark.parametrize("lines", USUAL.values(), ids=USUAL)
def test_a_usual_response_is_judged_in_one_pass(lines: tuple[bytes, ...]) -> None:
    """Else nothing would be wrong, but each head that is not known by its bytes would cost four times as much."""
    block = b"\r\n".join([b"HTTP/1.1 200 OK", *lines])
    common = _common(block)
    assert common is not None
    assert facts(common) == facts(_any(block))
    assert common.lines == [
        line for line in lines if line[:11].lower() not in (b"connection:", b"keep-alive:")
    ]


@pytest.mark.parametrize(
    "line",
    [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b"Keep-Alive: timeout=5"],
)
@pytest.mark.parametrize("between", [(), (b"Content-Type: a", b"Keep: a")])
def test_what_comes_twice_is_not_for_one_pass(line: bytes, between: tuple[bytes, ...]) -> None:
    start = b"HTTP/1.1 200 OK"
    assert _common(b"\r\n".join([start, line, *between])) is not None
    assert _common(b"\r\n".join([start, line, *between, line])) is None
    assert _common(b"\r\n".join([start, line, *between, line.lower()])) is None


def test_a_fault_at_the_end_is_found_in_one_pass_over_the_head() -> None:
    """If two alternatives took the same line, each such line would double the time: this would not come to an end."""
    block = b"\r\n".join([b"HTTP/1.1 200 OK", *[b"Content-Typ: a", b"X: a", b"Date: a"] * 1500, b"TE"])
    with pytest.raises(ProtocolError):
        ResponseParser().parse(block)

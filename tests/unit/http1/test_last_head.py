"""What is remembered between heads changes nothing: the same verdict and the same bytes as without any memory."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pyinit.errors import ProtocolError
from pyinit.http1 import forward as forward_module
from pyinit.http1 import request as request_module
from pyinit.http1.forward import MODES, Forwarder
from pyinit.http1.head import HeadReader
from pyinit.http1.last_head import LastHead
from pyinit.http1.message import RequestHead
from pyinit.http1.request import RequestParser
from tests.support.conversations import FIELDS_MAX, conversation, head_of
from tests.support.strategies import law

LIMIT_BYTES = 700

# What a head said, what the app is sent, what is left over; or the status and the reason of a refusal.
Outcome = tuple[dict[str, object], bytes, bytes] | tuple[int, str] | None


class Connection:
    """A client connection's heads, as Downstream reads them, by a parser and a forwarder that others use too."""

    def __init__(self, parser: RequestParser, forwarder: Forwarder) -> None:
        self._parser = parser
        self._forwarder = forwarder
        self._reader = HeadReader(LIMIT_BYTES)
        self.last = LastHead(LIMIT_BYTES)
        self.recognized_count = 0

    def read(self, data: bytes, extra: list[bytes] | None = None) -> Outcome:
        try:
            again = None if self._reader.has_begun else self.last.again(data)
            if again is not None:
                self.recognized_count += 1
                head, rest = again
            else:
                taken = self._reader.feed(data)
                if taken is None:
                    return None
                block, rest = taken
                head = self._parser.parse(block)
                self.last.learn(block, head)
        except ProtocolError as fault:
            self._reader = HeadReader(LIMIT_BYTES)
            self.last.forget()
            return fault.status_hint, fault.reason
        return facts(head), self._forwarder.request(head, extra), rest


def facts(head: RequestHead) -> dict[str, object]:
    names = {name for name in dir(head) if not name.startswith("_")} - {"verdict", "first"}
    return {name: getattr(head, name) for name in names}


def forwarder(mode: str = "auto", *, is_trusted: bool = True, head_max_bytes: int = 1 << 20) -> Forwarder:
    return Forwarder(
        mode,
        b"us",
        peer_ip=b"192.0.2.1",
        is_trusted=is_trusted,
        local_host=b"us:80",
        local_port=b"80",
        head_max_bytes=head_max_bytes,
    )


def recognized(*heads: bytes) -> list[bool]:
    """Which heads of a connection are known by the last one, where their lines have been judged before."""
    parser = RequestParser(FIELDS_MAX)
    Connection(parser, forwarder()).read(heads[0])
    connection = Connection(parser, forwarder())
    found = []
    for data in heads:
        count = connection.recognized_count
        assert connection.read(data) == Connection(RequestParser(FIELDS_MAX), forwarder()).read(data)
        found.append(connection.recognized_count > count)
    return found


# -- what is known by the last head ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: head_of(b"Host: a", b"Connection: keep-alive"), id="nothing"),
        pytest.param(lambda n: head_of(b"Host: a", b"T: %d" % n, b"X-Forwarded-For: b", b"U:"), id="a value"),
        pytest.param(
            lambda n: head_of(b"A: %d" % n, b"Host: a", b"Te: x", b"B: %d" % n), id="first and last"
        ),
        pytest.param(lambda n: head_of(b"Host: a", b"X-Request-Id: %d" % n), id="an id"),
        pytest.param(
            lambda n: head_of(b"Host: a", b"X-Forwarded-For: 198.51.100.%d" % n, b"T: 1"), id="a client"
        ),
        pytest.param(
            lambda n: head_of(b"Host: a", b"x-forwarded-for:2001:db8::%x" % n), id="a client by IPv6"
        ),
        pytest.param(
            lambda n: head_of(b"Host: a", b"Content-Length: %d" % n, start=b"PUT /%d HTTP/1.1" % n) + b"body",
            id="a length, and a target",
        ),
    ],
)
def test_a_head_that_differs_in_a_value_is_known_by_the_last(change: Callable[[int], bytes]) -> None:
    assert recognized(*map(change, range(7, 13))) == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(head_of(b"Host: a", b"T: 1\x7f"), id="a byte that no value may hold"),
        pytest.param(head_of(b"Host: a", b"T: 1", b"T: 1"), id="a line more"),
        pytest.param(head_of(b"Host: a"), id="a line less"),
        pytest.param(head_of(b"T: 1", b"Host: a"), id="another order"),
        pytest.param(head_of(b"Host: b", b"T: 1"), id="another host"),
        pytest.param(head_of(b"Host: a", b"T : 1"), id="a space before the colon"),
        pytest.param(head_of(b"Host: a", b"Te: 1"), id="another name"),
        pytest.param(head_of(b"Host: a", b"T: 1", start=b"GET / HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(head_of(b"Host: a", b"T: 1", start=b"GET http://a/ HTTP/1.1"), id="an absolute target"),
        pytest.param(head_of(b"Host: a", b"T: 1", start=b"TRACE / HTTP/1.1"), id="TRACE"),
        pytest.param(head_of(b"Host: a", b"T: 1", start=b"GET /# HTTP/1.1"), id="a fragment"),
        pytest.param(b"\r\n" + head_of(b"Host: a", b"T: 1"), id="an empty line before it"),
        pytest.param(head_of(b"Host: a", b"T: " + b"t" * LIMIT_BYTES), id="more than the limit"),
    ],
)
def test_another_head_is_not(other: bytes) -> None:
    alike = [head_of(b"Host: a", b"T: %d" % number) for number in range(3)]
    assert recognized(*alike, other) == [False, False, True, False]


@pytest.mark.parametrize(
    "line",
    [
        b"X-Forwarded-For: %d",
        b"Host: %d",
        b"Expect: %d",
        b"X_Forwarded_For: %d",
        b"Connection: close, x%d",
        b"Max-Forwards: %d",
    ],
)
def test_a_value_that_means_something_is_judged_each_time(line: bytes) -> None:
    host = b"X: 1" if line.startswith(b"Host") else b"Host: a"
    assert not any(recognized(*(head_of(host, line % number) for number in range(20))))


@pytest.mark.parametrize("value", [b"0", b"00", b"5 ", b"-1", b"1, 1", b"", b"9" * 19, b"0" * 18 + b"1"])
def test_a_length_that_is_none_or_needs_mending_is_judged(value: bytes) -> None:
    alike = [head_of(b"Host: a", b"Content-Length: %d" % number) for number in range(7, 10)]
    other = head_of(b"Host: a", b"Content-Length: " + value)
    assert recognized(*alike, other) == [False, False, True, False]


def test_an_empty_request_id_is_removed_where_others_passed() -> None:
    alike = [head_of(b"Host: a", b"X-Request-Id: %d" % number) for number in range(3)]
    assert recognized(*alike, head_of(b"Host: a", b"X-Request-Id: \t")) == [False, False, True, False]


def test_heads_with_nothing_in_common_are_learnt_ever_more_rarely_and_like_ones_soon_again() -> None:
    connection = Connection(RequestParser(FIELDS_MAX), forwarder())
    blocks = []
    for number in range(300):
        connection.read(head_of(b"Host: a", b"X%d: 1" % number))
        if connection.last._block not in blocks:
            blocks.append(connection.last._block)
    assert len(blocks) < 15
    for _ in range(70):
        connection.read(head_of(b"Host: a", b"X: 1"))
    assert connection.recognized_count > 0


def test_a_forgotten_head_is_learnt_anew() -> None:
    connection = Connection(RequestParser(FIELDS_MAX), forwarder())
    for _ in range(2):
        for _ in range(4):
            connection.read(head_of(b"Host: a"))
        connection.last.forget()
    assert connection.recognized_count == 1 + 2
    assert repr(connection.last) == "LastHead(known=False, changes=0, passing=0)"


def test_a_large_head_is_not_kept() -> None:
    last = LastHead(1 << 20)
    block = head_of(b"Host: a", b"X: " + b"x" * 5000)[:-4]
    for _ in range(3):
        last.learn(block, RequestParser(9).parse(block))
    assert last.again(block + b"\r\n\r\n") is None


# -- the law ---------------------------------------------------------------------------------------------


@law
@given(
    random=st.builds(Random, st.integers(0, 1 << 32)),
    mode=st.sampled_from(MODES),
    is_trusted=st.booleans(),
    extra=st.none() | st.just([b"X-Request-Id: us"]),
    head_max_bytes=st.sampled_from((1 << 20, 300)),
    known_max=st.sampled_from((2, 4096)),
)
def test_nothing_that_is_remembered_changes_a_verdict_or_a_byte(
    random: Random,
    mode: str,
    extra: list[bytes] | None,
    head_max_bytes: int,
    known_max: int,
    *,
    is_trusted: bool,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_KNOWN_LINES_MAX", "_SEEN_LINES_MAX", "_PLAIN_NAMES_MAX", "_VERDICTS_MAX"):
            patch.setattr(request_module, name, known_max)
        patch.setattr(forward_module, "_PLANS_MAX", known_max // 2)
        parser = RequestParser(FIELDS_MAX)
        shared = forwarder(mode, is_trusted=is_trusted, head_max_bytes=head_max_bytes)
        connections = [Connection(parser, shared), Connection(parser, shared)]
        for data in conversation(random):
            alone = forwarder(mode, is_trusted=is_trusted, head_max_bytes=head_max_bytes)
            fresh = Connection(RequestParser(FIELDS_MAX), alone).read(data, extra)
            number = random.randrange(5) // 4
            assert connections[number].read(data, extra) == fresh
            if fresh is None:
                connections[number] = Connection(parser, shared)
    event(f"known by the last: {sum(each.recognized_count for each in connections) // 10 * 10} or more")

"""The bytes that a proxy of ours sends its app, read by Node: the same messages, and as many.

The rows are the corpus's (tests/corpus), as test_conformance.py has put them through a real pyinit.
"""

import hashlib
from collections.abc import Iterator

import pytest

from pyinit.errors import ProtocolError
from pyinit.http1.forward import Forwarder
from pyinit.http1.head import HeadReader
from pyinit.http1.request import RequestParser
from tests.corpus.everything import TOPICS
from tests.support.conformance_run import Results, run_command
from tests.support.node_oracle import Ask, NodeRequest, node
from tests.support.strict_http import Read

pytestmark = pytest.mark.node

# Node's own --max-http-header-size, and the default of ours.
HEAD_MAX_BYTES = 16 * 1024


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with node() as asking:
        yield asking


@pytest.fixture(scope="module")
def results() -> Results:
    return run_command()


Seen = tuple[str, str, tuple[tuple[str, str], ...], int, str]


def seen(read: Read) -> Seen:
    """A message as the strict reader has it, in the words of Node's."""
    method, target = (part.decode("latin-1") for part in read.start)
    fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in read.fields)
    return method, target, fields, len(read.body), hashlib.sha256(read.body).hexdigest()


def node_saw(one: NodeRequest) -> Seen:
    """The same of Node's."""
    fields = tuple((name.lower(), value) for name, value in one.fields)
    return one.method, one.target, fields, one.length, one.sha256


@pytest.mark.parametrize("topic", TOPICS)
def test_what_we_pass_on_node_reads_alike(ask: Ask, results: Results, topic: str) -> None:
    """Each connection to the app as a whole: with the request that came behind, and what was cut short."""
    unlike = []
    for case, observed in results[topic]:
        if case.app:
            continue  # what the app did may have ended the connection before all was read
        for side in observed.sides:
            answer = ask(bytes(side.data))
            if case.node_refuses:
                assert answer.status, case.name
                continue
            if [node_saw(one) for one in answer.requests] != [seen(message) for message in side.messages]:
                unlike.append((case.name, answer, bytes(side.data)))
    assert unlike == []


@pytest.mark.parametrize("topic", TOPICS)
def test_what_node_reads_of_a_client_it_reads_behind_us(ask: Ask, results: Results, topic: str) -> None:
    """Nothing is read in another way because we stand before the app; refused is another matter."""
    unlike = []
    for case, observed in results[topic]:
        if case.app or not observed.requests:
            continue
        direct = ask(b"".join(step for step in case.send if isinstance(step, bytes)))
        ours = [(read.start[0].decode(), hashlib.sha256(read.body).hexdigest()) for read in observed.requests]
        theirs = [(one.method, one.sha256) for one in direct.requests]
        if not case.node_refuses and theirs[: len(ours)] != ours[: len(theirs)]:
            unlike.append((case.name, ours, direct))
    assert unlike == []


def start(line: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([line, *lines, b"", b""])


def passed_on(raw: bytes) -> bytes | None:
    """What the app is sent for a request without a body; None where we refuse it."""
    try:
        taken = HeadReader(HEAD_MAX_BYTES).feed(raw)
        assert taken is not None
        head = RequestParser(2000).parse(taken[0])
    except ProtocolError:
        return None
    return Forwarder(
        "auto",
        b"us",
        peer_ip=b"1.2.3.4",
        is_trusted=False,
        local_host=b"us:80",
        local_port=b"80",
        head_max_bytes=HEAD_MAX_BYTES,
    ).request(head)


def test_a_head_that_node_takes_is_not_too_long_for_us(ask: Ask) -> None:
    """``--head-max`` is Node's own limit: an app that raised it gets what it raised it for."""
    taken = []
    for size in range(HEAD_MAX_BYTES - 10, HEAD_MAX_BYTES + 2):
        raw = start(b"GET /" + b"a" * 99 + b" HTTP/1.1", b"Host: a", b"X: " + b"x" * (size - 106))
        if ask(raw).requests:
            taken.append(size)
            assert passed_on(raw) is not None, size
    assert taken  # else the sizes miss Node's limit, and this says nothing
    assert len(taken) < 12


def test_of_very_many_fields_node_keeps_ours(ask: Ask) -> None:
    """Node drops the last of them without a word; a client must not get rid of its address so."""
    ours = passed_on(start(b"GET / HTTP/1.1", b"Host: a", *[b"X: 1"] * 1900))
    assert ours is not None
    (request,) = ask(ours).requests
    assert ("X-Forwarded-For", "1.2.3.4") in request.fields
    assert len(request.fields) < 1900

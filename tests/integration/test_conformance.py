"""The corpus against pyinit, which is held to the first of each row's outcomes: what design 5 chose."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import h11
import httptools
import pytest

from tests.corpus.case import Case
from tests.corpus.everything import TOPICS
from tests.support.conformance import Observed
from tests.support.conformance_run import Results, run_command
from tests.support.conformance_server import in_process
from tests.support.judging import judge
from tests.support.proxy_world import Recorded
from tests.support.strict_http import Read


@pytest.fixture(scope="module")
def command() -> Results:
    return run_command()


@pytest.fixture(scope="module")
def stock_loop() -> tuple[Results, Recorded]:
    """Asyncio's own loop, as the command has uvloop's."""
    log = Recorded()
    return asyncio.run(in_process(log)), log


def failures(rows: list[tuple[Case, Observed]]) -> list[str]:
    verdicts = ((case, judge(case, observed, case.outcomes[:1])) for case, observed in rows)
    return [f"{case.name} ({case.rfc}): {verdict}" for case, verdict in verdicts if verdict]


@pytest.mark.parametrize("topic", TOPICS)
def test_the_command(command: Results, topic: str) -> None:
    assert failures(command[topic]) == []


@pytest.mark.parametrize("topic", TOPICS)
def test_the_server_on_asyncios_own_loop(stock_loop: tuple[Results, Recorded], topic: str) -> None:
    assert failures(stock_loop[0][topic]) == []


def test_no_callback_of_ours_failed(stock_loop: tuple[Results, Recorded]) -> None:
    assert stock_loop[1].of("callback.failed") == []


def test_every_refusal_names_its_rule_and_echoes_nothing(command: Results) -> None:
    """A sentence of ours in plain text: were a request's bytes in it, a browser might run them."""
    reasons = Counter(
        read.body
        for rows in command.values()
        for _, observed in rows
        for read in observed.responses
        if read.status >= 400 and not read.all(b"x-app") and read.body not in (b"", b"no", b"ok")
    )
    assert len(reasons) > 50
    for body in reasons:
        status, colon, reason = body.partition(b": ")
        assert status[:3].isdigit()
        assert colon
        assert reason.endswith(b"\n")
        assert not set(body) & set(b'<>&"\r\0\\'), body
        assert not any(word in body for word in (b"a.example", b"smuggled", b"secret", b"/past"))


def messages(results: Results) -> Iterator[tuple[Case, Read]]:
    for rows in results.values():
        for case, observed in rows:
            for side in observed.sides:
                for read in side.messages:
                    yield case, read


class Parsed:
    """What llhttp makes of a message."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ends = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.body and not self.ends:
            self.fields.append((name.lower(), value.strip(b" \t")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ends += 1


def test_llhttp_reads_alike_what_reaches_the_app(command: Results) -> None:
    count = 0
    for case, read in messages(command):
        if case.node_refuses:
            continue  # for llhttp's own reasons
        parsed = Parsed()
        parser = httptools.HttpRequestParser(parsed)
        with suppress(httptools.HttpParserUpgrade):
            parser.feed_data(read.raw)
        assert parsed.ends == 1, case.name
        assert (parser.get_method(), parsed.target, parsed.body) == (*read.start, read.body), case.name
        assert parsed.fields[: len(read.fields)] == read.fields, case.name
        count += 1
    assert count > 400


def test_h11_reads_alike_what_reaches_the_app(command: Results) -> None:
    for case, read in messages(command):
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 17)
        connection.receive_data(read.raw)
        request = connection.next_event()
        assert isinstance(request, h11.Request), case.name
        body = b""
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), case.name
        assert connection.trailing_data[0] == b"", case.name
        assert (request.method, request.target, body) == (*read.start, read.body), case.name


def test_names_are_told_apart() -> None:
    for topic, rows in TOPICS.items():
        names = Counter(case.name for case in rows)
        assert [name for name, count in names.items() if count > 1] == [], topic


def test_a_byte_relay_fails_what_a_proxy_has_to_see() -> None:
    """A corpus that whatever stands between would pass shows nothing."""
    topics = ("content-length", "transfer-encoding", "chunk size", "field name", "host", "connection")
    results = asyncio.run(in_process(Recorded(), is_raw=True, topics=topics))
    rows = [row for found in results.values() for row in found]
    failed = sum(bool(judge(case, observed, case.outcomes)) for case, observed in rows)
    assert failed > len(rows) / 2

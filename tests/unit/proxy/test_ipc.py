"""Messages between PID 1 and a worker: what goes in comes out, in any split, and nothing else does."""

import json
from dataclasses import replace

import pytest

from pyinit.drain.outcomes import CUT_LISTED_MAX, InFlight, Kind, Outcomes
from pyinit.proxy import ipc
from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.stats import Levels, Stats
from pyinit.proxy.survey import OLDEST_MAX

PROXY = ProxyConfig(
    upstream=UpstreamAddress(hosts=("127.0.0.1", "::1"), port=3000),
    via=b"pyinit",
    health_path=b"/healthz",
    reads_proxy_header=True,
    body_max_bytes=None,
    response_timeout_s=1.5,
)
CONFIGURE = ipc.Configure(1, PROXY, ("10.0.0.0/8", "::1/128"), ((5, False), (6, True)), "json", "info")
REPORT = ipc.Report(
    7,
    {"idle": 3},
    Stats(connections=4, responses=[0, 0, 3, 0, 1, 0]),
    Outcomes(2, 1, 0, 3, 4, 1, [InFlight("GET", "/a\u00e9\n", 1.25, "[::1]:80")]),
    Levels(max_connections=100, upstreams=2),
    {"stream": 1, "exchange": 2},
    (InFlight("GET", "/events", 9.5, "unix", Kind.STREAM),),
)
MESSAGES: list[ipc.Message] = [
    CONFIGURE,
    replace(CONFIGURE, proxy=replace(PROXY, upstream=UpstreamAddress(path="/run/app"), via=b"")),
    ipc.Listen(),
    ipc.Readiness(None),
    ipc.Readiness("/ready answers 503"),
    ipc.AnnounceStop(),
    ipc.StopAccepting(1.5),
    ipc.CloseIdle(),
    ipc.CloseStreams(),
    ipc.Cut("this server is stopping", 503),
    ipc.ClosePool(),
    ipc.Ask(7),
    ipc.SetLogLevel("debug"),
    ipc.Abort(),
    ipc.Quiet(),
    ipc.ConnectionOpened(),
    ipc.AppUnreachable(),
    ipc.UpstreamsGone(),
    ipc.Report(),
    REPORT,
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line_and_comes_out_as_it_went_in(message: ipc.Message) -> None:
    line = ipc.encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert ipc.decode(line[:-1]) == message


def test_any_split_gives_the_same_messages() -> None:
    data = b"".join(map(ipc.encode, MESSAGES))
    for at in range(len(data) + 1):
        decoder = ipc.Decoder()
        assert decoder.feed(data[:at]) + decoder.feed(data[at:]) == MESSAGES
    decoder = ipc.Decoder()
    assert [message for byte in data for message in decoder.feed(bytes([byte]))] == MESSAGES


def test_a_message_that_is_not_whole_waits() -> None:
    decoder = ipc.Decoder()
    assert decoder.feed(ipc.encode(ipc.Ask(1))[:-1]) == []
    assert decoder.feed(b"") == []
    assert repr(decoder) == f"Decoder({len(ipc.encode(ipc.Ask(1))) - 1} bytes pending)"
    assert decoder.feed(b"\n") == [ipc.Ask(1)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"{}",
        b"\xff",
        b'{"kind":"Exec"}',
        b'{"kind":["Ask"]}',
        b'{"kind":"Ask"}',
        b'{"kind":"Ask","number":1,"more":2}',
        b'{"kind":"Report","number":1}',
        b'{"kind":"Configure","proxy":{"upstream":3},"trusted":[],"listeners":[]}',
    ],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="no message"):
        ipc.decode(line)


@pytest.mark.parametrize("ended", [True, False], ids=["whole", "endless"])
def test_a_message_beyond_the_bound_is_refused(ended: bool) -> None:  # noqa: FBT001  a parameter
    """A peer gone wild must not fill our memory."""
    decoder = ipc.Decoder(limit_bytes=64)
    with pytest.raises(ValueError, match="more than 64 bytes"):
        decoder.feed(b" " * 65 + b"\n" * ended)


def test_networks_are_not_sent_as_objects() -> None:
    class Everyone:
        def __contains__(self, packed: bytes) -> bool:
            return True

    sent = ipc.encode(replace(CONFIGURE, proxy=replace(PROXY, trusted=(Everyone(),))))
    assert ipc.decode(sent[:-1]) == CONFIGURE


def test_the_longest_report_stays_below_the_bound() -> None:
    """--head-max allows targets of megabytes: each is shortened, so that the last report always gets through."""
    cut = [InFlight("M" * 100, "/\x80" * (1 << 20), 1.0, "p" * 60)] * CUT_LISTED_MAX
    line = ipc.encode(ipc.Report(outcomes=Outcomes(cut_count=500, cut=cut), oldest=tuple(cut[:OLDEST_MAX])))
    assert len(line) < ipc.MESSAGE_MAX_BYTES
    report = ipc.decode(line[:-1])
    assert isinstance(report, ipc.Report)
    assert report.outcomes.cut_count == 500
    assert len(report.outcomes.cut) == CUT_LISTED_MAX
    assert report.outcomes.cut[0].target.endswith("...")
    assert report.oldest == tuple(report.outcomes.cut[:OLDEST_MAX])
    assert len(cut[0].target) == 1 << 21, "the worker's own are left alone"


def test_a_line_can_be_read_by_a_person() -> None:
    assert json.loads(ipc.encode(ipc.Cut("why", 502))) == {"kind": "Cut", "reason": "why", "status": 502}


def test_bytes_that_are_no_bytes_are_not_sent() -> None:
    with pytest.raises(TypeError, match="no form in JSON"):
        ipc.encode(ipc.Report(census={"a": frozenset()}))  # type: ignore[dict-item]

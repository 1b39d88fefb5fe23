"""What the app is sent: whose word counts for the client's address, and how heads end both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.http1.forward import MODES, Forwarder, interim, kept_end, response
from pyinit.http1.message import RequestHead, ResponseHead
from pyinit.http1.request import RequestParser
from pyinit.http1.response import ResponseParser
from tests.support.strategies import Message, field_values, law, requests

DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT"


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"a") -> RequestHead:
    return RequestParser(2000).parse(b"\r\n".join([start, b"Host: " + host, *lines]))


def forwarder(
    mode: str = "auto",
    *,
    via: bytes = b"",
    peer_ip: bytes = b"1.2.3.4",
    is_trusted: bool = False,
    port: bytes = b"80",
    head_max_bytes: int = 1 << 20,
) -> Forwarder:
    return Forwarder(
        mode,
        via,
        peer_ip=peer_ip,
        is_trusted=is_trusted,
        local_host=b"10.0.0.1:80",
        local_port=port,
        head_max_bytes=head_max_bytes,
    )


def sent(forwarder: Forwarder, head: RequestHead, extra: list[bytes] | None = None) -> list[bytes]:
    """The lines that the app is sent, sorted: order among fields of different names means nothing."""
    raw = forwarder.request(head, extra)
    assert raw.endswith(b"\r\n\r\n")
    return sorted(raw[:-4].split(b"\r\n")[1:])


OURS = [
    b"X-Forwarded-For: 1.2.3.4",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Host: a",
    b"X-Forwarded-Port: 80",
    b"Forwarded: for=1.2.3.4;host=a;proto=http",
]
FORGED = [
    b"X-Forwarded-For: 127.0.0.1",
    b"x-forwarded-for: 127.0.0.2",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: forged",
    b"X-Forwarded-Port: 1",
    b"Forwarded: for=127.0.0.1",
]


@pytest.mark.parametrize(
    ("mode", "is_trusted", "came", "expected"),
    [
        pytest.param("auto", False, [], OURS, id="auto sets all for a stranger"),
        pytest.param("auto", True, [], OURS, id="auto sets all for a peer that sent none"),
        pytest.param("auto", False, FORGED, OURS, id="auto replaces what a stranger sent"),
        pytest.param("auto", True, FORGED, FORGED, id="auto passes what a trusted peer sent"),
        pytest.param("replace", True, FORGED, OURS, id="replace replaces even what a trusted peer sent"),
        pytest.param("replace", False, [], OURS, id="replace sets all"),
        pytest.param("keep", False, FORGED, FORGED, id="keep passes what came"),
        pytest.param("keep", True, [], [], id="keep sets nothing"),
        pytest.param("off", True, FORGED, [], id="off removes what came"),
        pytest.param("off", False, [], [], id="off sets nothing"),
        pytest.param("append", False, [], OURS, id="append sets all where none came"),
        pytest.param(
            "append",
            False,
            FORGED,
            [
                b"X-Forwarded-For: 127.0.0.1",
                b"x-forwarded-for: 127.0.0.2, 1.2.3.4",
                b"X-Forwarded-Proto: https",
                b"X-Forwarded-Host: forged",
                b"X-Forwarded-Port: 1",
                b"Forwarded: for=127.0.0.1, for=1.2.3.4;host=a;proto=http",
            ],
            id="append adds the peer to the last line",
        ),
        pytest.param(
            "append",
            False,
            [b"X-Forwarded-For: 5.6.7.8 "],
            [
                b"X-Forwarded-For: 5.6.7.8, 1.2.3.4",
                b"X-Forwarded-Proto: http",
                b"X-Forwarded-Host: a",
                b"X-Forwarded-Port: 80",
                b"Forwarded: for=1.2.3.4;host=a;proto=http",
            ],
            id="append speaks in Forwarded for the peer alone",
        ),
        pytest.param(
            "append",
            True,
            [b"X-Forwarded-Proto: https"],
            [
                b"X-Forwarded-For: 1.2.3.4",
                b"X-Forwarded-Proto: https",
                b"X-Forwarded-Host: a",
                b"X-Forwarded-Port: 443",
                b"Forwarded: for=1.2.3.4;host=a;proto=http",
            ],
            id="append sets the others in accord",
        ),
        pytest.param(
            "auto",
            True,
            [b"X-Forwarded-For: 5.6.7.8, ::1", b"X-Forwarded-Proto: HTTPS"],
            [
                b"X-Forwarded-For: 5.6.7.8, ::1",
                b"X-Forwarded-Proto: HTTPS",
                b"X-Forwarded-Host: a",
                b"X-Forwarded-Port: 443",
                b'Forwarded: for=5.6.7.8, for="[::1]";host=a;proto=https',
            ],
            id="auto completes what a load balancer began",
        ),
        pytest.param(
            "auto",
            True,
            [b"X-Forwarded-Host: b:8443", b"X-Forwarded-Proto: https"],
            [
                b"X-Forwarded-For: 1.2.3.4",
                b"X-Forwarded-Proto: https",
                b"X-Forwarded-Host: b:8443",
                b"X-Forwarded-Port: 8443",
                b'Forwarded: for=1.2.3.4;host="b:8443";proto=https',
            ],
            id="the port is the host's where it has one",
        ),
        pytest.param(
            "auto",
            True,
            [b"X-Forwarded-Proto: wss"],
            [
                b"X-Forwarded-For: 1.2.3.4",
                b"X-Forwarded-Proto: wss",
                b"X-Forwarded-Host: a",
                b"Forwarded: for=1.2.3.4;host=a;proto=wss",
            ],
            id="no port for a scheme unknown",
        ),
        pytest.param(
            "auto",
            True,
            [b"X-Forwarded-Host: [::1]"],
            [
                b"X-Forwarded-For: 1.2.3.4",
                b"X-Forwarded-Proto: http",
                b"X-Forwarded-Host: [::1]",
                b"X-Forwarded-Port: 80",
                b'Forwarded: for=1.2.3.4;host="[::1]";proto=http',
            ],
            id="an IPv6 literal ends in no port",
        ),
        pytest.param(
            "auto",
            True,
            [b"Forwarded: for=5.6.7.8"],
            [
                b"X-Forwarded-For: 1.2.3.4",
                b"X-Forwarded-Proto: http",
                b"X-Forwarded-Host: a",
                b"X-Forwarded-Port: 80",
                b"Forwarded: for=5.6.7.8",
            ],
            id="Forwarded alone came",
        ),
        pytest.param(
            "auto",
            True,
            [b"X-Forwarded-For: ", b"x-forwarded-for: ,\t,", b"X-Forwarded-Proto:", b"Forwarded:"],
            OURS,
            id="auto takes a field without a value as absent",
        ),
        pytest.param("append", False, [b"X-Forwarded-For:", b"Forwarded: "], OURS, id="append does so too"),
        pytest.param(
            "auto",
            True,
            [b"X-Forwarded-For:", *FORGED],
            [b"X-Forwarded-For:", *FORGED],
            id="auto passes all lines of a field of which one has a value",
        ),
        pytest.param("keep", True, [b"X-Forwarded-For:"], [b"X-Forwarded-For:"], id="keep does not"),
    ],
)
def test_forwarding_fields(mode: str, *, is_trusted: bool, came: list[bytes], expected: list[bytes]) -> None:
    before, after = b"X-Before: 1", b"X-After: 2"
    lines = sent(forwarder(mode, is_trusted=is_trusted), request(before, *came, after))
    assert lines == sorted([b"Host: a", before, after, *expected])


@pytest.mark.parametrize(
    ("peer_ip", "element"),
    [
        pytest.param(b"1.2.3.4", b"for=1.2.3.4", id="IPv4"),
        pytest.param(b"2001:db8::1", b'for="[2001:db8::1]"', id="IPv6 is bracketed and quoted"),
        pytest.param(b"::ffff:1.2.3.4", b'for="[::ffff:1.2.3.4]"', id="IPv4-mapped"),
        pytest.param(b"fe80::1%eth0", b'for="fe80::1%eth0"', id="an address with a zone is no RFC 7239 node"),
        pytest.param(b"", b"for=unknown", id="a unix socket has no address"),
    ],
)
def test_the_client_in_forwarded(peer_ip: bytes, element: bytes) -> None:
    assert b"Forwarded: %b;host=a;proto=http" % element in sent(forwarder(peer_ip=peer_ip), request())


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        pytest.param(b"5.6.7.8:9", b'for="5.6.7.8:9"', id="IPv4 with a port"),
        pytest.param(b"[::1]:9", b'for="[::1]:9"', id="IPv6 with a port"),
        pytest.param(b'"', b'for="\\""', id="a quote"),
        pytest.param(b'1::2"];for=5.6.7.8', b'for="1::2\\"];for=5.6.7.8"', id="an address that goes on"),
        pytest.param(b"\\", b'for="\\\\"', id="a backslash"),
        pytest.param(b"", b"for=unknown", id="nothing"),
    ],
)
def test_what_a_load_balancer_was_told_cannot_break_out_of_forwarded(came: bytes, expected: bytes) -> None:
    """A load balancer adds the client to whatever the client had sent in X-Forwarded-For."""
    lines = sent(forwarder(is_trusted=True), request(b"X-Forwarded-For: %b, 9.9.9.9" % came))
    assert b"Forwarded: %b, for=9.9.9.9;host=a;proto=http" % expected in lines


def test_odd_hosts_and_schemes_are_quoted_in_forwarded() -> None:
    lines = sent(forwarder(is_trusted=True), request(b'X-Forwarded-Proto: a;b="c', host=b"a;b=c"))
    assert b'Forwarded: for=1.2.3.4;host="a;b=c";proto="a;b=\\"c"' in lines


def test_a_unix_socket_has_neither_address_nor_port() -> None:
    proxy = forwarder(peer_ip=b"", port=b"")
    assert sent(proxy, request(host=b"")) == [
        b"Forwarded: for=unknown;proto=http",
        b"Host: ",
        b"X-Forwarded-Proto: http",
    ]
    came = [b"X-Forwarded-Proto: ftp"]
    trusting = forwarder(peer_ip=b"", port=b"", is_trusted=True)
    assert sent(trusting, request(*came, host=b"")) == [b"Forwarded: for=unknown;proto=ftp", b"Host: ", *came]
    appending = forwarder("append", peer_ip=b"", port=b"")
    assert b"X-Forwarded-For: 5.6.7.8" in sent(appending, request(b"X-Forwarded-For: 5.6.7.8"))


def test_what_is_added_follows_the_host_of_each_request() -> None:
    proxy = forwarder()
    for host in (b"a", b"b", b"b", b"a"):
        assert b"X-Forwarded-Host: " + host in sent(proxy, request(host=host))


def test_of_very_many_fields_ours_are_not_the_ones_dropped() -> None:
    """Node keeps the first thousand or so; without X-Forwarded-For the app would take the client for us."""
    raw = forwarder().request(request(*[b"X: 1"] * 1900))
    assert raw.split(b"\r\n")[1:6] == OURS


ADDRESS = [b"X-Forwarded-For: 1.2.3.4", b"Forwarded: for=1.2.3.4"]


@pytest.mark.parametrize(
    ("mode", "is_trusted", "came", "needed"),
    [
        pytest.param("auto", False, [], ADDRESS, id="a stranger's address"),
        pytest.param("auto", False, FORGED, ADDRESS, id="and not what it sent"),
        pytest.param("auto", True, [], ADDRESS, id="a trusted peer's that told of none"),
        pytest.param(
            "auto", True, [b"X-Forwarded-For: 5.6.7.8"], [b"X-Forwarded-For: 5.6.7.8"], id="one told"
        ),
        pytest.param(
            "auto", True, [b"Forwarded: for=b"], [ADDRESS[0], b"Forwarded: for=b"], id="one told by Forwarded"
        ),
        pytest.param(
            "append",
            False,
            [b"X-Forwarded-For: 5.6.7.8"],
            [b"X-Forwarded-For: 5.6.7.8, 1.2.3.4", ADDRESS[1]],
            id="one appended",
        ),
        pytest.param("append", True, FORGED[:1] + FORGED[2:], None, id="nothing to leave out but Via"),
        pytest.param("replace", True, FORGED, ADDRESS, id="one replaced"),
        pytest.param("keep", False, [], [], id="nothing, with keep"),
        pytest.param("off", False, [], [], id="nothing, with off"),
    ],
)
def test_a_head_that_would_grow_beyond_the_apps_limit_gets_no_more_than_it_needs(
    mode: str, *, is_trusted: bool, came: list[bytes], needed: list[bytes] | None
) -> None:
    """The last size at which all is added, and the first at which it is not; the address never goes missing."""
    head = request(*came, b"X:  y", start=b"GET /target HTTP/1.1")
    all_of_it = sent(forwarder(mode, is_trusted=is_trusted, via=b"us"), head, [b"X-Request-Id: 1"])
    counted = len(b"/target") + sum(
        len(n) + len(v.strip()) for n, _, v in (x.partition(b":") for x in all_of_it)
    )
    roomy = forwarder(mode, is_trusted=is_trusted, via=b"us", head_max_bytes=counted + 1)
    assert sent(roomy, head, [b"X-Request-Id: 1"]) == all_of_it
    tight = forwarder(mode, is_trusted=is_trusted, via=b"us", head_max_bytes=counted)
    lines = sent(tight, head, [b"X-Request-Id: 1"])
    if needed is None:
        needed = [x for x in all_of_it if not x.startswith((b"Host", b"X:", b"Via", b"X-Request-Id"))]
    assert lines == sorted([b"Host: a", b"X:  y", *needed])


def test_of_equal_lines_append_adds_to_the_last() -> None:
    head = request(b"X-Forwarded-For: 5.6.7.8", b"X: 1", b"X-Forwarded-For: 5.6.7.8")
    raw = forwarder("append").request(head)
    assert b"X-Forwarded-For: 5.6.7.8\r\nX: 1\r\nX-Forwarded-For: 5.6.7.8, 1.2.3.4\r\n" in raw


def test_an_upgrade_and_a_named_host_are_needed_and_an_address_of_a_unix_socket_is_not() -> None:
    tight = forwarder(via=b"us", peer_ip=b"", port=b"", head_max_bytes=1)
    upgrade = request(b"Connection: upgrade", b"Upgrade: x")
    assert sent(tight, upgrade) == [b"Connection: Upgrade", b"Host: a", b"Upgrade: x"]
    old = RequestParser(9).parse(b"GET / HTTP/1.0")
    assert sent(tight, old) == [b"Host: 10.0.0.1:80"]


@pytest.mark.parametrize(
    ("start", "lines", "expected"),
    [
        pytest.param(b"GET /b HTTP/1.0", [], b"10.0.0.1:80", id="none: where the client connected to"),
        pytest.param(b"GET /b HTTP/1.0", [b"hOsT:"], b"10.0.0.1:80", id="an empty one is replaced"),
        pytest.param(b"GET http://c:1/b HTTP/1.0", [], b"c:1", id="the target's"),
    ],
)
def test_http_1_0_gets_the_host_that_1_1_asks_for(start: bytes, lines: list[bytes], expected: bytes) -> None:
    head = RequestParser(9).parse(b"\r\n".join([start, *lines, b"X: 1"]))
    raw = forwarder("keep").request(head)
    assert raw == b"GET /b HTTP/1.1\r\nHost: %b\r\nX: 1\r\n\r\n" % expected
    assert b"X-Forwarded-Host: " + expected in sent(forwarder(), head)


def test_http_1_0_keeps_the_host_it_named() -> None:
    head = RequestParser(9).parse(b"GET / HTTP/1.0\r\nX: 1\r\nhost: b")
    assert forwarder("off").request(head) == b"GET / HTTP/1.1\r\nX: 1\r\nhost: b\r\n\r\n"


def test_via_names_the_version_it_came_in_and_stands_behind_others() -> None:
    head = request(b"Via: 1.1 other", b"X: 1")
    lines = forwarder("off", via=b"us").request(head).split(b"\r\n")
    assert lines.index(b"Via: 1.1 other") < lines.index(b"Via: 1.1 us")
    old = request(start=b"GET / HTTP/1.0")
    assert sent(forwarder("off", via=b"us"), old) == [b"Host: a", b"Via: 1.0 us"]


def test_an_upgrade_is_offered_and_extra_lines_are_added() -> None:
    head = request(b"Connection: Upgrade", b"Upgrade: x")
    assert sent(forwarder("off"), head, [b"X-Request-Id: 1"]) == [
        b"Connection: Upgrade",
        b"Host: a",
        b"Upgrade: x",
        b"X-Request-Id: 1",
    ]


def test_what_is_remembered_of_a_load_balancers_addresses_is_bounded() -> None:
    parser = RequestParser(9)
    for _ in range(2):
        head = parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 5.6.7.8")
    for number in range(20):
        proxy = forwarder(is_trusted=True, peer_ip=b"10.0.0.%d" % number, port=b"%d" % number)
        for _ in range(2):
            assert b"X-Forwarded-Port: %d\r\n" % number in proxy.request(head)
    assert head.verdict is not None
    assert len(head.verdict.plans) <= 8


def test_a_forwarder_says_whose_requests_it_turns() -> None:
    assert repr(forwarder()) == "Forwarder(replace, peer=b'1.2.3.4')"


@law
@given(
    message=requests(),
    mode=st.sampled_from(MODES),
    is_trusted=st.booleans(),
    values=st.lists(field_values, max_size=3),
)
def test_a_forwarded_request_reads_as_what_came(
    message: Message, mode: str, values: list[bytes], *, is_trusted: bool
) -> None:
    """And nothing that a client sends in forwarding fields can add a line or change the request."""
    names = (b"X-Forwarded-For", b"Forwarded", b"X-Forwarded-Host")
    came = [b"%b: %b" % pair for pair in zip(names, values, strict=False)]
    head = RequestParser(100).parse(b"\r\n".join([message.block, *came]))
    before = list(head.lines)
    proxy = forwarder(mode, is_trusted=is_trusted, via=b"us")
    raw = proxy.request(head)
    assert proxy.request(head) == raw
    assert head.lines == before
    again = RequestParser(200).parse(raw[:-4])
    for name in ("method", "target", "host", "content_length", "is_chunked"):
        assert getattr(again, name) == getattr(head, name)
    forwarding = [line for group in (again.forwarding or {}).values() for line in group]
    ours = set(forwarding) | {b"Via: 1.%d us" % head.minor}
    theirs = {line for group in (head.forwarding or {}).values() for line in group}
    assert [line for line in again.lines if line not in ours] == [
        line for line in before if line not in theirs
    ]


# -- responses -------------------------------------------------------------------------------------------


def answer(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> ResponseHead:
    return ResponseParser().parse(b"\r\n".join([start, *lines]))


@pytest.mark.parametrize(
    ("lines", "close", "minor", "expected"),
    [
        pytest.param([DATE, b"X: 1"], False, 1, [DATE, b"X: 1"], id="kept, as it came"),
        pytest.param([b"X: 1"], False, 1, [b"X: 1", DATE], id="a Date where the app sent none"),
        pytest.param([DATE], True, 1, [DATE, b"Connection: close"], id="closed"),
        pytest.param([DATE], False, 0, [DATE, b"Connection: keep-alive"], id="HTTP/1.0, kept"),
        pytest.param([DATE], True, 0, [DATE, b"Connection: close"], id="HTTP/1.0, closed"),
        pytest.param(
            [DATE, b"transfer-Encoding: chunked"],
            True,
            0,
            [DATE, b"Connection: close"],
            id="HTTP/1.0 gets no chunks",
        ),
        pytest.param(
            [DATE, b"Transfer-Encoding: chunked"],
            False,
            1,
            [DATE, b"Transfer-Encoding: chunked"],
            id="chunks stay",
        ),
        pytest.param(
            [DATE, b"Connection: close", b"Keep-Alive: timeout=5"],
            False,
            1,
            [DATE],
            id="the app's connection is its own",
        ),
    ],
)
def test_a_response_head(lines: list[bytes], minor: int, expected: list[bytes], *, close: bool) -> None:
    head = answer(*lines)
    before = list(head.lines)
    raw = response(head, close=close, client_minor=minor, date_line=DATE)
    assert raw == b"\r\n".join([b"HTTP/1.1 200 OK", *expected, b"", b""])
    assert head.lines == before


@pytest.mark.parametrize(
    ("idle_timeout_s", "expected"),
    [
        (75.0, b"\r\nConnection: keep-alive\r\nKeep-Alive: timeout=74\r\n\r\n"),
        (620.0, b"\r\nConnection: keep-alive\r\nKeep-Alive: timeout=619\r\n\r\n"),
        (2.9, b"\r\nConnection: keep-alive\r\nKeep-Alive: timeout=1\r\n\r\n"),
        (1.9, b"\r\n\r\n"),
        (0.5, b"\r\n\r\n"),
    ],
)
def test_what_a_kept_client_is_told(idle_timeout_s: float, expected: bytes) -> None:
    assert kept_end(idle_timeout_s) == expected


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("lines", [[DATE, b"X: 1"], [b"X: 1", b"Keep-Alive: timeout=5"]])
@pytest.mark.parametrize("close", [False, True])
def test_only_a_kept_client_is_told_for_how_long(lines: list[bytes], minor: int, *, close: bool) -> None:
    kept = [b"Connection: keep-alive", b"Keep-Alive: timeout=74"]
    raw = response(answer(*lines), close=close, client_minor=minor, date_line=DATE, kept_end=kept_end(75.0))
    fields = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]
    assert sorted(fields) == sorted([DATE, b"X: 1", *((b"Connection: close",) if close else kept)])


@pytest.mark.parametrize(
    ("start", "lines", "expected"),
    [
        pytest.param(b"HTTP/1.1 100 Continue", [], [], id="100"),
        pytest.param(b"HTTP/1.1 103 Early Hints", [b"Link: </a>"], [b"Link: </a>"], id="103"),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols",
            [b"Upgrade: websocket", b"Connection: Upgrade", b"X: 1"],
            [b"X: 1", b"Connection: Upgrade", b"Upgrade: websocket"],
            id="101 names what it switches to",
        ),
    ],
)
def test_an_interim_head(start: bytes, lines: list[bytes], expected: list[bytes]) -> None:
    assert interim(answer(*lines, start=start)) == b"\r\n".join([start, *expected, b"", b""])

"""What Express, Fastify and Koa read of a request: alone, and behind pyinit. Real addresses, one app for both ways.

The README's table of ``req.ip`` is made of these facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import node_packages, trust_world
from tests.support.http_client import eventually
from tests.support.trust_world import BALANCER, BALANCER6, CLIENT, CLIENT6, EDGE, Seen, TrustWorld

pytestmark = [pytest.mark.node, pytest.mark.pid1]

# Words of the tables below.
WORDS = {
    "client": CLIENT,
    "client6": CLIENT6,
    "edge": EDGE,
    "balancer": BALANCER,
    "balancer6": BALANCER6,
    "pyinit": "127.0.0.1",
    "forged": "6.6.6.6",
}
SETTINGS = ("false", "1", "2", "true", "loopback", "private", "balancer", "both")


@dataclass(frozen=True, slots=True)
class Situation:
    """A request as the app or pyinit gets it.

    Attributes:
        source: whose connection it comes over.
        fields: besides Host.
        reads: a line for each kind of setting of ``trust proxy``: the names of the settings, what is read directly, and
            what is read behind pyinit (``=`` for the same): address, protocol and, where it is not Host's, hostname.
    """

    source: str
    fields: tuple[str, ...]
    reads: str

    def expected(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """By setting: directly, and behind pyinit."""
        table = {}
        for line in self.reads.strip().splitlines():
            names, direct, behind = (part.strip() for part in line.split("|"))
            for name in names.split():
                before = _read(direct)
                table[name] = (before, before if behind == "=" else _read(behind))
        assert set(table) == set(SETTINGS)
        return table


def _read(text: str) -> tuple[str, ...]:
    address, protocol, *host = text.split()
    return (WORDS.get(address, address), protocol, *(host or ["app.example"]))


# As an AWS ALB sets them; it appends to the X-Forwarded-For that came.
ALB = ("X-Forwarded-Proto: https", "X-Forwarded-Port: 443")
FORGED = ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: forged.example")

SITUATIONS = {
    "a public client": Situation(
        CLIENT,
        (),
        """
        false balancer                 | client http  | pyinit http
        1 2 true loopback private both | client http  | =
        """,
    ),
    # Better than before: what it says of itself counts for nothing, under any setting.
    "a public client that forges": Situation(
        CLIENT,
        FORGED,
        """
        false balancer        | client http                 | pyinit http
        loopback private both | client http                 | =
        1 2 true              | forged https forged.example | client http
        """,
    ),
    "a public client of IPv6": Situation(
        CLIENT6,
        (),
        """
        false balancer                 | client6 http | pyinit http
        1 2 true loopback private both | client6 http | =
        """,
    ),
    # As before, but for loopback: an app without a load balancer wants --trust none, if its clients are private.
    "a private client that forges": Situation(
        BALANCER,
        FORGED,
        """
        false                 | balancer http               | pyinit http
        1 2 true private both | forged https forged.example | =
        loopback              | balancer http               | forged https forged.example
        balancer              | forged https forged.example | pyinit http
        """,
    ),
    "a load balancer": Situation(
        BALANCER,
        ("X-Forwarded-For: 203.0.113.7", *ALB),
        """
        false                | balancer http | pyinit http
        1 2 true private both | client https | =
        loopback             | balancer http | client https
        balancer             | client https  | pyinit http
        """,
    ),
    "a load balancer with a forger behind it": Situation(
        BALANCER,
        ("X-Forwarded-For: 6.6.6.6, 203.0.113.7", *ALB),
        """
        false          | balancer http | pyinit http
        1 private both | client https  | =
        2 true         | forged https  | =
        loopback       | balancer http | client https
        balancer       | client https  | pyinit http
        """,
    ),
    "two proxies": Situation(
        BALANCER,
        ("X-Forwarded-For: 203.0.113.7, 198.51.100.9", *ALB),
        """
        false          | balancer http | pyinit http
        1 private both | edge https    | =
        2 true         | client https  | =
        loopback       | balancer http | edge https
        balancer       | edge https    | pyinit http
        """,
    ),
    "two proxies, each with a line of its own": Situation(
        BALANCER,
        ("X-Forwarded-For: 203.0.113.7", "x-forwarded-for: 198.51.100.9", *ALB),
        """
        false          | balancer http | pyinit http
        1 private both | edge https    | =
        2 true         | client https  | =
        loopback       | balancer http | edge https
        balancer       | edge https    | pyinit http
        """,
    ),
    "a private client behind a load balancer": Situation(
        BALANCER,
        ("X-Forwarded-For: 10.9.9.9", *ALB),
        """
        false                 | balancer http  | pyinit http
        1 2 true private both | 10.9.9.9 https | =
        loopback              | balancer http  | 10.9.9.9 https
        balancer              | 10.9.9.9 https | pyinit http
        """,
    ),
    "a load balancer that sets the host as well": Situation(
        BALANCER,
        ("X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: www.example:8443"),
        """
        false                 | balancer http            | pyinit http
        1 2 true private both | client https www.example | =
        loopback              | balancer http            | client https www.example
        balancer              | client https www.example | pyinit http
        """,
    ),
    "a load balancer that sets nothing": Situation(
        BALANCER,
        (),
        """
        false balancer                 | balancer http | pyinit http
        1 2 true loopback private both | balancer http | =
        """,
    ),
    # None of them reads Forwarded, so its word is not put into the fields that they do read.
    "a load balancer that sets Forwarded alone": Situation(
        BALANCER,
        ("Forwarded: for=203.0.113.7;proto=https;host=www.example",),
        """
        false balancer                 | balancer http | pyinit http
        1 2 true loopback private both | balancer http | =
        """,
    ),
    "a load balancer that sets fields without values": Situation(
        BALANCER,
        ("X-Forwarded-For:", "X-Forwarded-For: ,", "X-Forwarded-Proto: ", "X-Forwarded-Host:"),
        """
        false balancer                 | balancer http | pyinit http
        1 2 true loopback private both | balancer http | =
        """,
    ),
    "a load balancer that sets the protocol alone": Situation(
        BALANCER,
        ("X-Forwarded-Proto: https",),
        """
        false                 | balancer http  | pyinit http
        1 2 true private both | balancer https | =
        loopback              | balancer http  | balancer https
        balancer              | balancer https | pyinit http
        """,
    ),
    "a load balancer that tells ports, as Azure's": Situation(
        BALANCER,
        ("X-Forwarded-For: 203.0.113.7:5678", "X-Forwarded-Proto: https"),
        """
        false                 | balancer http          | pyinit http
        1 2 true private both | 203.0.113.7:5678 https | =
        loopback              | balancer http          | 203.0.113.7:5678 https
        balancer              | 203.0.113.7:5678 https | pyinit http
        """,
    ),
    "the same of IPv6": Situation(
        BALANCER,
        ("X-Forwarded-For: [2001:db8::7]:80", "X-Forwarded-Proto: https"),
        """
        false                 | balancer http          | pyinit http
        1 2 true private both | [2001:db8::7]:80 https | =
        loopback              | balancer http          | [2001:db8::7]:80 https
        balancer              | [2001:db8::7]:80 https | pyinit http
        """,
    ),
    "a load balancer and a client of IPv6": Situation(
        BALANCER6,
        ("X-Forwarded-For: 2001:db8::7", *ALB),
        """
        false                 | balancer6 http | pyinit http
        1 2 true private both | client6 https  | =
        loopback              | balancer6 http | client6 https
        balancer              | client6 https  | pyinit http
        """,
    ),
    "a client that the load balancer does not know": Situation(
        BALANCER,
        ("X-Forwarded-For: unknown", *ALB),
        """
        false                 | balancer http | pyinit http
        1 2 true private both | unknown https | =
        loopback              | balancer http | unknown https
        balancer              | unknown https | pyinit http
        """,
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrustWorld]:
    reason = node_packages.refusal() or trust_world.refusal()
    if reason:
        pytest.skip(reason)
    with TrustWorld(str(tmp_path_factory.mktemp("world"))) as made:
        yield made


@pytest.fixture(scope="module")
def port(world: TrustWorld) -> Iterator[int]:
    """Of a pyinit without options."""
    with world.front() as running:
        yield running.port


def request(
    reader: str, *fields: str, host: str = "app.example", version: str = "1.1", before: str = ""
) -> bytes:
    lines = [f"GET {before}/{reader} HTTP/{version}", f"Host: {host}", "Connection: close", *fields, "", ""]
    return "\r\n".join(lines).encode()


def read(seen: Seen) -> tuple[str, ...]:
    return (seen["ip"], seen["protocol"], seen["hostname"])


def field(seen: Seen, name: str) -> str | None:
    raw = seen["raw"]
    return next((v for n, v in zip(raw[::2], raw[1::2], strict=True) if n.lower() == name), None)


@pytest.mark.parametrize("framework", ["express", "express4", "fastify"])
@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_what_is_read_directly_and_behind_pyinit(
    world: TrustWorld, port: int, situation: Situation, framework: str
) -> None:
    """Every setting that trusts a hop, all, or both us and the load balancer reads as before."""
    directly, behind = {}, {}
    for setting in SETTINGS:
        raw = request(f"{framework}/{setting}", *situation.fields)
        direct = world.ask(raw, source=situation.source)
        through = world.ask(raw, source=situation.source, port=port)
        directly[setting], behind[setting] = read(direct), read(through)
        if framework != "fastify":
            assert through["secure"] == (through["protocol"] == "https")
            assert through["field"] == "app.example"
            assert through["peer"] == "127.0.0.1"
    expected = situation.expected()
    if framework == "fastify":  # a count of hops is no trust to it (5.12)
        expected |= {"1": expected["false"], "2": expected["false"]}
    assert directly == {name: pair[0] for name, pair in expected.items()}
    assert behind == {name: pair[1] for name, pair in expected.items()}


def test_a_probe_that_tells_nothing_is_told_of(world: TrustWorld, port: int) -> None:
    """What an app that looks at the bare fields notices: there are some, where a probe brought none."""
    raw = request("express/false")
    assert field(world.ask(raw, source=BALANCER), "x-forwarded-proto") is None
    seen = world.ask(raw, source=BALANCER, port=port)
    assert field(seen, "x-forwarded-proto") == "http"
    assert field(seen, "x-forwarded-for") == BALANCER


@pytest.mark.parametrize("framework", ["express", "express4"])
def test_all_addresses_are_those_that_the_load_balancer_told(
    world: TrustWorld, port: int, framework: str
) -> None:
    fields = ("X-Forwarded-For: 203.0.113.7, 198.51.100.9",)
    for setting, ips in (("1", [EDGE]), ("2", [CLIENT, EDGE]), ("true", [CLIENT, EDGE]), ("private", [EDGE])):
        raw = request(f"{framework}/{setting}", *fields)
        assert world.ask(raw, source=BALANCER)["ips"] == ips
        assert world.ask(raw, source=BALANCER, port=port)["ips"] == ips


def test_what_names_several_is_passed_and_each_takes_its_own_pick(world: TrustWorld, port: int) -> None:
    """Express and Koa take the first, Fastify the last: one more reason to pass it as it is."""
    fields = ("X-Forwarded-Proto: https, http", "X-Forwarded-Host: a.example, b.example")
    for reader, expected in (
        ("express/1", ("https", "a.example")),
        ("fastify/true", ("http", "b.example")),
        ("koa/true", ("https", "a.example")),
    ):
        for at in (0, port):
            seen = world.ask(request(reader, *fields), source=BALANCER, port=at)
            assert (seen["protocol"], seen["hostname"]) == expected


@pytest.mark.parametrize(
    ("fields", "source", "reads"),
    [
        pytest.param(
            (),
            CLIENT,
            {"false": (CLIENT, "127.0.0.1"), "true": (CLIENT, CLIENT), "1": (CLIENT, CLIENT)},
            id="a public client",
        ),
        pytest.param(
            FORGED,
            CLIENT,
            {"false": (CLIENT, "127.0.0.1"), "true": ("6.6.6.6", CLIENT), "1": ("6.6.6.6", CLIENT)},
            id="a public client that forges",
        ),
        pytest.param(
            ("X-Forwarded-For: 6.6.6.6, 203.0.113.7", *ALB),
            BALANCER,
            {"false": (BALANCER, "127.0.0.1"), "true": ("6.6.6.6", "6.6.6.6"), "1": (CLIENT, CLIENT)},
            id="a load balancer with a forger behind it",
        ),
    ],
)
def test_koa(
    world: TrustWorld, port: int, fields: tuple[str, ...], source: str, reads: dict[str, tuple[str, str]]
) -> None:
    """``app.proxy`` takes the first address, and with ``maxIpsCount: 1`` (here: 1) the last."""
    for setting, (directly, behind) in reads.items():
        raw = request(f"koa/{setting}", *fields)
        assert world.ask(raw, source=source)["ip"] == directly
        seen = world.ask(raw, source=source, port=port)
        assert seen["ip"] == behind
        assert seen["protocol"] == ("https" if source == BALANCER and setting != "false" else "http")


def test_an_app_that_listens_everywhere_reads_ipv4_as_ipv4(world: TrustWorld) -> None:
    """Node's default is both families on one socket, which shows IPv4 peers as mapped; a proxy's word is not.

    In front mode, as it is used: the same app is asked directly at the port that it was given.
    """
    script = """const app = require('express')(); app.set('trust proxy', 'loopback');
      app.use((req, res) => res.json({ip: req.ip, peer: req.socket.remoteAddress}));
      const server = app.listen(process.env.PORT, () => console.log('port', server.address().port));"""
    with world.start("--listen", "0", "--", "node", "-e", script) as running:
        eventually(lambda: "port" in running.stdout, "the app's port")
        own_port = int(running.stdout.split()[-1])
        assert world.ask(request(""), source=CLIENT, port=own_port)["ip"] == f"::ffff:{CLIENT}"
        seen = world.ask(request(""), source=CLIENT, port=running.port)
        assert seen == {"ip": CLIENT, "peer": "::ffff:127.0.0.1"}
        assert world.ask(request(""), source=CLIENT6, port=running.port)["ip"] == CLIENT6


# -- odd requests ----------------------------------------------------------------------------------------


def test_the_host_keeps_its_port(world: TrustWorld, port: int) -> None:
    for setting in SETTINGS:
        raw = request(f"express/{setting}", host="app.example:8443")
        for at in (0, port):
            seen = world.ask(raw, source=BALANCER, port=at)
            assert (seen["host"], seen["field"], seen["hostname"]) == (
                "app.example:8443",
                "app.example:8443",
                "app.example",
            )


def test_an_absolute_target_reads_as_a_path(world: TrustWorld, port: int) -> None:
    """The one thing read otherwise: an origin server gets the path alone (RFC 9112 section 3.2.1)."""
    raw = request("express/1", *ALB, "X-Forwarded-For: 203.0.113.7", before="http://app.example")
    direct, behind = world.ask(raw, source=BALANCER), world.ask(raw, source=BALANCER, port=port)
    assert read(direct) == read(behind) == (CLIENT, "https", "app.example")
    assert (direct["url"], behind["url"]) == ("http://app.example/express/1", "/express/1")


def test_http_1_0_reads_alike_and_gets_a_host_where_it_names_none(world: TrustWorld, port: int) -> None:
    """As nginx asks its upstreams in HTTP/1.0 by default."""
    raw = request("express/1", *ALB, "X-Forwarded-For: 203.0.113.7", version="1.0")
    for at in (0, port):
        assert read(world.ask(raw, source=BALANCER, port=at)) == (CLIENT, "https", "app.example")
    raw = b"GET /express/1 HTTP/1.0\r\n\r\n"
    assert "hostname" not in world.ask(raw, source=CLIENT), "undefined"
    seen = world.ask(raw, source=CLIENT, port=port)
    assert (seen["ip"], seen["host"]) == (CLIENT, f"10.0.0.1:{port}")


# -- unix sockets ----------------------------------------------------------------------------------------


def test_a_unix_listener_believes_its_peer(world: TrustWorld, tmp_path: Path) -> None:
    """It has no address of its own to tell: without fields the app reads ours, where alone it read none."""
    path = f"{tmp_path}/public.sock"
    told = ("X-Forwarded-For: 203.0.113.7", *ALB)
    with world.front("--trust", "none", listen=f"unix:{path}"):
        for setting, directly, behind in (
            ("1", (CLIENT, "https"), (CLIENT, "https")),
            ("true", (CLIENT, "https"), (CLIENT, "https")),
            ("loopback", (None, "http"), (CLIENT, "https")),
            ("false", (None, "http"), ("127.0.0.1", "http")),
        ):
            raw = request(f"express/{setting}", *told)
            seen = world.ask(raw, source="", path=world.path)
            assert (seen.get("ip"), seen["protocol"]) == directly
            seen = world.ask(raw, source="", path=path)
            assert (seen["ip"], seen["protocol"]) == behind
        assert world.ask(request("express/1"), source="", path=path)["ip"] == "127.0.0.1"


def test_an_app_on_a_unix_socket_trusts_by_number_or_all(world: TrustWorld) -> None:
    """Its peer has no address, so no network can hold it."""
    with world.front(upstream=f"unix:{world.path}") as running:
        for setting, ip in (("1", CLIENT), ("true", CLIENT), ("loopback", None), ("private", None)):
            assert world.ask(request(f"express/{setting}"), source=CLIENT, port=running.port).get("ip") == ip


# -- modes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "source", "trusted"),
    [
        (("--trust", "none"), BALANCER, False),
        (("--trust", "none"), BALANCER6, False),
        (("--trust", "203.0.113.0/24,10.0.0.5"), BALANCER, True),
        (("--trust", "203.0.113.0/24,10.0.0.5"), CLIENT, True),
        (("--trust", "203.0.113.0/24,10.0.0.5"), EDGE, False),
        (("--trust", "203.0.113.0/24, 2001:db8::/32"), CLIENT6, True),
        (("--trust", "203.0.113.0/24, 2001:db8::/32"), BALANCER6, False),
        (("--trust", "0.0.0.0/0"), CLIENT, True),
        (("--trust", "0.0.0.0/0"), CLIENT6, False),
        (("--forwarded", "replace"), BALANCER, False),
    ],
)
def test_who_is_believed(
    world: TrustWorld, arguments: tuple[str, str], source: str, *, trusted: bool
) -> None:
    with world.front(*arguments) as running:
        seen = world.ask(request("express/1", *FORGED), source=source, port=running.port)
    believed = ("6.6.6.6", "https", "forged.example")
    assert read(seen) == (believed if trusted else (source, "http", "app.example"))


def test_append_is_one_hop_more(world: TrustWorld) -> None:
    """As nginx does with $proxy_add_x_forwarded_for: an app counts two where it counted one."""
    fields = ("X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7", *ALB)
    with world.front("--forwarded", "append") as running:
        for setting, ip in (("1", BALANCER), ("2", CLIENT), ("true", CLIENT), ("private", CLIENT)):
            seen = world.ask(request(f"express/{setting}", *fields), source=BALANCER, port=running.port)
            assert read(seen) == (ip, "https", "app.example")
        assert field(seen, "forwarded") == "for=203.0.113.7, for=10.0.0.5;host=app.example;proto=http"
        seen = world.ask(request("express/1"), source=CLIENT6, port=running.port)
        assert (seen["ip"], field(seen, "forwarded")) == (
            CLIENT6,
            'for="[2001:db8::7]";host=app.example;proto=http',
        )


def test_keep_and_off_tell_nobodys_address(world: TrustWorld) -> None:
    told = ("X-Forwarded-For: 203.0.113.7", *ALB)
    with world.front("--forwarded", "keep") as running:
        for source in (BALANCER, CLIENT):
            seen = world.ask(request("express/1", *told), source=source, port=running.port)
            assert read(seen) == (CLIENT, "https", "app.example")
        assert world.ask(request("express/1"), source=CLIENT, port=running.port)["ip"] == "127.0.0.1"
    with world.front("--forwarded", "off") as running:
        seen = world.ask(request("express/true", *told), source=BALANCER, port=running.port)
        assert read(seen) == ("127.0.0.1", "http", "app.example")


def test_via_and_request_id(world: TrustWorld, port: int) -> None:
    seen = world.ask(request("express/1", "Via: 1.1 other"), source=CLIENT, port=port)
    assert [v for n, v in zip(seen["raw"][::2], seen["raw"][1::2], strict=True) if n == "Via"] == [
        "1.1 other",
        "1.1 pyinit",
    ]
    assert field(seen, "x-request-id") is None
    with world.front("--via", "edge-1", "--request-id") as running:
        seen = world.ask(request("express/1"), source=CLIENT, port=running.port)
        assert field(seen, "via") == "1.1 edge-1"
        assert len(field(seen, "x-request-id") or "") == 36
        seen = world.ask(request("express/1", "X-Request-Id: mine"), source=CLIENT, port=running.port)
        assert field(seen, "x-request-id") == "mine"
    with world.front("--via", "off") as running:
        assert field(world.ask(request("express/1"), source=CLIENT, port=running.port), "via") is None

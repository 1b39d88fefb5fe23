"""--proxy-protocol at the command line: what Node reads of a client behind a load balancer, HAProxy among them."""

import json
import time
from pathlib import Path

import pytest

from tests.support.front import Front, example, front, node
from tests.support.haproxy import PROGRAM, haproxy
from tests.support.http_client import Client, eventually
from tests.support.proxy_header import LOCAL, TCP4, addresses, binary, block, line, with_checksum

pytestmark = pytest.mark.node

needs_haproxy = pytest.mark.skipif(PROGRAM is None, reason="need haproxy")
CLIENT, CLIENT_V6 = "203.0.113.7", "2001:db8::7"
FORGED = "X-Forwarded-For: 6.6.6.6"
# Tells each request's path and X-Forwarded-For.
TELLING = "http.createServer((q,s)=>{console.log(q.url,q.headers['x-forwarded-for']);s.end()}).listen(port,'127.0.0.1')"


def fields(client: Client, *sent: str) -> dict[str, str]:
    """A request's fields as the example app saw them."""
    raw = json.loads(client.get("/headers", *sent).body)["rawHeaders"]
    found = dict(zip(raw[::2], raw[1::2], strict=True))
    assert len(found) == len(raw) // 2
    return found


def headed(app: Front, header: bytes) -> Client:
    client = Client(app.port)
    client.send(header)
    return client


def test_what_node_reads_of_a_client_behind_a_load_balancer() -> None:
    with example("--proxy-protocol") as app:
        for header in (line(CLIENT), binary(CLIENT), with_checksum(binary(CLIENT))):
            seen = fields(headed(app, header), FORGED)
            assert (seen["X-Forwarded-For"], seen["X-Forwarded-Port"]) == (CLIENT, "443")
            assert seen["Forwarded"] == f"for={CLIENT};host=app.example;proto=http"
        for header in (line(CLIENT_V6, "::1"), binary(CLIENT_V6, "::1")):
            seen = fields(headed(app, header), FORGED)
            assert seen["X-Forwarded-For"] == CLIENT_V6
            assert seen["Forwarded"] == f'for="[{CLIENT_V6}]";host=app.example;proto=http'
        for header in (block(LOCAL, 0), block(LOCAL, TCP4, addresses(CLIENT))):
            assert fields(headed(app, header))["X-Forwarded-For"] == "127.0.0.1"
        with Client(app.port) as slow:
            for byte in binary(CLIENT):
                slow.send(bytes([byte]))
                time.sleep(0.002)
            assert fields(slow)["X-Forwarded-For"] == CLIENT


def test_a_trusted_peer_without_a_whole_header_is_closed_and_told_of_once() -> None:
    with example("--proxy-protocol", "--head-timeout", "1", "--access-log") as app:
        with Client(app.port) as client:
            client.request("/")
            with pytest.raises(EOFError):
                client.response()
        event = app.wait_event("proxy_header.refused")
        assert event["peer"].startswith("127.0.0.1:")
        assert "no PROXY header comes first" in event["reason"]
        began_s = time.monotonic()
        for client in [headed(app, header) for header in (line(CLIENT)[:-1], binary(CLIENT)[:-1])]:
            assert client.ends() == "fin"  # at --head-timeout, and the look around that comes each second
        assert 0.9 < time.monotonic() - began_s < 10
        app.stop()
        assert len(app.all_events("proxy_header.refused")) == 1
        assert app.all_events("request.finished") == []


def test_a_peer_outside_trust_needs_no_header_and_cannot_use_one() -> None:
    with example("--proxy-protocol", "--trust", "10.0.0.0/8") as app:
        assert fields(Client(app.port), FORGED)["X-Forwarded-For"] == "127.0.0.1"
        with headed(app, line("10.0.0.9")) as client:
            assert client.get("/").status == 400


def test_the_variable_does_the_same_and_workers_are_told() -> None:
    with node(TELLING, "--workers", "2", "--access-log", env={"PYINIT_PROXY_PROTOCOL": "1"}) as app:
        assert app.port
        for index in (0, 1):
            app.wait_event("worker.spawned", worker=index)
        workers: set[int] = set()

        def both() -> bool:
            path = f"/{len(workers)}-{time.monotonic_ns()}"
            with headed(app, binary(CLIENT)) as client:
                assert client.get(path, FORGED).status == 200
            finished = app.wait_event("request.finished", target=path)
            assert finished["peer"] == f"{CLIENT}:56324"
            workers.add(int(finished["worker"]))
            return len(workers) == 2

        eventually(both, "a request at each worker")
        assert "6.6.6.6" not in app.stdout
        with Client(app.port) as client:
            client.request("/")
            assert client.ends() == "fin"


@pytest.mark.parametrize(
    "arguments",
    [("--listen", "0", "--trust", "none"), ("--listen", "tcp:0")],
    ids=["nobody is trusted", "no HTTP"],
)
def test_where_no_header_is_ever_read_a_warning_says_so(arguments: tuple[str, ...]) -> None:
    with front("--proxy-protocol", *arguments, "--", "node", "-e", "setInterval(()=>{},1000)") as app:
        app.wait_event("child.spawned")
        app.stop()
        app.all_events("drain.finished")  # and with it all other lines
        assert [text for text in app.other_lines if "--proxy-protocol changes nothing" in text]


# -- HAProxy -------------------------------------------------------------------------------------------------


@needs_haproxy
def test_haproxy_says_whose_a_connection_is(tmp_path: Path) -> None:
    """Its own client's address, or the one that it was told by a header itself; over a unix socket nobody's."""
    unix = tmp_path / "in"
    v2 = "send-proxy-v2"
    listeners = {
        "v1": ("127.0.0.1", "send-proxy"),
        "v2": ("127.0.0.1", v2),
        "v1-ipv6": ("::1", "send-proxy"),
        "v2-ipv6": ("::1", v2),
        "v1-chain": ("127.0.0.1 accept-proxy", "send-proxy"),
        "v2-chain": ("127.0.0.1 accept-proxy", f"{v2} proxy-v2-options crc32c,authority"),
        "v1-unix": (str(unix) + "1", "send-proxy"),
        "v2-unix": (str(unix) + "2", v2),
    }
    with example("--proxy-protocol") as app, haproxy(tmp_path, app.port, listeners) as balancer:
        for version in ("v1", "v2"):
            seen = fields(Client(balancer.ports[version]))
            assert seen["X-Forwarded-For"] == "127.0.0.1"
            assert seen["X-Forwarded-Port"] == str(balancer.ports[version])
            name = f"{version}-ipv6"
            seen = fields(Client(balancer.ports[name], "::1"))
            assert seen["X-Forwarded-For"] == "::1"
            assert seen["X-Forwarded-Port"] == str(balancer.ports[name])
            for address, destination in ((CLIENT, "192.0.2.1"), (CLIENT_V6, "2001:db8::1")):
                for told in (line(address, destination), with_checksum(binary(address, destination))):
                    client = Client(balancer.ports[f"{version}-chain"])
                    client.send(told)
                    seen = fields(client, FORGED)
                    assert (seen["X-Forwarded-For"], seen["X-Forwarded-Port"]) == (address, "443")
        assert (
            fields(Client.unix(f"{unix}1"), FORGED)["X-Forwarded-For"] == "127.0.0.1"
        )  # UNKNOWN: not believed
        assert fields(Client.unix(f"{unix}2"))["X-Forwarded-For"] == "127.0.0.1"  # LOCAL, from HAProxy 2.6


@needs_haproxy
def test_haproxys_health_checks_find_the_app_up(tmp_path: Path) -> None:
    check = "check inter 200ms check-send-proxy"
    listeners = {
        "v1": ("127.0.0.1", f"send-proxy {check}"),
        "v2": ("127.0.0.1", f"send-proxy-v2 proxy-v2-options crc32c {check}"),
        "none": ("127.0.0.1", "check inter 200ms"),
    }
    with node(TELLING, "--proxy-protocol") as app, haproxy(tmp_path, app.port, listeners) as balancer:
        for version in ("v1", "v2"):
            eventually(lambda version=version: f"/checked-{version} " in app.stdout, "a check")
            eventually(lambda version=version: balancer.status(version).startswith("UP"), "up")
        eventually(lambda: balancer.status("none") == "DOWN", "checks without the header fail")
        assert "no PROXY header" in app.wait_event("proxy_header.refused")["reason"]
        assert "/checked-none" not in app.stdout
        checks = {row for row in app.stdout.splitlines() if row.startswith("/checked")}
        assert checks == {"/checked-v1 127.0.0.1", "/checked-v2 127.0.0.1"}

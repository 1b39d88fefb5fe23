"""Option values: what is accepted, what it becomes, and what is refused with a hint."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from pyinit import values
from pyinit.values import Address, Network

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.seconds, "0", 0.0),
        (values.seconds, "10", 10.0),
        (values.seconds, "1.5", 1.5),
        (values.seconds, "1.5s", 1.5),
        (values.seconds, "500ms", 0.5),
        (values.seconds, "2m", 120.0),
        (values.seconds, ".5", 0.5),
        (values.positive_seconds, "0.001", 0.001),
        (values.unlimited_seconds, "0", None),
        (values.seconds_or_never, "0", 0.0),
        (values.seconds_or_never, "500ms", 0.5),
        (values.seconds_or_never, "-1", None),
        (values.unlimited_seconds, "off", None),
        (values.unlimited_seconds, "unlimited", None),
        (values.unlimited_seconds, "3", 3.0),
        (values.size_bytes, "1", 1),
        (values.size_bytes, "65536", 65536),
        (values.size_bytes, "16K", 16384),
        (values.size_bytes, "16k", 16384),
        (values.size_bytes, "2M", 2 << 20),
        (values.size_bytes, "1G", 1 << 30),
        (values.unlimited_bytes, "0", None),
        (values.unlimited_bytes, "1K", 1024),
        (values.count, "1", 1),
        (values.exit_code, "0", 0),
        (values.exit_code, "255", 255),
        (values.exit_code, "", 0),
        (values.flag, "1", True),
        (values.flag, "TRUE", True),
        (values.flag, "on", True),
        (values.flag, "", False),
        (values.flag, "No", False),
        (values.signal_number, "TERM", 15),
        (values.signal_number, "64", 64),
        (values.signal_numbers, "USR1, 12,SIGHUP", [10, 12, 1]),
        (values.rewrite, "TERM:QUIT", (15, 3)),
        (values.rewrite, "15:0", (15, 0)),
        (values.rewrite, "RTMIN+3:2", (37, 2)),
        (values.networks, "none", []),
        (values.networks, "", []),
        (values.via_name, "front-1", "front-1"),
        (values.variable_name, "", ""),
        (values.variable_name, "WEB_PORT", "WEB_PORT"),
        (values.origin_path, "/healthz?x=1", "/healthz?x=1"),
        (values.plain_path, "/healthz", "/healthz"),
        (values.control_address, "off", None),
        (values.control_address, "@app", values.Address(path="@app")),
        (values.control_address, "/run/app", values.Address(path="/run/app")),
        (values.control_address, "unix:/run/app", values.Address(path="/run/app")),
        (values.control_address, "unix:/" + "a" * 99, values.Address(path="/" + "a" * 99)),
        (values.control_address, "[::1]:9000", values.Address(host="::1", port=9000)),
        (values.tcp_address, "9000", values.Address(port=9000)),
        (values.workers, "auto", None),
        (values.workers, "2", 2),
    ],
)
def test_accepted(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (values.seconds, ["", "-1", "1e3", "nan", "inf", "1.", "1h", "ms", "1 s", "²", "9" * 400]),
        (values.positive_seconds, ["0", "0ms", "0.0"]),
        (values.unlimited_seconds, ["00", "never"]),
        (values.seconds_or_never, ["-2", "-1s", "never", "off", ""]),
        (values.size_bytes, ["0", "", "K", "-1", "1.5M", "1T", "1KB", "²"]),
        (values.count, ["0", "-1", "", "1.0", "²"]),
        (values.exit_code, ["256", "-1", "x", "1 ", "²", "9" * 5000]),
        (values.flag, ["2", "maybe"]),
        (values.signal_number, ["", "0", "65", "32", "TERMINATE", "RTMIN+99", "RTMIN+²", "9" * 5000]),
        (values.signal_numbers, ["TERM,", ","]),
        (values.rewrite, ["TERM", "TERM:", ":TERM", "0:15", "TERM:65", "1:2:3"]),
        (
            values.networks,
            ["10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/x", "host", "10.0.0.0/8,"],
        ),
        (values.via_name, ["", "a b", "é", "a,b"]),
        (values.variable_name, ["A=B", "A\0B"]),
        (values.origin_path, ["", "healthz", "/a b", "/a#b", "/é", "http://host/"]),
        (values.plain_path, ["", "healthz", "/a b", "/a?b", "/a?"]),
        (
            values.control_address,
            ["", "@", "on", "@a/b", "@a\nb", "@" + "a" * 90, "unix:run", "unix:/" + "a" * 100],
        ),
        (values.tcp_address, ["", "@name", "unix:/run/app", "host:", "70000"]),
        (values.workers, ["0", "many", "257"]),
    ],
)
def test_refused_with_what_is_accepted(parse: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ValueError, match=r"."):
            parse(text)


@pytest.mark.parametrize(
    ("text", "host", "port", "path", "raw"),
    [
        ("8080", None, 8080, None, False),
        ("0", None, 0, None, False),
        ("127.0.0.1:80", "127.0.0.1", 80, None, False),
        ("localhost:65535", "localhost", 65535, None, False),
        ("[::1]:80", "::1", 80, None, False),
        ("unix:/run/app.sock", None, None, "/run/app.sock", False),
        ("tcp:9000", None, 9000, None, True),
        ("tcp:unix:/run/app.sock", None, None, "/run/app.sock", True),
    ],
)
def test_an_address_and_its_text(
    text: str, host: str | None, port: int | None, path: str | None, *, raw: bool
) -> None:
    address = values.listen_address(text, {})
    assert (address.host, address.port, address.path, address.raw) == (host, port, path, raw)
    assert str(address) == text
    assert address == values.listen_address(text, {})
    assert hash(address) == hash(values.listen_address(text, {}))
    assert address != text


@pytest.mark.parametrize(
    "text",
    ["", "65536", "-1", "host", "host:", ":80", "::1:80", "[::1]", "[host]:80", "host:80x", "host:²", "²", "080808",
     "unix:", "unix:relative", "unix:/" + "x" * 107, "env:NOT_SET", "env:WORD"],
)  # fmt: skip
def test_an_address_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        values.listen_address(text, {"WORD": "word"})


def test_the_advice_for_an_ipv6_address_is_the_address_in_brackets() -> None:
    with pytest.raises(ValueError, match=r"\[::1\]:80"):
        values.listen_address("::1:80", {})


def test_an_address_from_a_variable() -> None:
    assert values.listen_address("env:PORT", {"PORT": "8080"}) == Address(port=8080)
    assert values.listen_address("tcp:env:PORT", {"PORT": "1"}) == Address(port=1, raw=True)
    with pytest.raises(ValueError, match=r"PORT, which holds 'x'"):
        values.listen_address("env:PORT", {"PORT": "x"})


def test_an_upstream_is_auto_or_has_a_port() -> None:
    assert values.upstream_address("auto") is None
    assert values.upstream_address("3000") == Address(port=3000)
    with pytest.raises(ValueError, match="1 to 65535"):
        values.upstream_address("0")


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "9.255.255.255", "::ffff:10.0.0.1"]),
        ("10.1.2.3/8", ["10.9.9.9"], ["11.1.2.3"]),
        ("192.168.1.1", ["192.168.1.1"], ["192.168.1.2"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::"]),
        ("fd00::/8", ["fd00::1", "fdff::"], ["fc00::1", "10.0.0.1"]),
        ("::/0", ["::1"], ["0.0.0.0"]),
        ("::1", ["::1"], ["::2"]),
    ],
)
def test_a_network_holds(network: str, inside: list[str], outside: list[str]) -> None:
    def packed(text: str) -> bytes:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)

    block = Network(network)
    assert all(packed(text) in block for text in inside)
    assert not any(packed(text) in block for text in outside)
    assert repr(block) == f"Network({network})"

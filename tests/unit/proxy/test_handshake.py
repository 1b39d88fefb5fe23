"""Which 101 makes a tunnel."""

import pytest

from pyinit.errors import ProtocolError
from pyinit.http1.request import RequestParser
from pyinit.http1.response import ResponseParser
from pyinit.proxy.handshake import switched_to

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3
VERSION = b"Sec-WebSocket-Version: 13"


def check(offered: bytes, *lines: bytes) -> None:
    asked = [b"GET / HTTP/1.1", b"Host: a", b"Connection: Upgrade", b"Upgrade: " + offered, KEY, VERSION]
    said = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", *lines]
    switched_to(RequestParser(100).parse(b"\r\n".join(asked)), ResponseParser().parse(b"\r\n".join(said)))


@pytest.mark.parametrize(
    ("offered", "lines"),
    [
        pytest.param(b"websocket", (b"Upgrade: websocket", ACCEPT), id="a WebSocket"),
        pytest.param(b"websocket/13", (b"Upgrade: websocket/13", ACCEPT), id="one with a version"),
        pytest.param(
            b"WebSocket", (b"upgrade: WEBSOCKET", b"sec-websocket-accept:" + ACCEPT[21:]), id="in odd case"
        ),
        pytest.param(b"y, x", (b"Upgrade: x",), id="one of two protocols"),
        pytest.param(b"websocket, x", (b"Upgrade: x",), id="the other of a WebSocket"),
    ],
)
def test_an_answer_to_what_was_offered(offered: bytes, lines: tuple[bytes, ...]) -> None:
    check(offered, *lines)


@pytest.mark.parametrize(
    ("offered", "lines"),
    [
        pytest.param(b"x", (), id="without Upgrade"),
        pytest.param(b"x", (b"Upgrade: y",), id="another protocol"),
        pytest.param(b"x", (b"Upgrade: x, y",), id="two protocols"),
        pytest.param(b"h2c", (b"Upgrade: h2c",), id="what we did not pass on"),
        pytest.param(b"websocket", (b"Upgrade: websocket",), id="without Sec-WebSocket-Accept"),
        pytest.param(b"websocket/13", (b"Upgrade: websocket/13",), id="nor with a version"),
        pytest.param(b"websocket", (b"Upgrade: websocket", ACCEPT + b"x"), id="another key's"),
        pytest.param(b"websocket", (b"Upgrade: websocket", ACCEPT, ACCEPT), id="twice"),
    ],
)
def test_a_101_that_was_not_meant(offered: bytes, lines: tuple[bytes, ...]) -> None:
    with pytest.raises(ProtocolError, match="101"):
        check(offered, *lines)

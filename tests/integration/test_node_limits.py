"""How large a request may be: whatever Node alone accepts, Node behind pyinit accepts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.front import Front, front
from tests.support.http_client import Client, eventually

pytestmark = pytest.mark.node

Shape = Callable[[int], bytes]

# Tells its own port, so that it can be asked past pyinit.
APP = """
const http = require('http');
const options = JSON.parse(process.env.SERVER_OPTIONS || '{}');
const server = http.createServer(options, (request, response) => {
  request.resume();
  response.end(String(request.rawHeaders.length / 2));
});
if (options.fields !== undefined) server.maxHeadersCount = options.fields;
server.listen(process.env.PORT, '127.0.0.1', () => console.log('port', server.address().port));
"""
# A load balancer's: with these nothing has to be added.
TOLD = b"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n"
# Node counts names and values. What Connection takes in the request is left out on the way.
CONNECTION = len("Connection" + "close")
ADDRESS = len("X-Forwarded-For" + "127.0.0.1") + len("Forwarded" + "for=127.0.0.1")


def get(fields: bytes, *, target: bytes = b"/", host: bytes = b"a") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n%b\r\n" % (target, host, fields)


SHAPES: dict[str, Shape] = {
    "a long target": lambda size: get(b"", target=b"/" + b"a" * size),
    "a long query": lambda size: get(b"", target=b"/?" + b"a=1&" * (size // 4) + b"b" * (size % 4)),
    "one long value": lambda size: get(b"X: %b\r\n" % (b"a" * size)),
    "one long name": lambda size: get(b"%b: a\r\n" % (b"X" * size)),
    "a value of many bytes beyond ASCII": lambda size: get(b"X: %b\r\n" % (b"\xe9" * size)),
    "many cookies": lambda size: get(b"Cookie: a=1\r\n" * (size // 9) + b"X:%b\r\n" % (b"a" * (size % 9))),
    "one long cookie": lambda size: get(b"Cookie: %b\r\n" % (b"a=b; " * (size // 5) + b"c" * (size % 5))),
    "hundreds of fields": lambda size: get(b"X: 1\r\n" * 900 + b"Y: %b\r\n" % (b"a" * size)),
    "a long host": lambda size: get(b"", host=b"a" * size),
    "whitespace behind a value": lambda size: get(b"X: a%b\r\n" % (b" " * size)),
    "a load balancer's fields": lambda size: get(TOLD + b"X: %b\r\n" % (b"a" * size)),
}


@contextmanager
def app(
    *words: str, arguments: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> Iterator[tuple[Front, int]]:
    """The app behind a pyinit, and its own port."""
    with front("--listen", "127.0.0.1:0", *arguments, "--", *words, env=env) as running:
        assert running.port
        eventually(lambda: "port" in running.stdout, "the app's port")
        found = re.search(r"port (\d+)", running.stdout)
        assert found is not None
        yield running, int(found[1])


@pytest.fixture(scope="module")
def usual() -> Iterator[tuple[Front, int]]:
    with app("node", "-e", APP) as running:
        yield running


def status(port: int, raw: bytes) -> int:
    with Client(port) as client:
        client.send(raw)
        return client.response().status


def largest(port: int, shape: Shape, limit: int = 1 << 17) -> int:
    """The largest size that is answered with 200; what is one larger is 431 (a target also 414)."""
    low, high = 1, limit
    assert status(port, shape(low)) == 200
    while high - low > 1:
        middle = (low + high) // 2
        answer = status(port, shape(middle))
        assert answer in (200, 414, 431)
        low, high = (middle, high) if answer == 200 else (low, middle)
    return low


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_largest_head_that_node_accepts(usual: tuple[Front, int], shape: Shape) -> None:
    """Alone and behind pyinit: less by the client's address alone, and by nothing where it was told already."""
    running, own_port = usual
    directly, behind = largest(own_port, shape), largest(running.port, shape)
    if b"X-Forwarded-For" in shape(1):
        assert behind >= directly
    else:
        assert directly - (ADDRESS - CONNECTION) <= behind <= directly + CONNECTION
    assert directly > 10_000


@pytest.mark.parametrize(
    ("words", "arguments", "env", "limit"),
    [
        (("node", "--max-http-header-size=32768", "-e", APP), (), {}, 32768),
        (("node", "--max_http_header_size", "40000", "-e", APP), (), {}, 40000),
        (("node", "--max-http-header-size=8192", "-e", APP), (), {}, 8192),
        (("node", "-e", APP), (), {"NODE_OPTIONS": '"--max-http-header-size=65536" --no-warnings'}, 65536),
        (("sh", "-c", 'exec node --max-http-header-size=20000 -e "$APP"'), (), {"APP": APP}, 20000),
        (("node", "-e", APP), ("--head-max", "32K"), {"SERVER_OPTIONS": '{"maxHeaderSize":32768}'}, 32768),
    ],
    ids=[
        "in CMD",
        "in CMD, in two words",
        "less",
        "in NODE_OPTIONS",
        "in a shell's line",
        "in the app itself",
    ],
)
def test_a_limit_of_the_apps_own(
    words: tuple[str, ...], arguments: tuple[str, ...], env: dict[str, str], limit: int
) -> None:
    with app(*words, arguments=arguments, env=env) as (running, own_port):
        for name in ("one long value", "a load balancer's fields"):
            shape = SHAPES[name]
            directly = largest(own_port, shape)
            assert limit - 200 < directly < limit
            lost = 0 if name.startswith("a load") else ADDRESS - CONNECTION
            assert largest(running.port, shape) >= directly - lost


def test_two_thousand_fields_pass_and_all_reach_an_app_that_wants_them() -> None:
    """Node keeps the first thousand or so unless server.maxHeadersCount says otherwise, and refuses none."""
    with app("node", "-e", APP, env={"SERVER_OPTIONS": '{"fields":0}'}) as (running, own_port):
        raw = get(b"X: 1\r\n" * 1998)
        with Client(own_port) as client:
            client.send(raw)
            assert client.response().body == b"2000"
        with Client(running.port) as client:
            client.send(raw)
            # Less Connection, and with For, Proto, Host, Port, Forwarded and Via; ours to Node is kept, without one.
            assert client.response().body == b"2005"
        assert status(running.port, get(b"X: 1\r\n" * 1999)) == 431
    with app("node", "-e", APP) as (running, own_port):
        assert status(own_port, raw) == status(running.port, raw) == 200

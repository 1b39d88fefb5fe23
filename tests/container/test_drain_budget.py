"""The platform's grace is never overrun, whatever is open and whoever does not listen: the deadline is the contract.

Ten thousand idle connections whose clients do not answer our FIN, a request that never ends, a client that takes
nothing of a large answer, and an app that ignores SIGTERM, as do its own children.
"""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.support.front import DEADLINE_S, Front, NamespacedFront
from tests.support.http_client import Client, eventually
from tests.support.process import process_state

pytestmark = [pytest.mark.node, pytest.mark.slow]

IDLE_COUNT = 10_000
# The test's own, and pyinit's connections to the app, pipes and the like.
RESERVED_DESCRIPTORS = 500
# From one address there are some 28,000 ports to one listener (ip_local_port_range), and a run leaves TIME_WAITs.
SOURCES = [f"127.0.1.{number}" for number in range(1, 9)]
APP = """
const http=require('http'),cp=require('child_process');
process.on('SIGTERM',()=>console.log('ignored'));
const sleeper=cp.spawn('sh',['-c','trap "" TERM; while :; do sleep 1000; done'],{stdio:'ignore'});
console.log('grandchild '+sleeper.pid);
const server=http.createServer((req,res)=>{
  if(req.url==='/never')console.log('never begins');
  else res.end(req.url==='/large'?Buffer.alloc(64<<20):'ok');
});
server.keepAliveTimeout=600000;
server.listen(process.env.PORT,'127.0.0.1');
"""


@pytest.fixture
def idle_count() -> Iterator[int]:
    """How many idle connections there can be here, this process's limit raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(IDLE_COUNT, hard - RESERVED_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(port: int, source: str) -> socket.socket:
    """A connection from that address which has asked for something."""
    sock = socket.socket()
    sock.settimeout(DEADLINE_S)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return sock


@pytest.mark.parametrize(
    ("kind", "workers", "platform", "grace_s"),
    [
        pytest.param(NamespacedFront, "1", "docker", 10.0, marks=pytest.mark.pid1, id="docker, PID 1"),
        pytest.param(NamespacedFront, "2", "fly", 5.0, marks=pytest.mark.pid1, id="fly, PID 1, two workers"),
        pytest.param(Front, "2", "docker", 10.0, id="docker, two workers"),
        pytest.param(Front, "1", "fly", 5.0, id="fly"),
    ],
)
def test_the_exit_comes_before_the_platforms_own_kill(
    kind: type[Front], workers: str, platform: str, grace_s: float, idle_count: int
) -> None:
    arguments = ["--listen", "127.0.0.1:0", "--platform", platform, "--workers", workers]
    # By default half of RLIMIT_NOFILE, as each may need a connection to the app.
    arguments += ["--max-connections", str(idle_count + 10)]
    with ExitStack() as opened:
        app = opened.enter_context(closing(kind([*arguments, "--", "node", "-e", APP])))
        port = app.port
        idle = [opened.enter_context(connected(port, SOURCES[at % len(SOURCES)])) for at in range(idle_count)]
        for sock in idle:
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        never = opened.enter_context(Client(port))
        never.request("/never")
        eventually(lambda: "never begins" in app.stdout, "it is in the app")
        unread = opened.enter_context(Client(port, receive_bytes=4096))
        unread.request("/large")
        unread.until(b"\r\n\r\n")
        began_s = time.monotonic()
        app.signal()
        assert app.wait() == 137
        took_s = time.monotonic() - began_s
        print(f"{platform}, {workers} worker(s), {idle_count} idle: {took_s:.3f} s of {grace_s:g} s")  # noqa: T201
        assert took_s < grace_s
        (report,) = app.all_events("drain.finished")
        assert report["connections_closed_idle"] == idle_count
        assert sorted(cut["target"] for cut in report["cut"]) == ["/large", "/never"]
        assert never.response().status == 503
        app.wait_event("child.killed")
        eventually(lambda: "ignored" in app.stdout, "the app was told first")
        if kind is Front:
            pid = int(app.stdout.partition("grandchild ")[2].split()[0])
            eventually(lambda: process_state(pid) in (None, "Z", "X"), "it went with its group")

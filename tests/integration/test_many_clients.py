"""Thousands of clients of a pyinit of its own: its memory, its descriptors, its limits, as /proc shows them."""

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.front import DEADLINE_S, node
from tests.support.http_client import Client
from tests.support.proc_figures import KIB, MIB, figures_of
from tests.support.process import ROOT, eventually

pytestmark = [pytest.mark.node, pytest.mark.slow]

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK_APP = "http.createServer((q,r)=>r.end('ok')).listen(port,'127.0.0.1')"
# Of a connection without a byte held for it: transport, protocol, parser. Design 10 allows 6 MiB for a thousand.
CONNECTION_BYTES = 6 * MIB // 1000


@pytest.fixture
def most_clients() -> Iterator[int]:
    """How many this process can be at once, its own limit raised for the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard - 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def clients(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, each of which has been answered once and is idle."""
    opened = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection(("127.0.0.1", port), DEADLINE_S))
            asks(opened[-1])
        yield opened
    finally:
        for sock in opened:
            sock.close()


def asks(sock: socket.socket) -> None:
    """One request with its answer."""
    sock.sendall(REQUEST)
    answer = sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200"), answer


def test_ten_thousand_idle_connections_are_cheap(most_clients: int) -> None:
    """In memory; and in time, as all are looked at once a second."""
    count = min(10_000, most_clients)
    with node(QUICK_APP, "--max-connections", str(count + 10)) as app:
        with clients(app.port, 10):
            pass  # what the first ones make it import and keep
        before = figures_of(app.process.pid)
        with clients(app.port, count) as idle:
            held = figures_of(app.process.pid)
            each = (held.resident_bytes - before.resident_bytes) / count
            began_s = time.monotonic()
            time.sleep(1.5)  # a look or two
            used = (figures_of(app.process.pid).cpu_s - held.cpu_s) / (time.monotonic() - began_s)
            assert held.sockets >= count
            assert each <= CONNECTION_BYTES, f"{each / KIB:.2f} KiB each"
            assert used < 0.1, f"{used:.1%} of a processor"
            asks(idle[0])
            asks(idle[-1])
        eventually(lambda: figures_of(app.process.pid).descriptors <= before.descriptors + 1)


@pytest.mark.pid1
def test_four_thousand_that_do_not_read_stay_under_the_memory_limit() -> None:
    """What is beyond --buffer-memory is what connections cost without a byte held for them."""
    count, memory_bytes = 4000, 16 * MIB
    command = [sys.executable, "-m", "tests.support.slow_readers", str(count), str(memory_bytes)]
    done = subprocess.run(
        ["unshare", "--net", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["sockets_held"] >= count
    # Each has its connection to the app too.
    assert seen["grown_bytes"] <= memory_bytes + count * 2 * CONNECTION_BYTES, seen
    assert seen["served_after"] == 200
    assert seen["sockets_left"] <= 2


def test_clients_that_find_no_descriptor_wait_and_are_served() -> None:
    """Accepting pauses; the kernel keeps them, and whoever is connected is served all the while."""
    with node(QUICK_APP) as app:
        pid = app.process.pid
        with clients(app.port, 8) as idle:
            _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (figures_of(pid).descriptors + 2, hard))
            waiting = [Client(app.port) for _ in range(6)]
            event = app.wait_event("listener.out_of_descriptors")
            assert "Too many open files" in event["reason"]
            asks(idle[0])
            for sock in idle[1:]:
                sock.close()
            for client in waiting:
                assert client.get("/").status == 200
                client.close()
        assert app.stop() == 143
        assert len(app.all_events("listener.out_of_descriptors")) == 1


def test_at_the_limit_of_connections_others_wait_for_one_to_end() -> None:
    with node(QUICK_APP, "--max-connections", "50") as app:
        with clients(app.port, 50) as first:
            more = [Client(app.port) for _ in range(50)]
            for client in more:
                client.request("/")
            app.wait_event("listener.at_limit", max_connections=50)
            asks(first[0])
            assert all(client.is_open() for client in more)
        for client in more:
            assert client.response().status == 200
            client.close()


# Answers with how many requests it has at once.
COUNTING_APP = """
let n=0;
http.createServer((req,res)=>{const at=++n;setTimeout(()=>{n--;res.end(''+at)},20)}).listen(port,'127.0.0.1');
"""


def test_those_that_wait_at_the_limit_of_connections_are_served_in_the_drain_within_it() -> None:
    """The kernel has accepted them; and the app is not to be given more at once because of a stop."""
    with node(COUNTING_APP, "--max-connections", "1", "--stop-timeout", "30") as app:
        first = Client(app.port)
        assert first.get("/").status == 200
        waiting = [Client(app.port) for _ in range(5)]
        for client in waiting:
            client.request("/")
        app.wait_event("listener.at_limit")
        app.signal()
        for client in waiting:
            with client:
                assert client.response().body == b"1"
        first.close()
        assert app.wait() == 143
        assert app.all_events("drain.finished")[0]["cut_count"] == 0


def test_those_that_find_no_descriptor_are_served_in_the_drain_once_there_is_one() -> None:
    with node(QUICK_APP, "--stop-timeout", "30", "--idle-grace", "0.5") as app:
        pid = app.process.pid
        with clients(app.port, 8) as idle:
            _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (figures_of(pid).descriptors + 2, hard))
            waiting = [Client(app.port) for _ in range(6)]
            app.wait_event("listener.out_of_descriptors")
            app.signal()
            for sock in idle:
                assert sock.recv(1) == b""
                sock.close()
            for client in waiting:
                with client:
                    assert client.get("/").status == 200
        assert app.wait() == 143
        assert app.all_events("listener.not_accepted") == []


def test_those_that_never_find_one_are_counted() -> None:
    script = "http.createServer(()=>console.log('never begins')).listen(port,'127.0.0.1');"
    with node(script, "--stop-timeout", "4", "--child-timeout", "1") as app:
        pid = app.process.pid
        with Client(app.port) as stuck:
            stuck.request("/")
            eventually(lambda: "never begins" in app.stdout)
            _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (figures_of(pid).descriptors, hard))
            waiting = [Client(app.port) for _ in range(3)]
            app.wait_event("listener.out_of_descriptors")
            app.signal()
            assert [client.ends() for client in waiting] == ["reset"] * 3
        assert app.wait() == 143
        (said,) = app.all_events("listener.not_accepted")
        assert said["connections"] == 3

"""What anybody may do to the operator's sockets without harm: send nothing, too much, too slowly; come in numbers."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import pytest

from pyinit.admin.accepting import Reserve
from pyinit.admin.server import Server
from pyinit.admin.surface import Surface
from pyinit.admin.visitors import FIRST_REQUEST_S, NEXT_REQUEST_S, PER_SOCKET_MAX, WAITING_MAX
from pyinit.values import Address
from tests.support.front import DEADLINE_S, EXAMPLE, Front, example
from tests.support.http_client import Client, eventually
from tests.support.operator import ask, control, health, new_name, readiness, status
from tests.support.proc_figures import figures_of
from tests.support.proxy_world import Recorded
from tests.unit.admin.test_views import STATE

if TYPE_CHECKING:
    from pyinit.admin.state import RunState

LEAST_S = FIRST_REQUEST_S - 1.0  # a look at all connections is made each half second


@pytest.mark.node
def test_who_sends_no_whole_request_is_let_go_after_some_seconds() -> None:
    name = new_name()
    with example("--control", name) as app:
        assert app.port
        assert status(name)["phase"] == "serving"
        silent, half_head, half_body = control(name), control(name), control(name)
        half_head.send(b"GET /status HTTP/1.1\r\nHost: x\r\nX-Half")
        half_body.send(b"POST /log-level HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\ninf")
        began_s = time.monotonic()
        assert silent.ends() == "fin"
        assert half_head.ends() in ("fin", "reset")
        assert time.monotonic() - began_s >= LEAST_S
        answer = half_body.response()
        assert (answer.status, answer.body) == (408, b"the body did not come\n")
        assert status(name)["log_level"] == "info"
        assert app.stop() == 0


@pytest.mark.node
def test_what_is_too_long_is_refused() -> None:
    name = new_name()
    with example("--control", name) as app:
        assert app.port
        with control(name) as client:
            client.send(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.response().status == 400
        with control(name) as client:
            client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
            assert client.response().status == 400
        with control(name) as client:
            client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000 + b"\r\n")
            assert client.response().status == 400
        assert ask(name, "/log-level", method="POST", body=b"x" * 5000).status == 413
        with control(name) as client:
            client.send(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
            assert client.response().status == 400
        assert readiness(name) == (200, "ready")
        assert app.stop() == 0
        assert not app.other_lines, "aiohttp has not written to stderr itself"


@pytest.mark.node
def test_connections_are_bounded_and_who_waits_has_a_turn() -> None:
    name = new_name()
    with example("--control", name) as app:
        assert app.port
        assert status(name)["phase"] == "serving"
        before = figures_of(app.process.pid).descriptors  # that connection may be among them yet
        held = [control(name) for _ in range(PER_SOCKET_MAX)]
        least = before + PER_SOCKET_MAX - 1
        eventually(lambda: figures_of(app.process.pid).descriptors >= least, "all are in")
        waiting = [control(name) for _ in range(10)]
        for client in waiting:
            client.request("/readyz", "Connection: close")
        assert health(name) == "ready\n", "which a health check does not wait for"
        with Client(app.port) as client:
            assert client.get("/").status == 200
        assert figures_of(app.process.pid).descriptors <= before + PER_SOCKET_MAX + 2
        for client in waiting:
            assert client.response().status == 200
        assert all(client.ends() == "fin" for client in held)
        assert app.stop() == 0


@pytest.mark.node
def test_who_waits_for_the_end_leaves_room_for_who_asks_now() -> None:
    name = new_name()
    with example("--control", name) as app, ExitStack() as stack:
        assert app.port
        assert status(name)["phase"] == "serving"
        held = [stack.enter_context(control(name)) for _ in range(WAITING_MAX)]
        for client in held:
            client.request("/status/end")
        time.sleep(0.5)  # they are in
        assert ask(name, "/status/end").status == 503
        assert status(name)["phase"] == "serving"
        assert app.stop() == 0
        for client in held:
            assert json.loads(client.response().body)["phase"] == "done"


@pytest.mark.node
def test_a_crowd_that_looks_without_end_has_a_part_of_the_time_alone() -> None:
    """On --admin whoever reaches the port may look; the app's requests are answered on the same loop."""
    name = new_name()
    with example("--control", name) as app, ExitStack() as stack:
        assert app.port
        assert ask(name, "/metrics").status == 200
        crowd = [stack.enter_context(control(name)) for _ in range(16)]
        before, began_s, count = figures_of(app.process.pid), time.monotonic(), 0
        for client in crowd:
            client.request("/metrics")
        while (took_s := time.monotonic() - began_s) < 2.0:
            client = crowd[count % len(crowd)]
            assert client.response().status == 200
            client.request("/metrics")
            count += 1
        used_s = figures_of(app.process.pid).cpu_s - before.cpu_s
        assert count > len(crowd)
        assert used_s < 0.5 * took_s, (used_s, took_s, count)


@pytest.mark.node
def test_a_run_without_a_descriptor_left_can_still_be_asked() -> None:
    """And does not spin: the queues of all its sockets stay readable."""
    name = new_name()

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

    app = Front(
        [
            "--listen",
            "127.0.0.1:0",
            "--max-connections",
            "500",
            "--control",
            name,
            "--",
            "node",
            str(EXAMPLE),
        ],
        preexec_fn=few,
    )
    try:
        port = app.port
        clients = [Client(port) for _ in range(60)]
        app.wait_event("listener.out_of_descriptors")
        began_s = figures_of(app.process.pid).cpu_s
        assert health(name) == "ready\n"
        assert health(name) == "ready\n"
        for _ in range(5):
            assert readiness(name) == (200, "ready"), "what has to be loaded for it are files"
            assert status(name)["connections"]["new"] > 10
        assert figures_of(app.process.pid).cpu_s - began_s < 5.0
        with control(name) as one, control(name) as two:
            assert one.get("/readyz").status == 200
            two.request("/readyz")
            one.close()
            assert two.response().status == 200
        for client in clients:
            client.close()
        eventually(lambda: status(name)["connections"]["new"] == 0, "all are gone")
        with Client(port) as client:
            assert client.get("/").status == 200
        assert app.stop() == 0
    finally:
        app.close()


def test_a_reserve_is_given_up_once_and_held_again() -> None:
    reserve = Reserve()
    assert reserve.give_up()
    assert not reserve.give_up()
    reserve.restore()
    reserve.restore()
    assert reserve.give_up()


class Faulty:
    """An operator whose run cannot be looked at."""

    not_ready = None

    def __init__(self) -> None:
        self.faults = 0
        self.is_broken = True
        self.large = ""

    async def state(self) -> RunState:
        if self.is_broken:
            raise ZeroDivisionError("a fault of ours")
        return replace(STATE, upstream=self.large)

    def drain(self) -> str:
        return "draining"

    def stop(self) -> str:
        return "stopping"

    def count_fault(self) -> None:
        self.faults += 1

    def set_log_level(self, level: str) -> None:
        raise ValueError(level)


class Served:
    """A server in this process, on a unix socket of its own."""

    def __init__(self) -> None:
        self.operator = Faulty()
        self.log = Recorded()
        self.refused: list[object] = []
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.settimeout(0)
        self.listening.bind("")  # a name of the kernel's choice
        self.listening.listen()
        self.reserve = Reserve()
        self.server = Server(
            self.operator, on_refused=self.refused.append, reserve=self.reserve, log=self.log
        )

    async def __aenter__(self) -> Self:
        await self.server.start([self.listening])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()
        self.listening.close()
        self.reserve.give_up()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(sock, self.listening.getsockname())
        return await asyncio.open_unix_connection(sock=sock)


@pytest.mark.asyncio
async def test_a_fault_in_a_view_is_answered_logged_and_counted() -> None:
    async with Served() as served:
        reader, writer = await served.connect()
        for count in (1, 2):
            writer.write(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 500 ")
            await reader.readline()
            assert served.operator.faults == count
        assert [it["target"] for it in served.log.of("control.failed")] == ["/status", "/status"]
        assert "ZeroDivisionError" in str(served.log.of("control.failed")[0]["traceback"])
        served.operator.is_broken = False
        writer.write(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.asyncio
async def test_what_could_not_be_loaded_is_tried_again_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is let go: without descriptors or memory nobody would ever have been answered."""
    monkeypatch.setattr("pyinit.admin.surface._LOAD_AGAIN_S", 0.05)
    loads = iter([OSError(24, "Too many open files"), MemoryError(), None])

    def load() -> object:
        problem = next(loads)
        if problem is not None:
            raise problem
        return sys.modules["pyinit.admin.server"]

    monkeypatch.setattr("pyinit.admin.surface._import_server", load)
    operator, log, name = Faulty(), Recorded(), new_name()
    operator.is_broken = False
    surface = Surface(operator, control=Address(path=name), is_control_named=True, admin=None, log=log)
    surface.open()
    try:
        for count in (1, 2):
            reader, writer = await asyncio.open_unix_connection("\0" + name[1:])
            assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
            writer.close()
            assert len(log.of("control.failed")) == count
        reader, writer = await asyncio.open_unix_connection("\0" + name[1:])
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), DEADLINE_S)
        assert answer.endswith(b"\r\n\r\nready\n")
        writer.close()
    finally:
        await surface.close()
        surface._reserve.give_up()


@pytest.mark.asyncio
async def test_who_reads_nothing_of_an_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinit.admin.visitors.NEXT_REQUEST_S", 0.2)
    async with Served() as served:
        served.operator.is_broken = False
        served.operator.large = "x" * 5_000_000
        reader, writer = await served.connect()
        writer.write(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(_gone(served, "control.timed_out"), DEADLINE_S)
        taken = 0
        while data := await reader.read(65536):
            taken += len(data)
        assert 0 < taken < len(served.operator.large), "what was on its way, and the end"
        writer.close()


async def _gone(served: Served, event: str) -> None:
    while not served.log.of(event):  # noqa: ASYNC110  the tests' deadline is around it
        await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_a_stop_does_not_wait_for_who_does_not_read_or_ask() -> None:
    served = Served()
    async with served:
        served.operator.is_broken = False
        served.operator.large = "x" * 5_000_000
        _, stuck = await served.connect()
        stuck.write(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        reader, idle = await served.connect()
        idle.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"alive\n")).startswith(b"HTTP/1.1 200")
        began_s = time.monotonic()
    assert time.monotonic() - began_s < NEXT_REQUEST_S / 2
    assert await reader.read() == b""
    stuck.close()
    idle.close()

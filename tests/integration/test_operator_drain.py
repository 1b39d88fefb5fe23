"""What an operator sees of a drain, held against what is known to be there, and a drain that they order."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.front import Front, front, node
from tests.support.http_client import Client, eventually
from tests.support.json_schema import breaches
from tests.support.operator import ask, control, health, new_name, readiness, status, status_when
from tests.unit.admin.test_views import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.node

# /never never ends, /events is an event stream, /slow ends when /go is asked; WebSockets answer a Close alone.
APP = """
const crypto=require('crypto');
let slow=[];
const server=http.createServer((req,res)=>{
  if(req.url==='/events'){res.writeHead(200,{'content-type':'text/event-stream'});res.write('data: 1\\n\\n')}
  else if(req.url==='/slow'){slow.push(res);console.log('slow begins')}
  else if(req.url.startsWith('/never'))console.log('never begins');
  else res.end('hello');
});
process.on('SIGUSR1',()=>{slow.forEach(r=>r.end('slow'));slow=[]});
server.on('upgrade',(req,s)=>{s.on('error',()=>{});
  s.on('data',d=>{if((d[0]&15)===8)s.end(Buffer.from([0x88,0]))});
  const key=req.headers['sec-websocket-key']+'258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept=crypto.createHash('sha1').update(key).digest('base64');
  s.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n'+
    'Sec-WebSocket-Accept: '+accept+'\\r\\n\\r\\n')});
process.on('SIGTERM',()=>{console.log('SIGTERM');
  if(process.env.LINGER!=='1')process.exit(7)});
process.on('SIGUSR2',()=>process.exit(7));
server.listen(port,'127.0.0.1');
"""
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
# 8 s of budget: 4.9 s to drain, 3 s for the app.
BUDGET = ("--stop-timeout", "8.5", "--child-timeout", "3")


@contextmanager
def serving(
    *arguments: str, env: dict[str, str] | None = None, is_ready: bool = True
) -> Iterator[tuple[Front, str]]:
    name = new_name()
    with node(APP, "--control", name, *BUDGET, *arguments, env=env) as app:
        if is_ready:
            assert app.port
        yield app, name


def connections(seen: dict[str, Any]) -> dict[str, int]:
    """Those states that are not empty."""
    return {state: count for state, count in seen["connections"].items() if count}


def websocket(port: int) -> Client:
    client = Client(port)
    assert client.get("/ws", *UPGRADE).status == 101
    return client


def event_stream(port: int) -> Client:
    client = Client(port)
    client.request("/events", "Accept: text/event-stream")
    assert b"data: 1" in client.until(b"data: 1")
    return client


def in_app(app: Front, port: int, target: str) -> Client:
    """A request that the app has and has not answered."""
    word = target[1:].partition("?")[0]
    before = app.stdout.count(f"{word} begins")
    client = Client(port)
    client.request(target)
    eventually(lambda: app.stdout.count(f"{word} begins") > before, "it is in the app")
    return client


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_status_of_a_drain_is_the_truth(workers: str) -> None:
    """Every kind of connection, a known number of each, from serving through lame duck and drain to the report."""
    lame_duck = ("--drain-delay", "0.5", "--close-spread", "0", "--idle-grace", "0.5")
    with serving("--workers", workers, *lame_duck, env={"LINGER": "1"}) as (app, name):
        port = app.port
        idle = [Client(port) for _ in range(4)]
        for client in idle:
            assert client.get("/").status == 200
        silent = [Client(port) for _ in range(2)]
        slow = in_app(app, port, "/slow")
        never = in_app(app, port, "/never?secret=1")
        sockets = [websocket(port) for _ in range(3)]
        events = [event_stream(port) for _ in range(2)]
        known = {"new": 2, "active": 4, "idle": 4, "tunnel": 3}
        before = status_when(name, lambda it: connections(it) == known)
        assert breaches(before, SCHEMA) == []
        assert (before["phase"], before["stop"], before["workers"]) == ("serving", None, int(workers))
        assert before["workers_silent"] == 0
        assert before["totals"]["connections"] == 13
        assert before["totals"]["requests"] == 11
        assert before["totals"]["responses"] == [0, 3, 6, 0, 0, 0]
        assert before["listeners"] == [f"127.0.0.1:{port}"]
        assert before["budget"]["total_s"] == 8.0
        assert before["budget"]["drain_s"] == pytest.approx(4.9)

        app.signal(signal.SIGTERM)
        duck = status_when(name, lambda it: it["phase"] == "lame_duck")
        assert breaches(duck, SCHEMA) == []
        assert (duck["ready"], duck["stop"]["signal"], duck["signals"]) == (False, "SIGTERM", {"SIGTERM": 1})
        assert connections(duck) == known
        assert duck["budget"]["spent_s"] == pytest.approx(duck["stop"]["began_ago_s"])
        assert duck["budget"]["left_s"] == pytest.approx(8.0 - duck["budget"]["spent_s"], abs=0.002)

        *leaving, staying = sockets
        for client in leaving:
            client.until(b"\x88")
            client.send(b"\x88\x80\0\0\0\0")  # a Close, masked (RFC 6455 section 5.5.1)
            assert client.ends() == "fin"
            client.close()
        for client in events:
            assert client.ends() == "fin"
        for client in idle:
            assert client.ends() == "fin"
        os.kill(app.child_pid, signal.SIGUSR1)
        answer = slow.response()
        assert (answer.status, answer.body, answer.get("connection")) == (200, b"slow", "close")
        for client in (*idle, *events, slow):
            client.close()

        drain = status_when(
            name, lambda it: it["phase"] == "draining" and it["outcomes"]["websockets_closed"] == 2
        )
        assert (drain["connections"]["active"], drain["connections"]["tunnel"]) == (1, 1)
        assert drain["outcomes"]["streams_ended"] == 2
        assert drain["outcomes"]["exchanges_finished"] == 1
        assert drain["outcomes"]["connections_closed_idle"] >= 4
        assert drain["outcomes"]["cut_count"] == 0
        assert drain["stop"]["phases_s"]["lame_duck"] >= 0.5

        after = status_when(name, lambda it: it["phase"] == "stopping")
        assert never.response().status == 503
        after = status_when(name, lambda it: it["outcomes"]["cut_count"] == 1)
        assert breaches(after, SCHEMA) == []
        (cut,) = after["outcomes"]["cut"]
        assert (cut["method"], cut["target"]) == ("GET", "/never"), "no query string unless asked for"
        assert cut["age_s"] >= 4.0
        assert after["outcomes"]["websockets_closed"] == 3, "the one that stayed has its Close all the same"
        assert readiness(name) == (503, "not ready: stopping: the app has its time to end")
        with control(name) as last:
            assert last.get("/readyz").status == 503
            os.kill(app.child_pid, signal.SIGUSR2)
            assert last.ends() in ("fin", "reset")
        assert app.wait() == 7
        (report,) = app.all_events("drain.finished")
        for field in ("exchanges_finished", "streams_ended", "websockets_closed", "cut_count"):
            assert report[field] == after["outcomes"][field]
        assert [it["target"] for it in report["cut"]] == [it["target"] for it in after["outcomes"]["cut"]]
        for client in (*silent, staying, never):
            client.close()


def test_a_drain_that_is_ordered_waits_with_the_app_running() -> None:
    """A preStop hook: the clock starts with it, and the stop signal goes on with what is left."""
    with serving() as (app, name):
        port = app.port
        slow = in_app(app, port, "/slow")
        answer = ask(name, "/drain", method="POST")
        assert (answer.status, answer.body) == (202, b"draining\n")
        assert app.wait_event("control.ordered")["order"] == "drain"
        assert readiness(name) == (503, "not ready: draining")
        assert ask(name, "/drain", method="POST").body == b"draining\n", "again changes nothing"
        os.kill(app.child_pid, signal.SIGUSR1)
        assert slow.response().body == b"slow"
        slow.close()
        seen = status_when(name, lambda it: it["phase"] == "drained")
        assert (seen["stop"]["signal"], seen["child"]["exit_code"]) == (None, None)
        assert seen["outcomes"]["exchanges_finished"] == 1
        with pytest.raises(ConnectionRefusedError):
            Client(port)
        assert health(name) == "not ready: drained, waiting for the stop signal\n"
        assert "SIGTERM" not in app.stdout
        spent_s = status(name)["budget"]["spent_s"]
        assert ask(name, "/drain", method="POST").body == b"drained\n"
        assert status(name)["budget"]["spent_s"] >= spent_s, "it has not begun anew"
        assert app.stop() == 7
        eventually(lambda: "SIGTERM" in app.stdout, "the app had its signal")
        (report,) = app.all_events("drain.finished")
        assert report["duration_s"] >= spent_s
        assert {"drained"} < {*report["phases_s"], "serving"}


def test_a_stop_long_after_an_ordered_drain_leaves_the_app_its_time() -> None:
    """The budget was spent while nobody stopped us: then this is no preStop hook's SIGTERM, and a grace of its own."""
    name = new_name()
    arguments = ("--control", name, "--stop-timeout", "1.5", "--child-timeout", "0.7")
    script = APP.replace("if(process.env.LINGER!=='1')process.exit(7)", "setTimeout(()=>process.exit(7),100)")
    with node(script, *arguments) as app:
        assert app.port
        assert ask(name, "/drain", method="POST").status == 202
        spent = status_when(name, lambda it: it["budget"]["left_s"] == 0)
        assert spent["phase"] == "drained"
        assert app.stop() == 7, "not 137"
        assert not app.all_events("child.killed")


def test_a_stop_that_is_ordered_is_a_sigterm() -> None:
    with serving("--rewrite", "TERM:USR2") as (app, name):
        answer = ask(name, "/stop", method="POST")
        assert answer.status == 202
        assert answer.body in (b"draining\n", b"stopping\n")
        assert app.wait() == 7
        (stopping,) = app.all_events("control.ordered")
        assert stopping["order"] == "stop"


def test_orders_during_a_stop_change_nothing() -> None:
    with serving(env={"LINGER": "1"}) as (app, name):
        never = in_app(app, app.port, "/never")
        app.signal()
        status_when(name, lambda it: it["phase"] == "draining")
        assert ask(name, "/drain", method="POST").body == b"draining\n"
        assert ask(name, "/stop", method="POST").body == b"draining\n"
        assert status(name)["stop"]["signal"] == "SIGTERM"
        never.close()
        status_when(name, lambda it: it["phase"] == "stopping")
        assert ask(name, "/drain", method="POST").body == b"stopping\n"
        os.kill(app.child_pid, signal.SIGUSR2)
        assert app.wait() == 7
        assert len(app.all_events("drain.finished")) == 1


def test_a_drain_before_the_app_is_ready_opens_nothing() -> None:
    name = new_name()
    script = (
        "process.on('SIGTERM',()=>process.exit(5));process.on('SIGUSR2',()=>server.listen(port,'127.0.0.1'));"
    )
    script += "const server=http.createServer((q,s)=>s.end());console.log('up');setInterval(()=>{},1e6)"
    with node(script, "--control", name) as app:
        eventually(lambda: "up" in app.stdout, "the app runs")
        app.wait_event("control.listening")
        port = int(app.wait_event("listener.bound")["address"].rpartition(":")[2])
        assert ask(name, "/drain", method="POST").body == b"drained\n"
        os.kill(app.child_pid, signal.SIGUSR2)
        assert readiness(name) == (503, "not ready: drained, waiting for the stop signal")
        with pytest.raises(ConnectionRefusedError):
            Client(port)
        assert app.process.poll() is None
        assert app.stop() == 5
        assert not app.all_events("app.ready")


def test_a_sidecar_drains_and_waits_for_its_signal() -> None:
    name = new_name()
    with (
        serving() as (app, _),
        front("--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{app.port}", "--control", name) as sidecar,
    ):
        with Client(sidecar.port) as client:
            assert client.get("/").status == 200
        assert ask(name, "/drain", method="POST").status == 202
        status_when(name, lambda it: it["phase"] == "drained")
        assert sidecar.process.poll() is None
        assert ask(name, "/stop", method="POST").status == 202
        assert sidecar.wait() == 0


def test_a_worker_that_does_not_answer_is_said_to_be_missing() -> None:
    with serving("--workers", "2") as (app, name):
        pid = int(app.wait_event("worker.spawned", worker=1)["pid"])
        assert status(name)["workers_silent"] == 0
        os.kill(pid, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            assert status(name)["workers_silent"] == 1
            assert time.monotonic() - began_s < 5
            assert b"\npyinit_workers_serving 1.0\n" in ask(name, "/metrics").body
            assert readiness(name) == (200, "ready")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert status_when(name, lambda it: it["workers_silent"] == 0)["workers"] == 2


def test_a_worker_is_replaced_while_the_first_question_loads_its_answer() -> None:
    """The fork of its successor falls into the import, in another thread."""
    with serving("--workers", "2") as (app, name):
        first = int(app.wait_event("worker.spawned", worker=0)["pid"])
        asking = control(name)
        asking.request("/status", "Connection: close")
        os.kill(first, signal.SIGKILL)
        assert asking.response().status == 200
        app.wait_count("worker.spawned", 3)
        successor = [e for e in app.events if e.get("event") == "worker.spawned"][-1]
        assert successor["worker"] == 0
        seen = status_when(name, lambda it: it["workers_silent"] == 0)
        assert seen["workers"] == 2
        with Client(app.port) as client:
            assert client.get("/").status == 200
        assert app.stop() == 7
        asking.close()


def test_a_stop_does_not_wait_for_an_answer_that_is_still_being_loaded() -> None:
    with serving("--idle-grace", "0") as (app, name):
        asking = control(name)
        asking.request("/status")
        assert app.stop() == 7
        assert asking.ends() in ("fin", "reset")
        asking.close()
        assert not app.all_events("control.failed")


def test_the_log_level_can_be_set() -> None:
    with serving("--access-log") as (app, name):
        answer = ask(name, "/log-level", method="POST", body=b"debug\n")
        assert (answer.status, answer.body) == (200, b"debug\n")
        assert app.wait_event("log.level_changed")["log_level"] == "debug"
        assert status(name)["log_level"] == "debug"
        refused = ask(name, "/log-level", method="POST", body=b"loud")
        assert (refused.status, refused.body) == (400, b"debug, info, warning or error\n")
        assert ask(name, "/log-level", method="POST", body=b"\xff\xfe").status == 400
        assert status(name)["log_level"] == "debug"


def test_that_a_log_says_no_more_is_the_last_that_it_says() -> None:
    with serving() as (app, name):
        assert ask(name, "/log-level", method="POST", body=b"error").status == 200
        assert app.wait_event("log.level_changed", log_level="error")["level"] == "info"
        started_at = status(name)["started_at"]
        time.sleep(0.05)
        assert status(name)["started_at"] == started_at

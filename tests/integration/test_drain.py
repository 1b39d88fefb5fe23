"""A stop, seen from every connection that is open at that moment. The stop comes from inside the app's handler."""

import os
import signal
import time

import pytest

from tests.support.front import DEADLINE_S, Front, node
from tests.support.http_client import Client, Response, eventually

pytestmark = pytest.mark.node

# Routes: /stop and /large signal pyinit from within the request; /begun has begun its response; /events never ends;
# /echo answers with the body's length. On its own SIGTERM the app says how many connections it still sees.
APP = """
const crypto=require('crypto');
const server=http.createServer((req,res)=>{
  if(req.url==='/stop'){process.kill(process.ppid,req.headers['x-signal']||'SIGTERM');setTimeout(()=>res.end('stopped'),400)}
  else if(req.url.startsWith('/large')){process.kill(process.ppid,'SIGTERM');
    setTimeout(()=>res.end(Buffer.alloc(60000)),200)}
  else if(req.url==='/begun'){res.write('one ');setTimeout(()=>res.end('two'),700)}
  else if(req.url==='/events'){res.writeHead(200,{'content-type':'text/event-stream'});
    res.write('data: 1\\n\\n')}
  else if(req.url==='/echo'){let n=0;req.on('data',d=>n+=d.length);req.on('end',()=>res.end(String(n)))}
  else if(req.url.startsWith('/never'))console.log('never begins');
  else res.end('hello');
});
server.on('upgrade',(req,s)=>{s.on('error',()=>{});
  s.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n');
  s.on('data',d=>s.write(d))});
process.on('SIGTERM',()=>setTimeout(()=>server.getConnections((_,n)=>{
  console.log('SIGTERM connections='+n);process.exit(7)}),20));
process.on('SIGINT',()=>{console.log('SIGINT');process.exit(8)});
server.listen(port,'127.0.0.1');
"""
# 4 s of budget: 2.9 s to drain, 1 s for the app.
SHORT = ("--stop-timeout", "4.5", "--child-timeout", "1")


def upgraded(port: int) -> Client:
    client = Client(port)
    answer = client.get("/up", "Connection: Upgrade", "Upgrade: echo")
    assert answer.status == 101
    client.send(b"ping")
    assert client.read(4) == b"ping"
    return client


def is_refused(port: int) -> bool:
    try:
        Client(port).close()
    except ConnectionRefusedError:
        return True
    return False


def report(app: Front) -> dict[str, object]:
    return app.wait_event("drain.finished")


def test_a_stop_from_inside_a_handler_gives_every_open_connection_its_due() -> None:
    """In flight and begun finish, half-sent is taken, idle gets a last request, streams and tunnels are cut late."""
    with node(APP, *SHORT) as app:
        port = app.port
        idle_used, idle_unused, silent = Client(port), Client(port), Client(port)
        for client in (idle_used, idle_unused):
            assert client.get("/").get("connection") == "keep-alive"
        half_head, half_body = Client(port), Client(port)
        half_head.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Half")
        half_body.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        events, tunnel, begun = Client(port), upgraded(port), Client(port)
        events.request("/events")
        assert events.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        begun.request("/begun")
        assert b"200 OK" in begun.until(b"\r\n\r\n")
        in_flight = Client(port)
        in_flight.request("/stop")
        app.wait_event("drain.phase_changed", phase="draining")

        eventually(lambda: is_refused(port), "new connects are refused")
        last = idle_used.get("/")
        assert (last.status, last.body, last.get("connection")) == (200, b"hello", "close")
        assert idle_used.ends() == "fin"
        half_head.send(b": x\r\n\r\n")
        half_body.send(b"67890")
        for client, body in ((half_head, b"0"), (half_body, b"10"), (in_flight, b"stopped")):
            answer = client.response()
            assert (answer.status, answer.body, answer.get("connection")) == (200, body, "close")
            assert client.ends() == "fin"
        answer = Response(200, [("transfer-encoding", "chunked")])
        begun._body(answer, "GET")
        assert answer.body == b"one two"
        assert begun.ends() == "fin"
        assert idle_unused.ends() == "fin"
        tunnel.send(b"pong")
        assert tunnel.read(4) == b"pong", "a tunnel lives until the drain's deadline"
        assert silent.ends() == "fin"
        assert tunnel.ends() == "reset"
        assert b"0\r\n\r\n" not in events.until(b"data: 1\n\n")
        assert events.ends() in ("fin", "reset")
        assert app.wait() == 7
        eventually(lambda: "SIGTERM connections=0" in app.stdout, "the pool was closed before the signal")
        finished = report(app)
        assert finished["exit_code"] == 7
        assert finished["exchanges_finished"] == 5
        assert finished["connections_closed_idle"] in (2, 3), "the last try to connect may have come through"
        assert finished["cut_count"] == 2
        cut = finished["cut"]
        assert isinstance(cut, list)
        assert {(c["method"], c["target"]) for c in cut} == {("GET", "/events"), ("GET", "/up")}
        assert all(c["peer"].startswith("127.0.0.1:") and c["age_s"] > 2 for c in cut)


def test_a_quiet_drain_is_over_at_once_and_the_exit_code_is_the_apps() -> None:
    with node(APP) as app:
        with Client(app.port) as client:
            assert client.get("/").status == 200
        began_s = time.monotonic()
        assert app.stop() == 7
        assert time.monotonic() - began_s < DEADLINE_S / 4
        assert report(app)["cut_count"] == 0


def test_a_repeated_sigterm_changes_nothing() -> None:
    with node(APP, *SHORT) as app:
        client = Client(app.port)
        client.request("/stop")
        app.wait_event("drain.phase_changed", phase="draining")
        for _ in range(5):
            app.signal(signal.SIGTERM)
        assert client.response().body == b"stopped"
        assert app.wait() == 7


@pytest.mark.parametrize("hurry", [signal.SIGINT, signal.SIGQUIT], ids=["SIGINT again", "SIGQUIT"])
def test_the_second_interrupt_goes_to_the_next_phase_at_once(hurry: signal.Signals) -> None:
    with node(APP) as app:
        client = Client(app.port)
        client.request("/never")
        eventually(lambda: "never begins" in app.stdout, "the request is in the app")
        app.signal(signal.SIGINT)
        app.wait_event("drain.phase_changed", phase="draining")
        app.signal(hurry)
        answer = client.response()
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        assert app.wait() == 8, "the app got the signal that came first"
        cut = report(app)["cut"]
        assert isinstance(cut, list)
        assert [c["target"] for c in cut] == ["/never"]


def test_sigquit_outside_a_drain_goes_to_the_app() -> None:
    with node("process.on('SIGQUIT',()=>console.log('quit'));" + APP) as app:
        assert app.port
        app.signal(signal.SIGQUIT)
        eventually(lambda: "quit" in app.stdout, "the app saw SIGQUIT")
        assert app.stop() == 7


def test_an_app_that_ignores_the_signal_is_killed_in_time() -> None:
    with node(
        "process.on('SIGTERM',()=>{});http.createServer((q,s)=>s.end()).listen(port,'127.0.0.1')",
        "--stop-timeout",
        "2",
        "--child-timeout",
        "0.5",
    ) as app:
        assert app.port
        began_s = time.monotonic()
        assert app.stop() == 137
        assert time.monotonic() - began_s < 1.5 + DEADLINE_S / 100, (
            "half a second before the platform does it"
        )
        app.wait_event("child.killed")


def test_the_drain_deadline_cuts_what_is_left_and_names_it() -> None:
    with node(APP, "--stop-timeout", "2.5", "--child-timeout", "1", "--drain-exit-code", "99") as app:
        client = Client(app.port)
        client.request("/never?secret=1")
        eventually(lambda: "never begins" in app.stdout, "the request is in the app")
        app.signal(signal.SIGTERM)
        answer = client.response()
        assert answer.status == 503
        assert app.wait() == 99
        cut = report(app)["cut"]
        assert isinstance(cut, list)
        assert [c["target"] for c in cut] == ["/never"], "no query string in the log unless asked for"


def test_with_log_query_the_report_has_the_query_too() -> None:
    with node(APP, "--log-query") as app, Client(app.port) as client:
        client.request("/never?page=1")
        eventually(lambda: "never begins" in app.stdout, "the request is in the app")
        app.signal()
        app.wait_event("drain.phase_changed", phase="draining")
        app.signal(signal.SIGQUIT)
        assert client.response().status == 503
        assert app.wait() == 7
        cut = report(app)["cut"]
        assert isinstance(cut, list)
        assert [it["target"] for it in cut] == ["/never?page=1"]


def test_an_app_that_goes_in_the_lame_duck_takes_all_with_it_and_the_report_says_so() -> None:
    """As on Heroku, where it gets the signal too."""
    with node(APP, "--drain-delay", "10", "--stop-timeout", "30", "--drain-exit-code", "99") as app:
        with Client(app.port) as waiting, Client(app.port) as half:
            half.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
            waiting.request("/never")
            eventually(lambda: "never begins" in app.stdout, "the request is in the app")
            app.signal()
            app.wait_event("drain.phase_changed", phase="lame_duck")
            os.kill(app.child_pid, signal.SIGKILL)
            assert [client.response().status for client in (waiting, half)] == [502, 502]
            assert app.wait() == 99
        finished = report(app)
        assert isinstance(finished["phases_s"], dict)
        assert list(finished["phases_s"]) == ["lame_duck"]
        assert isinstance(finished["cut"], list)
        assert sorted(cut["target"] for cut in finished["cut"]) == ["", "/never"]


def test_a_lame_duck_goes_on_serving_and_closes_each_connection_after_its_response() -> None:
    with node(APP, "--drain-delay", "1", "--stop-timeout", "10") as app:
        port = app.port
        old = Client(port)
        assert old.get("/").status == 200
        app.signal(signal.SIGTERM)
        app.wait_event("drain.phase_changed", phase="lame_duck")
        assert old.get("/").get("connection") == "close"
        with Client(port) as newcomer:
            assert newcomer.get("/").get("connection") == "close"
        with Client(port) as prober:
            assert prober.get("/", "User-Agent: ELB-HealthChecker/2.0").status == 200
        assert app.wait() == 7
        phases = report(app)["phases_s"]
        assert isinstance(phases, dict)
        assert phases["lame_duck"] >= 1.9, "2 s without a new connection"


def test_a_lame_duck_that_nobody_connects_to_ends_with_its_delay() -> None:
    with node(APP, "--drain-delay", "0.3", "--stop-timeout", "10") as app:
        assert app.port
        began_s = time.monotonic()
        assert app.stop() == 7
        assert time.monotonic() - began_s >= 0.3
        phases = report(app)["phases_s"]
        assert isinstance(phases, dict)
        assert 0.25 <= phases["lame_duck"] < 1.9


def test_the_app_is_told_of_the_drain_where_asked_to() -> None:
    with node(
        "process.on('SIGUSR2',()=>console.log('drain begins'));" + APP, "--drain-notify", "USR2"
    ) as app:
        client = Client(app.port)
        client.request("/stop")
        assert client.response().body == b"stopped"
        assert app.wait() == 7
        eventually(lambda: "drain begins" in app.stdout, "SIGUSR2 came first")
        assert app.stdout.index("drain begins") < app.stdout.index("SIGTERM")


def test_a_rewritten_stop_signal_reaches_the_app_rewritten() -> None:
    with node(APP, "--rewrite", "TERM:INT") as app:
        assert app.port
        assert app.stop() == 8


def test_another_stop_signal_begins_a_drain_too() -> None:
    with node("process.on('SIGUSR1',()=>process.exit(9));" + APP, "--stop-signals", "USR1") as app:
        assert app.port
        app.signal(signal.SIGUSR1)
        assert app.wait() == 9
        app.wait_event("drain.phase_changed", phase="draining")


def test_the_childs_exit_while_serving_answers_what_waits_and_ends_us_within_a_second() -> None:
    with node(APP) as app:
        client, idle = Client(app.port), Client(app.port)
        assert idle.get("/").status == 200
        client.request("/never")
        eventually(lambda: "never begins" in app.stdout, "the request is in the app")
        began_s = time.monotonic()
        os.kill(app.child_pid, signal.SIGKILL)
        assert client.response().status == 502
        assert idle.ends() == "fin"
        assert app.wait() == 137
        assert time.monotonic() - began_s < 1 + DEADLINE_S / 20


def test_the_code_of_an_app_that_crashes_is_not_hidden_by_that_of_a_drain() -> None:
    """There was none: what its exit cut is no news beside why it went."""
    with node(APP, "--drain-exit-code", "99") as app:
        with Client(app.port) as client, Client(app.port) as later:
            # A request in the app may have failed by itself before we hear of the exit; half a head is cut for certain.
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
            assert later.get("/").status == 200, "that has been read by now"
            os.kill(app.child_pid, signal.SIGKILL)
            assert client.response().status == 502
        assert app.wait() == 137
        assert report(app)["cut_count"] == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_answer_that_is_not_taken_by_the_end_is_named_as_cut(workers: str) -> None:
    """The app has long been done with it; what the kernel still holds goes with a container's network."""
    times = ("--stop-timeout", "3", "--child-timeout", "1", "--drain-exit-code", "99")
    with node(APP, *times, "--workers", workers) as app:
        client = Client(app.port, receive_bytes=4096)
        client.request("/large?secret=1")
        client.until(b"\r\n\r\n")
        app.wait_event("drain.phase_changed", phase="draining")
        assert app.wait() == 99
        finished = report(app)
        assert (finished["exchanges_finished"], finished["cut_count"]) == (0, 1)
        assert isinstance(finished["cut"], list)
        (cut,) = finished["cut"]
        assert (cut["method"], cut["target"]) == ("GET", "/large")


def test_a_stop_before_the_app_is_ready_goes_to_the_app() -> None:
    with node("process.on('SIGTERM',()=>process.exit(5));console.log('up');setInterval(()=>{},1e6)") as app:
        eventually(lambda: "up" in app.stdout, "the app runs")
        assert app.stop() == 5


def test_pipelined_requests_that_are_here_are_all_answered() -> None:
    with node(APP, *SHORT) as app:
        client = Client(app.port)
        request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
        client.send(request % b"/stop" + request % b"/" + request % b"/")
        answers = [client.response() for _ in range(3)]
        assert [a.body for a in answers] == [b"stopped", b"hello", b"hello"]
        assert [a.get("connection") for a in answers] == ["keep-alive", "keep-alive", "close"]
        assert app.wait() == 7


def test_our_connections_to_the_app_are_closed_before_its_signal_is_sent() -> None:
    """As the kernel has it when the handler runs: ESTABLISHED (01) ones would make server.close() wait."""
    script = """process.on('SIGTERM',()=>{
      const hex=':'+Number(port).toString(16).toUpperCase().padStart(4,'0');
      const rows=require('fs').readFileSync('/proc/net/tcp','utf8').split('\\n').map(r=>r.trim().split(/ +/));
      const open=rows.filter(r=>r[1]&&r[1].endsWith(hex)&&r[3]==='01').length;
      console.log('established='+open);process.exit(0)});
      http.createServer((q,s)=>setTimeout(()=>s.end(),50)).listen(port,'127.0.0.1')"""
    with node(script, "--idle-grace", "0") as app:
        clients = [Client(app.port) for _ in range(20)]
        for client in clients:
            client.request("/")
        for client in clients:
            assert client.response().status == 200
            client.close()
        assert app.stop() == 0
        eventually(lambda: "established=0" in app.stdout, "none was open")

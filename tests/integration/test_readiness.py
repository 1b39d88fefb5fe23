"""Ready or not, and why: /readyz, the health socket and --health-path, from the start to the end."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.front import EXAMPLE, Front, front, node
from tests.support.http_client import Client, eventually
from tests.support.operator import Said, health, new_name, readiness, status
from tests.support.process import process_state, run_pyinit

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.node

# Listens at SIGUSR2; /ready is 503 after /sick and 200 after /well. Says what reaches it of /healthz. At SIGTERM it
# stays, until SIGUSR2.
APP = """
let isWell=true;
const server=http.createServer((q,s)=>{
  if(q.url.startsWith('/healthz'))console.log('app has '+q.method+' '+q.url);
  if(q.url==='/ready'){s.statusCode=isWell?200:503;s.end()}
  else if(q.url==='/sick'||q.url==='/well'){isWell=q.url==='/well';s.end()}
  else if(q.url==='/slow'){console.log('slow begins');process.on('SIGUSR1',()=>s.end('slow'))}
  else s.end('app '+q.method+' '+q.url)});
process.on('SIGUSR2',()=>server.listening||server.listen(port,'127.0.0.1'));
process.on('SIGTERM',()=>{console.log('SIGTERM');process.on('SIGUSR2',()=>process.exit(7))});
setInterval(()=>{},1e6);
console.log('up');
"""
HEALTH = ("--health-path", "/healthz")
KUBE = "User-Agent: kube-probe/1.30"


@contextmanager
def starting(*arguments: str) -> Iterator[tuple[Front, str]]:
    """An app that runs and does not listen yet."""
    name = new_name()
    with node(APP, "--control", name, "--stop-timeout", "20", *HEALTH, *arguments) as app:
        app.wait_event("control.listening")
        eventually(lambda: "up" in app.stdout, "the app runs")
        yield app, name


def listen(app: Front) -> int:
    """Have it listen; the public port."""
    os.kill(app.child_pid, signal.SIGUSR2)
    return app.port


def probed(port: int, *fields: str) -> Said:
    """--health-path, on a connection of its own."""
    with Client(port) as client:
        answer = client.get("/healthz", *fields)
        return Said(answer.status, answer.body.decode())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_all_three_say_the_same_from_the_start_to_the_end(workers: str) -> None:
    arguments = (
        "--workers",
        workers,
        "--drain-delay",
        "1",
        "--ready-path",
        "/ready",
        "--ready-interval",
        "0.1",
    )
    with starting(*arguments) as (app, name):
        public = int(app.wait_event("listener.bound")["address"].rpartition(":")[2])

        def all_say(why: str, kept: Client | None = None) -> None:
            assert readiness(name) == (503, f"not ready: {why}")
            assert health(name) == f"not ready: {why}\n"
            if kept is not None:
                answer = kept.get("/healthz")
                assert (answer.status, answer.body.decode()) == (
                    503,
                    f"503 Service Unavailable: not ready: {why}\n",
                )

        def all_ready() -> None:
            assert readiness(name) == (200, "ready")
            assert health(name) == "ready\n"
            assert probed(public) == (200, "200 OK: ready\n")

        # start: nothing listens, on either side
        eventually(lambda: health(name) == "not ready: starting: Connection refused\n", "asked once")
        all_say("starting: Connection refused")
        with pytest.raises(ConnectionRefusedError):
            Client(public)

        # serving
        assert listen(app) == public
        all_ready()
        with Client(public) as client:
            assert client.get("/sick").status == 200
        app.wait_event("app.not_ready", failures=3)
        with Client(public) as kept:
            eventually(lambda: kept.get("/healthz").status == 503, "a worker has heard of it")
            all_say("/ready answers 503", kept)
            assert kept.get("/other").body == b"app GET /other", "it goes on serving"
            assert status(name)["phase"] == "serving"
            assert kept.get("/well").status == 200
        app.wait_event("app.ready_again")
        with Client(public) as kept:
            eventually(lambda: kept.get("/healthz").status == 200, "here too")
        all_ready()

        # lame duck: still accepting
        slow = Client(public)
        slow.request("/slow")
        eventually(lambda: "slow begins" in app.stdout, "it is in the app")
        in_drain = Client(public)
        assert in_drain.get("/other").status == 200
        app.signal()
        app.wait_event("drain.phase_changed", phase="lame_duck")
        all_say("lame duck: still accepting, about to drain")
        with Client(public) as client:
            answer = client.get("/healthz")
            assert (answer.status, answer.get("connection"), answer.get("retry-after")) == (503, "close", "1")
            assert "lame duck" in answer.body.decode()

        # drain: a connection that is still there is told so too
        app.wait_event("drain.phase_changed", phase="draining")
        eventually(lambda: health(name) == "not ready: draining\n", "the phase")
        all_say("draining", in_drain)
        assert in_drain.ends() == "fin"
        with pytest.raises(ConnectionRefusedError):
            Client(public)
        os.kill(app.child_pid, signal.SIGUSR1)
        assert slow.response().body == b"slow"
        slow.close()
        in_drain.close()

        # the app's time
        app.wait_event("drain.phase_changed", phase="stopping")
        eventually(lambda: "SIGTERM" in app.stdout, "it has its signal")
        all_say("stopping: the app has its time to end")
        os.kill(app.child_pid, signal.SIGUSR2)
        assert app.wait() == 7
        assert "app has" not in app.stdout, "it has never seen a health check"
        (report,) = app.all_events("drain.finished")
        assert report["cut_count"] == 0


def test_what_is_no_health_check_of_that_path_is_the_apps() -> None:
    with starting() as (app, _):
        port = listen(app)
        with Client(port) as client:
            for target in ("/healthz/", "/healthzy", "/Healthz", "/x/healthz", "/%68ealthz", "//healthz"):
                assert client.get(target).body.decode() == f"app GET {target}"
            assert client.get("/healthz", method="POST").body == b"app POST /healthz"
            assert client.get("/healthz", method="OPTIONS").body == b"app OPTIONS /healthz"
            assert client.get("/healthz?from=alb").body == b"200 OK: ready\n"
            head = client.get("/healthz", method="HEAD")
            assert (head.status, head.body, head.get("content-length")) == (200, b"", "14")
            assert client.get("/healthz").get("connection") is None, "kept open"
        eventually(lambda: app.stdout.count("app has") >= 3, "what the app got of it")


def test_a_health_check_in_a_row_of_requests_has_its_turn() -> None:
    with starting() as (app, _):
        with Client(listen(app)) as client:
            request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
            client.send(
                b"".join(request % target for target in (b"/a", b"/healthz", b"/b", b"/healthz", b"/healthz"))
            )
            bodies = [client.response().body for _ in range(5)]
            assert bodies == [b"app GET /a", b"200 OK: ready\n", b"app GET /b", *[b"200 OK: ready\n"] * 2]
        with Client(app.port) as client:
            client.send(
                b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            answer = client.response()
            assert (answer.status, answer.get("connection")) == (200, "close"), "its body has no reader"
            assert client.ends() == "fin"
        with Client(app.port) as client:
            client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert client.response().status == 200
            assert client.ends() == "fin"
        with Client(app.port) as client:
            client.send(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert client.response().status == 400, "the rules hold for it as well"


def test_a_health_check_counts_neither_as_a_request_nor_as_a_newcomer() -> None:
    """Or 503s of a lame duck would look like requests lost, and a load balancer would prolong it for ever."""
    with starting("--drain-delay", "0.5") as (app, name):
        port = listen(app)
        assert probed(port).status == 200
        totals = status(name)["totals"]
        assert (totals["requests"], totals["responses"]) == (0, [0] * 6)
        app.signal()
        app.wait_event("drain.phase_changed", phase="lame_duck")
        asked = 0
        while True:
            try:
                assert probed(port).status == 503
            except (ConnectionRefusedError, EOFError):
                break
            asked += 1
        assert asked
        os.kill(app.child_pid, signal.SIGUSR2)
        eventually(lambda: "SIGTERM" in app.stdout, "it has its signal")
        os.kill(app.child_pid, signal.SIGUSR2)
        assert app.wait() == 7
        (report,) = app.all_events("drain.finished")
        assert report["phases_s"]["lame_duck"] < 2.0, "not until nobody had come for 2 s"
        assert report["exchanges_finished"] == 0


def test_a_hung_app_turns_not_ready_and_comes_back() -> None:
    """It accepts, and answers nothing: a stopped process, whose kernel goes on accepting for it."""
    with starting("--ready-path", "/ready", "--ready-interval", "0.2") as (app, name):
        port = listen(app)
        assert readiness(name) == (200, "ready")
        os.kill(app.child_pid, signal.SIGSTOP)
        try:
            app.wait_event("app.not_ready", failures=3)
            assert health(name) == "not ready: no answer within 1 s\n"
            assert probed(port, KUBE) == (503, "503 Service Unavailable: not ready: no answer within 1 s\n")
        finally:
            os.kill(app.child_pid, signal.SIGCONT)
        app.wait_event("app.ready_again")
        assert health(name) == "ready\n"
        assert process_state(app.child_pid) not in (None, "Z"), "the child is left alone"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_app_that_listens_no_more_turns_not_ready_without_a_ready_path_too(workers: str) -> None:
    """Nobody asks it while all is well; from a request that finds nobody there on, it is asked until it is back."""
    script = (
        "const server=http.createServer((q,s)=>{s.setHeader('Connection','close');s.end('connections '+n)});let n=0;"
        "server.on('connection',()=>n++);server.listen(port,'127.0.0.1');"
        "process.on('SIGUSR1',()=>server.close(()=>console.log('closed')));"
        "process.on('SIGUSR2',()=>server.listen(port,'127.0.0.1'));setInterval(()=>{},1e6)"
    )
    name = new_name()
    arguments = ("--control", name, "--workers", workers, "--ready-interval", "0.05", *HEALTH)
    with node(script, *arguments) as app, Client(app.port) as client:
        assert client.get("/").body == b"connections 2", "that of the start, and this request's"
        for _ in range(20):
            assert client.get("/").status == 200
        assert client.get("/").body == b"connections 23", "none but the requests'"
        os.kill(app.child_pid, signal.SIGUSR1)
        eventually(lambda: "closed" in app.stdout, "it listens no more")
        assert readiness(name) == (200, "ready"), "which nobody has seen yet"
        with Client(app.port) as other:
            assert other.get("/").status == 502
        app.wait_event("app.not_ready", failures=3, reason="Connection refused")
        assert readiness(name) == (503, "not ready: Connection refused")
        assert probed(app.port).status == 503 or workers == "2"
        os.kill(app.child_pid, signal.SIGUSR2)
        app.wait_event("app.ready_again")
        assert health(name) == "ready\n"
        with Client(app.port) as other:
            assert other.get("/").status == 200
        os.kill(app.child_pid, signal.SIGUSR1)
        eventually(lambda: app.stdout.count("closed") == 2, "once more")
        with Client(app.port) as other:
            assert other.get("/").status == 502
        app.wait_count("app.not_ready", 2)


def test_a_respawned_worker_knows_whether_we_are_ready() -> None:
    with starting("--workers", "2", "--ready-path", "/ready", "--ready-interval", "0.1") as (app, _):
        port = listen(app)
        with Client(port) as client:
            assert client.get("/sick").status == 200
        app.wait_event("app.not_ready", failures=3)
        for index in (0, 1):
            os.kill(int(app.wait_event("worker.spawned", worker=index)["pid"]), signal.SIGKILL)
        app.wait_count("worker.spawned", 4)
        assert probed(port).status == 503


def test_a_tcp_listener_reads_no_path() -> None:
    with front("--listen", "tcp:127.0.0.1:0", *HEALTH, "--", "node", str(EXAMPLE)) as app:
        with Client(app.port) as client:
            assert client.get("/healthz").status == 404, "the app's own answer"
        assert any("--health-path changes nothing" in line for line in app.other_lines)


def test_a_health_path_is_a_path_and_wants_a_proxy() -> None:
    for arguments, part in (
        (["--listen", "0", "--health-path", "healthz", "--", "true"], b"begins with /"),
        (["--listen", "0", "--health-path", "/h?x", "--", "true"], b"no query"),
        (["--health-path", "/h", "--", "true"], b"needs --listen"),
    ):
        done = run_pyinit(*arguments)
        assert done.returncode == 2
        assert part in done.stderr

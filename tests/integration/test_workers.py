"""--workers: several proxies at one accept queue, steered and replaced by PID 1, which serves nothing itself."""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.front import EXAMPLE, Front, front, node
from tests.support.http_client import Client, eventually
from tests.support.process import children_of, process_state, status_fields

pytestmark = pytest.mark.node

TWO = ("--workers", "2", "--access-log")
SHORT = ("--stop-timeout", "4.5", "--child-timeout", "1")
# /slow is answered after 500 ms, /never never; on its SIGTERM the app says how many connections it still sees.
APP = """
const server=http.createServer((req,res)=>{
  if(req.url==='/slow'){console.log('slow begins');setTimeout(()=>res.end('slow'),500)}
  else if(req.url.startsWith('/never'))console.log('never begins');
  else res.end('hello');
});
process.on('SIGTERM',()=>setTimeout(()=>server.getConnections((_,n)=>{
  console.log('SIGTERM connections='+n);process.exit(7)}),20));
server.listen(port,'127.0.0.1');
"""


@contextmanager
def app_with_workers(*arguments: str, script: str = APP) -> Iterator[Front]:
    with node(script, *TWO, *arguments) as app:
        assert app.port
        for index in (0, 1):
            app.wait_event("worker.spawned", worker=index)
        yield app


def worker_pid(app: Front, index: int) -> int:
    """The pid of the worker that has this place now."""
    spawned = [e for e in app.events if e.get("event") == "worker.spawned" and e.get("worker") == index]
    return int(spawned[-1]["pid"])


def serving_worker(app: Front, client: Client) -> int:
    """Which worker has a connection, by its line in the access log."""
    host, port = client.sock.getsockname()
    assert client.get("/").body == b"hello"
    return int(app.wait_event("request.finished", peer=f"{host}:{port}")["worker"])


def one_client_at_each(app: Front) -> list[Client]:
    """Two idle connections, the first one at worker 0 and the second one at worker 1."""
    found: dict[int, Client] = {}

    def both() -> bool:
        client = Client(app.port)
        found.setdefault(serving_worker(app, client), client)
        return len(found) == 2

    eventually(both, "a connection at each worker")
    return [found[0], found[1]]


def exited(pid: int) -> bool:
    return process_state(pid) in (None, "Z")


def test_both_workers_serve_and_pid_1_does_not() -> None:
    with app_with_workers() as app:
        clients = one_client_at_each(app)
        assert all(client.get("/").status == 200 for client in clients)
        assert sorted(children_of(app.process.pid)) == sorted(
            [app.child_pid, worker_pid(app, 0), worker_pid(app, 1)]
        )
        assert app.stop() == 7
        assert not [e for e in app.all_events("request.finished") if "worker" not in e]


def test_a_stop_finishes_what_is_in_flight_at_every_worker_and_reports_the_sum() -> None:
    with app_with_workers(*SHORT) as app:
        port = app.port
        slow = one_client_at_each(app)
        idle = one_client_at_each(app)
        others = len([e for e in app.events if e.get("event") == "request.finished"])
        for client in slow:
            client.request("/slow")
        eventually(lambda: app.stdout.count("slow begins") == 2, "both are in the app")
        app.signal()
        app.wait_event("drain.phase_changed", phase="draining", active=2)
        for client in slow:
            answer = client.response()
            assert (answer.status, answer.body, answer.get("connection")) == (200, b"slow", "close")
            assert client.ends() == "fin"
        assert [client.ends() for client in idle] == ["fin", "fin"]
        with pytest.raises(ConnectionRefusedError):
            Client(port)
        assert app.wait() == 7
        eventually(lambda: "SIGTERM connections=0" in app.stdout, "every pool was closed before the signal")
        report = app.wait_event("drain.finished")
        assert report["exchanges_finished"] == 2
        assert 2 <= report["connections_closed_idle"] <= others
        assert report["cut_count"] == 0


def test_the_drain_deadline_cuts_what_is_left_at_every_worker_and_names_it() -> None:
    with app_with_workers("--stop-timeout", "2.5", "--child-timeout", "1", "--drain-exit-code", "99") as app:
        for index, client in enumerate(clients := one_client_at_each(app)):
            client.request(f"/never/{index}?secret=1")
        eventually(lambda: app.stdout.count("never begins") == 2, "both are in the app")
        began_s = time.monotonic()
        app.signal()
        assert [client.response().status for client in clients] == [503, 503]
        assert app.wait() == 99
        assert time.monotonic() - began_s < 2.5
        report = app.wait_event("drain.finished")
        assert report["cut_count"] == 2
        assert sorted(it["target"] for it in report["cut"]) == ["/never/0", "/never/1"]


def test_a_killed_worker_costs_its_own_connections_and_is_replaced() -> None:
    with app_with_workers() as app:
        lost, kept = one_client_at_each(app)
        before = worker_pid(app, 0)
        os.kill(before, signal.SIGKILL)
        gone = app.wait_event("worker.exited", worker=0)
        assert (gone["pid"], gone["code"]) == (before, 137)
        assert lost.ends() in ("fin", "reset")
        assert kept.get("/").status == 200
        eventually(
            lambda: app.wait_event("worker.spawned", worker=0) and has_successor(app, before), "a successor"
        )
        assert all(client.get("/").status == 200 for client in one_client_at_each(app)), "it serves"
        assert app.stop() == 7


def has_successor(app: Front, before: int) -> bool:
    with Client(app.port) as client:
        serving_worker(app, client)  # takes in events
    return worker_pid(app, 0) != before


def test_a_worker_killed_during_the_drain_counts_as_quiet_and_what_it_had_as_cut() -> None:
    with app_with_workers("--drain-exit-code", "99") as app:
        clients = one_client_at_each(app)
        for client in clients:
            client.request("/never")
        eventually(lambda: app.stdout.count("never begins") == 2, "both are in the app")
        app.signal()
        app.wait_event("drain.phase_changed", phase="draining")
        for index in (0, 1):
            os.kill(worker_pid(app, index), signal.SIGKILL)
        began_s = time.monotonic()
        assert app.wait() == 99
        assert time.monotonic() - began_s < 3, "the drain had seven seconds"
        report = app.wait_event("drain.finished")
        assert (report["cut_count"], [it["target"] for it in report["cut"]]) == (2, ["/never"] * 2)
        assert len(app.all_events("worker.spawned")) == 2, "nobody is left to be served by a successor"


def test_what_a_worker_that_hangs_in_the_drain_had_is_cut() -> None:
    with app_with_workers("--stop-timeout", "4", "--child-timeout", "1", "--drain-exit-code", "99") as app:
        clients = one_client_at_each(app)
        for client in clients:
            client.request("/never")
        eventually(lambda: app.stdout.count("never begins") == 2, "both are in the app")
        app.signal()
        app.wait_event("drain.phase_changed", phase="draining")
        for index in (0, 1):
            os.kill(worker_pid(app, index), signal.SIGSTOP)
        assert app.wait() == 99
        report = app.wait_event("drain.finished")
        assert (report["cut_count"], [it["target"] for it in report["cut"]]) == (2, ["/never"] * 2)


def test_workers_that_all_crash_as_the_stop_comes_leave_their_queue_to_a_successor() -> None:
    """A connect that the kernel has accepted for us is answered, whoever has crashed."""
    with app_with_workers() as app:
        port = app.port
        os.kill(worker_pid(app, 0), signal.SIGSTOP)
        os.kill(worker_pid(app, 1), signal.SIGSTOP)
        waiting = Client(port)
        waiting.request("/")
        for index in (0, 1):
            os.kill(worker_pid(app, index), signal.SIGKILL)
        for index in (0, 1):
            app.wait_event("worker.exited", worker=index)
        app.signal()
        answer = waiting.response()
        assert (answer.status, answer.body) == (200, b"hello")
        assert app.wait() == 7


def test_workers_end_with_pid_1() -> None:
    with app_with_workers() as app:
        pids = [worker_pid(app, 0), worker_pid(app, 1)]
        clients = one_client_at_each(app)
        child = app.child_pid
        app.process.kill()
        eventually(lambda: all(exited(pid) for pid in pids), "both are gone")
        assert all(client.ends() in ("fin", "reset") for client in clients)
        os.kill(child, signal.SIGKILL)
        app.wait()


def test_a_stopped_worker_ends_with_pid_1_too() -> None:
    """It cannot see its link's end; the kernel's parent death signal does it."""
    with app_with_workers() as app:
        pid, child = worker_pid(app, 0), app.child_pid
        os.kill(pid, signal.SIGSTOP)
        app.process.kill()
        eventually(lambda: exited(pid), "gone")
        os.kill(child, signal.SIGKILL)
        app.wait()


def test_no_signal_but_sigkill_ends_a_worker() -> None:
    """Ctrl-C and a platform's SIGTERM to every process reach PID 1 alone: the connections are drained, not cut."""
    with app_with_workers() as app:
        pid = worker_pid(app, 0)
        assert os.getpgid(pid) == pid
        blocked = int(status_fields(pid, ["SigBlk"])["SigBlk"], 16)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
            assert blocked & 1 << (signum - 1)
            os.kill(pid, signum)
        clients = one_client_at_each(app)
        assert all(client.get("/").status == 200 for client in clients)
        assert worker_pid(app, 0) == pid
        assert app.stop() == 7


def test_the_limit_on_connections_holds_for_all_workers_together() -> None:
    with app_with_workers("--max-connections", "3") as app:
        clients = [Client(app.port) for _ in range(5)]
        for client in clients:
            client.request("/")
        answered: list[Client] = []

        def three() -> bool:
            answered[:] = [client for client in clients if has_data(client)]
            return len(answered) == 3

        eventually(three, "three are served")
        app.wait_event("listener.at_limit", max_connections=1)
        app.wait_event("listener.at_limit", max_connections=2)
        for client in answered:
            assert client.response().status == 200
            client.close()
        for client in clients:
            if client not in answered:
                assert client.response().status == 200
        assert app.stop() == 7


def has_data(client: Client) -> bool:
    return bool(select.select([client.sock], [], [], 0)[0])


def test_a_unix_listener_is_unlinked_once(tmp_path: Path) -> None:
    path = tmp_path / "front"
    with front("--listen", f"unix:{path}", *TWO, "--", "node", str(EXAMPLE)) as app:
        app.wait_event("app.ready")
        with Client.unix(str(path)) as client:
            assert client.get("/").status == 200
        assert app.stop() == 0
        assert not path.exists()
        assert not app.all_events("listener.unlink_failed")


def test_a_sidecar_has_workers_too() -> None:
    with (
        front("--listen", "127.0.0.1:0", "--", "node", str(EXAMPLE)) as app,
        front("--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{app.port}", *TWO) as sidecar,
    ):
        with Client(sidecar.port) as client:
            assert client.get("/").status == 200
        slow = Client(sidecar.port)
        slow.request("/slow?ms=500")
        with Client(sidecar.port) as client:
            assert client.get("/").status == 200
        sidecar.signal()
        answer = slow.response()
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert sidecar.wait() == 0
        assert sidecar.wait_event("drain.finished")["exchanges_finished"] == 1


def test_an_app_that_exits_by_itself_ends_all_with_its_code() -> None:
    with app_with_workers() as app:
        clients = one_client_at_each(app)
        for client in clients:
            client.request("/never")
        eventually(lambda: app.stdout.count("never begins") == 2, "both are in the app")
        os.kill(app.child_pid, signal.SIGKILL)
        assert [client.response().status for client in clients] == [502, 502]
        assert app.wait() == 137


def test_a_stop_before_the_app_is_ready_ends_the_workers() -> None:
    script = "process.on('SIGTERM',()=>process.exit(5));console.log('up');setInterval(()=>{},1e6)"
    with node(script, *TWO) as app:
        pids = [int(app.wait_event("worker.spawned", worker=index)["pid"]) for index in (0, 1)]
        eventually(lambda: "up" in app.stdout, "the app runs")
        assert app.stop() == 5
        eventually(lambda: all(exited(pid) for pid in pids), "both are gone")

"""The operator's sockets: their names, their files, and nothing of them where it was not asked for."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.front import EXAMPLE, Front, example, front, node
from tests.support.http_client import Client, eventually
from tests.support.operator import ask, control, health, new_name, readiness, status
from tests.support.proc_figures import figures_of

pytestmark = pytest.mark.node


def test_the_control_and_the_health_socket_answer_under_their_name() -> None:
    name = new_name()
    with example("--control", name) as app:
        assert app.port
        assert app.wait_event("control.listening")["address"] == name
        assert health(name) == "ready\n"
        assert readiness(name) == (200, "ready")
        assert ask(name, "/livez").body == b"alive\n"
        seen = status(name)
        assert (seen["pid"], seen["phase"], seen["child"]["pid"]) == (
            app.process.pid,
            "serving",
            app.child_pid,
        )
        assert app.stop() == 0


def test_a_name_that_is_taken_gets_a_suffix_that_is_logged() -> None:
    name = new_name()
    with example("--control", name) as first:
        first.wait_event("control.listening")
        with example("--control", name) as second:
            _assert_names(name, first, second)


def _assert_names(name: str, first: Front, second: Front) -> None:
    assert first.port
    assert second.port
    listening = second.wait_event("control.listening")
    assert (listening["address"], listening["taken"]) == (f"{name}-2", name)
    with example("--control", name) as third:
        assert third.wait_event("control.listening")["address"] == f"{name}-3"
    for suffix, app in (("", first), ("-2", second)):
        assert status(name + suffix)["pid"] == app.process.pid
        assert health(name + suffix) == "ready\n"
    assert first.stop() == 0
    with example("--control", name) as next_one:
        assert next_one.wait_event("control.listening")["address"] == name, "it is free again"


def test_runs_that_start_at_once_have_a_name_each() -> None:
    name = new_name()
    runs = [Front(["--listen", "127.0.0.1:0", "--control", name, "--", "sleep", "1000"]) for _ in range(4)]
    try:
        names = {str(run.wait_event("control.listening")["address"]): run for run in runs}
        assert set(names) == {name, f"{name}-2", f"{name}-3", f"{name}-4"}
        for one, run in names.items():
            assert status(one)["pid"] == run.process.pid
    finally:
        for run in runs:
            run.close()


def test_a_health_name_that_is_taken_moves_both() -> None:
    """Or a health check would be answered by somebody else's."""
    name = new_name()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("\0" + name[1:] + ".health")
        with example("--control", name) as app:
            assert app.wait_event("control.listening")["address"] == f"{name}-2"
            assert health(f"{name}-2").startswith(("ready\n", "not ready: starting: "))


def test_off_is_off() -> None:
    with example("--control", "off") as app:
        assert app.port
        assert not [e for e in app.events if str(e.get("event")).startswith(("control.", "admin."))]
        inodes = {inode for _, inode in _sockets_of(app.process.pid)}
        assert not [row for row in _unix_rows() if row["inode"] in inodes and row["path"].startswith("@")]


def test_the_variable_means_the_same() -> None:
    name = new_name()
    with example(env={"PYINIT_CONTROL": name}) as app:
        assert app.port
        assert health(name) == "ready\n"
    with example(env={"PYINIT_CONTROL": "off"}) as app:
        assert app.port
        assert not [e for e in app.events if e.get("event") == "control.listening"]


def test_a_path_has_its_health_beside_it_and_both_are_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with example("--control", str(path)) as app:
        assert app.port
        assert app.wait_event("control.listening")["address"] == f"unix:{path}"
        with Client.unix(str(path)) as client:
            assert client.get("/readyz").status == 200
        with Client.unix(str(path) + ".health") as client:
            assert client.until(b"\n") == b"ready\n"
        assert app.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with example("--control", f"unix:{path}") as app:
        assert app.port
        child = app.child_pid
        app.process.kill()
        app.wait()
        os.kill(child, signal.SIGKILL)
    assert path.is_socket()
    with example("--control", f"unix:{path}") as app:
        assert app.port
        with Client.unix(str(path)) as client:
            assert client.get("/readyz").status == 200


def test_what_is_no_left_over_socket_is_left_alone(tmp_path: Path) -> None:
    """A file with something in it, a socket with somebody behind it, and one that is bound and not listening yet."""
    for kind in ("file", "listening", "bound"):
        path = tmp_path / kind
        with socket.socket(socket.AF_UNIX) as other:
            if kind == "file":
                path.write_text("precious")
            else:
                other.bind(str(path))
                if kind == "listening":
                    other.listen()
            before = path.stat().st_ino
            with example("--control", str(path)) as app:
                assert app.port, "it runs all the same"
                failed = app.wait_event("control.failed")
                assert failed["reason"] == "Address already in use"
            assert path.stat().st_ino == before
    assert (tmp_path / "file").read_text() == "precious"


def test_a_file_that_another_run_has_put_there_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with example("--control", str(path)) as app:
        assert app.port
        path.unlink()
        path.write_text("another's")
        assert app.stop() == 0
    assert path.read_text() == "another's"


def test_a_place_that_cannot_be_had_is_no_reason_not_to_run(tmp_path: Path) -> None:
    with example("--control", str(tmp_path / "no" / "such"), "--admin", "192.0.2.1:1") as app:
        with Client(app.port) as client:
            assert client.get("/").status == 200
        assert app.wait_event("control.failed")["reason"] == "No such file or directory"
        assert app.wait_event("admin.failed")["reason"] == "Cannot assign requested address"
        assert app.stop() == 0


def test_a_host_that_no_name_can_be_is_no_reason_not_to_run_either() -> None:
    with example("--control", "off", "--admin", f"{'x' * 70}.example:1") as app:
        assert app.port
        assert "label" in app.wait_event("admin.failed")["reason"]
        assert app.stop() == 0


@pytest.mark.parametrize("option", ["--control", "--admin"])
def test_over_tcp_it_can_be_read_alone(option: str) -> None:
    event = "control.listening" if option == "--control" else "admin.listening"
    with example(option, "127.0.0.1:0") as app:
        assert app.port
        port = int(app.wait_event(event)["address"].rpartition(":")[2])

        def asked(target: str, method: str = "GET", host: str = "localhost") -> tuple[int, str]:
            with Client(port) as client:
                client.send(f"{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
                answer = client.response(method=method)
                return answer.status, answer.body.decode()

        assert asked("/readyz") == (200, "ready\n")
        assert asked("/status")[0] == 200
        assert asked("/status", "HEAD") == (200, "")
        for target in ("/drain", "/stop", "/log-level", "/status"):
            assert asked(target, "POST") == (403, "over TCP this can be read, not ordered\n")
        assert asked("/status", host="evil.example")[0] == 421, "DNS rebinding"
        assert asked("/status", host="127.0.0.1")[0] == 200
        with Client(port) as client:
            client.send(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert client.response().status == 200, "no browser"
        assert app.process.poll() is None
        assert app.stop() == 0


def test_a_method_and_a_path_that_are_not_there_are_said_to_be() -> None:
    name = new_name()
    with example("--control", name) as app:
        assert app.port
        missing = ask(name, "/nope")
        assert missing.status == 404
        lines = missing.body.decode().splitlines()[1:]
        assert {"GET /livez", "GET /readyz", "GET /status", "POST /drain", "POST /stop"} <= set(lines)
        wrong = ask(name, "/drain")
        assert (wrong.status, wrong.get("allow"), wrong.body) == (405, "POST", b"/drain takes POST\n")
        assert ask(name, "/status", method="POST").status == 405
        head = ask(name, "/readyz", method="HEAD")
        assert (head.status, head.get("content-length"), head.body) == (200, "6", b"")
        for field, value in (("cache-control", "no-store"), ("server", "pyinit")):
            assert head.get(field) == value
        assert status(name)["phase"] == "serving"


def test_nothing_of_it_is_on_the_public_listener() -> None:
    name = new_name()
    with node(
        "http.createServer((q,s)=>{s.statusCode=418;s.end('app '+q.url)}).listen(port,'127.0.0.1')",
        "--control",
        name,
    ) as app:
        assert app.port
        assert status(name)["pid"] == app.process.pid
        with Client(app.port) as client:
            for target in ("/livez", "/readyz", "/status", "/metrics", "/", "/nope"):
                assert client.get(target).body.decode() == f"app {target}"
            for target in ("/drain", "/stop", "/log-level"):
                assert client.get(target, method="POST").status == 418
        assert status(name)["phase"] == "serving"


def test_before_somebody_asks_nothing_is_loaded_and_no_thread_is_there() -> None:
    name = new_name()
    with example("--control", name) as app:
        assert app.port
        assert health(name) == "ready\n"
        before = figures_of(app.process.pid)
        assert before.threads == 1
        assert "aiohttp" not in _mapped(app.process.pid)
        assert status(name)["phase"] == "serving"
        assert "aiohttp" in _mapped(app.process.pid)
        eventually(lambda: figures_of(app.process.pid).threads == 1, "the thread that loaded it is gone")
        assert app.stop() == 0


def test_the_sockets_are_there_while_the_app_starts_and_in_a_sidecar() -> None:
    name = new_name()
    with front("--listen", "127.0.0.1:0", "--control", name, "--", "sleep", "1000") as app:
        app.wait_event("control.listening")
        eventually(lambda: health(name) == "not ready: starting: Connection refused\n", "it was asked once")
        assert readiness(name) == (503, "not ready: starting: Connection refused")
        assert status(name)["phase"] == "starting"
        sidecar = new_name()
        with front("--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--control", sidecar) as other:
            other.wait_event("control.listening")
            seen = status(sidecar)
            assert (seen["mode"], seen["child"], seen["phase"]) == ("sidecar", None, "starting")
            assert other.stop() == 0


def test_the_workers_do_not_have_them() -> None:
    name = new_name()
    with front(
        "--listen", "127.0.0.1:0", "--workers", "2", "--control", name, "--", "node", str(EXAMPLE)
    ) as app:
        assert app.port
        pids = [int(app.wait_event("worker.spawned", worker=index)["pid"]) for index in (0, 1)]
        with control(name) as client:
            assert client.get("/readyz").status == 200
            inodes = {row["inode"] for row in _unix_rows() if row["path"].startswith(name)}
            assert inodes
            for pid in pids:
                assert not inodes & {target for _, target in _sockets_of(pid)}
        assert app.stop() == 0


def _mapped(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def _sockets_of(pid: int) -> list[tuple[str, str]]:
    """Descriptor and inode."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = str(entry.readlink())
        if target.startswith("socket:["):
            found.append((entry.name, target[8:-1]))
    return found


def _unix_rows() -> list[dict[str, str]]:
    rows = [line.split(maxsplit=7) for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [{"inode": row[6], "path": row[7] if len(row) > 7 else ""} for row in rows]

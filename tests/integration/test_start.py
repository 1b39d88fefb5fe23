"""The start: what is bound, told and found out before and until the app is ready. Each failure is one clear line."""

import os
import resource
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support.front import EXAMPLE, Front, example, front, node
from tests.support.http_client import Client, eventually, free_port

pytestmark = pytest.mark.node

HELLO = "http.createServer((q,s)=>s.end('hello')).listen(port,'127.0.0.1');"


def the_line(app: Front) -> str:
    """The only line of stderr."""
    app.all_events("")
    assert not app.events, app.events
    assert len(app.other_lines) == 1, app.other_lines
    return app.other_lines[0]


def test_a_taken_port_fails_before_the_app_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with front("--listen", f"127.0.0.1:{port}", "--", "node", "-e", "console.log('started')") as app:
            assert app.wait() == 125
            assert "taken" in the_line(app)
            assert str(port) in the_line(app)
            assert not app.stdout


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("203.0.113.7:8080", "no interface"),
        ("no.such.host.invalid:8080", "no such address"),
        ("8080x", "not accepted"),
        ("::1:80", "brackets"),
        ("99999", "65535"),
        ("env:NOT_SET", "NOT_SET"),
        ("unix:relative", "absolute"),
    ],
)
def test_a_wrong_address_is_one_line_and_exit_2(address: str, word: str) -> None:
    with front("--listen", address, "--", "true") as app:
        assert app.wait() == 2
        assert word in the_line(app)
        assert address in the_line(app)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--listen", "8080", "--upstream", "8080", "--", "true"), "same port"),
        (("--listen", "8080"), "--upstream"),
        (("--upstream", "8080", "--", "true"), "--listen"),
        (("--listen", "0", "--stop-timeout", "10", "--drain-delay", "8", "--", "true"), "--drain-delay"),
        (("--listen", "0", "--stop-timeout", "10", "--child-timeout", "20", "--", "true"), "--child-timeout"),
        (("--listen", "0", "--stop-timeout", "10", "--close-spread", "8", "--", "true"), "--close-spread"),
        (("--listen", "0", "--trust", "10.0.0.0/99", "--", "true"), "prefix"),
        (("--listen", "0", "--no-such", "--", "true"), "no such option"),
        (("--listen", "0", "--stop-signals", "KILL", "--", "true"), "catch"),
        (("--listen", "0", "--rewrite", "CHLD:TERM", "--", "true"), "A:B"),
        (("--listen", "0", "--port-env=", "--", "true"), "--port-env"),
        (("--listen", "0", "--upstream=", "--", "true"), "auto"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(arguments: tuple[str, ...], word: str) -> None:
    with front(*arguments) as app:
        assert app.wait() == 2
        assert word in the_line(app)


def test_a_connect_is_refused_until_the_app_is_ready() -> None:
    port = free_port()
    script = f"process.on('SIGUSR2',()=>{{{HELLO}}});setInterval(()=>{{}},1e6);console.log('up')"
    with front(
        "--listen",
        str(port),
        "--",
        "node",
        "-e",
        "const http=require('http'),port=process.env.PORT;" + script,
    ) as app:
        eventually(lambda: "up" in app.stdout, "the app runs")
        with pytest.raises(ConnectionRefusedError):
            Client(port)
        os.kill(app.child_pid, signal.SIGUSR2)
        app.wait_event("app.ready")
        with Client(port) as client:
            assert client.get("/").body == b"hello"


def test_a_bare_port_listens_on_both_families() -> None:
    port = free_port()
    with front("--listen", str(port), "--", "node", str(EXAMPLE)) as app:
        app.wait_event("app.ready")
        with Client(port) as client:
            assert client.get("/").status == 200
        with socket.create_connection(("::1", port)) as sock:
            sock.sendall(b"GET /headers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            data = b"".join(iter(lambda: sock.recv(65536), b""))
            assert b'"X-Forwarded-For","::1"' in data


def test_the_port_can_be_in_a_variable_and_several_listeners_lead_to_one_app(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "public.sock"
    arguments = ("--listen", "env:WEB_PORT", "--listen", f"unix:{path}", "--", "node", str(EXAMPLE))
    with front(*arguments, env={"WEB_PORT": str(port)}) as app:
        app.wait_event("app.ready")
        bodies = set()
        for client in (Client(port), Client.unix(str(path))):
            bodies.add(client.get("/").body)
        assert len(bodies) == 1
        assert app.stop() == 0
        assert not path.exists(), "a unix listener is unlinked"


def test_a_tcp_listener_relays_bytes_with_half_close() -> None:
    script = """net.createServer({allowHalfOpen:true},s=>{let n=0;s.on('data',d=>n+=d.length);
      s.on('end',()=>s.end('got '+n))}).listen(port,'127.0.0.1')"""
    prologue = "const net=require('net'),port=process.env.PORT;"
    with front("--listen", "tcp:127.0.0.1:0", "--", "node", "-e", prologue + script) as app:
        with Client(app.port) as client:
            client.send(b"\x00\x01not http\r\n" * 10_000)
            client.sock.shutdown(socket.SHUT_WR)
            assert client.until(b"0").startswith(b"got 120000"[:4])
            assert client.ends() == "fin"
        assert app.stop() == 143


def test_an_app_with_a_port_of_its_own_and_an_app_on_a_unix_socket(tmp_path: Path) -> None:
    port = free_port()
    script = (
        f"require('http').createServer((q,s)=>s.end(String(process.env.PORT))).listen({port},'127.0.0.1')"
    )
    arguments = ("--listen", "127.0.0.1:0", "--upstream", str(port), "--", "node", "-e", script)
    with front(*arguments) as app, Client(app.port) as client:
        assert client.get("/").body == b"undefined", "PORT is set for auto alone"
    path = tmp_path / "app.sock"
    script = f"require('http').createServer((q,s)=>s.end('unix')).listen('{path}')"
    arguments = ("--listen", "127.0.0.1:0", "--upstream", f"unix:{path}", "--", "node", "-e", script)
    with front(*arguments) as app, Client(app.port) as client:
        assert client.get("/").body == b"unix"


def test_the_port_variable_can_have_another_name() -> None:
    script = (
        "http.createServer((q,s)=>s.end(String(process.env.PORT))).listen(process.env.APP_PORT,'127.0.0.1')"
    )
    with node(script, "--port-env", "APP_PORT", env={"PORT": "9"}) as app, Client(app.port) as client:
        assert client.get("/").body == b"9", "PORT is handed on as it was"


def test_our_descriptor_limit_is_raised_and_the_apps_is_not() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    prologue = "const http=require('http'),port=process.env.PORT;"
    with front(
        "--listen",
        "127.0.0.1:0",
        "--",
        "sh",
        "-c",
        'ulimit -Sn; exec node -e "$0"',
        prologue + HELLO,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard)),
    ) as app:
        assert app.port
        assert app.stdout.split()[0] == "512"
        soft = next(
            line.split()[3]
            for line in Path(f"/proc/{app.process.pid}/limits").read_text().splitlines()
            if line.startswith("Max open files")
        )
        assert int(soft) == min(hard, 1 << 20)


def test_an_app_that_exits_at_once_is_one_line_and_its_code() -> None:
    with front("--listen", "127.0.0.1:0", "--", "node", "-e", "process.exit(3)") as app:
        assert app.wait() == 3
        (event,) = app.all_events("child.exited_early")
        assert event["code"] == 3
        assert "before it listened" in event["reason"]


@pytest.mark.parametrize(("command", "code"), [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_run_is_one_line_and_tinis_code(command: str, code: int) -> None:
    with front("--listen", "127.0.0.1:0", "--", command) as app:
        assert app.wait() == code
        (event,) = app.all_events("start.failed")
        assert command in event["reason"]


def test_an_app_that_takes_the_public_port_itself_fails_and_the_line_says_whose_it_is() -> None:
    port = free_port()
    script = f"require('http').createServer().listen({port})"
    with front("--listen", str(port), "--", "node", "-e", script) as app:
        assert app.wait() == 1
        assert any("EADDRINUSE" in line for line in app.other_lines), "Node's own words"
        (event,) = app.all_events("child.exited_early")
        assert "the public port, that is ours" in event["reason"]
        assert "--upstream" in event["reason"]


@pytest.mark.slow
def test_an_app_that_listens_elsewhere_is_told_where() -> None:
    port = free_port()
    with front(
        "--listen",
        "127.0.0.1:0",
        "--start-timeout",
        "1",
        "--",
        "node",
        "-e",
        f"require('http').createServer().listen({port},'127.0.0.1')",
    ) as app:
        event = app.wait_event("app.not_ready")
        assert f"listens on port {port}, not on $PORT: give --upstream {port}" in event["reason"]


def test_an_app_that_never_listens_is_warned_about_and_stopped_where_required() -> None:
    with front(
        "--listen", "127.0.0.1:0", "--start-timeout", "0.5", "--", "node", "-e", "setInterval(()=>{},1e6)"
    ) as app:
        app.wait_event("app.not_ready")
        assert app.process.poll() is None
        assert app.stop() == 143
    with front(
        "--listen",
        "127.0.0.1:0",
        "--start-timeout",
        "0.5",
        "--start-required",
        "--",
        "node",
        "-e",
        "setInterval(()=>{},1e6)",
    ) as app:
        assert app.wait() == 124
        app.wait_event("start.timed_out")


def test_a_stolen_port_is_found_out_and_nothing_is_sent_to_the_thief() -> None:
    """Another process listens where the app was to: with --upstream fixed, as auto's port cannot be foreseen."""
    with socket.create_server(("127.0.0.1", 0)) as thief:
        thief.settimeout(0.2)
        port = thief.getsockname()[1]
        with front(
            "--listen", "127.0.0.1:0", "--upstream", str(port), "--", "node", "-e", "setInterval(()=>{},1e6)"
        ) as app:
            event = app.wait_event("upstream.stranger")
            assert "another process" in event["reason"]
            assert app.process.poll() is None
            assert not [e for e in app.events if e["event"] == "app.ready"]
            app.stop()


def test_an_app_that_daemonises_is_no_stranger() -> None:
    """Reparented to us, its listener is nobody's but the app's."""
    script = f"(node {EXAMPLE} &) ; exec sleep 60"
    with front("--listen", "127.0.0.1:0", "--", "sh", "-c", script) as app:
        pid = 0
        with Client(app.port) as client:
            pid = int(client.get("/").body.split()[-1].rstrip(b"."))
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(app.process.pid)
        assert not [e for e in app.events if e["event"] == "upstream.stranger"]
        app.stop()
        os.kill(pid, signal.SIGKILL)


def test_an_app_that_can_be_reached_past_the_proxy_is_warned_about() -> None:
    with node("http.createServer((q,s)=>s.end('x')).listen(port)") as app:
        assert app.port
        event = app.wait_event("upstream.exposed")
        assert "127.0.0.1" in event["reason"]


def test_the_off_switch_gives_the_app_its_port_back() -> None:
    port = free_port()
    script = "process.on('SIGTERM',()=>process.exit(6));" + HELLO
    prologue = "const http=require('http'),port=process.env.PORT;"
    with front(
        "--listen", f"127.0.0.1:{port}", "--", "node", "-e", prologue + script, env={"PYINIT_FRONT": "off"}
    ) as app:

        def answers() -> bool:
            try:
                with Client(port) as client:
                    return client.get("/").body == b"hello"
            except ConnectionRefusedError:
                return False

        eventually(answers, "the app itself answers on the public port")
        assert app.stop() == 6
        assert not app.events, "no proxy, no events"


@pytest.mark.parametrize(
    "arguments", [("--listen", "8080", "--upstream", "3000"), ("--listen", "unix:/x"), ("--listen", "0")]
)
def test_the_off_switch_is_refused_where_nothing_would_listen(arguments: tuple[str, ...]) -> None:
    with front(*arguments, "--", "true", env={"PYINIT_FRONT": "off"}) as app:
        assert app.wait() == 2
        assert "PYINIT_FRONT=off" in the_line(app)


def test_a_unix_listener_leaves_no_file_and_is_taken_while_its_app_still_starts(tmp_path: Path) -> None:
    path = tmp_path / "public.sock"
    with front("--listen", f"unix:{path}", "--", "node", "-e", "setInterval(()=>{},1e6)") as first:
        first.wait_event("child.spawned")
        with front("--listen", f"unix:{path}", "--", "true") as second:
            assert second.wait() == 125
            assert "in use" in the_line(second)
        first.stop()
    assert not path.exists()


def test_an_app_that_answers_badly_is_not_ready_with_what_it_answered() -> None:
    script = "http.createServer((q,s)=>{s.statusCode=500;s.end()}).listen(port,'127.0.0.1')"
    with node(script, "--ready-path", "/h", "--start-timeout", "1") as app:
        assert app.wait_event("app.not_ready")["reason"] == "/h answers 500"


def test_readiness_by_path_and_an_app_that_hangs_and_comes_back() -> None:
    script = """let ok=false;setTimeout(()=>ok=true,150);process.on('SIGUSR2',()=>ok=!ok);
      http.createServer((q,s)=>{s.statusCode=q.url==='/healthz'&&!ok?503:200;s.end()}).listen(port,'127.0.0.1')"""
    with node(script, "--ready-path", "/healthz", "--ready-interval", "0.1") as app:
        port = app.port
        os.kill(app.child_pid, signal.SIGUSR2)
        event = app.wait_event("app.not_ready")
        assert event["reason"] == "/healthz answers 503"
        with Client(port) as client:
            assert client.get("/").status == 200, "the child is left alone"
        os.kill(app.child_pid, signal.SIGUSR2)
        app.wait_event("app.ready_again")


@pytest.mark.parametrize(
    ("env", "platform", "stop_s", "delay_s"),
    [
        ({}, "docker", 10, 0),
        ({"ECS_CONTAINER_METADATA_URI_V4": "x"}, "ecs", 30, 5),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes", 30, 5),
        ({"K_SERVICE": "web"}, "cloudrun", 10, 0),
        ({"DYNO": "web.1"}, "heroku", 30, 0),
        ({"FLY_MACHINE_ID": "x"}, "fly", 5, 0),
    ],
)
def test_the_platform_and_the_assumed_budget_are_said(
    env: dict[str, str], platform: str, stop_s: float, delay_s: float
) -> None:
    with front("--listen", "127.0.0.1:0", "--", "true", env=env) as app:
        event = app.wait_event("platform.found")
        assert (event["platform"], event["stop_timeout_s"], event["drain_delay_s"]) == (
            platform,
            stop_s,
            delay_s,
        )
        assert "assumed" in event["note"]
        if platform == "heroku":
            assert "the app hears it too" in app.wait_event("platform.note")["text"]


def test_a_budget_that_is_given_is_not_called_assumed() -> None:
    with front("--listen", "127.0.0.1:0", "--stop-timeout", "7", "--", "true") as app:
        event = app.wait_event("platform.found", stop_timeout_s=7)
        assert "note" not in event


def test_a_restart_on_the_same_port_is_not_hindered_by_connections_just_closed() -> None:
    port = free_port()
    for _ in range(2):
        with front("--listen", f"127.0.0.1:{port}", "--", "node", str(EXAMPLE)) as app:
            app.wait_event("app.ready")
            client = Client(port)
            assert client.get("/").status == 200
            assert app.stop() == 0
            assert client.ends() == "fin"


def test_the_app_is_execd_while_we_still_load() -> None:
    began_s = time.monotonic()
    with example() as app:
        spawned = app.wait_event("child.spawned")
        assert spawned["pid"] == app.child_pid
        assert time.monotonic() - began_s < 20


def test_openssl_is_loaded_by_neither_pid_1_nor_a_worker() -> None:
    """Four megabytes of each, and a tenth of the time to ready."""
    with example("--workers", "2") as app:
        app.wait_event("app.ready")
        pids = [app.process.pid, *workers_of(app)]
        assert len(pids) == 3
        for pid in pids:
            maps = Path(f"/proc/{pid}/maps")
            eventually(
                lambda maps=maps: "loop" in maps.read_text(),
                "a worker, which is not waited for, has its loop",
            )
            assert "libcrypto" not in maps.read_text()


def workers_of(app: Front) -> list[int]:
    """Children that are Python, as the app is Node."""
    children = [
        int(word)
        for word in Path(f"/proc/{app.process.pid}/task/{app.process.pid}/children").read_text().split()
    ]
    return [pid for pid in children if b"pyinit.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]

"""/metrics of a real pyinit, held against what is known of it: idle, under load, in a drain, with workers."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from tests.support import promtool
from tests.support.front import DEADLINE_S, Front, node
from tests.support.http_client import Client, Response, free_port
from tests.support.proc_figures import KIB, MIB
from tests.support.process import eventually, pyinit_command, pyinit_environment

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.node
needs_promtool = pytest.mark.skipif(promtool.refusal() is not None, reason=str(promtool.refusal()))

CONTROL = ("--control", "@pyinit-metrics-test")
OPENMETRICS = "Accept: application/openmetrics-text;version=1.0.0"
APP = """
http.createServer((req,res)=>{
  if(req.url==='/never')return;
  if(req.url==='/half'){res.writeHead(200,{'content-length':10});res.write('12345');return}
  if(req.url==='/error'){res.statusCode=500;res.end('no');return}
  if(req.url==='/echo'){res.setHeader('content-length',1000);req.pipe(res);return}
  res.end('hello');
}).listen(port,'127.0.0.1');
process.on('SIGTERM',()=>setTimeout(()=>process.exit(0),process.env.LINGER_MS||0));
"""


def control_of(app: Front) -> str:
    """Where its control socket is."""
    return str(app.wait_event("control.listening")["address"])


class Scraper:
    """One connection to a control socket."""

    def __init__(self, address: str) -> None:
        self._client = Client.unix("\0" + address.removeprefix("@"))

    def ask(self, *fields: str) -> Response:
        answer = self._client.get("/metrics", *fields)
        assert answer.status == 200, answer
        return answer

    def samples(self) -> dict[str, float]:
        """Every sample, by its name and labels."""
        return _samples(self.ask().body, text)

    def close(self) -> None:
        self._client.close()


def _samples(body: bytes, parse: Callable[[str], object]) -> dict[str, float]:
    found = {}
    for family in parse(body.decode()):  # type: ignore[attr-defined]
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def pss_bytes(pid: int) -> int:
    """Its memory, what it shares with others by parts."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert found is not None
    return int(found[1]) * KIB


def counters(samples: dict[str, float]) -> dict[str, float]:
    """Those that may never go down."""
    return {
        name: value
        for name, value in samples.items()
        if name.partition("{")[0].endswith(("_total", "_bucket", "_sum", "_count"))
    }


def test_figures_are_those_of_what_happened() -> None:
    with node(APP, *CONTROL) as app:
        client = Client(app.port)
        scraper = Scraper(control_of(app))
        assert client.get("/").body == b"hello"
        assert client.get("/error").status == 500
        client.request("/echo", "Content-Length: 1000", method="POST", body=b"x" * 1000)
        assert len(client.response().body) == 1000
        refused = Client(app.port)
        refused.send(b"GET / HTTP/1.1\r\n\r\n")
        assert refused.response().status == 400
        left = Client(app.port)
        left.request("/half")
        left.until(b"12345")
        now = scraper.samples()
        assert now['pyinit_in_flight{kind="exchange"}'] == 1
        assert 0 < now["pyinit_oldest_in_flight_seconds"] < DEADLINE_S
        assert now['pyinit_upstream_connections{state="active"}'] == 1
        assert now["pyinit_sent_bytes_total"] == len("hello") + len("no") + 1000 + 5, "while it runs"
        left.reset()
        eventually(lambda: scraper.samples()["pyinit_requests_abandoned_total"])
        now = scraper.samples()
        assert now["pyinit_ready"] == 1
        assert now["pyinit_connections_accepted_total"] == 3
        assert now["pyinit_requests_total"] == 4
        assert now["pyinit_requests_refused_total"] == 1
        assert now["pyinit_requests_abandoned_total"] == 1
        assert now['pyinit_responses_total{status="2xx"}'] == 3
        assert now['pyinit_responses_total{status="4xx"}'] == 1
        assert now['pyinit_responses_total{status="5xx"}'] == 1
        assert now["pyinit_request_duration_seconds_count"] == 4
        assert now['pyinit_request_duration_seconds_bucket{le="+Inf"}'] == 4
        assert now["pyinit_app_wait_seconds_count"] == 4
        assert now["pyinit_received_bytes_total"] == 1000
        assert now['pyinit_in_flight{kind="exchange"}'] == 0
        assert now['pyinit_upstream_failures_total{at="connect"}'] == 0
        assert now["pyinit_processes_reaped_total"] == 0
        for one in (client, refused, left, scraper):
            one.close()


def test_a_scraper_over_tcp_gets_openmetrics_where_it_asks_for_it() -> None:
    with node(APP, "--control", "off", "--admin", "127.0.0.1:0") as app:
        assert app.port
        port = int(app.wait_event("admin.listening")["address"].rpartition(":")[2])
        with Client(port) as client:
            answers = []
            for accept in ("Accept: */*", OPENMETRICS):
                client.send(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n\r\n".encode())
                answers.append(client.response())
        plain, other = answers
        assert plain.get("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        assert str(other.get("content-type")).startswith("application/openmetrics-text; version=1.0.0")
        assert _samples(plain.body, text).keys() == _samples(other.body, openmetrics).keys()


def test_nothing_of_it_is_loaded_before_somebody_asks() -> None:
    """A run that nobody looks at has some 20 MiB, and one that was asked may have 44 at the most (design 10)."""
    with node(APP, *CONTROL) as app:
        assert app.port

        def has_loaded() -> bool:
            with open(f"/proc/{app.process.pid}/maps") as maps:  # noqa: PTH123  a file of /proc
                return "aiohttp" in maps.read()

        assert not has_loaded()
        scraper = Scraper(control_of(app))
        scraper.ask()
        assert has_loaded()
        assert pss_bytes(app.process.pid) < 44 * MIB
        scraper.close()


@needs_promtool
def test_promtool_has_nothing_to_say_idle_under_load_and_in_a_drain() -> None:
    with node(APP, *CONTROL, "--stop-timeout", "60", "--drain-delay", "0") as app:
        port = app.port
        scraper = Scraper(control_of(app))
        assert promtool.lint(scraper.ask().body) == ""
        is_over = threading.Event()

        def load() -> None:
            with Client(port) as client:
                while not is_over.is_set():
                    client.get("/")

        clients = [threading.Thread(target=load) for _ in range(2)]
        for thread in clients:
            thread.start()
        try:
            eventually(lambda: scraper.samples()["pyinit_requests_total"] > 100)
            busy = scraper.ask().body
        finally:
            is_over.set()
            for thread in clients:
                thread.join(DEADLINE_S)
        assert promtool.lint(busy) == ""
        held = Client(port)
        held.request("/never")
        eventually(lambda: scraper.samples()['pyinit_in_flight{kind="exchange"}'] == 1)
        app.signal()
        app.wait_event("drain.phase_changed", phase="draining")
        draining = scraper.ask().body
        assert promtool.lint(draining) == ""
        assert _samples(draining, text)['pyinit_phase{phase="draining"}'] == 1
        held.reset()
        assert app.wait() == 0
        scraper.close()


def test_a_drain_is_told_of_as_it_runs_and_what_it_cut_until_the_end() -> None:
    """The app takes its time to leave, so that there is a last look."""
    arguments = ("--stop-timeout", "30", "--child-timeout", "20", "--drain-delay", "0", "--idle-grace", "0")
    with node(APP, *CONTROL, *arguments, env={"LINGER_MS": "600000"}) as app:
        scraper = Scraper(control_of(app))
        idle, held = Client(app.port), Client(app.port)
        assert idle.get("/").status == 200
        held.request("/never")
        eventually(lambda: scraper.samples()['pyinit_in_flight{kind="exchange"}'] == 1)
        before = scraper.samples()
        assert before['pyinit_phase{phase="serving"}'] == 1
        assert before["pyinit_budget_left_seconds"] == before["pyinit_budget_seconds"] == 29.5
        app.signal()
        app.wait_event("drain.phase_changed", phase="draining")
        assert idle.ends() == "fin"
        idle.close()
        outcome = 'pyinit_drain_outcomes_total{outcome="%s"}'
        eventually(lambda: scraper.samples()[outcome % "closed_idle"] == 1)
        during = scraper.samples()
        assert during["pyinit_ready"] == 0
        assert during['pyinit_phase{phase="draining"}'] == 1
        assert during['pyinit_phase{phase="serving"}'] == 0
        assert during['pyinit_in_flight{kind="exchange"}'] == 1
        assert during['pyinit_signals_received_total{signal="SIGTERM"}'] == 1
        assert during["pyinit_budget_left_seconds"] < 29.5
        assert during[outcome % "cut"] == 0
        app.signal(signal.SIGINT)  # to the next phase at once
        app.wait_event("drain.phase_changed", phase="stopping")
        assert held.response().status == 503
        after = scraper.samples()
        assert after[outcome % "cut"] == 1
        assert after[outcome % "finished"] == 0
        assert after['pyinit_responses_total{status="5xx"}'] == 1
        assert after["pyinit_budget_left_seconds"] <= during["pyinit_budget_left_seconds"]
        app.signal(signal.SIGINT)
        assert app.wait() == 137
        for one in (held, scraper):
            one.close()


def test_counters_of_workers_add_up_and_never_go_down() -> None:
    with node(APP, *CONTROL, "--workers", "2") as app:
        port = app.port
        scraper = Scraper(control_of(app))
        eventually(lambda: scraper.samples()["pyinit_workers_serving"] == 2)
        for _ in range(20):
            with Client(port) as client:
                assert client.get("/").status == 200
        held = Client(port)
        held.request("/never")
        eventually(lambda: scraper.samples()['pyinit_in_flight{kind="exchange"}'] == 1)
        last = scraper.samples()
        assert last["pyinit_requests_total"] == 21
        assert last["pyinit_workers"] == 2
        for exits in (1, 2, 3):
            eventually(lambda: scraper.samples()["pyinit_workers_serving"] == 2)
            spawned = [event for event in app.events if event.get("event") == "worker.spawned"]
            os.kill(int(spawned[-1]["pid"]), signal.SIGKILL)
            app.wait_event("worker.exited", pid=spawned[-1]["pid"])
            app.wait_count("worker.spawned", 2 + exits)
            now = scraper.samples()
            assert now["pyinit_worker_exits_total"] == exits
            fallen = {
                name: (value, counters(now).get(name))
                for name, value in counters(last).items()
                if not name.startswith("process_") and counters(now).get(name, -1.0) < value
            }
            assert fallen == {}
            last = now
        assert last["pyinit_requests_total"] == 21
        assert last["pyinit_processes_reaped_total"] == 0, "a worker is no orphan"
        for one in (held, scraper):
            one.close()


def test_lines_that_workers_had_to_drop_are_counted() -> None:
    """Nobody reads stderr: what PID 1 alone has to say is far less than what the workers do."""
    name, port, count = "@pyinit-metrics-test-stuck", free_port(), 100
    script = f"const http=require('http'),port=process.env.PORT;{APP}"
    options = ["--listen", f"127.0.0.1:{port}", "--workers", "2", "--access-log", "--control", name]
    read_end, write_end = os.pipe()
    try:
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        with subprocess.Popen(
            pyinit_command(*options, "--", "node", "-e", script),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=write_end,
            env=pyinit_environment(),
        ) as process:
            try:
                eventually(lambda: is_there(name))
                scraper = Scraper(name)
                eventually(lambda: scraper.samples()["pyinit_ready"] == 1)
                with Client(port) as client:
                    for _ in range(count):
                        assert client.get("/").status == 200
                # A line of the access log is some 200 bytes, and the pipe has room for 4,096.
                eventually(lambda: scraper.samples()["pyinit_log_lines_dropped_total"] > count // 2)
                scraper.close()
            finally:
                process.terminate()
    finally:
        os.close(read_end)
        os.close(write_end)


def is_there(name: str) -> bool:
    """Whether somebody listens at an abstract name."""
    return any(line.endswith(f" {name}") for line in Path("/proc/net/unix").read_text().splitlines())

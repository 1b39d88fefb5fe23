"""``benchmarks/proxy_cost.py`` measures what it says: every section once, with tiny counts."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import proxy_loads
import proxy_start
import pytest
from proxy_report import Report
from proxy_usage import cpu_ns, memory_bytes, tree

from tests.support.front import DEADLINE_S
from tests.support.process import ROOT, TIME_SCALE, eventually

Kept = dict[str, Any]
LOADS = ("browser", "fresh", "one", "close", "post-mib", "chunked", "events", "websockets")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Kept, Path]:
    """What the command printed, and what it kept."""
    if reason := proxy_loads.missing():
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("cost") / "proxy.json"
    done = subprocess.run(
        [
            *(sys.executable, "benchmarks/proxy_cost.py", "--quick", "--seconds", "0.3", "--json", str(path)),
            *("--proxies", "pyinit,aiohttp,relay", "--idle", "20,40", "--slow", "10"),
            *("--loads", ",".join(LOADS)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S * 20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_text()), path


@pytest.mark.node
@pytest.mark.slow
class TestCommand:
    """One run of all sections."""

    def test_every_load_gets_whole_answers_through_every_proxy(self, run: tuple[str, Kept, Path]) -> None:
        _, kept, _ = run
        loads = {load: sorted(by_title) for load, by_title in kept["loads"].items()}
        titles = sorted(kept["titles"][name] for name in ("pyinit", "aiohttp", "relay"))
        latency = sorted([*titles, "direct"])
        assert loads == {load: latency if load == "one" else titles for load in LOADS}
        errors = {
            (load, title): one[-1]
            for load, by_title in kept["loads"].items()
            for title, several in by_title.items()
            for one in several
            if one[-1]
        }
        assert not errors

    def test_every_section_has_its_table(self, run: tuple[str, Kept, Path]) -> None:
        printed, kept, _ = run
        for head in (
            "CPU per request",
            "CPU per MiB",
            "Latency",
            "sharing one core",
            "Workers",
            "Memory",
            "Start",
        ):
            assert head in printed
        assert list(kept["memory"][kept["titles"]["pyinit"]]) == [
            "ready",
            "20 idle",
            "40 idle",
            "10 slow downloads",
            "control socket used",
        ]
        assert all(kept[section] for section in ("shared", "workers", "starts"))

    def test_every_section_has_its_targets_with_a_verdict(self, run: tuple[str, Kept, Path]) -> None:
        """The figures are a busy machine's; that each is held against its target is not."""
        printed, kept, _ = run
        assert kept["ours"] == ["pyinit"]
        assert f"|  | target | {kept['titles']['pyinit']} |" in printed
        for row in (
            "... against aiohttp's server and client session",
            "added at one connection, p50, µs",
            "Node and proxy sharing one core, requests a second",
            "ready, MiB",
            "control socket used, MiB",
            "the child's exec after init mode's, ms",
            "ready with a Node hello world, ms",
        ):
            (line,) = (line for line in printed.splitlines() if line.startswith(f"| {row} | "))
            # There was no nginx, against which the latency would be held.
            verdict = "not measured" if "p50" in row else r"met|\*\*missed\*\*"
            assert re.search(rf"; ({verdict}) \|$", line), line

    def test_the_form_that_was_measured_is_named(self, run: tuple[str, Kept, Path]) -> None:
        _, kept, _ = run
        pyinit = str(Path(sys.executable).with_name("pyinit"))
        version = subprocess.run([pyinit, "--version"], check=True, capture_output=True, text=True).stdout
        # It is measured from the tree, which has the pure form whatever this interpreter has.
        assert kept["titles"]["pyinit"] == re.sub(r"\(\w+\)", "(pure)", version.strip())

    def test_memory_is_within_its_bounds(self, run: tuple[str, Kept, Path]) -> None:
        """A library that a start loads anew shows here: OpenSSL was 4 MiB."""
        _, kept, _ = run
        mib = {state: count / (1 << 20) for state, count in kept["memory"][kept["titles"]["pyinit"]].items()}
        assert mib["ready"] <= 24
        assert mib["control socket used"] <= 44

    def test_what_was_kept_is_printed_again(self, run: tuple[str, Kept, Path]) -> None:
        printed, _, path = run
        assert Report.load(path).text() == printed.removesuffix("\n")

    def test_it_is_drawn(self, run: tuple[str, Kept, Path], tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="need matplotlib")
        picture = tmp_path / "proxy.svg"
        command = [
            sys.executable,
            "benchmarks/proxy_cost.py",
            "--from",
            str(run[2]),
            "--picture",
            str(picture),
        ]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=DEADLINE_S * 2)
        drawn = picture.read_text()
        for name in ("pyinit", "relay"):
            assert re.search(rf">{re.escape(run[1]['titles'][name].partition(' (uvloop')[0])}</text>", drawn)
        # A phone shows it 360 pixels wide: letters of 9 and more can be read there.
        (width,) = re.findall(r'<svg [^>]*viewBox="0 0 ([\d.]+) ', drawn)
        letters = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", drawn)]
        assert min(letters) * 360 / float(width) >= 9


class TestVerdicts:
    """What is met, what is missed, and what nobody can tell."""

    def report(self, nginx_us: float | None, haproxy_us: float | None) -> Report:
        """Both forms, at 20 and 15 microseconds a request."""
        titles = {"pyinit": "P (pure)", "new": "P (compiled)", "nginx": "N", "haproxy": "H"}
        report = Report("", {}, titles=titles, ours=["pyinit", "new"])
        for title, cpu_us in (("P (pure)", 20.0), ("P (compiled)", 15.0), ("N", nginx_us), ("H", haproxy_us)):
            if cpu_us is not None:
                report.add("browser", title, proxy_loads.Figures(1000, 1.0, cpu_us, 0.5))
        return report

    @pytest.mark.parametrize(
        ("nginx_us", "haproxy_us", "pure", "compiled"),
        [
            (
                20.0,
                25.0,
                "20.0, 1.00 of nginx, 0.80 of HAProxy; met",
                "15.0, 0.75 of nginx, 0.60 of HAProxy; met",
            ),
            (
                16.0,
                25.0,
                "20.0, 1.25 of nginx, 0.80 of HAProxy; **missed**",
                "15.0, 0.94 of nginx, 0.60 of HAProxy; met",
            ),
            (16.0, None, "20.0, 1.25 of nginx; **missed**", "15.0, 0.94 of nginx; not measured"),
            (None, None, "20.0; not measured", "15.0; not measured"),
        ],
    )
    def test_cpu_is_held_against_both(
        self, nginx_us: float | None, haproxy_us: float | None, pure: str, compiled: str
    ) -> None:
        lines = self.report(nginx_us, haproxy_us).text().splitlines()
        assert "|  | target | P (pure) | P (compiled) |" in lines
        (line,) = (line for line in lines if line.startswith("| browser's headers, one changing (64)"))
        assert line.endswith(f" | at most 1 of nginx's and HAProxy's | {pure} | {compiled} |")

    @pytest.mark.parametrize(("rate", "verdict"), [(500.0, "met"), (499.0, "**missed**")])
    def test_requests_a_second_are_a_floor(self, rate: float, verdict: str) -> None:
        report = self.report(None, None)
        report.titles["hello"] = "Node alone"
        report.shared = {"P (pure)": [rate], "Node alone": [1000.0]}
        assert f"{rate:.0f}, {rate / 1000:.2f} of Node alone; {verdict} | -; not measured |" in report.text()

    def test_memory_and_the_childs_start_have_bounds_of_their_own(self) -> None:
        report = self.report(None, None)
        mib = 1 << 20
        report.memory = {
            "P (pure)": {"ready": 24 * mib, "1,000 idle": 30 * mib, "control socket used": 45 * mib},
            "P (compiled)": {"ready": 25 * mib, "1,000 idle": 32 * mib},
        }
        for title, front_s in (("P (pure)", 0.025), ("P (compiled)", 0.035)):
            report.starts[proxy_start.INIT_BYTE.format(title)] = [0.02]
            report.starts[proxy_start.FRONT_BYTE.format(title)] = [front_s]
        text = report.text()
        for line in (
            "| ready, MiB | at most 24 | 24.0; met | 25.0; **missed** |",
            "| control socket used, MiB | at most 44 | 45.0; **missed** | -; not measured |",
            "| added by 1,000 idle connections, MiB | at most 6 | 6.0; met | 7.0; **missed** |",
            "| the child's exec after init mode's, ms | at most 10 | 5.0; met | 15.0; **missed** |",
        ):
            assert line in text.splitlines()


@pytest.mark.node
@pytest.mark.slow
class TestEnd:
    """It is over when it has to be."""

    def test_what_the_time_does_not_suffice_for_is_left_out_and_said(self, tmp_path: Path) -> None:
        """Of a thousand turns none is over in so short a time."""
        if reason := proxy_loads.missing():
            pytest.skip(reason)
        minutes = 0.6 * TIME_SCALE
        path = tmp_path / "proxy.json"
        began_s = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "benchmarks/proxy_cost.py", "--turns", "1000", "--minutes", str(minutes)),
                *("--proxies", "pyinit,relay", "--sections", "workers,loads"),
                *("--loads", "browser", "--json", str(path)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S * 10,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began_s < minutes * 60
        for section in ("workers", "loads"):
            assert re.search(rf"^- {section}: \d+ s were not enough; stopped at ", done.stdout, re.MULTILINE)
        # What there was time for is there.
        kept = json.loads(path.read_text())
        assert set(kept["loads"]["browser"]) == {kept["titles"]["pyinit"], kept["titles"]["relay"]}
        assert "browser's headers, one changing (64)" in done.stdout

    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_a_signal_takes_all_that_it_started(self, signum: signal.Signals) -> None:
        """Servers have sessions of their own, and pyinit's second worker a parent that is killed."""
        if reason := proxy_loads.missing():
            pytest.skip(reason)
        command = [sys.executable, "benchmarks/proxy_cost.py", "--turns", "1000", "--sections", "workers"]
        with subprocess.Popen(
            [*command, "--proxies", "pyinit,pyinit-2"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            pids: list[int] = []

            def has_all() -> bool:
                pids[:] = tree(process.pid)[1:]
                return any(b"wrk" in _command(pid) for pid in pids)

            eventually(has_all, within_s=40.0)
            commands = {pid: _command(pid) for pid in pids}
            process.send_signal(signum)
            assert process.wait(DEADLINE_S) == 128 + signum
        # The app, two pyinits, and the workers of one of them.
        assert sum(b"pyinit" in command for command in commands.values()) >= 4
        assert not [pid for pid, command in commands.items() if command and _command(pid) == command]


def _command(pid: int) -> bytes:
    """Its command line; nothing for one that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.node
@pytest.mark.slow
class TestProfile:
    """``benchmarks/proxy_profile.py``."""

    def test_a_request_is_taken_apart(self) -> None:
        if reason := proxy_loads.missing():
            pytest.skip(reason)
        command = [sys.executable, "benchmarks/proxy_profile.py", "--seconds", "1", "--turns", "1"]
        printed = subprocess.run(
            [*command, "--tree", str(ROOT)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S * 10,
        ).stdout
        assert "| microseconds per unit |" in printed
        # Read and write of the request and of the answer.
        calls = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|", printed, re.MULTILINE))
        if "system calls per unit" in printed:
            assert float(calls["read"]) >= 2
        assert "`proxy/exchange.py:" in printed


class TestRequests:
    """proxy_load.lua."""

    def test_a_client_asks_eight_times_and_then_another_comes(self) -> None:
        """One address for all would have every verdict about it hit; one for each request, none."""
        if reason := proxy_loads.missing():
            pytest.skip(reason)
        heads = asyncio.run(_heads_of_two_runs())
        clients = Counter(head.partition("X-Forwarded-For: ")[2].partition("\r\n")[0] for head in heads)
        traces = {head.rpartition("X-Amzn-Trace-Id: ")[2] for head in heads}
        assert len(traces) == len(heads)
        assert Counter(clients.values()).most_common(1)[0][0] == 8
        assert len(clients) > len(heads) / 10
        assert all(ip_address(client) in ip_network("198.18.0.0/15") for client in clients)


async def _heads_of_two_runs() -> list[str]:
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        for _ in range(2):
            await asyncio.to_thread(
                proxy_loads.measure,
                proxy_loads.LOADS[0],
                server.sockets[0].getsockname(),
                os.getpid(),
                seconds=1,
                command=[],
            )
    return heads


class TestUsage:
    """What is read from /proc."""

    def test_time_of_children_and_of_other_threads_counts(self) -> None:
        """The first thread itself only waits."""
        burn = "import sys, threading, time\ndef burn():\n while time.thread_time() < 0.2: pass\n"
        child = burn + "burn(); print(flush=True); input()"
        code = burn + (
            "import subprocess\n"
            "def work(): burn(); print(flush=True); time.sleep(999)\n"
            "threading.Thread(target=work, daemon=True).start()\n"
            "with subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=subprocess.PIPE): input()\n"
        )
        command = [sys.executable, "-c", code, child]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(2):
                process.stdout.readline()
            assert len(tree(process.pid)) == 2
            first_thread = Path(f"/proc/{process.pid}/schedstat").read_text()
            assert cpu_ns(process.pid) - int(first_thread.split()[0]) >= 400_000_000
            process.communicate(b"\n")

    def test_memory_is_the_same_however_many_share_its_pages(self) -> None:
        """The kernel's PSS of the first falls by a third where its like comes beside it."""
        command = [sys.executable, "-S", "-c", "print(flush=True); input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
            assert first.stdout is not None
            first.stdout.readline()
            alone = memory_bytes(first.pid)
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second:
                assert second.stdout is not None
                second.stdout.readline()
                beside = memory_bytes(first.pid)
                second.communicate(b"\n")
            first.communicate(b"\n")
        assert abs(alone - beside) < alone / 20

"""``benchmarks/proxy_cost.py`` measures what it says: every section once, with tiny counts."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import proxy_loads
import pytest
from proxy_report import Report
from proxy_usage import cpu_ns, memory_bytes, tree

from tests.support.front import DEADLINE_S
from tests.support.process import ROOT

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
        assert "pyinit" in picture.read_text()


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

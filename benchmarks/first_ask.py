"""Does the first question to the control socket hold requests up? It has aiohttp imported, in a thread.

A stream of requests on one connection to a front on this machine, each timed by its client, while somebody asks
for ``/status`` for the first time; beside it the same stream with nobody asking, and with the answer loaded
already. Runs are interleaved; each is a pyinit of its own. What is stated is the longest request of a run: the
import is over in less than a second, so a percentile of the whole stream would hide it.

    python benchmarks/first_ask.py

Finding (Python 3.11.7, uvloop 0.23.0, aiohttp 3.14.5, a busy machine of two cores, medians of 7): p99 2.8 ms with
nobody asking and 3.2 with a first question, the longest request 9.7 and 16.0 ms; the answer itself came after 215 ms.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from measuring import ENVIRONMENT, PATIENCE_S, machine, say, table

_RUNS = 7
_STREAM_S = 2.5
_ASKED_AFTER_S = 0.5
_PAUSE_S = 0.0005
_APP = "require('http').createServer((q,s)=>s.end('ok')).listen(process.env.PORT,'127.0.0.1')"
_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


class Run(NamedTuple):
    """One stream.

    Attributes:
        latencies_s: of each request.
        answer_s: how long the question took; 0 where none was asked.
    """

    latencies_s: list[float]
    answer_s: float


def ask(name: str) -> float:
    """Ask for /status; how long it took."""
    begun_s = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect("\0" + name)
        sock.sendall(b"GET /status HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ValueError(answer[:200])
    return time.perf_counter() - begun_s


def stream(port: int) -> list[float]:
    """Requests one after the other, for a while; the latency of each."""
    found = []
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end_s = time.perf_counter() + _STREAM_S
        while (begun_s := time.perf_counter()) < end_s:
            sock.sendall(_REQUEST)
            while not sock.recv(4096).endswith(b"ok"):
                pass
            found.append(time.perf_counter() - begun_s)
            time.sleep(_PAUSE_S)
    return found


def measure(pyinit: list[str], *, when: str) -> Run:
    """One run.

    Args:
        pyinit: how to start it.
        when: ``never``, ``before`` the stream (so that all is loaded) or ``first``: within it.
    """
    name = f"pyinit-first-ask-{os.getpid()}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [
                *pyinit,
                *f"--listen 127.0.0.1:0 --control @{name} --log-format json --".split(),
                "node",
                "-e",
                _APP,
            ],
            stderr=log,
            env=ENVIRONMENT,
        )
        try:
            port = _port(log.fileno())
            answers: list[float] = []
            if when == "before":
                ask(name)
            asker = threading.Timer(_ASKED_AFTER_S, lambda: answers.append(ask(name)))
            if when != "never":
                asker.start()
            latencies = stream(port)
            if when != "never":
                asker.join()
            return Run(latencies, answers[0] if answers else 0.0)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def _port(log: int) -> int:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        text = os.pread(log, 1 << 20, 0)
        if b'"app.ready"' in text:
            found = re.search(rb'"address":"127\.0\.0\.1:(\d+)"', text)
            if found is not None:
                return int(found[1])
        time.sleep(0.01)
    raise TimeoutError("the app is not ready")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="?", type=int, default=_RUNS, help="of each kind [%(default)s]")
    runs: int = parser.parse_args().runs
    found: dict[str, list[Run]] = {"never": [], "before": [], "first": []}
    pyinit = [str(Path(sys.executable).with_name("pyinit"))]
    for turn in range(runs):
        for when, measured in found.items():
            say(f"{turn + 1}/{runs}: asked {when}")
            measured.append(measure(pyinit, when=when))
    names = {"never": "nobody asks", "before": "asked, all loaded", "first": "asked for the first time"}
    rows = []
    for when, measured in found.items():
        cells = [names[when]]
        for share in (0.5, 0.99, 1.0):
            each = [
                sorted(run.latencies_s)[min(len(run.latencies_s) - 1, int(share * len(run.latencies_s)))]
                for run in measured
            ]
            cells.append(
                f"{statistics.median(each) * 1e3:.2f} ({min(each) * 1e3:.2f} to {max(each) * 1e3:.2f})"
            )
        answer_ms = statistics.median(run.answer_s for run in measured) * 1e3
        rows.append([*cells, f"{answer_ms:.0f}" if when != "never" else ""])
    print(machine())
    print(table(["", "p50, ms", "p99, ms", "longest, ms", "the answer, ms"], rows))


if __name__ == "__main__":
    main()

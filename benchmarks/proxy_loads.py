"""What proxies are loaded with, and one measurement of one of them under one load.

wrk with proxy_load.lua sends requests; proxy_clients.py has what wrk does not: event streams, WebSockets, connections
that idle, downloads that nobody reads.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from proxy_usage import cpu_ns

_HERE = Path(__file__).parent
_CLIENTS = str(_HERE / "proxy_clients.py")
_PATIENCE_S = 60
# Addresses that proxy_load.lua's clients have.
_RUNS = 131_072
KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of traffic.

    Attributes:
        name: on the command line.
        title: in the table.
        unit: what is counted: a request, a MiB, an event, a message.
        connections: how many at once.
        kind: of proxy_load.lua, or of proxy_clients.py.
        target: of requests, for wrk; empty for proxy_clients.py.
        body_bytes: of each request.
    """

    name: str
    title: str
    unit: str
    connections: int
    kind: str
    target: str = ""
    body_bytes: int = 0


LOADS = (
    Load("browser", "browser's headers, one changing", "request", 64, "browser", "/api/items/"),
    Load("fresh", "... and no answer's head twice", "request", 64, "browser", "/fresh"),
    Load("same", "the same head each time", "request", 64, "same", "/api/items/1"),
    Load("one", "browser's headers, one connection", "request", 1, "browser", "/api/items/"),
    Load("close", "no keep-alive", "request", 64, "close", "/api/items/"),
    Load("post", "POST 1 KiB", "request", 64, "post", "/api/items/1", KIB),
    Load("post-mib", "POST 1 MiB", "MiB", 8, "post", "/api/items/1", MIB),
    Load("get-mib", "GET 1 MiB", "MiB", 8, "browser", "/mib"),
    Load("chunked", "GET 1 MiB, chunked", "MiB", 8, "browser", "/chunked"),
    Load("events", "event streams", "event", 1000, "events"),
    Load("websockets", "WebSocket echo", "message", 64, "websockets"),
)


class Figures(NamedTuple):
    """One measurement.

    Attributes:
        units: that passed: the load's.
        wall_s: in this time.
        cpu_us: of the proxy, for each.
        busy: the share of the time that the proxy ran.
        p50_us: until the answer; None where it was not measured.
        p99_us: likewise.
        errors: anything but an answer of 2xx.
    """

    units: int
    wall_s: float
    cpu_us: float
    busy: float
    p50_us: float | None = None
    p99_us: float | None = None
    errors: int = 0

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.units / self.wall_s


class LoadError(Exception):
    """No figures: the text says why."""


def missing() -> str | None:
    """Why there can be no load; None where there can."""
    lacking = [name for name in ("wrk", "taskset") if shutil.which(name) is None]
    return f"need {' and '.join(lacking)}" if lacking else None


def measure(load: Load, address: tuple[str, int], pid: int, *, seconds: float, command: list[str]) -> Figures:
    """One run of a load.

    Args:
        load: which.
        address: the proxy's.
        pid: the proxy's, its descendants' time counts too.
        seconds: how long.
        command: what stands in front of the load's own, to pin it.
    """
    if load.target:
        return _by_wrk(load, address, pid, seconds, command)
    with clients(load.kind, address, load.connections, command) as process:
        before_ns = cpu_ns(pid)
        told = _ask(process, f"{seconds}\n")
        return _figures(json.loads(told), cpu_ns(pid) - before_ns)


def _by_wrk(load: Load, address: tuple[str, int], pid: int, seconds: float, command: list[str]) -> Figures:
    # wrk knows whole seconds only.
    words = [
        *command,
        "wrk",
        "-t1",
        f"-c{load.connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "10s",
    ]
    words += ["-s", str(_HERE / "proxy_load.lua"), f"http://{address[0]}:{address[1]}", "--"]
    words += [load.kind, load.target, str(load.body_bytes), str(random.randrange(_RUNS))]
    before_ns = cpu_ns(pid)
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds + _PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadError(f"wrk had not ended {_PATIENCE_S} s after its time") from None
    used_ns = cpu_ns(pid) - before_ns
    _, found, figures = done.stdout.partition("figures ")
    if not found:
        raise LoadError((done.stderr or done.stdout).strip()[-300:])
    return _figures(json.loads(figures), used_ns)


def _figures(told: dict[str, float], used_ns: int) -> Figures:
    count, wall_s = int(told["count"]), told["wall_s"]
    if not count:
        raise LoadError(f"no answer in {wall_s:g} s")
    return Figures(
        units=count,
        wall_s=wall_s,
        cpu_us=used_ns / 1000 / count,
        busy=used_ns / 1e9 / wall_s,
        p50_us=told.get("p50_us"),
        p99_us=told.get("p99_us"),
        errors=int(told.get("errors", 0)),
    )


@contextlib.contextmanager
def clients(
    kind: str, address: tuple[str, int], count: int, command: list[str]
) -> Iterator[subprocess.Popen[str]]:
    """Those of proxy_clients.py, all of them standing."""
    words = [*command, sys.executable, _CLIENTS, kind, address[0], str(address[1]), str(count)]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        if _ask(process, "") != "ready\n":
            raise LoadError(f"{kind}: {_last_words(process)}")
        yield process
    finally:
        process.kill()
        process.communicate()


def _ask(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None  # noqa: S101  for the type checker
    assert process.stdout is not None  # noqa: S101  the same
    process.stdin.write(line)
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise LoadError(_last_words(process))
    return answer


def _last_words(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None  # noqa: S101  for the type checker
    return process.stderr.read().strip()[-300:]

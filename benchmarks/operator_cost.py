"""What does it cost to be looked at: metrics and status asked for each second, an access log, all of it, none of it?

Method: one sidecar pyinit for each variant, all started before the first round and idle until it is their turn; an app
and a load generator in processes of their own (uvloop, 64 keep-alive connections, browser-like heads with a field that
changes in every request, 1 KiB answers). In each round every variant serves the same number of requests, one after
the other. Counted is pyinit's own processor time (/proc/PID/task/*/schedstat, all threads), scrapes and log lines
included, by requests; the log goes into a pipe that is read, as an engine does. PSS is of the end.

Finding (Python 3.11.7, uvloop 0.23.0, aiohttp 3.14.5, prometheus-client 0.26.0, 9 rounds of 40,000, on two processors
with other work, load 5 to 7): 28.7 us with all off, 28.8 with a socket that nobody asks, 30.6 (28.7 to 34.5) scraped,
52.4 with the access log, 52.5 with all on. One scrape of both takes 1.4 ms, which is 0.1 us a request at this rate; off
and scraped in two more runs were 29.1 and 28.6, 26.7 and 27.1, so that the difference is the machine's. The log costs
nearly as much as the proxying. PSS 19 MiB, 33 once asked.

Tried: gc.freeze() once aiohttp is loaded, so that the collector need not walk it: 26.9 for 27.1 us, no difference.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple, cast

import uvloop
from measuring import machine, proc_fields, say, table

_CONNECTIONS = 64
_SCRAPE_EVERY_S = 1.0
_BODY_BYTES = 1024
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % _BODY_BYTES
    + b"x" * _BODY_BYTES
)
_HEAD = (
    b"GET /assets/page?number=%d HTTP/1.1\r\nHost: app.example\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef\r\nX-Request-Number: %d\r\n\r\n"
)


class Variant(NamedTuple):
    """What is switched on.

    Attributes:
        name: for the table.
        options: of pyinit's.
        is_scraped: /metrics and /status are asked for each second.
    """

    name: str
    options: tuple[str, ...]
    is_scraped: bool


def _variants(folder: Path) -> list[Variant]:
    def control(name: str) -> tuple[str, ...]:
        return ("--control", str(folder / name))

    return [
        Variant("all off", ("--control", "off"), is_scraped=False),
        Variant("a control socket that nobody asks", control("silent"), is_scraped=False),
        Variant("/metrics and /status each second", control("scraped"), is_scraped=True),
        Variant("--access-log", ("--control", "off", "--access-log"), is_scraped=False),
        Variant("all on", (*control("all"), "--access-log"), is_scraped=True),
    ]


class Pyinit:
    """A running one, and what it took in each round.

    Attributes:
        port: where it listens.
        costs_us: processor time by requests, of each round.
        scrape_count: how often it was asked.
    """

    def __init__(self, variant: Variant, app_port: int) -> None:
        self.variant = variant
        self.costs_us: list[float] = []
        self.scrape_count = 0
        ours, theirs = os.pipe()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        command = [
            str(Path(sys.executable).with_name("pyinit")),
            *("--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{app_port}", "--log-format", "json"),
            *variant.options,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYINIT_")}
        actions = [
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, theirs, 2),
        ]
        self.pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
        os.close(null)
        os.close(theirs)
        self._log = os.fdopen(ours, "rb")
        self.port = self._found_port()
        self._reader = threading.Thread(target=self._read_on)
        self._reader.start()

    def _found_port(self) -> int:
        port = 0
        for line in self._log:
            event = json.loads(line)
            if event["event"] == "listener.bound":
                port = int(event["address"].rpartition(":")[2])
            elif event["event"] == "app.ready":
                return port
        raise RuntimeError(f"{self.variant.name} has ended")

    def _read_on(self) -> None:
        while os.read(self._log.fileno(), 1 << 16):
            pass
        self._log.close()

    def serve(self, requests: int) -> None:
        """One round."""
        before_s = cpu_s(self.pid)
        load = _spawn("load", str(self.port), str(requests))
        due_s = time.monotonic()
        while (ended := os.waitid(os.P_PID, load, os.WEXITED | os.WNOHANG)) is None:
            if self.variant.is_scraped and time.monotonic() >= due_s:
                due_s += _SCRAPE_EVERY_S
                self._scrape()
            time.sleep(0.02)
        if ended.si_status:
            raise RuntimeError(f"the load has failed: {self.variant.name}")
        self.costs_us.append((cpu_s(self.pid) - before_s) / requests * 1e6)

    def _scrape(self) -> None:
        self.scrape_count += 1
        connection = _UnixConnection(self.variant.options[1])
        for path in ("/metrics", "/status"):
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK or not answer.read():
                raise RuntimeError(f"{path}: {answer.status}")
        connection.close()

    def scrape_cost_ms(self, count: int = 20) -> float:
        """Of one scrape by itself."""
        before_s = cpu_s(self.pid)
        for _ in range(count):
            self._scrape()
        return (cpu_s(self.pid) - before_s) / count * 1e3

    def pss_mib(self) -> float:
        """Its memory now."""
        return int(proc_fields(Path(f"/proc/{self.pid}/smaps_rollup"))["Pss"].split()[0]) / 1024

    def stop(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        self._reader.join()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("pyinit")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def cpu_s(pid: int) -> float:
    """Processor time of all its threads, to the nanosecond."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def _spawn(*arguments: str, stdout: int | None = None) -> int:
    command = [sys.executable, __file__, "--part", *arguments]
    actions = [] if stdout is None else [(os.POSIX_SPAWN_DUP2, stdout, 1)]
    return os.posix_spawn(command[0], command, os.environ, file_actions=actions)


# -- the other processes -------------------------------------------------------------------------------------


class _App(asyncio.Protocol):
    """Answers each read, which is a request or its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(_ANSWER)


class _Load:
    """Requests that are left to be sent, over all connections.

    Attributes:
        left: so many.
        is_done: of every connection.
    """

    def __init__(self, requests: int) -> None:
        self.left = requests
        self.is_done: list[asyncio.Future[None]] = []


class _Client(asyncio.Protocol):
    """Asks, reads the answer, asks again."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._answer = b""
        self._is_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        load.is_done.append(self._is_done)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        load = self._load
        if load.left <= 0:
            self._is_done.set_result(None)
            self._transport.close()
            return
        load.left -= 1
        self._transport.write(_HEAD % (load.left, load.left))

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._answer += data
        head, _, body = self._answer.partition(b"\r\n\r\n")
        if len(body) == _BODY_BYTES:
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(head)
            self._answer = b""
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self._is_done.done():
            self._is_done.set_exception(exc or ConnectionError("closed before its answer"))


async def _serve_app() -> None:
    server = await asyncio.get_running_loop().create_server(_App, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _ask_all(port: int, requests: int) -> None:
    load = _Load(requests)
    loop = asyncio.get_running_loop()
    for _ in range(_CONNECTIONS):
        await loop.create_connection(lambda: _Client(load), "127.0.0.1", port)
    await asyncio.gather(*load.is_done)


# -- the run -------------------------------------------------------------------------------------------------


def _report(running: list[Pyinit], *, requests: int, rounds: int) -> None:
    base_us = statistics.median(running[0].costs_us)
    rows = []
    for it in running:
        middle_us = statistics.median(it.costs_us)
        scrape = f"{it.scrape_cost_ms():.1f}" if it.variant.is_scraped else ""
        spread = f"{middle_us:.1f} ({min(it.costs_us):.1f} to {max(it.costs_us):.1f})"
        rows.append((it.variant.name, spread, f"{middle_us / base_us:.3f}", scrape, f"{it.pss_mib():.1f}"))
    print(
        f"{machine()}\n{rounds} rounds of {requests} requests, {_CONNECTIONS} connections; medians, least and most\n"
    )
    heads = ("", "processor time, us a request", "to all off", "one scrape of both, ms", "PSS, MiB")
    print(table(heads, rows))


def main() -> None:
    """Start all, serve in turns, print, stop all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=20_000, help="of a variant in a round [%(default)d]")
    parser.add_argument("--rounds", type=int, default=9, help="[%(default)d]")
    options = parser.parse_args()
    ours, theirs = os.pipe()
    app = _spawn("app", stdout=theirs)
    os.close(theirs)
    running: list[Pyinit] = []
    with tempfile.TemporaryDirectory() as folder, open(ours) as said:  # noqa: PTH123  a descriptor
        try:
            app_port = int(said.readline())
            for variant in _variants(Path(folder)):
                running.append(Pyinit(variant, app_port))  # noqa: PERF401  each is stopped, whatever follows
            for it in running:
                it.serve(options.requests // 10)  # parsers' caches, the first import of aiohttp
                it.costs_us.clear()
            for number in range(options.rounds):
                say(f"round {number + 1} of {options.rounds}")
                for it in running:
                    it.serve(options.requests)
            _report(running, requests=options.requests, rounds=options.rounds)
        finally:
            for it in running:
                it.stop()
            os.kill(app, signal.SIGTERM)
            os.waitpid(app, 0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--part", "app"]:
            uvloop.run(_serve_app())
        case ["--part", "load", port, requests]:
            uvloop.run(_ask_all(int(port), int(requests)))
        case _:
            main()

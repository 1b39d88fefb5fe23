"""What does a line in the access log cost, in processor time of the proxy, and what does nginx's?

Method: pyinit (sidecar mode) and nginx as reverse proxies of one worker before the same app, an nginx that answers
from memory; each with its access log off and on, all four running, asked in turn, so that whatever else the machine
does meets all of them. The log is JSON on both sides, with the same fields as far as nginx has them, and goes into a
pipe that is read all the time, as a container's is: nginx's unbuffered, as it comes. wrk asks over 64 kept connections
with a browser's fields and a trace id. Processor time is that of the process alone, /proc/PID/schedstat, in
nanoseconds, over each round; every round must log as many lines as it had requests, or the run fails.

Finding (Python 3.11.7, nginx 1.22.1, two cores, a machine busy with other things, load 4.5), medians of 5 rounds of
2 s: without the log a request is 30.6 us in pyinit and 13.0 in nginx, with it 40.6 and 14.2. A line is 9.2 us (1.7 to
17.5 by rounds) and 1.5 (-1.9 to 2.3): to be taken anew on a quiet machine. Of ours the text is 2.8 us, made by hand;
structlog's chain takes 12 for the same (processor time, best of ten times 5,000 in one process).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

from measuring import Process, eventually, machine, say, table

_CONNECTIONS = 64
_FIELDS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Cookie: session=4f9b2c1d8e7a6b5c4d3e2f1a0b9c8d7e",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
)
# wrk runs it in its thread: another trace id in each request.
_SCRIPT = """
local count = 0
request = function()
  count = count + 1
  wrk.headers["traceparent"] = string.format("00-%032x-00f067aa0ba902b7-01", count)
  return wrk.format("GET", "/articles/17?page=2")
end
"""
_NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.error;
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  log_format json escape=json '{{"method":"$request_method","target":"$uri","status":$status,'
    '"duration_s":$request_time,"upstream_s":$upstream_header_time,"bytes_in":$request_length,'
    '"bytes_out":$body_bytes_sent,"peer":"$remote_addr:$remote_port","client":"$remote_addr",'
    '"trace_id":"$http_traceparent","event":"request.finished","level":"info","timestamp":"$time_iso8601"}}';
  access_log {log};
  keepalive_requests 100000000;
  {servers}
}}
"""
_APP = "server {{ listen 127.0.0.1:{port}; return 200 'hello, this is an answer of some bytes\\n'; }}"
_PROXY = """
upstream app {{ server 127.0.0.1:{app}; keepalive 64; keepalive_requests 100000000; }}
server {{
  listen 127.0.0.1:{port};
  location / {{
    proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
  }}
}}
"""


class Variant(NamedTuple):
    """One proxy, running.

    Attributes:
        name: of the program.
        has_log: whether its access log is on.
        port: on 127.0.0.1.
        process: its one process.
        log: what it writes.
    """

    name: str
    has_log: bool
    port: int
    process: Process
    log: LineCounter


class LineCounter:
    """Reads a pipe to its end, in a thread, and counts lines.

    Attributes:
        fd: to be written to.
        count: so far.
    """

    def __init__(self) -> None:
        self._read_fd, self.fd = os.pipe()
        self.count = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while data := os.read(self._read_fd, 1 << 16):
            self.count += data.count(b'"event":"request.finished"')


def main() -> None:
    """Start all, ask in turn, print, stop all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="of each of the four [%(default)s]")
    parser.add_argument("--seconds", type=int, default=2, help="of one round [%(default)s]")
    asked = parser.parse_args()
    programs = {name: shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") for name in ("nginx", "wrk")}
    if missing := [name for name, path in programs.items() if path is None]:
        sys.exit(f"not installed: {', '.join(missing)}")
    place = machine()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        folder.chmod(0o755)
        app_port = _free_port()
        app = _nginx(folder, "app", "off", _APP.format(port=app_port), None)
        variants: list[Variant] = []
        try:
            variants += _start(folder, app_port)
            for variant in variants:
                eventually(lambda: _answers(variant.port))  # noqa: B023  asked at once
            costs = _measure(variants, folder, asked.rounds, asked.seconds)
        finally:
            for process in (app, *(variant.process for variant in variants)):
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
    print(f"{place}; nginx {_nginx_version()}; {asked.rounds} rounds of {asked.seconds} s\n")
    _print(costs)


def _start(folder: Path, app_port: int) -> list[Variant]:
    found = []
    for has_log in (False, True):
        log = LineCounter()
        port = _free_port()
        words = [str(Path(sys.executable).with_name("pyinit")), "--control", "off", "--log-format", "json"]
        words += ["--listen", f"127.0.0.1:{port}", "--upstream", f"127.0.0.1:{app_port}"]
        process = Process(words + ["--access-log"] * has_log, stderr=log.fd)
        found.append(Variant("pyinit", has_log, port, process, log))
        log = LineCounter()
        port = _free_port()
        server = _PROXY.format(app=app_port, port=port)
        where = "/dev/stdout json" if has_log else "off"
        found.append(
            Variant("nginx", has_log, port, _nginx(folder, f"{has_log}", where, server, log.fd), log)
        )
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _nginx(folder: Path, name: str, log: str, server: str, stdout: int | None) -> Process:
    path = folder / f"{name}.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    path.write_text(user + _NGINX.format(folder=folder, name=name, log=log, servers=server))
    return Process(["nginx", "-c", str(path), "-p", str(folder)], stdout=stdout)


def _nginx_version() -> str:
    return os.popen("nginx -v 2>&1").read().strip().rpartition("/")[2]  # noqa: S605  a fixed command


def _measure(
    variants: list[Variant], folder: Path, rounds: int, seconds: int
) -> dict[tuple[str, bool], list[float]]:
    """Microseconds of processor time a request, by round."""
    script = folder / "wrk.lua"
    script.write_text(_SCRIPT)
    costs: dict[tuple[str, bool], list[float]] = {}
    for number in range(-1, rounds):  # the first one warms up
        for variant in variants:
            before_us, logged = _cpu_us(variant.process.pid), variant.log.count
            requests = _ask(variant.port, script, folder / "wrk.out", seconds)
            used_us = _cpu_us(variant.process.pid) - before_us
            # What wrk has cut at its end is logged too.
            least = requests if variant.has_log else 0
            eventually(lambda: variant.log.count - logged >= least)  # noqa: B023  asked at once
            if variant.log.count - logged > least + (_CONNECTIONS if variant.has_log else 0):
                raise RuntimeError(f"{variant.name} has logged more than it was asked")
            if number >= 0:
                costs.setdefault((variant.name, variant.has_log), []).append(used_us / requests)
        say(f"round {number + 1} of {rounds}")
    return costs


def _ask(port: int, script: Path, out: Path, seconds: int) -> int:
    """Have wrk ask; returns how many answers it had. Raises RuntimeError for one that was not 200."""
    words = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
    for field in _FIELDS:
        words += ["-H", field]
    with out.open("wb") as file:
        code, _, _ = Process([*words, f"http://127.0.0.1:{port}/"], stdout=file.fileno()).wait()
    text = out.read_text()
    found = re.search(r"(\d+) requests in", text)
    if code or found is None or "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    return int(found[1])


def _cpu_us(pid: int) -> float:
    """Of all its threads."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1000


def _print(costs: dict[tuple[str, bool], list[float]]) -> None:
    medians = {key: statistics.median(values) for key, values in costs.items()}
    rows = []
    for name in ("pyinit", "nginx"):
        off, on = medians[name, False], medians[name, True]
        lines = [b - a for a, b in zip(costs[name, False], costs[name, True], strict=True)]
        spread = f"{statistics.median(lines):.1f} ({min(lines):.1f} to {max(lines):.1f})"
        rows.append((name, f"{off:.1f}", f"{on:.1f}", spread))
    ratios = [
        statistics.median(a / b for a, b in zip(costs["pyinit", has], costs["nginx", has], strict=True))
        for has in (False, True)
    ]
    heads = ("CPU of the proxy, µs a request", "log off", "log on", "the line, by rounds")
    print(table(heads, [*rows, ("ratio of the two", *(f"{ratio:.2f}" for ratio in ratios), "")]))


if __name__ == "__main__":
    main()

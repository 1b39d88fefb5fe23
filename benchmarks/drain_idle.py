"""What does a drain cost that finds thousands of idle connections?

Method: front mode before a Node hello world; each client has been answered once, is idle, and does not answer our FIN.
Then SIGTERM: the time to the exit, and the processor time of pyinit's own processes, the app's left out. In the second
row the clients have not read their answer (40,000 bytes), so that every connection is looked at to the deadline. In the
third the drain is behind a lame duck of 5 s.

Finding (Python 3.11.7, uvloop 0.23.0, 2 processors that others used too, 9,900 connections, one worker): idle 0.63 s of
processor in a stop of 2.7 s; answers not read 1.7 s in 7.8 s, the drain's deadline; with a lame duck 1.2 s in 7.4 s. In
proportion to the number (1,000: 0.09 s). A look at all idle ones is some 7 ms, each 0.1 s, so that four fifths of the
first figure are the closes themselves; the sweep was left as it is.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from measuring import Process, children_of, eventually, machine, say, switches, table

_APP = """
const body = Buffer.alloc(40000);
const server = require('http').createServer((req, res) => res.end(req.url === '/large' ? body : 'hello'));
server.keepAliveTimeout = 600000;
process.on('SIGTERM', () => process.exit(0));
server.listen(process.env.PORT, '127.0.0.1');
"""
# Front mode needs its libraries: where the benchmark's own interpreter has them.
_PYINIT = str(Path(sys.executable).with_name("pyinit"))
_HOST = "127.0.0.1"
# One address has some 28,000 ports, and a run before may have left as many in TIME_WAIT.
_SOURCES = [f"127.0.1.{number}" for number in range(1, 9)]
_TICKS = os.sysconf("SC_CLK_TCK")
_WATCH_EVERY_S = 0.005


class Kind(NamedTuple):
    """What the clients have asked for, and how the drain is set up."""

    target: str
    reads: bool
    options: tuple[str, ...]


_KINDS = {
    "idle": Kind("/", reads=True, options=()),
    "answer not read": Kind("/large", reads=False, options=()),
    "idle, after a lame duck": Kind("/", reads=True, options=("--drain-delay", "5", "--stop-timeout", "20")),
}


def main() -> None:
    """One stop for each kind and number of workers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=9900, help="how many [%(default)d]")
    count = parser.parse_args().connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    for name, kind in _KINDS.items():
        for workers in (1, 2):
            say(f"{name}, {workers} worker(s)")
            wall_s, cpu_s = _stop(kind, workers, count)
            each = f"{cpu_s / count * 1e6:.0f}"
            rows.append((name, str(workers), f"{wall_s:.2f}", f"{cpu_s:.2f}", each))
    print(machine())
    print()
    print(table((f"{count} connections", "workers", "exit after s", "processor s", "us each"), rows))


def _stop(kind: Kind, workers: int, count: int) -> tuple[float, float]:
    """Seconds from the signal to the exit, and of processor time in them."""
    with socket.create_server((_HOST, 0)) as taken:
        port = taken.getsockname()[1]
    options = ["--listen", f"{_HOST}:{port}", "--workers", str(workers), *kind.options]
    options += ["--max-connections", str(count + 10), "--log-level", "error"]
    process = Process([_PYINIT, *options, "--", "node", "-e", _APP])
    with ExitStack() as opened:
        eventually(lambda: _is_open(port))
        clients = [opened.enter_context(_client(port, kind, at)) for at in range(count)]
        for sock in clients:
            sock.recv(4096 if kind.reads else 10)
        ours = [process.pid, *(pid for pid in children_of(process.pid) if b"node" not in _name(pid))]
        before = sum(switches(pid).cpu_ticks for pid in ours)
        began_s = time.perf_counter()
        os.kill(process.pid, signal.SIGTERM)
        last = dict.fromkeys(ours, 0)
        while _watch(last):
            time.sleep(_WATCH_EVERY_S)
        wall_s = time.perf_counter() - began_s
        process.wait()
    return wall_s, (sum(last.values()) - before) / _TICKS


def _watch(last: dict[int, int]) -> bool:
    """Take down what each has used; False once the first one has ended."""
    for pid in last:
        try:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if after_name[0] != "Z":
            last[pid] = int(after_name[11]) + int(after_name[12])
        elif pid == next(iter(last)):
            return False
    return True


def _client(port: int, kind: Kind, at: int) -> socket.socket:
    sock = socket.socket()
    sock.bind((_SOURCES[at % len(_SOURCES)], 0))
    if not kind.reads:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((_HOST, port))
    sock.sendall(f"GET {kind.target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return sock


def _is_open(port: int) -> bool:
    try:
        socket.create_connection((_HOST, port)).close()
    except OSError:
        return False
    return True


def _name(pid: int) -> bytes:
    return Path(f"/proc/{pid}/comm").read_bytes()


if __name__ == "__main__":
    main()

"""Thousands of clients that ask for much and read nothing, against a pyinit of its own; run in a network namespace.

    unshare --net python -m tests.support.slow_readers COUNT BUFFER_MEMORY_BYTES

The namespace is for its own tcp_wmem and tcp_rmem: with the machine's, the kernel alone would take some MiB for each
(up to tcp_mem, which is everybody's), and what we hold would not show. Prints a line of JSON.
"""

import contextlib
import json
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.front import node
from tests.support.http_client import Client
from tests.support.proc_figures import figures_of

_APP = """
const body = Buffer.alloc(262144, 'x');
http.createServer((q, r) => r.end(q.url === '/large' ? body : 'ok')).listen(port, '127.0.0.1');
"""
_KERNEL_BUFFERS = "4096 16384 16384"
_WATCH_S = 2.5


def main() -> None:
    """See above."""
    count, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in ("tcp_wmem", "tcp_rmem"):
        Path(f"/proc/sys/net/ipv4/{name}").write_text(_KERNEL_BUFFERS)
    arguments = (
        "--buffer-memory",
        str(memory_bytes),
        "--write-timeout",
        "60",
        "--max-connections",
        str(count + 10),
    )
    with node(_APP, *arguments) as app, contextlib.ExitStack() as opened:
        port, pid = app.port, app.process.pid
        with Client(port) as client:
            assert client.get("/large").status == 200
        before = figures_of(pid)
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", port))
            sock.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        app.wait_event("memory.full")
        highest = before.resident_bytes
        end_s = time.monotonic() + _WATCH_S
        while time.monotonic() < end_s:
            highest = max(highest, figures_of(pid).resident_bytes)
            time.sleep(0.1)
        held = figures_of(pid)
        opened.close()
        with Client(port) as client:
            served = client.get("/").status
        end_s = time.monotonic() + 20
        while figures_of(pid).sockets > before.sockets + 2 and time.monotonic() < end_s:
            time.sleep(0.05)
        after = figures_of(pid)
    seen = {
        "grown_bytes": highest - before.resident_bytes,
        "sockets_held": held.sockets - before.sockets,
        "sockets_left": after.sockets - before.sockets,
        "served_after": served,
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()

"""How many answers are lost because a container's network ends with its PID 1: pyinit beside nginx.

    python benchmarks/delivered.py

In a network namespace that ends with the last process in it, across 20 ms, twenty slow readers ask for something, and
the server is stopped once each has the first bytes: pyinit by SIGTERM, nginx by SIGQUIT (its graceful stop; the app
is killed after it). An answer counts as lost when no byte of it has come for ten seconds, or its connection ends
before it does. Both proxies hand an answer to the kernel long before a slow client has it.

Finding (nginx 1.22.1, three stops of twenty each, two busy processors): pyinit lost none of 240; nginx 2 and 1 of 60 at
64 KiB and 1 MiB, 3 and 5 with 2 % of the packets lost. It exits once the kernel has all of its answers, and what is in
send buffers by then is gone. pyinit took 0.1 to 0.6 s longer to exit: that is the delivery.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import link
from measuring import machine, say, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLIENTS = 20
_WAY_S = 0.01
_STOPS = 3
_SIZES_KIB = (64, 1024)
_WINDOW_BYTES = 16 * 1024
_SILENCE_S = 10.0
_PORT, _APP_PORT = 8080, 3000
_APP = (
    "require('http').createServer((q,s)=>s.end(Buffer.alloc(Number(q.url.slice(1)),'x')))"
    ".listen(process.env.PORT,'127.0.0.1')"
)
_NGINX = f"""
daemon off; worker_processes 1; pid FOLDER/pid; error_log FOLDER/log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path FOLDER; proxy_temp_path FOLDER; fastcgi_temp_path FOLDER;
  uwsgi_temp_path FOLDER; scgi_temp_path FOLDER;
  server {{ listen {_PORT}; location / {{ proxy_pass http://127.0.0.1:{_APP_PORT}; }} }}
}}
"""


@contextlib.contextmanager
def _pyinit(server: link.End) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    command = [str(Path(sys.executable).with_name("pyinit")), "--stop-timeout", "60", "--listen", str(_PORT)]
    with _running(server, [*command, "--", "node", "-e", _APP]) as process:
        yield process, signal.SIGTERM


@contextlib.contextmanager
def _nginx(server: link.End) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(_NGINX.replace("FOLDER", folder))
        # The app ends with it, as in a container.
        script = f'PORT={_APP_PORT} node -e "$1" & app=$!; nginx -c "$2" & wait $!; kill -9 $app'
        words = ["sh", "-c", script, "-", _APP, str(configuration)]
        with _running(server, words) as process:
            yield process, signal.SIGQUIT


_SERVERS: dict[
    str, Callable[[link.End], contextlib.AbstractContextManager[tuple[subprocess.Popen[bytes], int]]]
] = {"pyinit": _pyinit, "nginx": _nginx}


@contextlib.contextmanager
def _running(server: link.End, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        server.command(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _stopped(name: str, size_kib: int, loss: float) -> tuple[int, float]:
    """One stop: answers lost, and seconds to the exit."""
    with link.Link(_WAY_S, loss) as way, _SERVERS[name](way.server) as (process, signum):
        command = [sys.executable, __file__, "--client", way.server.address, "--kib", str(size_kib)]
        client = subprocess.Popen(way.client.command(command), stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None  # noqa: S101  for the type checker
        if client.stdout.readline() != "begun\n":
            raise RuntimeError(f"{name} does not answer")
        way.forget_server()
        stop_s = time.monotonic()
        os.kill(_main_pid(process), signum)
        process.wait()
        exit_s = time.monotonic() - stop_s
        lost = int(client.stdout.read())
        client.wait()
        client.stdout.close()
        return lost, exit_s


def _main_pid(process: subprocess.Popen[bytes]) -> int:
    """Of the server: the shell's second child where there is a shell."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in map(int, children):
        if Path(f"/proc/{pid}/comm").read_text() == "nginx\n":
            return pid
    return process.pid


def _client(host: str, size_kib: int) -> int:
    """Ask, tell that all have begun, read; how many have not come whole."""
    size = size_kib * 1024
    left: dict[socket.socket, int] = {}
    for _ in range(_CLIENTS):
        sock = _connected(host)
        sock.sendall(f"GET /{size} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n".encode())
        left[sock] = size
    for sock in left:
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(1)
    print("begun", flush=True)
    with selectors.DefaultSelector() as selector:
        for sock in left:
            selector.register(sock, selectors.EVENT_READ)
        while selector.get_map() and (ready := selector.select(_SILENCE_S)):
            for key, _ in ready:
                sock = key.fileobj  # type: ignore[assignment]  # sockets alone are registered
                try:
                    data = sock.recv(1 << 16)
                except OSError:
                    data = b""
                left[sock] -= len(data)
                if not data:
                    selector.unregister(sock)
    print(sum(count > 0 for count in left.values()))
    for sock in left:
        sock.close()
    return 0


def _connected(host: str) -> socket.socket:
    """As soon as the server listens, and has been answered by its app."""
    end_s = time.monotonic() + 20
    while True:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
        sock.settimeout(20)
        try:
            sock.connect((host, _PORT))
        except ConnectionRefusedError:
            sock.close()
            if time.monotonic() > end_s:
                raise
            time.sleep(0.05)
        else:
            return sock


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--kib", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        return _client(arguments.client, arguments.kib)
    problem = link.missing()
    if problem:
        parser.error(problem)
    rows = []
    for loss in (0.0, 0.02):
        for size_kib in _SIZES_KIB:
            for name in _SERVERS:
                say(f"{name}, {size_kib} KiB, {loss:.0%} lost")
                stops = [_stopped(name, size_kib, loss) for _ in range(_STOPS)]
                lost = sum(count for count, _ in stops)
                slowest_s = max(exit_s for _, exit_s in stops)
                asked = _CLIENTS * _STOPS
                rows.append([f"{loss:.0%}", str(size_kib), name, f"{lost} of {asked}", f"{slowest_s:.1f}"])
    print(machine())
    print(table(["packets lost", "KiB", "server", "answers lost", "slowest exit, s"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

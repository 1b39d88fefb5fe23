"""How long front mode takes until the child runs, and until the app can be asked, beside the child and the app alone.

Part of proxy_cost.py. The child's first byte comes from ``/bin/echo``, as in start_init.py; an app is ready when its
address, the proxy's where there is one, answers a request with 200: it is asked every half millisecond, from before
it listens. Interleaved runs; pinned to no core, as in a container.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from measuring import PATIENCE_S, Installation, Process
from storm_peers import APPS
from storm_places import CONDITIONS, Place

_LOOK_S = 0.0005
_HOST = "127.0.0.1"
# Rows; those with a place for it are once for each pyinit.
INTERPRETER = "`python3 -I -S -c pass`, the whole run"
UVLOOP = "`python3 -c 'import uvloop'`, the whole run"
NODE_READY = "Node alone, ready"
INIT_BYTE = "{}: init mode, the child's first byte"
FRONT_BYTE = "{}: front mode, the child's first byte"
FRONT_READY = "{}: front mode with Node, ready"


@dataclass(frozen=True, slots=True)
class Start:
    """One row.

    Attributes:
        title: of it.
        once: starts it, and says after how many seconds it was there.
    """

    title: str
    once: Callable[[], float]


def starts(installations: Mapping[str, Installation], *, has_node: bool) -> list[Start]:
    """All rows; the app's where there is Node.

    Args:
        installations: by what their rows call them; the first one's interpreter is measured.
        has_node: whether there is.
    """
    python = next(iter(installations.values())).python
    rows = [
        Start(INTERPRETER, lambda: _run([python, "-I", "-S", "-c", "pass"])),
        Start(UVLOOP, lambda: _run([python, "-c", "import uvloop"])),
    ]
    if has_node:
        rows.append(Start(NODE_READY, lambda: _ready(lambda port: ["node", *_hello(port)])))
    for title, installation in installations.items():
        rows += _of_pyinit(installation.pyinit, title, has_node=has_node)
    return rows


def _of_pyinit(pyinit: str, title: str, *, has_node: bool) -> list[Start]:
    front = [pyinit, "--listen"]
    rows = [
        Start(INIT_BYTE.format(title), lambda: _first_byte([pyinit, "-s", "--", "/bin/echo"])),
        Start(
            FRONT_BYTE.format(title),
            lambda: _first_byte([*front, f"{_HOST}:{_free_port()}", "--", "/bin/echo"]),
        ),
    ]
    if has_node:
        rows.append(
            Start(
                FRONT_READY.format(title),
                lambda: _ready(
                    lambda port: [
                        *front,
                        f"{_HOST}:{port}",
                        *("--upstream", str(app_port := _free_port())),
                        *("--", "node", *_hello(app_port)),
                    ]
                ),
            )
        )
    return rows


def _hello(port: int) -> list[str]:
    return [str(APPS / "plain.js"), _HOST, str(port), "0"]


def _free_port() -> int:
    return Place(CONDITIONS["loopback"], None).free_port()


def _run(command: list[str]) -> float:
    return Process(command).wait()[1]


def _first_byte(command: list[str]) -> float:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    process = Process(command, stdout=write_end)
    os.close(write_end)
    has_begun = os.read(read_end, 1)
    seconds = time.perf_counter() - process.begun_s
    os.close(read_end)
    process.wait()
    if not has_begun:
        raise RuntimeError(f"{command[0]} started no child")
    return seconds


def _ready(command: Callable[[int], list[str]]) -> float:
    port = _free_port()
    process = Process(command(port))
    try:
        while time.perf_counter() - process.begun_s < PATIENCE_S:
            with contextlib.suppress(OSError), socket.create_connection((_HOST, port)) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: close\r\n\r\n")
                if sock.recv(64).startswith(b"HTTP/1.1 200 "):
                    return time.perf_counter() - process.begun_s
            time.sleep(_LOOK_S)
        raise TimeoutError(port)
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait()

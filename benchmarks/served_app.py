"""The example app on a public port, alone or behind a proxy, until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from measuring import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

EXAMPLE = str(ROOT / "docker/example/server.js")
PYINIT = str(Path(sys.executable).with_name("pyinit"))
_EXIT_S = 20.0
# One worker and kept connections to the app, as pyinit; two addresses are in use where it stands alone: its own.
_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  {extra}
  upstream app {{ server 127.0.0.1:{app_port}; keepalive 64; }}
  server {{
    listen {address}:{port};
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


class Place(NamedTuple):
    """Where it is served.

    Attributes:
        address: the public one.
        port: the same.
        app_port: on loopback, for an app behind nginx.
        prefix: the words that run a command there.
    """

    address: str
    port: int
    app_port: int
    prefix: list[str]


class Way(NamedTuple):
    """A way to serve the app.

    Attributes:
        label: for people.
        program: what has to be installed.
        command: from the place and a folder of its own.
        signum: what stops it.
        has_own_app: or one is started beside it.
    """

    label: str
    program: str
    command: Callable[[Place, Path], list[str]]
    signum: int
    has_own_app: bool


def pyinit(*options: str) -> Way:
    """Behind pyinit, with these options."""

    def command(place: Place, _folder: Path) -> list[str]:
        listen = ["--listen", f"{place.address}:{place.port}", "--log-level", "warning"]
        return [PYINIT, *listen, *options, "--", "node", EXAMPLE]

    return Way(" ".join(["pyinit", *options]), PYINIT, command, signal.SIGTERM, has_own_app=True)


def nginx(extra: str = "", label: str = "nginx, SIGQUIT") -> Way:
    """Behind nginx, with this in its ``http`` block."""

    def command(place: Place, folder: Path) -> list[str]:
        text = _NGINX.format(folder=folder, extra=extra, **place._asdict())
        user = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(user + text)
        return ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]

    return Way(label, "nginx", command, signal.SIGQUIT, has_own_app=False)


def node(script: str, label: str) -> Way:
    """By itself: the script has HOST and PORT."""

    def command(place: Place, _folder: Path) -> list[str]:
        return ["env", f"HOST={place.address}", f"PORT={place.port}", "node", script]

    return Way(label, "node", command, signal.SIGTERM, has_own_app=True)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Served:
    """The app, served in one of these ways, as a context manager."""

    def __init__(self, way: Way, place: Place, folder: Path) -> None:
        self._way = way
        self._place = place
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        if not self._way.has_own_app:
            app = self._start(["env", f"PORT={self._place.app_port}", "node", EXAMPLE])
            # Until it listens, nginx would answer 502.
            assert app.stdout is not None  # noqa: S101  a pipe
            app.stdout.readline()
        self._start(self._way.command(self._place, self._folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_EXIT_S)
                process.kill()
            process.communicate()

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        words = [*self._place.prefix, *command]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._processes.append(process)
        return process

    def stop(self) -> float:
        """Tell it to, and wait for its exit; returns the seconds."""
        began_s = time.monotonic()
        front = self._processes[-1]
        front.send_signal(self._way.signum)
        front.wait(_EXIT_S)
        return time.monotonic() - began_s

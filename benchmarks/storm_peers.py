"""The servers that are stopped under a storm: how each is started, told to stop, and found or missed.

All stop as their documentation says, with the budget's ten seconds less one where they ask for a time. The proxies
stand before a Node that goes on running; pyinit's app goes with it, as in a container. Only the process that was
started is signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import ROOT
from storm import kill_all

sys.path.insert(0, str(ROOT))

from tests.support import node_packages

if TYPE_CHECKING:
    from storm_places import Place

APPS = Path(__file__).with_name("peers")
_START_S = 20.0
_LOOK_S = 0.02
_SAID_CHARACTERS = 500
# Debian's place for servers is not in every user's PATH.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
_PYINIT = str(Path(sys.executable).with_name("pyinit"))


@dataclass(frozen=True, slots=True)
class Site:
    """What a peer is started with.

    Attributes:
        folder: its own.
        host: where it is to listen.
        port: and on which port.
        app_port: of the Node behind proxies, at the same address.
        budget_s: the platform's grace.
    """

    folder: Path
    host: str
    port: int
    app_port: int
    budget_s: float


@dataclass(frozen=True, slots=True)
class Peer:
    """A server.

    Attributes:
        name: as on the command line.
        title: in the table.
        program: its executable.
        words: its arguments.
        signum: what stops it gracefully.
        version: the arguments that make it say its version.
        package: of npm, that it needs.
        needs_node: it is one, or stands before one.
    """

    name: str
    title: str
    program: str
    words: Callable[[Site], list[str]]
    signum: signal.Signals = signal.SIGTERM
    version: tuple[str, ...] = ("--version",)
    package: str | None = None
    needs_node: bool = True

    def refusal(self) -> str | None:
        """Why it cannot be had here; None where it can."""
        for program in {self.program, "node"} if self.needs_node else {self.program}:
            if shutil.which(program, path=_PATH) is None:
                return f"need {Path(program).name}"
        return node_packages.refusal(APPS) if self.package else None

    def full_title(self) -> str:
        """With the version."""
        if self.package:
            text = json.loads((APPS / "node_modules" / self.package / "package.json").read_text())["version"]
        else:
            said = subprocess.run(
                [_found(self.program), *self.version], capture_output=True, text=True, check=True
            )
            text = said.stdout + said.stderr
        number = re.search(r"\d+\.\d+[.\d]*", text)
        return self.title.format(number[0] if number else "?")

    @contextlib.contextmanager
    def running(self, site: Site, place: Place) -> Iterator[subprocess.Popen[bytes]]:
        """Started, and answering; on the way out it is ended if it has not by itself."""
        log = site.folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                place.command([_found(self.program), *self.words(site)]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=site.folder,
                env=_environment(site),
                start_new_session=True,
            )
        try:
            with place.client_side():
                _wait_until_it_answers(site, process, log)
            yield process
        finally:
            if process.poll() is None:
                kill_all(process)
                process.wait()


class NotStartedError(Exception):
    """It gave no answer; the text is its log's end."""


def _found(program: str) -> str:
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise FileNotFoundError(program)
    return found


def _environment(site: Site) -> dict[str, str]:
    foreign = ("PYINIT_", "HOST", "PORT", "NODE_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # Where Caddy keeps what it keeps.
    return own | {"HOME": str(site.folder), "XDG_DATA_HOME": str(site.folder)}


def _wait_until_it_answers(site: Site, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection((site.host, site.port), 1.0) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: storm.test\r\nConnection: close\r\n\r\n")
            if sock.recv(4096).startswith(b"HTTP/1.1 200 "):
                return
        if process.poll() is not None or time.monotonic() > end_s:
            raise NotStartedError(
                log.read_text(errors="replace")[-_SAID_CHARACTERS:].strip() or "it said nothing"
            )
        time.sleep(_LOOK_S)


def _app(name: str) -> Callable[[Site], list[str]]:
    def words(site: Site) -> list[str]:
        grace_ms = int((site.budget_s - 1) * 1000)
        return [str(APPS / name), site.host, str(site.port), str(grace_ms)]

    return words


def _pyinit(site: Site) -> list[str]:
    listen = ["--listen", f"{site.host}:{site.port}"]
    budget = ["--platform", "docker", "--stop-timeout", f"{site.budget_s:g}"]
    return [*listen, *budget, "--", "node", str(ROOT / "docker/example/server.js")]


# A kept connection for each of the storm's clients at most, so that the way to the app is no bottleneck. Its default
# of 512 connections in all is less than two for each client; worker_shutdown_timeout is unset, as by default.
_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream app {{ server {host}:{app_port}; keepalive 200; }}
  server {{
    listen {host}:{port};
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
    }}
  }}
}}
"""


def _nginx(site: Site) -> list[str]:
    user = "" if os.geteuid() else "user root;\n"
    return ["-p", str(site.folder), "-c", written(site, "nginx.conf", user + _NGINX)]


# No health check; what hard-stop-after says never comes, as the budget ends before.
_HAPROXY = """\
global
  hard-stop-after 30s
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend public
  bind {host}:{port}
  default_backend app
backend app
  server app {host}:{app_port}
"""


def _haproxy(site: Site) -> list[str]:
    """As its own image starts it: a master and a worker, in the foreground."""
    return ["-W", "-db", "-f", written(site, "haproxy.cfg", _HAPROXY)]


_CADDY = """\
{{
  admin off
  grace_period {grace_s:g}s
}}
http://:{port} {{
  bind {host}
  reverse_proxy {host}:{app_port}
}}
"""


def _caddy(site: Site) -> list[str]:
    return ["run", "--adapter", "caddyfile", "--config", written(site, "Caddyfile", _CADDY)]


def written(site: Site, name: str, text: str) -> str:
    """A configuration with the site's values in it; its path."""
    path = site.folder / name
    path.write_text(
        text.format(
            folder=site.folder,
            host=site.host,
            port=site.port,
            app_port=site.app_port,
            grace_s=site.budget_s - 1,
        )
    )
    return str(path)


APP = Peer("app", "Node {}", "node", _app("plain.js"))
PEERS = (
    Peer("pyinit", "pyinit {}", _PYINIT, _pyinit),
    Peer("node", "Node {}, no handler", "node", _app("plain.js")),
    Peer("close", "Node {}, `close()` and `closeIdleConnections()`", "node", _app("close.js")),
    Peer("stoppable", "stoppable {}", "node", _app("stoppable.js"), package="stoppable"),
    Peer(
        "http-terminator", "http-terminator {}", "node", _app("http_terminator.js"), package="http-terminator"
    ),
    Peer("nginx", "nginx {}", "nginx", _nginx, signal.SIGQUIT, ("-v",)),
    Peer("haproxy", "HAProxy {}", "haproxy", _haproxy, signal.SIGUSR1, ("-v",)),
    Peer("caddy", "Caddy {}", "caddy", _caddy, version=("version",)),
)

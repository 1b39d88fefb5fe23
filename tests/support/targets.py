"""The proxies that the corpus can be pointed at: ours, and Debian's packages of others, each as a plain reverse proxy.

Their configurations are what their documentation gives for one app behind them: kept connections to it, upgrades
passed on, everything else by default. Strictness is not turned up, and not down.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.process import SCRIPT_PATH, pyinit_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_START_S = 15.0


@dataclass(frozen=True, slots=True)
class Target:
    """A proxy that can be started.

    Attributes:
        name: as in a table.
        program: its executable.
        arguments: of it, in a folder of its own, for pairs of a public and an app's port.
        version: the arguments that make it say its version.
    """

    name: str
    program: str
    arguments: Callable[[Path, Sequence[tuple[int, int]]], list[str]]
    version: tuple[str, ...]

    def find(self) -> str | None:
        """The executable; None where it is not installed."""
        return shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")

    def version_text(self) -> str:
        """What it says it is."""
        program = self.find()
        assert program is not None
        said = subprocess.run(
            [program, *self.version], capture_output=True, text=True, check=False, timeout=_START_S
        )
        found = re.search(r"\d+\.\d+[.\d]*", said.stdout + said.stderr)
        return found[0] if found else "?"

    @contextlib.contextmanager
    def run(self, folder: Path, app_ports: Sequence[int]) -> Iterator[list[int]]:
        """Run it in front of these apps; yields its ports, in their order."""
        program = self.find()
        assert program is not None
        pairs = [(_free_port(), port) for port in app_ports]
        log = folder / f"{self.program}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, *self.arguments(folder, pairs)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=pyinit_environment({"HOME": str(folder), "XDG_DATA_HOME": str(folder)}),
            )
            try:
                for port, _ in pairs:
                    _wait_for(port, process, log)
                yield [port for port, _ in pairs]
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(3.0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"it does not listen: {log.read_text()[-2000:]}") from None
            time.sleep(0.02)
        else:
            return


def _pyinit(folder: Path, pairs: Sequence[tuple[int, int]]) -> list[str]:
    del folder
    ((public, app),) = pairs
    return ["--listen", f"127.0.0.1:{public}", "--upstream", f"127.0.0.1:{app}", "--log-level", "debug"]


_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  {servers}
}}
"""
_NGINX_SERVER = """
  upstream app{app} {{ server 127.0.0.1:{app}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{public};
    server_name localhost;
    location / {{
      proxy_pass http://app{app};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
  }}
"""


def _nginx(folder: Path, pairs: Sequence[tuple[int, int]]) -> list[str]:
    servers = "".join(_NGINX_SERVER.format(public=public, app=app) for public, app in pairs)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(user + _NGINX.format(folder=folder, servers=servers))
    return ["-c", str(folder / "nginx.conf"), "-p", str(folder)]


_HAPROXY = """\
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
"""
_HAPROXY_PAIR = """
frontend public{public}
  bind 127.0.0.1:{public}
  default_backend app{app}
backend app{app}
  server app 127.0.0.1:{app}
"""


def _haproxy(folder: Path, pairs: Sequence[tuple[int, int]]) -> list[str]:
    text = "".join(_HAPROXY_PAIR.format(public=public, app=app) for public, app in pairs)
    (folder / "haproxy.cfg").write_text(_HAPROXY + text)
    return ["-db", "-f", str(folder / "haproxy.cfg")]


def _caddy(folder: Path, pairs: Sequence[tuple[int, int]]) -> list[str]:
    sites = [
        f"http://:{public} {{\n  bind 127.0.0.1\n  reverse_proxy 127.0.0.1:{app}\n}}\n"
        for public, app in pairs
    ]
    (folder / "Caddyfile").write_text("{\n  admin off\n}\n" + "".join(sites))
    return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


_APACHE = """\
ServerRoot {folder}
ServerName localhost
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
{modules}
{listens}
{hosts}
"""
_APACHE_HOST = """
<VirtualHost 127.0.0.1:{public}>
  ProxyPreserveHost On
  ProxyPass / http://127.0.0.1:{app}/ upgrade=websocket
</VirtualHost>
"""


def _apache(folder: Path, pairs: Sequence[tuple[int, int]]) -> list[str]:
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "proxy", "proxy_http")
    )
    text = _APACHE.format(
        folder=folder,
        modules=modules,
        listens="\n".join(f"Listen 127.0.0.1:{public}" for public, _ in pairs),
        hosts="".join(_APACHE_HOST.format(public=public, app=app) for public, app in pairs),
    )
    (folder / "httpd.conf").write_text(text)
    return ["-D", "FOREGROUND", "-f", str(folder / "httpd.conf")]


OURS = Target("pyinit", SCRIPT_PATH, _pyinit, ("--version",))
PEERS = (
    Target("nginx", "nginx", _nginx, ("-v",)),
    Target("HAProxy", "haproxy", _haproxy, ("-v",)),
    Target("Caddy", "caddy", _caddy, ("version",)),
    Target("Apache httpd", "apache2", _apache, ("-v",)),
)

"""The proxies that proxy_cost.py measures, and their configurations: the same for all, as far as each can.

One worker, kept connections to the app and to clients without a bound that a run would meet, X-Forwarded-For and
-Proto added, WebSockets passed on, nothing compressed, no access log, no time limit that a run would meet. nginx writes
no body to a file, as none of the others does; HAProxy reuses connections for a client's first request too, as
all the others do. Both have room for 11,000 connections, which they reserve memory for at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from storm_peers import APPS, Peer, Site, written
from storm_places import CONDITIONS, Place

if TYPE_CHECKING:
    from measuring import Installation

_BESIDE = Path(sys.executable).parent


class Cores(NamedTuple):
    """Where what runs; None where there is one processor only."""

    proxy: str | None
    rest: str | None
    third: str | None

    @property
    def load_command(self) -> list[str]:
        """In front of a load's own."""
        return ["taskset", "-c", self.rest] if self.rest else []

    @property
    def third_command(self) -> list[str]:
        """The same, on a third core."""
        return ["taskset", "-c", self.third] if self.third else []


def cores() -> Cores:
    """Of those that this process may use."""
    allowed = [str(one) for one in sorted(os.sched_getaffinity(0))]
    proxy, rest, third, *_ = [*allowed, None, None, None] if len(allowed) > 1 else [None] * 3
    return Cores(proxy, rest, third)


class Pinned(Place):
    """This machine's loopback, on some of its processors.

    Args:
        cores: theirs; None for all.
    """

    def __init__(self, cores: str | None) -> None:
        super().__init__(CONDITIONS["loopback"], None)
        self._cores = cores

    def command(self, words: list[str]) -> list[str]:
        """The same, run there; taskset execs, so that the pid is the command's own."""
        return ["taskset", "-c", self._cores, *words] if self._cores else words


def control_name(port: int) -> str:
    """Where a pyinit that listens there can be asked."""
    return f"@pyinit-cost-{port}"


def pyinit(installation: Installation, *, workers: int = 1, name: str = "pyinit", note: str = "") -> Peer:
    """As a sidecar has it, the proxy alone. Its title has the form that it says it has, pure or compiled.

    Args:
        installation: whose.
        workers: how many processes of it.
        name: on the command line.
        note: behind its name and form, in the table; none where it is the form.
    """
    said = subprocess.run([installation.pyinit, "--version"], capture_output=True, text=True, check=True)
    _, has_form, form = said.stdout.strip().partition(" (")
    notes = [form.rstrip(")")] if has_form else []
    notes += [note] if note and note not in notes else []

    def words(site: Site) -> list[str]:
        addresses = ["--listen", f"{site.host}:{site.port}", "--upstream", f"{site.host}:{site.app_port}"]
        more = ["--control", control_name(site.port)]
        return [*addresses, "--workers", str(workers), "--platform", "docker", *more]

    title = f"pyinit {{}} ({', '.join(notes)})" if notes else "pyinit {}"
    return Peer(name, title, installation.pyinit, words, needs_node=False)


_NGINX = """\
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 11000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_timeout 1h;
  keepalive_requests 100000000;
  client_max_body_size 0;
  upstream app {{ server {host}:{app_port}; keepalive 256; keepalive_requests 100000000; }}
  map $http_upgrade $connection_out {{ default upgrade; '' ''; }}
  server {{
    listen {host}:{port} backlog=4096;
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection $connection_out;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      send_timeout 1h;
    }}
  }}
}}
"""


def nginx(*, workers: int = 1, name: str = "nginx", note: str = "") -> Peer:
    """Debian's."""

    def words(site: Site) -> list[str]:
        user = "" if os.geteuid() else "user root;\n"
        text = user + _NGINX.replace("{workers}", str(workers))
        return ["-p", str(site.folder), "-c", written(site, "nginx.conf", text)]

    return Peer(name, "nginx {}" + note, "nginx", words, version=("-v",), needs_node=False)


_HAPROXY = """\
global
  maxconn 11000
  no strict-limits
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  http-reuse always
  option forwardfor
frontend public
  bind {host}:{port} backlog 4096
  http-request set-header X-Forwarded-Proto http
  default_backend app
backend app
  server app {host}:{app_port}
"""


def _haproxy(site: Site) -> list[str]:
    return ["-db", "-f", written(site, "haproxy.cfg", _HAPROXY)]


_CADDY = """\
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind {host}
  reverse_proxy {host}:{app_port} {{
    transport http {{
      keepalive_idle_conns_per_host 256
      compression off
    }}
  }}
}}
"""


def _caddy(site: Site) -> list[str]:
    return ["run", "--adapter", "caddyfile", "--config", written(site, "Caddyfile", _CADDY)]


def _envoy(site: Site) -> list[str]:
    """JSON is YAML."""
    at = {"socket_address": {"address": site.host, "port_value": site.port}}
    app = {"socket_address": {"address": site.host, "port_value": site.app_port}}
    kinds = "type.googleapis.com/envoy.extensions"
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{kinds}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}
    manager = {
        "@type": f"{kinds}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "public",
        "use_remote_address": True,
        "generate_request_id": False,  # nor has any other one
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [route]}]},
        "http_filters": [router],
    }
    listener = {
        "address": at,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 11_000)
    cluster = {
        "name": "app",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "app",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": app}}]}],
        },
    }
    path = site.folder / "envoy.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    return ["-c", str(path), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]


_TRAEFIK = """\
http:
  routers:
    app: {{ rule: "PathPrefix(`/`)", service: app }}
  services:
    app: {{ loadBalancer: {{ servers: [ {{ url: "http://{host}:{app_port}" }} ], serversTransport: app }} }}
  serversTransports:
    app: {{ maxIdleConnsPerHost: 256 }}
"""


def _traefik(site: Site) -> list[str]:
    point = f"--entryPoints.public.address={site.host}:{site.port}"
    limit = "--entryPoints.public.transport.respondingTimeouts"
    times = [f"{limit}.{name}=1h" for name in ("readTimeout", "idleTimeout")]
    rules = f"--providers.file.filename={written(site, 'rules.yml', _TRAEFIK)}"
    quiet = ["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false", "--log.level=ERROR"]
    trusts = "--entryPoints.public.forwardedHeaders.insecure=true"
    return [point, *times, rules, *quiet, trusts]


def _python_version(module: str) -> tuple[str, ...]:
    return ("-c", f"import {module}; print({module}.__version__)")


def _script(name: str) -> Callable[[Site], list[str]]:
    """One of peers/ that takes HOST PORT APP_PORT."""
    return lambda site: [str(APPS / name), site.host, str(site.port), str(site.app_port)]


APP = Peer(
    "app",
    "the app (uvloop {})",
    sys.executable,
    lambda site: [str(Path(__file__).with_name("proxy_app.py")), site.host, str(site.port)],
    version=_python_version("uvloop"),
    needs_node=False,
)
HELLO = Peer(
    "hello", "Node {} alone", "node", lambda site: [str(APPS / "plain.js"), site.host, str(site.port), "0"]
)
OTHERS = (
    nginx(),
    Peer("haproxy", "HAProxy {}", "haproxy", _haproxy, version=("-v",), needs_node=False),
    Peer("envoy", "Envoy {}", str(_BESIDE / "envoy"), _envoy, needs_node=False),
    Peer("caddy", "Caddy {}", "caddy", _caddy, version=("version",), needs_node=False),
    Peer("traefik", "Traefik {}", str(_BESIDE / "traefik"), _traefik, version=("version",), needs_node=False),
    Peer("http-proxy", "http-proxy {} (Node)", "node", _script("http_proxy.js"), package="http-proxy"),
    Peer(
        "aiohttp",
        "aiohttp {}, server and client session",
        sys.executable,
        _script("aiohttp_proxy.py"),
        version=_python_version("aiohttp"),
        needs_node=False,
    ),
    Peer(
        "relay",
        "a relay without HTTP (uvloop {})",
        sys.executable,
        _script("bare_relay.py"),
        version=_python_version("uvloop"),
        needs_node=False,
    ),
)

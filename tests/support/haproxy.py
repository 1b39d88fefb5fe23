"""A real HAProxy in TCP mode, as a load balancer that says whose each connection is."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.front import DEADLINE_S

# Debian's place is not in every user's PATH.
PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")

_CONFIG = """
global
  stats socket {stats} mode 600 level admin
  maxconn 50
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  timeout check 5s
"""
_LISTEN = """
listen {name}
  bind {bind}
  option httpchk GET /checked-{name}
  server app 127.0.0.1:{port} {server}
"""


class HAProxy:
    """A running one.

    Attributes:
        ports: of its listeners, by their names.
    """

    def __init__(self, ports: dict[str, int], stats: Path) -> None:
        self.ports = ports
        self._stats = stats

    def status(self, name: str) -> str:
        """What it thinks of its server there: UP, DOWN, ``no check``."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(str(self._stats))
            sock.sendall(b"show stat\n")
            answer = b""
            while piece := sock.recv(1 << 16):
                answer += piece
        for row in answer.decode().splitlines():
            cells = row.split(",")
            if cells[:2] == [name, "app"]:
                return cells[17]
        raise AssertionError(answer)


@contextmanager
def haproxy(directory: Path, port: int, listeners: Mapping[str, tuple[str, str]]) -> Iterator[HAProxy]:
    """A HAProxy in front of a loopback port.

    Args:
        directory: for its configuration and socket.
        port: of the server.
        listeners: name -> address (``127.0.0.1``, ``::1`` or an absolute path, with options of ``bind`` behind it),
            and options of ``server``.
    """
    assert PROGRAM is not None
    stats = directory / "stats"
    text = _CONFIG.format(stats=stats)
    ports: dict[str, int] = {}
    with ExitStack() as stack:
        inherited = []
        for name, (address, server) in listeners.items():
            host, _, options = address.partition(" ")
            bind = f"unix@{host}"
            if not host.startswith("/"):
                # Bound here and handed on, as a port that was free a moment ago may be so no more.
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                sock = stack.enter_context(socket.create_server((host, 0), family=family))
                ports[name] = sock.getsockname()[1]
                inherited.append(sock.fileno())
                bind = f"fd@{sock.fileno()}"
            text += _LISTEN.format(name=name, bind=f"{bind} {options}", port=port, server=server)
        config = directory / "haproxy.cfg"
        config.write_text(text)
        log = stack.enter_context((directory / "haproxy.log").open("wb"))
        process = subprocess.Popen(
            [PROGRAM, "-db", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=inherited,
        )
        try:
            _wait_until_up(process, stats, directory / "haproxy.log")
            yield HAProxy(ports, stats)
        finally:
            process.kill()
            process.wait()


def _wait_until_up(process: subprocess.Popen[bytes], stats: Path, log: Path) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(stats))
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end_s, log.read_text()
            time.sleep(0.01)

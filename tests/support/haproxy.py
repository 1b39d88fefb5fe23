"""A real HAProxy as a load balancer: one that says whose each connection is, and one with several targets."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
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
# As an ALB: connections to the targets are kept and serve anybody's requests, and nothing is tried twice.
_BALANCE = """
listen {name}
  mode {mode}
  bind {bind}
  balance roundrobin
  http-reuse always
  retries 0
  no option redispatch
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
        answer = self._ask("show stat")
        for row in answer.splitlines():
            cells = row.split(",")
            if cells[:2] == [name, "app"]:
                return cells[17]
        raise AssertionError(answer)

    def take_out(self, name: str, server: str) -> None:
        """Nothing new goes to that server from here on; what is under way finishes."""
        assert not self._ask(f"set server {name}/{server} state drain").strip()

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(str(self._stats))
            sock.sendall(command.encode() + b"\n")
            answer = b""
            while piece := sock.recv(1 << 16):
                answer += piece
        return answer.decode()


@contextmanager
def haproxy(directory: Path, port: int, listeners: Mapping[str, tuple[str, str]]) -> Iterator[HAProxy]:
    """A HAProxy in front of a loopback port.

    Args:
        directory: for its configuration and socket.
        port: of the server.
        listeners: name -> address (``127.0.0.1``, ``::1`` or an absolute path, with options of ``bind`` behind it),
            and options of ``server``.
    """
    text = ""
    ports: dict[str, int] = {}
    with ExitStack() as stack:
        inherited = []
        for name, (address, server) in listeners.items():
            host, _, options = address.partition(" ")
            bind = f"unix@{host}"
            if not host.startswith("/"):
                sock = stack.enter_context(_bound(host))
                ports[name] = sock.getsockname()[1]
                inherited.append(sock.fileno())
                bind = f"fd@{sock.fileno()}"
            text += _LISTEN.format(name=name, bind=f"{bind} {options}", port=port, server=server)
        stats = stack.enter_context(_started(directory, text, inherited))
        yield HAProxy(ports, stats)


@contextmanager
def balancer(directory: Path, mode: str, targets: Sequence[int]) -> Iterator[HAProxy]:
    """A HAProxy that spreads a listener, ``app``, over loopback ports, its servers ``s0``, ``s1`` and so on.

    Args:
        directory: for its configuration and socket.
        mode: ``http``: request by request, as an ALB; ``tcp``: connection by connection, as kube-proxy.
        targets: the ports.
    """
    with _bound("127.0.0.1") as sock:
        text = _BALANCE.format(name="app", mode=mode, bind=f"fd@{sock.fileno()}")
        for number, port in enumerate(targets):
            text += f"  server s{number} 127.0.0.1:{port}\n"
        with _started(directory, text, [sock.fileno()]) as stats:
            yield HAProxy({"app": sock.getsockname()[1]}, stats)


def _bound(host: str) -> socket.socket:
    # Bound here and handed on, as a port that was free a moment ago may be so no more.
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


@contextmanager
def _started(directory: Path, listeners: str, inherited: Sequence[int]) -> Iterator[Path]:
    """One with these listeners, answering; its control socket."""
    assert PROGRAM is not None
    stats = directory / "stats"
    config = directory / "haproxy.cfg"
    config.write_text(_CONFIG.format(stats=stats) + listeners)
    with (directory / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "-db", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=inherited,
        )
        try:
            _wait_until_up(process, stats, directory / "haproxy.log")
            yield stats
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

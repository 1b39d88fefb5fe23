"""A network of our own, in which a client has a public address and a load balancer a private one.

A network namespace whose loopback device has all their addresses: whoever connects picks the one that the other end
sees. The namespace belongs to one thread, which therefore makes every socket and process of this world.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from tests.support.front import DEADLINE_S, Front
from tests.support.node_packages import FOLDER

T = TypeVar("T")

# RFC 5737 and 3849: addresses for documentation, public ones to whoever asks for private networks.
CLIENT, CLIENT6 = "203.0.113.7", "2001:db8::7"
EDGE = "198.51.100.9"
BALANCER, BALANCER6 = "10.0.0.5", "fd00::5"
SERVER, SERVER6 = "10.0.0.1", "fd00::1"
_ADDRESSES = (CLIENT, EDGE, BALANCER, SERVER, CLIENT6, BALANCER6, SERVER6)
_CLONE_NEWNET = 0x40000000  # sched.h; os.unshare comes with Python 3.12

Seen = dict[str, Any]


class TrustWorld:
    """The namespace and one app in it, which can be asked directly or through a pyinit.

    Attributes:
        port: of the app, at every address.
        path: of its unix socket.
    """

    def __init__(self, folder: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.path = f"{folder}/app.sock"
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self._run(_enter_namespace)
            self._app = self._run(
                lambda: subprocess.Popen(
                    ["node", "app.js"],
                    cwd=FOLDER,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "APP_PATH": self.path},
                )
            )
        except BaseException:
            self._thread.shutdown()
            raise
        assert self._app.stdout is not None
        self.port = int(self._app.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._app.kill()
        self._app.wait()
        assert self._app.stdout is not None
        self._app.stdout.close()
        self._thread.shutdown()

    def _run(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()

    @contextmanager
    def front(self, *arguments: str, listen: str = "0", upstream: str = "") -> Iterator[Front]:
        """A pyinit before the app, as a sidecar: so it is the same process that answers both ways."""
        words = ["--listen", listen, "--upstream", upstream or f"127.0.0.1:{self.port}", *arguments]
        with self.start(*words) as running:
            yield running

    @contextmanager
    def start(self, *arguments: str) -> Iterator[Front]:
        """A pyinit with these arguments, in front mode say."""
        running = self._run(lambda: Front(arguments, cwd=FOLDER))
        try:
            running.wait_event("app.ready")
            running.wait_event("listener.bound")
            yield running
        finally:
            running.close()

    def ask(self, raw: bytes, *, source: str, port: int = 0, path: str = "") -> Seen:
        """What the app reads of a request.

        Args:
            raw: the request, which closes its connection.
            source: whose address it comes from.
            port: of a pyinit; the app's own otherwise.
            path: a unix socket instead.
        """
        answer = self._run(lambda: _exchange(raw, source, port or self.port, path))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split(b" ")[1] == b"200", answer
        seen = json.loads(body)
        assert isinstance(seen, dict)
        return seen


def refusal() -> str | None:
    """Why there can be no such world here; None where there can."""
    if os.geteuid():
        return "need root, for a network namespace"
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            thread.submit(_enter_namespace).result()
        except (OSError, subprocess.CalledProcessError) as problem:
            return f"no network namespace: {problem}"
    return None


def _enter_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    lines = ["link set lo up"]
    lines += [f"address add {address} dev lo{' nodad' * (':' in address)}" for address in _ADDRESSES]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, capture_output=True)


def _exchange(raw: bytes, source: str, port: int, path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) if path else socket.socket(_family(source)) as sock:
        sock.settimeout(DEADLINE_S)
        if path:
            sock.connect(path)
        else:
            sock.bind((source, 0))
            sock.connect((SERVER6 if ":" in source else SERVER, port))
        sock.sendall(raw)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := sock.recv(1 << 16):
                answer += data
        return answer


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET

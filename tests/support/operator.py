"""An operator of a running pyinit: asks its control, admin and health sockets, from here or as somebody else."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.front import DEADLINE_S
from tests.support.http_client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.http_client import Response

_NUMBERS = itertools.count()

# Prints what a peer at an abstract name is told: sys.argv is name, request.
_ASK_SCRIPT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.settimeout(20)
    sock.connect("\\0" + sys.argv[1])
    if sys.argv[2]:
        sock.sendall(sys.argv[2].encode())
    answer = b""
    while data := sock.recv(65536):
        answer += data
    sys.stdout.buffer.write(answer)
"""


class Said(NamedTuple):
    """What a peer was told.

    Attributes:
        status: of the response; 0 for none.
        text: its body.
    """

    status: int
    text: str


def new_name() -> str:
    """A control socket's name that no other test has."""
    return f"@pyinit-test-{os.getpid()}-{next(_NUMBERS)}"


def control(name: str) -> Client:
    """A connection to an abstract name."""
    return Client.unix("\0" + name.removeprefix("@"))


def ask(name: str, target: str, *, method: str = "GET", body: bytes = b"") -> Response:
    """One request on a connection of its own."""
    with control(name) as client:
        client.request(target, f"Content-Length: {len(body)}", "Connection: close", method=method, body=body)
        return client.response(method=method)


def status(name: str) -> dict[str, Any]:
    """``/status``."""
    answer = ask(name, "/status")
    assert answer.status == 200, answer.body
    value: dict[str, Any] = json.loads(answer.body)
    return value


def status_when(name: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first ``/status`` of which something holds."""
    end_s = time.monotonic() + DEADLINE_S
    while not is_so(seen := status(name)):
        assert time.monotonic() < end_s, f"never: {seen}"
        time.sleep(0.005)
    return seen


def readiness(name: str) -> Said:
    """``/readyz``."""
    answer = ask(name, "/readyz")
    return Said(answer.status, answer.body.decode().strip())


def health(name: str) -> str:
    """The health socket's line."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE_S)
        sock.connect("\0" + name.removeprefix("@") + ".health")
        text = b""
        while data := sock.recv(4096):
            text += data
        return text.decode()


def asked_as(*before: str, name: str, target: str, method: str = "GET") -> Said:
    """What somebody else is told.

    Args:
        before: words that run what follows as them, such as setpriv's.
        name: of the control socket; or of a health socket, with no target.
        target: empty for a health socket.
        method: of the request.
    """
    request = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" if target else ""
    done = subprocess.run(
        [*before, sys.executable, "-I", "-S", "-c", _ASK_SCRIPT, name.removeprefix("@"), request],
        capture_output=True,
        check=True,
        timeout=DEADLINE_S,
        cwd="/",
    )
    if not target:
        return Said(0, done.stdout.decode())
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return Said(int(head.split(b" ")[1]), body.decode())

"""Node's own reading of bytes, by a real Node server."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.strict_http import take_response

_SCRIPT = Path(__file__).with_name("node_oracle.js")
_ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """A request that Node read to its end.

    Attributes:
        fields: name as sent, and value, in order.
        sha256: of the body.
    """

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What it made of one connection's bytes.

    Attributes:
        requests: those it read.
        status: of its refusal behind them; 0 without one.
    """

    requests: tuple[NodeRequest, ...]
    status: int


Ask = Callable[[bytes], NodeAnswer]


@contextmanager
def node() -> Iterator[Ask]:
    """A Node server for the time of the block, and how to ask it."""
    program = shutil.which("node")
    assert program is not None
    with subprocess.Popen([program, _SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield lambda raw: _ask(port, raw)
        finally:
            process.kill()


def _ask(port: int, raw: bytes) -> NodeAnswer:
    """Send bytes and our FIN; read to the end."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S) as client:
        try:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                received += data
        except (ConnectionResetError, BrokenPipeError):
            pass  # it refused, and did not read on
    requests: list[NodeRequest] = []
    # Each answer is one of HEAD's as to its end: what was read stands in its head.
    while read := take_response(received, b"HEAD", has_ended=True):
        received = received[len(read.raw) :]
        said = read.all(b"x-read")
        if said:
            requests.append(_request(json.loads(base64.b64decode(said[0]))))
        elif read.status >= 200:
            return NodeAnswer(tuple(requests), read.status)
    return NodeAnswer(tuple(requests), 0)


def _request(said: dict[str, object]) -> NodeRequest:
    raw = said["rawHeaders"]
    assert isinstance(raw, list)
    return NodeRequest(
        str(said["method"]),
        str(said["url"]),
        tuple(zip(raw[::2], raw[1::2], strict=True)),
        int(str(said["length"])),
        str(said["sha256"]),
    )

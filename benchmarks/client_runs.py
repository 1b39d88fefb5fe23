"""Real HTTP clients with kept connections, each a process, and what has come of their requests."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from measuring import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CLIENTS = ROOT / "benchmarks/clients"
_NODE_PACKAGES = ROOT / "tests/support/node/node_modules"


class Kind(NamedTuple):
    """A client.

    Attributes:
        name: as --clients takes it.
        label: for people.
        program: what runs it.
        by_itself: what it does, unless told otherwise, about a request whose kept connection has died.
    """

    name: str
    label: str
    program: str
    by_itself: str


KINDS = (
    Kind("agent", "Node `http.Agent`, keepAlive", "node", "fails"),
    Kind("globalAgent", "Node `http.globalAgent`", "node", "fails"),
    Kind("undici", "undici `Pool`", "node", "fails"),
    Kind("fetch", "Node `fetch`", "node", "fails"),
    Kind("curl", "curl", "curl", "sends it again, whatever it is; no switch"),
    Kind("urllib3", "urllib3 `PoolManager`", "python", "sends it again if idempotent; requests: fails"),
    Kind("aiohttp", "aiohttp `ClientSession`", "python", "sends it again if idempotent"),
    Kind("httpx", "httpx `AsyncClient`", "python", "fails"),
    Kind("go", "Go `net/http`", "go", "sends it again if idempotent; no switch"),
)


class Load(NamedTuple):
    """How much each client asks for: connections, and uniform(least, most) to think between their requests."""

    connections: int
    least_s: float
    most_s: float


class Outcome:
    """What has come of a client's requests, of one run or more.

    Attributes:
        counts: connections opened, requests answered, refused (at the connect: harmless), retried by the client.
        lost: by error: sent on a connection that was established, and not answered.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def add(self, told: dict[str, int | dict[str, int]]) -> None:
        """What a client has said at its end."""
        for name, value in told.items():
            if isinstance(value, dict):
                self.lost.update(value)
            else:
                self.counts[name] += value

    def lost_count(self) -> int:
        """All lost ones. curl's retried ones are among them: without its retry it had lost them."""
        return sum(self.lost.values()) + self.counts["retried"]

    def __str__(self) -> str:
        """For a table: lost of all."""
        lost = self.lost_count()
        return f"{lost:,} of {self.counts['answered'] + lost:,}"


def missing(kind: Kind) -> str | None:
    """What is needed for this client and not there; None where nothing is."""
    if kind.program == "python":
        return None if importlib.util.find_spec(kind.name) else f"pip install {kind.name}"
    if not shutil.which(kind.program):
        return kind.program
    if kind.name.startswith("undici") and not (_NODE_PACKAGES / "undici").is_dir():
        return "python -m tests.support.node_packages"
    return None


def commands(kinds: Sequence[Kind], folder: Path) -> dict[str, list[str]]:
    """How each client is started, without its arguments.

    Args:
        kinds: those that are there.
        folder: for what has to be built.
    """
    found = {}
    for kind in kinds:
        if kind.program == "node":
            found[kind.name] = ["node", str(_CLIENTS / "node_clients.js")]
        elif kind.program == "python":
            found[kind.name] = [sys.executable, str(_CLIENTS / "python_clients.py")]
        elif kind.program == "curl":
            found[kind.name] = [sys.executable, str(_CLIENTS / "curl_client.py")]
        else:
            built = folder / "go_client"
            if not built.exists():
                subprocess.run(["go", "build", "-o", built, _CLIENTS / "go_client.go"], check=True)
            found[kind.name] = [str(built)]
    return found


class RunningClient:
    """One client at work; it ends with its stdin.

    Args:
        command: from ``commands``, perhaps with a namespace before it.
        kind: its name.
        url: with a final slash.
        load: how much.
        options: ``retries`` lets it send a request again as it does by itself; ``apart`` gives each of its workers
            a pool, so that a connection is idle for as long as its worker thinks.
    """

    def __init__(self, command: list[str], kind: str, url: str, load: Load, *options: str) -> None:
        words = [*command, kind, url, *map(str, load), *options]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NODE_PATH": str(_NODE_PACKAGES)},
        )

    def wait_warm(self) -> None:
        """Until each of its connections has been kept for a request or two."""
        assert self._process.stdout is not None  # noqa: S101  a pipe
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"it has ended before its first answers: {self._process.args!r}")

    def finish(self) -> dict[str, int | dict[str, int]]:
        """Let it end its requests; what has come of all."""
        out, _ = self._process.communicate()
        told: dict[str, int | dict[str, int]] = json.loads(out.splitlines()[-1])
        return told

    def kill(self) -> None:
        """Whatever its state."""
        self._process.kill()
        self._process.communicate()

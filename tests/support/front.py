"""A pyinit in front or sidecar mode as a process of its own, its log as events, its public address."""

import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.process import SCRIPT_PATH, PidNamespace

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docker" / "example" / "server.js"
# One unit for slow machines: every deadline is a multiple of it.
TIME_SCALE = float(os.environ.get("PYINIT_TEST_TIME_SCALE", "1"))
DEADLINE_S = 20.0 * TIME_SCALE

Event = dict[str, Any]


class Front:
    """A running pyinit.

    Attributes:
        process: whose stderr is read as JSON lines.
        events: all that have come so far.
        other_lines: of stderr that were no JSON.
    """

    def __init__(
        self, arguments: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        self.events: list[Event] = []
        self.other_lines: list[str] = []
        self._queue: queue.Queue[Event | None] = queue.Queue()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYINIT_")}
        environment |= env or {}
        self.process = subprocess.Popen(
            self._command(["--log-format", "json", *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            **options,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._stdout: list[bytes] = []
        self._stdout_reader = threading.Thread(target=self._read_stdout, daemon=True)
        self._stdout_reader.start()

    def _command(self, arguments: list[str]) -> list[str]:
        return [SCRIPT_PATH, *arguments]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                self.other_lines.append(line.decode(errors="replace").rstrip("\n"))
                continue
            self._queue.put(event)
        self._queue.put(None)

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._stdout.append(line)

    @property
    def stdout(self) -> str:
        """What the app (and pyinit) wrote to stdout so far."""
        return b"".join(self._stdout).decode(errors="replace")

    def wait_event(self, name: str, **fields: object) -> Event:
        """The first event of that name, and with those fields, that has come or comes."""

        def matches(event: Event) -> bool:
            return event.get("event") == name and all(event.get(k) == v for k, v in fields.items())

        for event in self.events:
            if matches(event):
                return event
        end_s = time.monotonic() + DEADLINE_S
        while not matches(event := self._next_event(end_s, f"{name} {fields}")):
            pass
        return event

    def wait_count(self, name: str, count: int, *, or_dropped: bool = False) -> None:
        """Wait until so many events of that name have come, or lines are said to be missing in their place."""

        def counted(event: Event) -> int:
            dropped = event.get("event") == "log.dropped" and or_dropped
            return int(event["lines"]) if dropped else event.get("event") == name

        left = count - sum(map(counted, self.events))
        end_s = time.monotonic() + DEADLINE_S
        while left > 0:
            left -= counted(self._next_event(end_s, f"{left} more {name}"))

    def _next_event(self, end_s: float, what: str) -> Event:
        try:
            event = self._queue.get(timeout=max(0.0, end_s - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"no {what} in {self.events[-20:]} {self.other_lines}") from None
        if event is None:
            self._queue.put(None)
            raise AssertionError(f"ended without {what}: {self.events[-20:]} {self.other_lines}")
        self.events.append(event)
        return event

    def all_events(self, name: str) -> list[Event]:
        """Every event of that name, once the process has ended."""
        self._reader.join(DEADLINE_S)
        while (event := self._queue.get(timeout=DEADLINE_S)) is not None:
            self.events.append(event)
        self._queue.put(None)
        return [event for event in self.events if event.get("event") == name]

    @property
    def port(self) -> int:
        """The public port; waits until the app is ready and the port is open."""
        self.wait_event("app.ready")
        address = self.wait_event("listener.bound")["address"]
        return int(address.rpartition(":")[2])

    @property
    def child_pid(self) -> int:
        """The app's pid."""
        return int(self.wait_event("child.spawned")["pid"])

    def signal(self, signum: int = signal.SIGTERM) -> None:
        """Send pyinit a signal."""
        self.process.send_signal(signum)

    def wait(self) -> int:
        """Wait for its exit; the exit code."""
        return self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal()
        return self.wait()

    def close(self) -> None:
        """End it whatever its state, its app too."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(3 * TIME_SCALE)
            except subprocess.TimeoutExpired:
                for event in self.events:
                    if event.get("event") == "child.spawned":
                        _kill(int(event["pid"]))
                self.process.kill()
                self.process.wait()
        self._reader.join(DEADLINE_S)
        self._stdout_reader.join(DEADLINE_S)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class NamespacedFront(Front):
    """A pyinit that is PID 1; signals go to it from outside, as an engine sends them."""

    def _command(self, arguments: list[str]) -> list[str]:
        return [*PidNamespace.PREFIX, *super()._command(arguments)]

    @property
    def init_pid(self) -> int:
        """Its pid as seen from here."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:  # noqa: PTH123  /proc
            return int(children.read().split()[0])

    def signal(self, signum: int = signal.SIGTERM) -> None:
        """Send PID 1 a signal."""
        os.kill(self.init_pid, signum)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def front(*arguments: str, env: Mapping[str, str] | None = None, **options: Any) -> Iterator[Front]:
    """A pyinit with these arguments, ended at the end."""
    running = Front(arguments, env, **options)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def example(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Front]:
    """The example app behind a pyinit on a free port."""
    with front("--listen", "127.0.0.1:0", *arguments, "--", "node", str(EXAMPLE), env=env) as running:
        yield running


@contextmanager
def node(script: str, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Front]:
    """A Node script behind a pyinit on a free port. It has ``http``, ``net`` and PORT as ``port``."""
    prologue = "const http=require('http'),net=require('net'),port=process.env.PORT;"
    with front(
        "--listen", "127.0.0.1:0", *arguments, "--", "node", "-e", prologue + script, env=env
    ) as running:
        yield running


def memory_bytes(pid: int) -> int:
    """The highest resident size a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024

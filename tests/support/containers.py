"""Containers of one engine: started, looked into, asked over their own network, stopped as an engine stops them."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from storm import Plan, Stop, Storm

from tests.support.namespace import inside
from tests.support.process import PATIENCE_S, TIME_SCALE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine import Engine

_NUMBERS = itertools.count()


class Container:
    """One that runs, with a network of its own that has a loopback and nothing else.

    Attributes:
        name: the engine's, and that of its network namespace here.
    """

    def __init__(self, engine: Engine, *words: str) -> None:
        self.name = f"pyinit-test-{os.getpid()}-{next(_NUMBERS)}"
        self._engine = engine
        self._has_network = False
        network = () if any(word.startswith("--network=") for word in words) else ("--network=none",)
        engine.run("run", "-d", "--name", self.name, *network, *words)

    def inspect(self, template: str) -> str:
        """What the engine knows."""
        return self._engine.run("inspect", self.name, "--format", template).strip()

    @property
    def pid(self) -> int:
        """Of its PID 1, as seen from here."""
        return int(self.inspect("{{.State.Pid}}"))

    def output(self) -> str:
        """All that was written so far, pyinit's log and the app's."""
        return subprocess.run(
            self._engine.command("logs", self.name),
            env=self._engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        ).stdout

    def events(self) -> list[dict[str, Any]]:
        """Pyinit's log so far."""
        return [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]

    def wait_event(self, name: str, **fields: object) -> dict[str, Any]:
        """The first event of that name, and with those fields."""
        wanted = {"event": name, **fields}.items()
        return (
            eventually(
                lambda: next((event for event in self.events() if wanted <= event.items()), None),
                within_s=3 * PATIENCE_S,
                what=self.events,
            )
            or {}
        )

    @contextmanager
    def network(self) -> Iterator[None]:
        """Sockets that this thread makes are in its network."""
        if not self._has_network:
            subprocess.run(["ip", "netns", "attach", self.name, str(self.pid)], check=True)
            self._has_network = True
        with inside(self.name):
            yield

    def exec(self, *words: str) -> str:
        """Run a command in it; what it prints. Raises RuntimeError where it fails."""
        return self._engine.run("exec", self.name, *words)

    def kill(self, signum: signal.Signals) -> None:
        """A signal to its PID 1."""
        self._engine.run("kill", "--signal", signum.name, self.name)

    def stop(self, seconds: int = 10) -> int:
        """As ``docker stop``; the exit code."""
        self._engine.run("stop", "-t", str(seconds), self.name)
        return self.exit_code()

    @contextmanager
    def stopping(self, seconds: int = 10) -> Iterator[None]:
        """The same beside what is done meanwhile."""
        words = self._engine.command("stop", "-t", str(seconds), self.name)
        with subprocess.Popen(
            words, env=self._engine.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as popen:
            yield
            assert popen.wait(3 * PATIENCE_S * TIME_SCALE) == 0

    def exit_code(self) -> int:
        """Once it has ended."""
        return int(self._engine.run("wait", self.name))

    def close(self) -> None:
        """End it, whatever its state."""
        if self._has_network:
            subprocess.run(["ip", "netns", "delete", self.name], check=True)
        self._engine.run("rm", "--force", self.name)


class Attached(subprocess.Popen[bytes]):
    """A run in the foreground, whose signal is ``podman stop``: what a storm stops.

    The engine waits ten seconds before SIGKILL, as docker does.
    """

    def __init__(self, engine: Engine, container: Container) -> None:
        self._engine, self._container = engine, container
        self.stopping: subprocess.Popen[bytes] | None = None
        self.asked_s = 0.0  # of time.monotonic()
        super().__init__(
            engine.command("wait", container.name),
            env=engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def send_signal(self, sig: int) -> None:  # noqa: ARG002  the image's STOPSIGNAL it is
        """Begin to stop it."""
        self.asked_s = time.monotonic()
        self.stopping = subprocess.Popen(
            self._engine.command("stop", "-t", "10", self._container.name),
            env=self._engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def container(engine: Engine, *words: str) -> Iterator[Container]:
    """A container for a while: the engine's options, an image, and what it is to run."""
    running = Container(engine, *words)
    try:
        yield running
    finally:
        running.close()


def stopped_in_a_storm(engine: Engine, running: Container, port: int) -> Stop:
    """``stop``, with the ten seconds that are docker's own, in the middle of a storm of its clients."""
    plan = Plan(new=20, reuse=20, slow=8, before_s=1.0, after_s=0.5, budget_s=15.0 * TIME_SCALE,
                timeout_s=5.0 * TIME_SCALE, slow_target="/slow?ms=1000")  # fmt: skip
    with Attached(engine, running) as waiting, running.network():
        stop = Storm("127.0.0.1", port, plan).run(waiting, signal.SIGTERM)
        assert waiting.stopping is not None
        assert waiting.stopping.wait() == 0
    return stop


def as_a_users(engine: Engine, folder: Path) -> str:
    """A client by the engine's name in that folder, for a PATH: this engine as it were there on its own."""
    program = shutil.which(engine.name, path=engine.environment["PATH"])
    assert program is not None
    place = engine.command()
    place[place.index(engine.name)] = program
    own = {name: text for name, text in engine.environment.items() if os.environ.get(name) != text}
    client = folder / engine.name
    settings = [f"export {name}={shlex.quote(text)}" for name, text in own.items() if name != "PATH"]
    client.write_text("\n".join(["#!/bin/sh", *settings, f'exec {shlex.join(place)} "$@"\n']))
    client.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def ran(engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    """A container to its end."""
    return subprocess.run(
        engine.command("run", "--rm", "--network", "none", *words),
        env=engine.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * PATIENCE_S * TIME_SCALE,
    )

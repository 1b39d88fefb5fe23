"""Behind a load balancer that goes on sending after SIGTERM: its clients see no error of a target's stop.

HAProxy with no retries, two targets, clients that never pause; benchmarks/drain_balancer.py has the figures.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.front import Front, example
from tests.support.haproxy import PROGRAM, HAProxy, balancer
from tests.support.http_client import Client, eventually

pytestmark = [pytest.mark.node, pytest.mark.skipif(PROGRAM is None, reason="need haproxy")]


class Asker:
    """A client of the balancer, in a thread of its own, on one connection for as long as that is kept.

    Attributes:
        answered: how many requests were.
        errors: what was no 200.
    """

    def __init__(self, port: int, target: str) -> None:
        self.answered = 0
        self.errors: list[str] = []
        self._port = port
        self._target = target
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        client: Client | None = None
        while not self._is_over.is_set():
            try:
                client = client or Client(self._port)
                answer = client.get(self._target)
            except (OSError, EOFError) as problem:
                self.errors.append(repr(problem))
                client = None
                continue
            if answer.status == 200:
                self.answered += 1
            else:
                self.errors.append(str(answer.status))
            if answer.get("connection") == "close":
                client.close()
                client = None
        if client is not None:
            client.close()

    def end(self) -> None:
        self._is_over.set()
        self._thread.join()


@contextmanager
def asking(port: int) -> Iterator[list[Asker]]:
    """Six clients, two of them of slow answers, each answered a few times."""
    askers = [Asker(port, f"/slow?ms={ms}") for ms in (20, 20, 20, 20, 400, 400)]
    try:
        go_on(askers)
        yield askers
    finally:
        for asker in askers:
            asker.end()


def go_on(askers: list[Asker]) -> None:
    """Until each of them has been answered four times more; where requests are spread, by both targets."""
    before = [asker.answered for asker in askers]
    eventually(
        lambda: all(asker.answered >= count + 4 for asker, count in zip(askers, before, strict=True)),
        "all were answered",
    )


@contextmanager
def world(tmp_path: Path, mode: str, *arguments: str) -> Iterator[tuple[Front, HAProxy, list[Asker]]]:
    """The target to be stopped, the balancer in front of it and of a second one, and its clients."""
    with ExitStack() as stack:
        target = stack.enter_context(example("--stop-timeout", "20", *arguments))
        staying = stack.enter_context(example())
        proxy = stack.enter_context(balancer(tmp_path, mode, [target.port, staying.port]))
        yield target, proxy, stack.enter_context(asking(proxy.ports["app"]))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_a_target_taken_out_within_its_lame_duck_costs_nobody_an_error(
    tmp_path: Path, mode: str, workers: int
) -> None:
    with world(tmp_path, mode, "--drain-delay", "0.5", "--workers", str(workers)) as (target, proxy, askers):
        target.signal(signal.SIGTERM)
        target.wait_event("drain.phase_changed", phase="lame_duck")
        go_on(askers)  # the balancer knows of nothing
        proxy.take_out("app", "s0")
        assert target.wait() == 0
        go_on(askers)
        assert [asker.errors for asker in askers] == [[]] * len(askers)
        finished = target.wait_event("drain.finished")
        assert (finished["cut_count"], finished["phases_s"]["lame_duck"] >= 2) == (0, True), finished


@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_without_a_lame_duck_they_see_errors_until_it_is_taken_out(tmp_path: Path, mode: str) -> None:
    """What the other test would miss, were its clients or its balancer to forgive."""
    with world(tmp_path, mode, "--drain-delay", "0") as (target, proxy, askers):
        assert target.stop() == 0
        eventually(lambda: any(asker.errors for asker in askers), "an error")
        proxy.take_out("app", "s0")
        go_on(askers)

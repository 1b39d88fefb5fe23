"""A task of two containers, pyinit and the app, each PID 1 of its own namespace in one network, is stopped in a storm.

ECS stops in the reverse order of dependsOn: pyinit, and once that has ended the app. What any other order costs is here
beside it: it is why an ordinary native sidecar, and two plain containers of a pod, will not do.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest
from link import Link
from storm import LOST, Outcome, Plan, Stop, Storm

from tests.support.deployments import DOCKER, Container, app_beside, containers, task_definition
from tests.support.far_front import FarFront
from tests.support.front import DEADLINE_S, Event
from tests.support.namespace import inside
from tests.support.plain_app import plain_app
from tests.support.process import PidNamespace, children_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = [pytest.mark.link, pytest.mark.pid1, pytest.mark.node, pytest.mark.slow]

WAY_S = 0.01
PORT = 8080
STORM = Plan(
    new=12, reuse=24, slow=6, before_s=0.7, after_s=0.5, slow_target="/slow?ms=600", budget_s=2 * DEADLINE_S
)
# A storm never lets the lame duck's quiet come, so that it lasts for half of this: less than the file's 60 s.
GRACE_S = 10.0 * DEADLINE_S / 20


class Task(NamedTuple):
    """A running one."""

    between: Link
    sidecar: FarFront
    app: subprocess.Popen[bytes]


class Agent:
    """Stops containers as ECS's agent does, for a storm that takes it for the process that it stops.

    Args:
        steps: the PID 1s that get SIGTERM at once; the next step's when those of the one before have ended.
    """

    def __init__(self, *steps: list[subprocess.Popen[bytes]]) -> None:
        self._steps = steps
        self._last = steps[-1][0]
        self.pid = self._last.pid
        self._thread = threading.Thread(target=self._stop)

    def send_signal(self, signum: int) -> None:
        assert signum == signal.SIGTERM
        self._thread.start()

    def _stop(self) -> None:
        for step in self._steps:
            for process in step:
                (init,) = children_of(process.pid)
                os.kill(init, signal.SIGTERM)
            for process in step:
                process.wait()

    def poll(self) -> int | None:
        return self._last.poll()

    def wait(self) -> int:
        self._thread.join()
        return self._last.wait()


@contextmanager
def task() -> Iterator[Task]:
    """The containers of the task definition for a sidecar, as its words and variables have them."""
    (sidecar,) = (one for one in containers() if one.where == "ecs/sidecar.yaml: pyinit")
    app = app_beside(sidecar)
    with ExitStack() as stack:
        between = stack.enter_context(Link(WAY_S))
        prefix = between.server.command([*PidNamespace.PREFIX])
        running = stack.enter_context(plain_app(app.environment, words=app.words, prefix=prefix))
        front = FarFront(between, sidecar.words[1:], before=["env", *variables(sidecar)], is_pid_1=True)
        stack.callback(front.close)
        assert front.port == PORT
        yield Task(between, front, running)


def variables(sidecar: Container) -> list[str]:
    changes = {
        "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/task",
        "PYINIT_STOP_TIMEOUT": f"{GRACE_S:g}",
        "PYINIT_DRAIN_DELAY": "500ms",
    }
    return [f"{name}={value}" for name, value in (sidecar.environment | changes).items()]


def storm(running: Task, agent: Agent) -> Stop:
    with inside(running.between.client.namespace):
        return Storm(running.between.server.address, PORT, STORM).run(cast("Any", agent), signal.SIGTERM)


def report(running: Task) -> Event:
    return running.sidecar.wait_event("drain.finished")


def test_pyinit_first_and_the_app_after_it_loses_nothing() -> None:
    app, pyinit = task_definition(DOCKER / "ecs/sidecar.yaml")["containerDefinitions"]
    assert pyinit["dependsOn"][0]["containerName"] == app["name"], "the order that this test stops them in"
    with task() as running:
        stop = storm(running, Agent([running.sidecar.process], [running.app]))
        assert stop.count(*LOST, Outcome.NOT_200, Outcome.CONNECT_TIMED_OUT) == 0, stop
        assert stop.count(Outcome.ANSWERED), stop
        assert not stop.is_killed
        assert (running.sidecar.wait(), stop.exit_code) == (0, 0)
        assert report(running)["cut_count"] == 0


def test_the_app_first_as_beside_a_native_sidecar_is_answered_with_errors() -> None:
    with task() as running:
        stop = storm(running, Agent([running.app], [running.sidecar.process]))
        assert stop.count(Outcome.NOT_200), stop


def test_both_at_once_as_in_a_pod_of_two_containers_is_answered_with_errors() -> None:
    with task() as running:
        stop = storm(running, Agent([running.sidecar.process, running.app]))
        assert stop.count(Outcome.NOT_200), stop

"""What podman does not show: docker's HEALTHCHECK, ``docker stop``, and ``--init`` with dockerd's ``--init-path``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import engine
import pytest
from storm import LOST, Outcome

from tests.support import bundle
from tests.support.containers import container, ran, stopped_in_a_storm
from tests.support.http_client import Client
from tests.support.process import PATIENCE_S, ROOT, TIME_SCALE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.bundle, pytest.mark.node, pytest.mark.slow]

EXAMPLE, FULL = "pyinit-test-example", "pyinit-bundle"


@pytest.fixture(scope="module")
def own_docker() -> Iterator[Engine]:
    """One of our own, as what ``--init`` is has to be told the daemon at its start."""
    with engine.docker_engine(bundle.full() / "bin/pyinit") as found:
        add_images(found)
        yield found


@pytest.fixture(scope="module")
def docker(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The one that is there, or else the same."""
    if engine.docker_there() is None:
        yield request.getfixturevalue("own_docker")
        return
    with engine.docker_engine() as found:
        add_images(found)
        yield found


def add_images(found: Engine) -> None:
    found.import_tar(bundle.full().with_suffix(".tar"), FULL, "ENV PATH=/opt/pyinit/bin")
    base, full = f"--build-arg=NODE={engine.BASE}", f"--build-arg=PYINIT={FULL}"
    found.build(EXAMPLE, ROOT / "docker/example", base, full)


def test_the_healthcheck_of_the_image_finds_it_healthy_and_a_stop_drains(docker: Engine) -> None:
    with container(docker, "--health-interval=1s", EXAMPLE) as running:
        running.wait_event("app.ready")
        eventually(lambda: running.inspect("{{.State.Health.Status}}") == "healthy", within_s=3 * PATIENCE_S)
        with running.network(), Client(8080) as client:
            assert client.get("/").status == 200
        assert running.stop() == 0
        assert running.wait_event("drain.finished")["cut_count"] == 0


def test_an_app_that_ignores_its_signal_is_stopped_by_us_and_not_by_docker(docker: Engine) -> None:
    """Within docker's ten seconds: the report is written, and the container's own processes have ended."""
    script = "process.on('SIGTERM', () => {}); require('http').createServer((q, s) => s.end()).listen(process.env.PORT)"
    with container(docker, EXAMPLE, "node", "-e", script) as running:
        running.wait_event("app.ready")
        assert running.stop() == 137
        assert running.wait_event("child.killed")
        assert running.wait_event("drain.finished")["exit_code"] == 137


def test_a_stop_under_a_storm_loses_nothing(docker: Engine) -> None:
    """By ``docker stop`` with the ten seconds that it has by itself."""
    with container(docker, EXAMPLE) as running:
        running.wait_event("app.ready")
        stop = stopped_in_a_storm(docker, running, 8080)
        assert stop.count(*LOST, Outcome.NOT_200) == 0, stop
        assert stop.count(Outcome.ANSWERED) > 0
        assert running.exit_code() == 0
        assert stop.exit_s < 6 * TIME_SCALE
        assert running.wait_event("drain.finished")["cut_count"] == 0


def test_a_docker_that_is_there_is_used_and_left_as_it_was(
    own_docker: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by DOCKER_HOST; what runs there goes on."""
    for name in ("DOCKER_HOST", "PATH"):
        monkeypatch.setenv(name, own_docker.environment[name])
    with container(own_docker, "--entrypoint=sleep", EXAMPLE, "1000") as users:
        with engine.docker_engine() as found:
            assert found.command("x") == ["docker", "x"]
            assert ran(found, engine.BASE, "node", "-p", "6 * 7").stdout == "42\n"
        assert users.inspect("{{.State.Running}}") == "true"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    assert engine.docker_there() is None


def test_init_is_pyinit_where_the_image_holds_it(own_docker: Engine) -> None:
    words = ("sh", "-c", "cat /proc/1/comm; exit 6")
    done = ran(own_docker, "--init", "--entrypoint=", EXAMPLE, *words)
    assert (done.stdout, done.returncode) == ("docker-init\n", 6), done.stderr
    done = ran(own_docker, "--init", engine.BASE, *words)
    assert done.returncode == 127
    assert "copy all of /opt/pyinit into the image" in done.stderr

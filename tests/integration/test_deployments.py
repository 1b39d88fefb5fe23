"""The files under docker/ deploy: their platforms' own tools take them, and what they start is run as written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest

from tests.support.ctl import control_name, ctl
from tests.support.deployments import (
    CTL_PATH,
    DOCKER,
    PYINIT_PATH,
    Container,
    app_beside,
    containers,
    documents,
    task_definition,
)
from tests.support.front import DEADLINE_S, EXAMPLE, Front, front
from tests.support.http_client import Client, free_port
from tests.support.plain_app import plain_app
from tests.support.process import pyinit_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CFN_LINT = str(Path(sys.executable).with_name("cfn-lint"))
COMPOSE, COMPOSE_DEV = DOCKER / "compose/compose.yaml", DOCKER / "compose/compose.dev.yaml"
STACK = DOCKER / "swarm/stack.yaml"
TEMPLATES = sorted(DOCKER.glob("ecs/*.yaml"))
PODS = sorted(DOCKER.glob("kubernetes/*.yaml"))
# What tells pyinit where it is, as the platform sets it.
SIGNS = {
    "ecs": {"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/task"},
    "kubernetes": {"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
}


def run(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env=pyinit_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * DEADLINE_S,
    )


def says(*words: str) -> str:
    """What a command says; nothing where it is not there."""
    try:
        return run(*words).stdout
    except FileNotFoundError:
        return ""


needs_compose = pytest.mark.skipif(not says("docker-compose", "version"), reason="need docker-compose")
# The client alone reads the file. One that has no `config` answers with the help of `stack`, and 0.
needs_stack = pytest.mark.skipif(
    "docker stack config" not in says("docker", "stack", "config", "--help"),
    reason="need docker stack config",
)


def broken(path: Path, folder: Path, old: str, new: str) -> str:
    """The file with a mistake in it: what a tool that passes it would pass always."""
    text = path.read_text()
    assert old in text
    changed = folder / path.name
    changed.write_text(text.replace(old, new))
    return str(changed)


# -- each by its platform's own tool -------------------------------------------------------------------------


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_cfn_lint_has_nothing_to_say_of_a_template(path: Path, tmp_path: Path) -> None:
    done = run(CFN_LINT, "--include-checks", "I", "--", str(path))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
    wrong = broken(path, tmp_path, "StartPeriod: 60", "StartPeriod: later")
    assert run(CFN_LINT, "--", wrong).returncode != 0


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_task_definition_in_json_is_the_templates(path: Path) -> None:
    assert task_definition(path.with_suffix(".json")) == task_definition(path)


@pytest.mark.parametrize("path", PODS, ids=lambda path: path.stem)
def test_kubernetes_schema_takes_every_object(path: Path) -> None:
    version = kubernetes_validate.latest_version()
    kinds = [
        kubernetes_validate.validate(one, version, strict=True) and one["kind"] for one in documents(path)
    ]
    assert kinds == ["Deployment", "Service"]
    deployment, _ = documents(path)
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, version, strict=True)


@needs_compose
@pytest.mark.parametrize("files", [[COMPOSE], [COMPOSE, COMPOSE_DEV]], ids=["production", "development"])
def test_compose_takes_its_files(files: list[Path], tmp_path: Path) -> None:
    def config(*paths: str) -> subprocess.CompletedProcess[str]:
        return run("docker-compose", *(word for path in paths for word in ("-f", path)), "config", "--quiet")

    assert config(*map(str, files)).stderr == ""
    wrong = broken(files[-1], tmp_path, "command:", "comand:")
    assert config(*map(str, files[:-1]), wrong).returncode != 0


@needs_stack
def test_swarm_takes_its_stack(tmp_path: Path) -> None:
    assert run("docker", "stack", "config", "--compose-file", str(STACK)).returncode == 0
    wrong = broken(STACK, tmp_path, "order: start-first", "order: start_first: yes")
    assert run("docker", "stack", "config", "--compose-file", wrong).returncode != 0


# -- what they say, held against each other ------------------------------------------------------------------


def test_every_platform_has_a_container_of_pyinit() -> None:
    assert [one.where for one in containers()] == [
        "compose/compose.yaml: app",
        "swarm/stack.yaml: app",
        "ecs/entrypoint.json: app",
        "ecs/entrypoint.yaml: app",
        "ecs/sidecar.json: pyinit",
        "ecs/sidecar.yaml: pyinit",
        "kubernetes/entrypoint.yaml: app",
        "kubernetes/sidecar.yaml: pyinit",
    ]


def test_on_ecs_the_sidecar_depends_on_the_app_so_that_it_is_stopped_first() -> None:
    for name in ("sidecar.yaml", "sidecar.json"):
        app, pyinit = task_definition(DOCKER / "ecs" / name)["containerDefinitions"]
        assert (app["name"], app.get("dependsOn")) == ("app", None)
        assert pyinit["dependsOn"] == [{"containerName": app["name"], "condition": "START"}]


def test_on_kubernetes_the_app_is_the_native_sidecar_so_that_it_is_stopped_last() -> None:
    pod = documents(DOCKER / "kubernetes/sidecar.yaml")[0]["spec"]["template"]["spec"]
    assert [(one["name"], one["restartPolicy"]) for one in pod["initContainers"]] == [("app", "Always")]
    assert [one["name"] for one in pod["containers"]] == ["pyinit"]


# -- and run -------------------------------------------------------------------------------------------------


@contextmanager
def started(container: Container, control: str) -> Iterator[Front]:
    """What a file starts, with our script in the image's place, free ports, and a control name of its own."""
    changes = {"PYINIT_LISTEN": "127.0.0.1:0", "PYINIT_CONTROL": control}
    with ExitStack() as stack:
        if "PYINIT_UPSTREAM" in container.environment:
            app = app_beside(container)
            assert container.environment["PYINIT_UPSTREAM"] == "{HOST}:{PORT}".format(**app.environment)
            port = str(free_port())
            stack.enter_context(plain_app({**app.environment, "PORT": port}, words=app.words))
            changes["PYINIT_UPSTREAM"] = f"127.0.0.1:{port}"
        assert container.words[0] == PYINIT_PATH
        environment = {**container.environment, **SIGNS.get(container.platform, {}), **changes}
        yield stack.enter_context(front(*container.words[1:], env=environment, cwd=EXAMPLE.parent))


@pytest.mark.node
@pytest.mark.parametrize("container", containers(), ids=lambda container: container.where)
def test_what_a_file_starts_serves_answers_its_probes_and_drains_within_the_files_grace(
    container: Container,
) -> None:
    control = control_name()
    with started(container, control) as running:
        found = running.wait_event("platform.found")
        assert found["stop_timeout_s"] == container.grace_s
        assert found["platform"] == (container.platform if container.platform in SIGNS else "docker")
        port = running.port
        with Client(port) as client:
            assert client.get("/").body.startswith(b"Hello from process")
        ask(container, control, port, is_ready=True)
        running.signal()
        if found["drain_delay_s"]:
            running.wait_event("drain.phase_changed", phase="lame_duck")
            ask(container, control, port, is_ready=False)
            running.signal(signal.SIGQUIT)  # the rest of that time shows nothing more
        assert running.wait() == 0
        assert running.wait_event("drain.finished")["cut_count"] == 0
        told = [event for event in running.events if event["level"] not in ("info", "debug")]
        assert (told, running.other_lines) == ([], [])


def ask(container: Container, control: str, port: int, *, is_ready: bool) -> None:
    """Its health check and its probes, as the file has them."""
    assert container.health or container.probes
    if container.health:
        assert container.health[0] == CTL_PATH
        done = ctl(*container.health[1:], env={"PYINIT_CONTROL": control})
        assert done.returncode == (0 if is_ready else 1), done
    for path in container.probes:
        with Client(port) as probe:
            assert probe.get(path).status == (200 if is_ready else 503)


def test_the_json_forms_leave_open_what_they_name_and_nothing_else() -> None:
    for path in sorted(DOCKER.glob("ecs/*.json")):
        json.loads(path.read_text())  # as it stands it is JSON too
        assert "$" not in json.dumps(task_definition(path))

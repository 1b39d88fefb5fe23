"""The files under docker/ that deploy the example: what each starts, and how long that has to stop."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.process import ROOT

DOCKER = ROOT / "docker"
PYINIT_PATH, CTL_PATH = "/opt/pyinit/bin/pyinit", "/opt/pyinit/bin/pyinitctl"
# Values for what the files leave open, as whoever deploys them gives.
VARIABLES = {
    "IMAGE": "registry.example/web:1",
    "SIDECAR_IMAGE": "registry.example/pyinit-sidecar:1",
    "EXECUTION_ROLE_ARN": "arn:aws:iam::123456789012:role/web-execution",
    "AWS_REGION": "eu-central-1",
    "LOG_GROUP": "/ecs/web",
}
_REFERENCES = {
    "Image": VARIABLES["IMAGE"],
    "SidecarImage": VARIABLES["SIDECAR_IMAGE"],
    "ExecutionRole.Arn": VARIABLES["EXECUTION_ROLE_ARN"],
    "AWS::Region": VARIABLES["AWS_REGION"],
    "LogGroup": VARIABLES["LOG_GROUP"],
}
# Maps whose keys are names of the platform's user, and not of its API.
_FREE_KEYS = ("options",)


@dataclass(frozen=True, slots=True)
class Container:
    """A container as a file starts it.

    Attributes:
        where: file and container, for a test's name.
        words: entry point and command.
        environment: set for it.
        grace_s: the platform's, from its SIGTERM to SIGKILL.
        health: the words of its health check; none where there is none.
        probes: paths that are asked on its public port.
    """

    where: str
    words: list[str]
    environment: dict[str, str]
    grace_s: float
    health: list[str] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)

    @property
    def platform(self) -> str:
        """The folder it is from."""
        return self.where.partition("/")[0]


def documents(path: Path) -> list[Any]:
    """Everything in a YAML file; CloudFormation's short forms as references."""
    return list(yaml.load_all(path.read_text(), Loader=_Loader))


def task_definition(path: Path) -> dict[str, Any]:
    """A task definition as the API takes it, from a template or from JSON with its variables filled in."""
    if path.suffix == ".json":
        text = re.sub(r"\$\{(\w+)\}", lambda found: VARIABLES[found[1]], path.read_text())
        answer: dict[str, Any] = json.loads(text)
        return answer
    (template,) = documents(path)
    defaults = {
        name: str(parameter["Default"])
        for name, parameter in template["Parameters"].items()
        if "Default" in parameter
    }
    properties = template["Resources"]["TaskDefinition"]["Properties"]
    resolved: dict[str, Any] = _camel(_resolve(properties, _REFERENCES | defaults))
    return resolved


def containers() -> list[Container]:
    """Every container that runs pyinit."""
    return [one for one in _all_containers() if one.words[0] == PYINIT_PATH]


def app_beside(sidecar: Container) -> Container:
    """The app's container in a sidecar's file."""
    file = sidecar.where.partition(":")[0]
    (found,) = (one for one in _all_containers() if one.where == f"{file}: app")
    return found


def _all_containers() -> list[Container]:
    found = []
    for path in (DOCKER / "compose/compose.yaml", DOCKER / "swarm/stack.yaml"):
        found += [_of_compose(path, name, told) for name, told in documents(path)[0]["services"].items()]
    for path in sorted(DOCKER.glob("ecs/*.*")):
        found += [_of_task(path, told) for told in task_definition(path)["containerDefinitions"]]
    for path in sorted(DOCKER.glob("kubernetes/*.yaml")):
        pod = documents(path)[0]["spec"]["template"]["spec"]
        found += [_of_pod(path, pod, told) for told in [*pod.get("initContainers", ()), *pod["containers"]]]
    return found


def seconds(text: str) -> float:
    """Of ``1m30s``, ``30s`` or ``30``."""
    parts = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s?)?", text)
    assert parts is not None, text
    return 60.0 * int(parts[1] or 0) + int(parts[2] or 0)


class _Loader(yaml.SafeLoader):
    """One that takes ``!Ref NAME`` for an object of its own."""


@dataclass(frozen=True, slots=True)
class _Reference:
    name: str


for _tag in ("!Ref", "!GetAtt", "!Sub"):
    _Loader.add_constructor(_tag, lambda _, node: _Reference(node.value))


def _resolve(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, _Reference):
        return known[value.name]
    if isinstance(value, dict):
        return {key: _resolve(one, known) for key, one in value.items()}
    if isinstance(value, list):
        return [_resolve(one, known) for one in value]
    return value


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    answer = {}
    for name, one in value.items():
        key = name[0].lower() + name[1:]
        answer[key] = one if key in _FREE_KEYS else _camel(one)
    if "stopTimeout" in answer:
        answer["stopTimeout"] = int(answer["stopTimeout"])
    return answer


def _of_compose(path: Path, name: str, told: dict[str, Any]) -> Container:
    health = told.get("healthcheck", {}).get("test", ["CMD"])
    assert health[0] == "CMD"
    return Container(
        _where(path, name),
        [*told["entrypoint"], *told["command"]],
        dict(told.get("environment", {})),
        seconds(told.get("stop_grace_period", "10s")),
        health[1:],
    )


def _of_task(path: Path, told: dict[str, Any]) -> Container:
    health = told.get("healthCheck", {}).get("command", ["CMD"])
    assert health[0] == "CMD"
    return Container(
        _where(path, told["name"]),
        [*told["entryPoint"], *told.get("command", ())],
        {one["name"]: one["value"] for one in told["environment"]},
        float(told["stopTimeout"]),
        health[1:],
    )


def _of_pod(path: Path, pod: dict[str, Any], told: dict[str, Any]) -> Container:
    # What comes after pyinit spends of the same grace.
    later_s = 10 if pod.get("initContainers") else 0
    probes = [told[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe") if name in told]
    return Container(
        _where(path, told["name"]),
        [*told["command"], *told.get("args", ())],
        {one["name"]: one["value"] for one in told["env"]},
        float(pod["terminationGracePeriodSeconds"] - later_s),
        probes=probes,
    )


def _where(path: Path, name: str) -> str:
    return f"{path.relative_to(DOCKER)}: {name}"

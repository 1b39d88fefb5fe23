"""ECS task definitions as they are written: templates with their functions, values that come at deployment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.checking import CLEAN, checked

if TYPE_CHECKING:
    from pathlib import Path

_TEMPLATE = """
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      RequiresCompatibilities: [FARGATE]
      ContainerDefinitions:
        - Name: web
          Image: !Sub "${AWS::AccountId}.dkr.ecr.eu-west-1.amazonaws.com/web:${Tag}"
          ReadonlyRootFilesystem: "true"
          HealthCheck: {Command: [CMD, pyinitctl, health]}
"""
_APP = {
    "name": "web",
    "image": "web:1",
    "readonlyRootFilesystem": True,
    "healthCheck": {"command": ["CMD", "pyinitctl", "health"]},
}


class Case(NamedTuple):
    """Lines of a container in a template.

    Attributes:
        name: what they are.
        lines: behind the others.
        found: rules with their lines within the file.
    """

    name: str
    lines: str
    found: set[tuple[str, int]]


TEMPLATES = [
    Case("a number for a variable", "StopTimeout: 60\nEnvironment: [{Name: PYINIT_STOP_TIMEOUT, Value: 60}]", set()),
    Case("a number that is too much", "Environment: [{Name: PYINIT_STOP_TIMEOUT, Value: 60}]", {("stop-timeout", 7)}),
    Case("a number as text", "StopTimeout: '130'", {("stop-timeout", 11)}),
    Case("with a unit", "StopTimeout: 60\nEnvironment: [{Name: PYINIT_STOP_TIMEOUT, Value: 60s}]", set()),
    Case("by a parameter", "StopTimeout: !Ref S\nEnvironment: [{Name: PYINIT_STOP_TIMEOUT, Value: !Ref S}]", set()),
    Case("a secret that is fetched", "StopTimeout: 30\nEnvironment:\n"
         "  - {Name: DB_PASSWORD, Value: '{{resolve:secretsmanager:db}}'}", set()),
    Case("a secret", "Environment:\n  - {Name: DB_PASSWORD, Value: hunter2}", {("secret-in-image", 12)}),
    Case("npm", "Command: [npm, start]", {("start-npm", 11)}),
    Case("functions", "Environment: !If [P, [], []]\nDependsOn: !Ref D\nCommand: !Split [' ', !Ref C]", set()),
]  # fmt: skip


@pytest.mark.parametrize("case", TEMPLATES, ids=lambda case: case.name)
def test_a_template_is_read_as_cloudformation_does(tmp_path: Path, case: Case) -> None:
    text = _TEMPLATE + "".join(f"          {line}\n" for line in case.lines.splitlines())
    files = {**CLEAN, "task.json": "{}", "compose.yaml": "{}", "template.yaml": text}
    findings = [one for one in checked(tmp_path, files).findings if one.path == "template.yaml"]
    assert {(one.rule.id, one.line) for one in findings} == case.found, findings


def test_the_mend_is_written_as_the_template_has_it(tmp_path: Path) -> None:
    files = {
        "package.json": '{"scripts": {"start": "node server.js"}}',
        "Dockerfile": CLEAN["Dockerfile"],
        "template.yaml": _TEMPLATE + "          Command: [npm, start]\n",
    }
    (finding,) = [one for one in checked(tmp_path, files).findings if one.rule.id == "start-npm"]
    assert finding.mend == 'Command: ["node", "server.js"]'


def _found(directory: Path, *containers: dict[str, Any]) -> set[str]:
    task = json.dumps({"containerDefinitions": containers}, indent=1)
    findings = checked(directory, {**CLEAN, "task.json": task}).findings
    return {one.rule.id for one in findings if one.path == "task.json"}


def _sidecar(**more: object) -> dict[str, Any]:
    depends = [{"containerName": "web", "condition": "START"}]
    return {
        **_APP,
        "name": "proxy",
        "image": "pyinit-sidecar:1",
        "stopTimeout": 30,
        "dependsOn": depends,
        **more,
    }


def test_a_sidecar_depends_on_the_app_and_not_on_anything(tmp_path: Path) -> None:
    logs = {"name": "logs", "image": "fluent-bit:1"}
    depends = [{"containerName": "logs", "condition": "START"}]
    assert _found(tmp_path, _APP, logs, _sidecar(dependsOn=depends)) == {"sidecar-order"}
    both = [*depends, {"containerName": "web", "condition": "START"}]
    assert _found(tmp_path, _APP, logs, _sidecar(dependsOn=both)) == set()


def test_a_health_check_runs_what_the_image_has(tmp_path: Path) -> None:
    curl = {"command": ["CMD-SHELL", "curl -f http://localhost:8080/ || exit 1"]}
    assert _found(tmp_path, {**_APP, "healthCheck": curl}) == {"healthcheck-tool"}


def test_a_container_cannot_wait_for_itself(tmp_path: Path) -> None:
    depends = [{"containerName": "web", "condition": "START"}]
    assert _found(tmp_path, {**_APP, "dependsOn": depends}) == {"depends-on"}


def test_a_sidecars_stop_timeout_has_units(tmp_path: Path) -> None:
    told = [{"name": "PYINIT_STOP_TIMEOUT", "value": "1m"}]
    assert _found(tmp_path, _APP, _sidecar(stopTimeout=60, environment=told)) == set()
    assert _found(tmp_path, _APP, _sidecar(stopTimeout=59, environment=told)) == {"stop-timeout"}


def test_the_api_takes_no_number_for_a_variable(tmp_path: Path) -> None:
    assert _found(tmp_path, {**_APP, "environment": [{"name": "A", "value": 1}]}) == {"schema"}


def test_an_image_that_a_pipeline_fills_in_is_not_judged(tmp_path: Path) -> None:
    assert _found(tmp_path, {**_APP, "image": "<IMAGE1_NAME>"}) == set()


def test_a_file_that_only_speaks_of_task_definitions_is_none(tmp_path: Path) -> None:
    files = {**CLEAN, "tsconfig.json": '{ // "include": what reads containerDefinitions\n}\n'}
    assert not [one for one in checked(tmp_path, files).findings if one.path == "tsconfig.json"]

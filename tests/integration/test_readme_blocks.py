"""The README's blocks to paste: run where they can be, else a part of a deployment that is."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from storm_peers import APPS

from tests.support import node_packages
from tests.support.deployments import DOCKER, PYINIT_PATH, VARIABLES, documents, task_definition
from tests.support.front import EXAMPLE, Front, front
from tests.support.http_client import Client, free_port
from tests.support.process import ROOT

README = (ROOT / "README.md").read_text()
SECTION = README.partition("\n## Put it in place\n")[2].partition("\n## ")[0]
BLOCKS = [
    (found[1], found[2]) for found in re.finditer(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
]


def of(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def is_part(part: Any, whole: Any) -> bool:
    """Whether all that it says the other says too; of a list's items, those of the same name are meant."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and is_part(one, whole[name]) for name, one in part.items())
    if isinstance(part, list) and part and isinstance(part[0], dict) and "name" in part[0]:
        named = {one["name"]: one for one in whole}
        return all(one["name"] in named and is_part(one, named[one["name"]]) for one in part)
    return bool(part == whole)


def test_a_part_is_told_from_what_is_none() -> None:
    whole = {"a": {"b": 1}, "list": [{"name": "x", "value": 1}, {"name": "y", "value": 2}]}
    assert is_part({"list": [{"name": "y", "value": 2}]}, whole)
    assert not is_part({"a": {"b": 2}}, whole)
    assert not is_part({"a": {"c": 1}}, whole)
    assert not is_part({"list": [{"name": "y", "value": 1}]}, whole)
    assert not is_part({"list": [{"name": "z"}]}, whole)


def test_every_block_is_one_of_those_below() -> None:
    assert Counter(language for language, _ in BLOCKS) == {
        "dockerfile": 2,
        "sh": 2,
        "js": 1,
        "json": 1,
        "yaml": 2,
    }


@pytest.mark.node
@pytest.mark.parametrize("text", of("dockerfile"), ids=["docker run --init", "tini"])
def test_an_images_words_start_the_app_and_drain_it(text: str) -> None:
    lines = dict(line.split(" ", 1) for line in text.splitlines())
    words = [*json.loads(lines["ENTRYPOINT"]), *json.loads(lines["CMD"])]
    assert words[0] == PYINIT_PATH
    words[words.index("--listen") + 1] = "127.0.0.1:0"
    with front(*words[1:], env={"PYINIT_CONTROL": "off"}, cwd=EXAMPLE.parent) as running:
        answers_and_stops(running)


@pytest.mark.node
def test_the_app_without_stoppable_answers_and_ends(tmp_path: Path) -> None:
    (text,) = of("js")
    (tmp_path / "server.js").write_text(text)
    words = ("--listen", "127.0.0.1:0", "--control", "off", "--", "node", "server.js")
    with front(*words, cwd=tmp_path) as running:
        answers_and_stops(running)


@pytest.mark.node
@pytest.mark.parametrize("name", ["stoppable", "http_terminator"])
def test_an_app_that_keeps_its_stoppable_has_nothing_to_wait_for_when_it_is_signalled(name: str) -> None:
    problem = node_packages.refusal(APPS)
    if problem is not None:
        pytest.skip(problem)
    port = str(free_port())
    app = ("node", str(APPS / f"{name}.js"), "127.0.0.1", port, "9000")
    options = ("--listen", "127.0.0.1:0", "--upstream", port, "--control", "off")
    with front(*options, "--", *app) as running, Client(running.port) as slow:
        slow.request("/slow?ms=700")
        with Client(running.port) as other:
            assert other.get("/").status == 200, "the slow one has been read by now"
        running.signal()
        answer = slow.response()
        assert (answer.status, answer.is_cut, running.wait()) == (200, False, 0)
        finished = running.wait_event("drain.finished")
        assert (finished["exchanges_finished"], finished["cut_count"]) == (1, 0)


def answers_and_stops(running: Front) -> None:
    with Client(running.port) as client:
        assert client.get("/").status == 200
    assert running.stop() == 0
    assert running.wait_event("drain.finished")["cut_count"] == 0
    assert [event for event in running.events if event["level"] == "warning"] == []


def test_docker_run_says_the_grace_twice_and_the_port_that_is_listened_on() -> None:
    words = shlex.split(of("sh")[0], comments=True)
    options = dict(zip(words[2:-1:2], words[3:-1:2], strict=True))
    told = options["-e"].removeprefix("PYINIT_STOP_TIMEOUT=")
    assert told == options["--stop-timeout"]
    assert options["-p"] == "8080:8080"


@pytest.mark.skipif(shutil.which("envsubst") is None, reason="need envsubst")
def test_the_line_for_ecs_fills_in_the_task_definition(tmp_path: Path) -> None:
    export, line = of("sh")[1].splitlines()
    assert set(re.findall(r"(\w+)=…", export)) == set(VARIABLES)
    (tmp_path / "docker").symlink_to(DOCKER)
    said = subprocess.run(
        ["bash", "-euc", f"aws() {{ echo aws $*; }}; {line}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **VARIABLES},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said == "aws ecs register-task-definition --cli-input-json file://task.json\n"
    assert json.loads((tmp_path / "task.json").read_text()) == task_definition(DOCKER / "ecs/entrypoint.json")


def test_the_container_on_ecs_is_a_part_of_the_task_definition() -> None:
    (text,) = of("json")
    (whole,) = task_definition(DOCKER / "ecs/entrypoint.json")["containerDefinitions"]
    assert is_part(json.loads(text), whole)


def test_the_pod_and_the_service_are_parts_of_the_files() -> None:
    pod, compose = (yaml.safe_load(text) for text in of("yaml"))
    assert is_part(pod, documents(DOCKER / "kubernetes/entrypoint.yaml")[0]["spec"]["template"]["spec"])
    assert is_part(compose, documents(DOCKER / "compose/compose.yaml")[0])


def slugs_of(text: str) -> set[str]:
    """What the headings of a document are linked by."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    slugs = slugs_of(README)
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in slugs, target
        elif "://" not in target:
            path, _, place = target.partition("#")
            assert (ROOT / path).exists(), target
            assert not place or place in slugs_of((ROOT / path).read_text()), target

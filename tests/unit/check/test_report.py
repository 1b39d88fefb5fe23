"""The three forms of a report, and what is left out of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from pyinit.check import main, report
from pyinit.check.rules import RULES
from tests.support.checking import CLEAN, checked, ids, seen, write

_SCHEMA = json.loads((Path(__file__).parent / "sarif.schema.json").read_text())
_BAD = {
    "an app/Dockerfile": "FROM node\nCOPY . .\nCMD npm start\n",
    "an app/compose.yaml": "services:\n  web:\n    build: .\n    user: root\n",
    "an app/Dockerfile.dev": "FROM node\nCMD nodemon\n",
    "web/Dockerfile": "FROM nginx:1.29.1\nADD https://example.com/\x1b[31mx /x\n",
}


def test_sarif_has_the_form_of_its_standard(tmp_path: Path) -> None:
    log = json.loads(report.sarif(checked(tmp_path, _BAD)))
    jsonschema.validate(log, _SCHEMA)
    (run,) = log["runs"]
    described = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in described] == list(RULES)
    for result in run["results"]:
        assert described[result["ruleIndex"]]["id"] == result["ruleId"]
    assert {result["level"] for result in run["results"]} == {"error", "warning", "note"}


def test_sarif_of_nothing_is_valid_too(tmp_path: Path) -> None:
    log = json.loads(report.sarif(checked(tmp_path, CLEAN)))
    jsonschema.validate(log, _SCHEMA)
    assert log["runs"][0]["results"] == []


def test_sarif_names_files_as_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, _BAD)
    monkeypatch.chdir(tmp_path / "an app")
    log = json.loads(report.sarif(main.check(Path())))
    assert _uris(log) == {"Dockerfile", "compose.yaml"}
    monkeypatch.chdir(tmp_path)
    assert _uris(json.loads(report.sarif(main.check(Path("an app"))))) == {
        "an%20app/Dockerfile",
        "an%20app/compose.yaml",
    }
    (outside,) = _uris(json.loads(report.sarif(main.check(Path("../" + tmp_path.name + "/web"))))) or {""}
    assert outside == "web/Dockerfile"
    monkeypatch.chdir(tmp_path / "web")
    assert f"file://{os.fspath(tmp_path)}/an%20app/Dockerfile" in _uris(
        json.loads(report.sarif(main.check(tmp_path / "an app")))
    )


def _uris(
    log: dict[str, list[dict[str, list[dict[str, list[dict[str, dict[str, dict[str, str]]]]]]]]],
) -> set[str]:
    return {
        location["physicalLocation"]["artifactLocation"]["uri"]
        for result in log["runs"][0]["results"]
        for location in result["locations"]
    }


def test_json_says_all_that_the_text_does(tmp_path: Path) -> None:
    done = checked(tmp_path, _BAD)
    content = json.loads(report.as_json(done))
    assert content["check_version"] == 1
    assert content["files"] == sorted(_BAD)
    assert {one["file"] for one in content["not_judged"]} == {"an app/Dockerfile.dev", "web/Dockerfile"}
    text = report.text(done, is_coloured=False)
    for one in content["findings"]:
        assert f"{one['file']}:{one['line']}: {one['level']}: " in text
        assert RULES[one["rule"]].why == one["why"]
        assert one["mend"]


def test_the_text_is_lines_that_an_editor_can_jump_to(tmp_path: Path) -> None:
    done = checked(tmp_path, {"Dockerfile": "FROM node:22@sha256:00\nUSER node\nCMD npm start\n"})
    lines = report.text(done, is_coloured=False).splitlines()
    at = next(at for at, line in enumerate(lines) if line.endswith("[start-npm]"))
    assert lines[at] == f"{tmp_path}/Dockerfile:3: error: CMD starts 'npm start'. [start-npm]"
    assert lines[at + 1] == f"    {RULES['start-npm'].why}"
    assert lines[at + 2] == f"    -> {RULES['start-npm'].mend}"
    assert lines[-1] == "1 file checked: 2 errors, 3 warnings, 1 remark"


def test_no_text_of_a_file_steers_the_terminal(tmp_path: Path) -> None:
    text = report.text(checked(tmp_path, _BAD), is_coloured=False)
    assert "ADD fetches https://example.com/?[31mx." in text
    assert "\x1b" not in text
    assert "\x1b[31merror\x1b[0m" in report.text(checked(tmp_path, _BAD), is_coloured=True)


def test_two_runs_say_the_same(tmp_path: Path) -> None:
    first = checked(tmp_path, _BAD)
    again = main.check(tmp_path)
    assert report.as_json(first) == report.as_json(again)
    assert [one.order for one in first.findings] == sorted(one.order for one in first.findings)


@pytest.mark.parametrize(
    ("text", "is_ignored"),
    [
        ("# pyinit-check: ignore=user-root\nUSER root\n", True),
        ("# a reason\n# pyinit-check: ignore=stop-signal,user-root\n# and another\nUSER root\n", True),
        ("USER \\\n  # pyinit-check: ignore=user-root\n  root\n", True),
        ("# pyinit-check: ignore=stop-signal\nUSER root\n", False),
        ("# pyinit-check: ignore=user-root\n\nUSER root\n", False),
        ("# pyinit-check: ignore=user-root\nENV A=1\nUSER root\n", False),
    ],
)
def test_a_comment_ignores_what_it_stands_at(tmp_path: Path, text: str, is_ignored: bool) -> None:  # noqa: FBT001
    done = checked(tmp_path, {"Dockerfile": f'FROM node:22\n{text}CMD ["node", "x"]\n'})
    assert ("user-root" in ids(done)) is not is_ignored


def test_a_comment_at_the_end_of_a_line_of_compose(tmp_path: Path) -> None:
    compose = (
        "services:\n  web:\n    image: corp/web:1\n    command: node x\n    init: true\n    user: root{}\n"
    )
    assert "user-root" in ids(checked(tmp_path, {"compose.yaml": compose.format("")}))
    said = compose.format("  # pyinit-check: ignore=user-root")
    assert "user-root" not in ids(checked(tmp_path, {"compose.yaml": said}))


def test_a_rule_can_be_left_out_of_a_run(tmp_path: Path) -> None:
    write(tmp_path, _BAD)
    assert "start-npm" in ids(main.check(tmp_path))
    assert "start-npm" not in ids(main.check(tmp_path, ignored_ids=["start-npm"]))


def test_a_template_of_cloudformation_is_read_as_its_task(tmp_path: Path) -> None:
    template = """
        Parameters:
          Grace: {Type: Number}
        Resources:
          Web:
            Type: AWS::ECS::TaskDefinition
            Properties:
              RequiresCompatibilities: [FARGATE]
              ContainerDefinitions:
                - Name: web
                  Image: !Sub "${Repository}:${Tag}"
                  EntryPoint: [pyinit, --listen, "8080", --]
                  Command: [node, server.js]
                  StopTimeout: "45"
                  ReadonlyRootFilesystem: "true"
                  User: "1000"
                  HealthCheck: {Command: [CMD, pyinitctl, health]}
                  Environment:
                    - Name: PYINIT_STOP_TIMEOUT
                      Value: VALUE
                    - Name: DB_PASSWORD
                      Value: !Ref Password
        """

    def of(value: str) -> list[tuple[str, str, str]]:
        done = checked(tmp_path, {"template.yaml": template.replace("VALUE", value)})
        return [(one.rule, one.level, one.place) for one in seen(done)]

    assert of('"45"') == []
    assert of("!Ref Grace") == []
    assert of('"90"') == [("stop-timeout", "error", "template.yaml:13")]


def test_json_of_the_command_line_client_is_read(tmp_path: Path) -> None:
    files = {
        "described.json": '{"taskDefinition": {"containerDefinitions": [{"name": "a", "image": "node"}]}}'
    }
    assert "base-unpinned" in ids(checked(tmp_path, files))


def test_a_sidecar_of_its_own_image_is_judged_as_one(tmp_path: Path) -> None:
    text = """
        FROM debian:bookworm-slim@sha256:00
        COPY --from=bundle /opt/pyinit /opt/pyinit
        USER 65532
        EXPOSE 8080
        HEALTHCHECK CMD ["/opt/pyinit/bin/pyinitctl", "health"]
        ENTRYPOINT ["/opt/pyinit/bin/pyinit", "--listen", "8080", "--upstream", "3000"]
        """
    assert seen(checked(tmp_path, {"sidecar/Dockerfile": text})) == []
    assert ids(checked(tmp_path, {"sidecar/Dockerfile": text.replace("USER 65532", "")})) == {"user-root"}

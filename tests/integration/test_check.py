"""``pyinitctl check`` as it is run: exit codes, the forms, without its libraries, and on our own files."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.checking import CLEAN, write
from tests.support.ctl import ctl, said
from tests.support.process import PATIENCE_S, ROOT, TIME_SCALE

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARIES = ("e2b_dockerfile_utils", "jsonschema", "yaml")
_PIP = "pip install 'pyinit[check]'"


def test_a_clean_project_is_0(tmp_path: Path) -> None:
    write(tmp_path, CLEAN)
    assert said(ctl("check", str(tmp_path))) == (0, "5 files checked: nothing found\n", "")


def test_errors_are_1_and_warnings_are_not(tmp_path: Path) -> None:
    files = {"Dockerfile": 'FROM node:22\nUSER node\nENTRYPOINT ["tini", "--"]\nCMD ["node", "x"]\n'}
    done = ctl("check", str(write(tmp_path, files)))
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning: There is no HEALTHCHECK. [healthcheck-missing]" in done.stdout
    write(tmp_path, {"Dockerfile": files["Dockerfile"].replace("USER node", "USER root")})
    done = ctl("check", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{tmp_path}/Dockerfile:2: error: USER root is the last one. [user-root]" in done.stdout
    assert ctl("check", str(tmp_path), "--ignore", "user-root").returncode == 0


def test_every_form_says_the_same(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"Dockerfile": "FROM node\nCMD npm start\n", "compose.yaml": "services: {web: {build: .}}\n"},
    )
    text, as_json, sarif = (
        ctl("check", str(tmp_path), "--format", form) for form in ("text", "json", "sarif")
    )
    assert {text.returncode, as_json.returncode, sarif.returncode} == {1}
    findings = json.loads(as_json.stdout)["findings"]
    assert [one["rule"] for one in findings] == [
        one["ruleId"] for one in json.loads(sarif.stdout)["runs"][0]["results"]
    ]
    assert text.stdout.count("\n    -> ") == len(findings)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nowhere"], "nowhere: no such directory"),
        (["--format", "xml"], "--format xml: not text, json or sarif"),
        (["--ignore", "user-rot"], "--ignore user-rot: no such rule, did you mean user-root?"),
        (["--target", "prod"], "--target prod: no Dockerfile here has such a stage"),
        (["empty"], "empty: no Dockerfile, compose file, task definition or package.json in it"),
        ([".", "--control", "@x"], "unrecognized arguments: --control @x; pyinitctl -h says more"),
    ],
)
def test_what_cannot_be_meant_is_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], text: str
) -> None:
    write(tmp_path, {"Dockerfile": "FROM node:22 AS web\nUSER node\n", "empty/README.md": "nothing\n"})
    monkeypatch.chdir(tmp_path)
    assert said(ctl("check", *words)) == (2, "", f"pyinitctl: {text}\n")


def test_the_shipped_stage_can_be_named(tmp_path: Path) -> None:
    text = 'FROM node:22 AS web\nUSER node\nCMD ["node", "x"]\nFROM web AS tools\nUSER root\n'
    write(tmp_path, {"Dockerfile": text})
    assert ctl("check", str(tmp_path)).returncode == 1
    assert ctl("check", str(tmp_path), "--target", "web").returncode == 0


def _without(missing: str | None, *words: str) -> subprocess.CompletedProcess[str]:
    """Of pyinitctl where a library is not installed; None for an interpreter that has no packages at all."""
    said_missing = "" if missing is None else f"sys.modules[{missing!r}] = None;"
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); {said_missing} sys.argv = ['pyinitctl', *{list(words)!r}];"
        "from pyinit.ctl.main import main; main()"
    )
    options = ["-I", "-S"] if missing is None else ["-I"]
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S * TIME_SCALE,
        encoding="utf-8",
    )


@pytest.mark.parametrize("missing", [*_LIBRARIES, "shlex", None])
def test_without_its_libraries_it_names_the_line_that_installs_them(
    tmp_path: Path, missing: str | None
) -> None:
    code, stdout, stderr = said(_without(missing, "check", str(write(tmp_path, CLEAN))))
    assert (code, stdout) == (2, "")
    assert stderr.startswith("pyinitctl: check needs more than is installed here (")
    assert stderr.endswith(f"): {_PIP}\n")


def test_every_other_command_does_without_them() -> None:
    done = _without(None, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "check" in done.stdout


def test_our_own_images_and_deployments_are_clean() -> None:
    done = ctl("check", str(ROOT / "docker"), "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert "example/package.json" in report["files"]
    assert [one for one in report["findings"] if one["level"] != "info"] == []

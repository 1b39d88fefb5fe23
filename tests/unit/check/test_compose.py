"""Compose files as they are written: laid over one another, extended, with a Dockerfile inside, for development too."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.checking import CLEAN, checked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WEB = "services:\n  web:\n    build: .\n    read_only: true\n    restart: always\n"
_TOLD = "    stop_grace_period: 30s\n    environment:\n      PYINIT_STOP_TIMEOUT: '30'\n"
_BAD = "FROM node:22.14.0@sha256:00\nCMD npm start\n"
_DEV = "FROM build AS dev\n        CMD npm run dev\n\n        "
_BAD_RULES = {
    "start-npm",
    "start-shell",
    "user-root",
    "node-env",
    "healthcheck-missing",
    "init-missing",
    "sigterm-unhandled",
}


class Case(NamedTuple):
    """A compose.yaml over the clean project.

    Attributes:
        name: what it does.
        text: of it.
        found: rule and place of all that is found in compose files, and rules alone for other files.
        files: changed ones.
    """

    name: str
    text: str
    found: set[str]
    files: Mapping[str, str] = MappingProxyType({})


CASES = [
    Case("a file laid over another keeps its variables", _WEB + _TOLD, set(),
         {"compose.prod.yaml": "services:\n  web:\n    environment: [LOG=warn]\n    user: '1000'\n"}),
    Case("a list of variables below, a mapping above", _WEB + "    stop_grace_period: 30s\n    environment:\n"
         "      - PYINIT_STOP_TIMEOUT=30\n", set(),
         {"compose.prod.yaml": "services:\n  web:\n    environment:\n      LOG: warn\n"}),
    Case("what the file above breaks", _WEB + _TOLD, {"stop-timeout compose.prod.yaml:3"},
         {"compose.prod.yaml": "services:\n  web:\n    stop_grace_period: 20s\n"}),
    Case("ports are added up", _WEB + _TOLD + "    ports: ['80:8080']\n", set(),
         {"compose.prod.yaml": "services:\n  web:\n    ports: ['9090:9090']\n"}),
    Case("a service of this file extended", _WEB.replace("web", "base") + _TOLD
         + "  web:\n    extends: base\n    stop_grace_period: 20s\n", {"stop-timeout compose.yaml:11"}),
    Case("one of another file extended", "services:\n  web:\n    extends: {file: parts/base.yaml, service: base}\n",
         set(), {"parts/base.yaml": _WEB.replace("web", "base").replace("build: .", "build: ..") + _TOLD}),
    Case("extended in a circle", _WEB + _TOLD + "    extends: other\n  other:\n    extends: {service: web}\n", set()),
    Case("a grace and a stop timeout from outside", _WEB + "    stop_grace_period: ${GRACE:-30s}\n    environment:\n"
         "      PYINIT_STOP_TIMEOUT: ${STOP:?}\n", set()),
    Case("one of who starts it", _WEB + "    stop_grace_period: 30s\n    environment: [PYINIT_STOP_TIMEOUT]\n",
         set()),
    Case("a file of variables elsewhere", _WEB + "    stop_grace_period: 30s\n    env_file: secret.env\n", set()),
    Case("a Dockerfile inside", "services:\n  web:\n    read_only: true\n    restart: always\n    build:\n"
         "      dockerfile_inline: |\n        FROM node:22@sha256:0\n        USER 1\n        ENV NODE_ENV=production\n"
         '        HEALTHCHECK CMD ["true"]\n        ENTRYPOINT ["tini", "--"]\n        # dev:\n'
         '        CMD ["npm", "start"]\n', {"start-npm compose.yaml:13", "single-stage compose.yaml:7"},
         {"src/server.ts": "process.on('SIGTERM', f)"}),
    Case("a broken one", "services:\n  web:\n    build:\n      dockerfile_inline: |\n        FROM a\n        FRO b\n",
         {"unreadable compose.yaml:6"}),
    Case("one of another name", _WEB.replace("build: .", "build: {context: ., dockerfile: .docker/web}") + _TOLD,
         _BAD_RULES, {".docker/web": _BAD}),
    Case("one that is not there", "services:\n  web:\n    build:\n      context: .\n      dockerfile: Dockerfil\n",
         {"unreadable compose.yaml:5"}),
    Case("a stage that is not there", _WEB.replace("build: .", "build:\n      target: prod") + _TOLD,
         {"unreadable compose.yaml:4"}),
    Case("a context elsewhere", "services:\n  a:\n    build: https://example.com/x.git#main\n  b:\n    build: ${SRC}\n"
         "  c:\n    build: ../x\n", set()),
    Case("a stage for development", _WEB.replace("build: .", "build: {context: ., target: dev}")
         + "    command: npm run dev\n", set(),
         {"Dockerfile": CLEAN["Dockerfile"].replace("FROM build AS audit", _DEV + "FROM build AS audit")}),
    Case("a health check by curl", _WEB + _TOLD + "    healthcheck:\n      test: curl -f localhost:8080\n",
         {"healthcheck-tool compose.yaml:10"}),
    Case("one in exec form", _WEB + _TOLD + "    healthcheck: {test: [CMD, wget, -q, localhost]}\n",
         {"healthcheck-tool compose.yaml:9"}),
    Case("one switched off", _WEB + _TOLD + "    healthcheck: {test: [NONE]}\n", {"health-check compose.yaml:9"}),
    Case("profiles for development", _WEB + _TOLD + "  w:\n    build: .\n    profiles: [dev, test]\n"
         "    command: npm run dev\n", set()),
    Case("a mend in compose's own form", _WEB + _TOLD + "    command: npm start\n", {"start-npm compose.yaml:9"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_found_is_all_there_is(tmp_path: Path, case: Case) -> None:
    files = {**CLEAN, "compose.yaml": case.text, **case.files}
    findings = [
        one for one in checked(tmp_path, files).findings if one.rule.id not in ("read-only", "audit-missing")
    ]
    found = {
        f"{one.rule.id} {one.path}:{one.line}" if "compose" in one.path else one.rule.id
        for one in findings
        if one.rule.id != "single-stage" or "compose" in one.path
    }
    assert found == case.found, findings


def test_the_mend_is_written_as_compose_has_it(tmp_path: Path) -> None:
    package = '{"scripts": {"start": "node server.js"}}\n'
    files = {**CLEAN, "package.json": package, "compose.yaml": _WEB + _TOLD + "    command: npm start\n"}
    (finding,) = [one for one in checked(tmp_path, files).findings if one.rule.id == "start-npm"]
    assert finding.mend == 'command: ["node", "server.js"]'


def test_what_is_for_development_is_named(tmp_path: Path) -> None:
    text = _WEB + _TOLD + "  w:\n    image: x:1\n    profiles: [dev]\n  e2e:\n    image: x:1\n"
    (told,) = [
        why
        for path, why in checked(tmp_path, {**CLEAN, "compose.yaml": text}).not_judged
        if path == "compose.yaml"
    ]
    assert (
        told == "service w is for development, by its profiles; service e2e is for development, by its name"
    )


def test_a_long_chain_of_extends_ends(tmp_path: Path) -> None:
    """It was a RecursionError."""
    text = "services:\n" + "".join(f"  w{at}: {{image: 'x:1', extends: w{at + 1}}}\n" for at in range(1500))
    assert not [
        one for one in checked(tmp_path, {"compose.yaml": text}).findings if one.rule.id == "unreadable"
    ]

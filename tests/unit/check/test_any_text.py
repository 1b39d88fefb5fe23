"""Whatever the files hold, a check ends with findings and no traceback."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyinit.check import main, report
from tests.support.checking import CLEAN, write

_WORDS = st.sampled_from(
    ("FROM node:22 AS a", "FROM a", "FROM scratch", "COPY --from=a . .", "COPY --from=0 /x /y", "COPY . .", "ARG A=$B",
     "ENV A $B", "RUN <<X\nnpm i\nX", "RUN if x; then npm ci; fi", "RUN echo 'x", "CMD npm start", 'CMD ["pyinit"]',
     'CMD ["pyinit", "--listen", "env:P", "--", "node"]', "CMD []", "ENTRYPOINT sh -c", 'ENTRYPOINT ["tini", "-e"]',
     "ENTRYPOINT exec env A=1 node", "USER $U", "USER ''", "STOPSIGNAL 99",
     "STOPSIGNAL \u00b2", "EXPOSE \u00b2 80-90/udp",
     "HEALTHCHECK CMD curl 'x", "HEALTHCHECK NONE", "HEALTHCHECK", "WORKDIR ..", "ONBUILD RUN x", "SHELL []", "ADD x",
     "# escape=`", "# pyinit-check: ignore=,", "ADD git@x /y", 'CMD ["gosu"]', 'CMD ["/x.sh"]', "COPY ../../.. \0 /x")
)  # fmt: skip
_KEY_NAMES = (
    *(
        "build",
        "image",
        "command",
        "entrypoint",
        "environment",
        "env_file",
        "init",
        "privileged",
        "read_only",
    ),
    *("restart", "stop_grace_period", "stop_signal", "user", "depends_on", "healthcheck", "ports", "volumes"),
    *(
        "deploy",
        "name",
        "essential",
        "stopTimeout",
        "linuxParameters",
        "dependsOn",
        "healthCheck",
        "entryPoint",
    ),
    "readonlyRootFilesystem",
)
_KEYS = st.sampled_from(_KEY_NAMES)
_KINDS: tuple[Any, ...] = (
    *(None, True, 5, 1.5, "x", [], [None], [5], ["x"], [{}], [{"name": 5}], [[]]),
    *({}, {"x": None}, {"x": 5}, {"x": {}}, {"x": []}),
)  # fmt: skip
_SCALARS = st.sampled_from(
    (None, True, False, 0, -1, 1.5, "", ".", "30s", "node x", "npm start", "pyinit", "${X:-1}", "$", "\u00b2", "a:b:c",
     "SIGTERM", "\0", "NODE_ENV=x", "PYINIT_STOP_TIMEOUT=9", "../x", "/etc/hostname")
)  # fmt: skip
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | _SCALARS.map(str), inner, max_size=3),
    max_leaves=6,
)
_BLOCKS = st.dictionaries(_KEYS, _VALUES, max_size=6)


def _judged(files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name), files)
        done = main.check(root)
        assert json.loads(report.sarif(done))
        assert report.text(done, is_coloured=False).isascii() or done.findings
        lengths = {path: len((root / path).read_text().splitlines()) for path in done.paths}
        for one in done.findings:
            assert 1 <= one.line <= max(1, lengths.get(one.path, 1)), one


@settings(max_examples=60, deadline=None)
@given(st.lists(_WORDS, max_size=12))
def test_any_dockerfile(lines: list[str]) -> None:
    _judged({"Dockerfile": "\n".join(lines) + "\n", "x.sh": '#!/bin/sh\nexec "$@"\n', "package.json": "[]"})


@settings(max_examples=60, deadline=None)
@given(_BLOCKS, _VALUES)
def test_any_compose_file(service: dict[str, object], other: object) -> None:
    content = {"services": {"web": {"build": ".", **service}, "b": other}}
    _judged({"Dockerfile": CLEAN["Dockerfile"], "compose.yaml": json.dumps(content)})


@settings(max_examples=60, deadline=None)
@given(_BLOCKS, _VALUES, _VALUES)
def test_any_task_definition(container: dict[str, object], other: object, outer: object) -> None:
    for definitions in ([{"name": "web", "image": "x", **container}, other], other):
        content = {"containerDefinitions": definitions, "requiresCompatibilities": outer}
        template = {
            "Resources": {"T": {"Type": "AWS::ECS::TaskDefinition", "Properties": content}, "U": other}
        }
        _judged({"task.json": json.dumps(content, indent=1), "template.json": json.dumps(template)})


@pytest.mark.parametrize("key", _KEY_NAMES)
def test_every_kind_of_value_at_every_key(tmp_path: Path, key: str) -> None:
    for kind in _KINDS:
        service = {"build": ".", "command": ["node", "x"], "environment": {"PYINIT_LISTEN": "80"}, key: kind}
        definition = {"name": "a", "image": "node:22", "command": ["pyinit", "node"], key: kind}
        task = {"containerDefinitions": [definition, {"name": "b", "image": "pyinit"}]}
        (tmp_path / "Dockerfile").write_text("FROM node:22\n")
        (tmp_path / "compose.yaml").write_text(json.dumps({"services": {"web": service}}))
        (tmp_path / "task.json").write_text(json.dumps(task))
        assert main.check(tmp_path).findings


@settings(max_examples=40, deadline=None)
@given(_VALUES)
def test_any_package(value: object) -> None:
    content = json.dumps({"scripts": {"start": "node 'x"}, "dependencies": value, "workspaces": value})
    _judged({"Dockerfile": "FROM node\nCMD npm start\n", "package.json": content})

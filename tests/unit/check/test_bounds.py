"""What a hostile or broken project can cost: minutes, gigabytes, an endless read; or it passed for a clean one."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.checking import checked, seen, write

if TYPE_CHECKING:
    from pathlib import Path

_STAGES = "".join(
    f"FROM node:22 AS s{at}\nCOPY --from=s{at - 1} /app /app\nRUN npm ci\n" for at in range(1, 1500)
)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (f"FROM node:22 AS s0\n{_STAGES}", 599, "more than 200 stages"),
        ("FROM node:22\n" + "RUN npm ci\nENV A=1\n" * 3_000, 5001, "more than 5,000 instructions"),
        ("FROM node:22\nENV A0=0123456789\n" + "".join(f"ENV A{at + 1}=$A{at}$A{at}\n" for at in range(60)), 15,
         "longer than 64 KiB"),
        ("ARG A0=0123456789\n" + "".join(f"ARG A{at + 1}=$A{at}$A{at}\n" for at in range(60)) + "FROM $A60\n", 14,
         "longer than 64 KiB"),
        ("FROM node:22\n" + "#\n" * (1 << 20), 1, "larger than 2 MiB"),
    ],
    ids=["stages", "instructions", "ENV", "ARG", "bytes"],
)  # fmt: skip
def test_a_dockerfile_is_refused_where_no_person_wrote_it(
    tmp_path: Path, text: str, line: int, why: str
) -> None:
    (finding,) = checked(tmp_path, {"Dockerfile": text}).findings
    assert (finding.rule.id, finding.line) == ("unreadable", line)
    assert why in finding.what


def test_a_long_line_is_read_once() -> None:
    """Each rule asks for the commands of every RUN again."""
    from pyinit.check import shell  # noqa: PLC0415  its cache is what is looked at

    script = "echo a && " * 1_000 + "true"
    assert shell.commands(script) is shell.commands(script)


def test_the_sources_are_read_once(tmp_path: Path) -> None:
    """Each build and each service asks for them."""
    from pyinit.check import files, package  # noqa: PLC0415  its cache is what is looked at

    tree = files.Tree(write(tmp_path, {"a.js": "process.on('SIGTERM', f)"}))
    assert package.signals_handled(tree, ".") is package.signals_handled(tree, ".")


def test_a_task_has_no_more_containers_than_ecs_takes(tmp_path: Path) -> None:
    """Each is held against all others."""
    for count, rules in ((10, set()), (11, {"unreadable"})):
        task = json.dumps(
            {"containerDefinitions": [{"name": f"a{at}", "image": "b:1"} for at in range(count)]}
        )
        assert {one.rule for one in seen(checked(tmp_path, {"task.json": task}))} == rules


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "package.json"])
def test_what_is_no_file_is_told_of(tmp_path: Path, name: str) -> None:
    """A FIFO would be waited for; a directory, or a link that leads nowhere, must not pass for a clean project."""
    os.mkfifo(tmp_path / name)
    assert ("unreadable", f"{name}:1") in {(one.rule, one.place) for one in seen(checked(tmp_path, {}))}
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("gone")
    assert ("unreadable", f"{name}:1") in {(one.rule, one.place) for one in seen(checked(tmp_path, {}))}


def test_a_bundle_of_brackets_is_searched_from_its_signals(tmp_path: Path) -> None:
    """From each bracket on it was a minute for a file of 2 MiB."""
    write(tmp_path, {"Dockerfile": 'FROM node:22\nCMD ["node", "a.js"]\n'})
    (tmp_path / "a.js").write_text("process.on(name, f);" + "[" * (1 << 20))
    assert "sigterm-unhandled" in {one.rule for one in seen(checked(tmp_path, {}))}
    (tmp_path / "a.js").write_text("[1]; ['SIGINT', 'SIGTERM'].forEach((name) => process.on(name, f))")
    assert "sigterm-unhandled" not in {one.rule for one in seen(checked(tmp_path, {}))}
    (tmp_path / "a.js").write_text("[1]; log('SIGTERM'); process.on(name, f); [2]")
    assert "sigterm-unhandled" in {one.rule for one in seen(checked(tmp_path, {}))}

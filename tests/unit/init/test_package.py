"""package.json and what lies around it, as npm, yarn and pnpm see it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from pyinit.init import package
from pyinit.init.package import Package, Unreadable

if TYPE_CHECKING:
    from pathlib import Path


def written(directory: Path, content: object) -> bytes:
    directory.mkdir(exist_ok=True, parents=True)
    (directory / "package.json").write_text(json.dumps(content))
    return os.fsencode(directory)


def test_the_nearest_is_found(tmp_path: Path) -> None:
    top = written(tmp_path, {})
    inner = written(tmp_path / "a", {"scripts": {"x": "y"}})
    below = inner + b"/b"
    assert package.find(below, searches=True).directory == inner
    assert package.find(top, searches=True).directory == top
    with pytest.raises(Unreadable, match=r"b/package\.json: No such file"):
        package.find(below, searches=False)


def test_scripts_are_text_alone(tmp_path: Path) -> None:
    """As npm drops what is none."""
    of = package.find(written(tmp_path, {"scripts": {"x": "y", "z": 1, "n": None}}), searches=True)
    assert of.scripts == {"x": "y"}
    assert repr(of) == f"Package({tmp_path}/package.json, scripts=['x'])"


def test_server_js_is_started_without_a_script(tmp_path: Path) -> None:
    directory = written(tmp_path, {})
    (tmp_path / "server.js").touch()
    assert package.find(directory, searches=True).scripts == {"start": "node server.js"}
    written(tmp_path, {"scripts": {"start": "x"}})
    assert package.find(directory, searches=True).scripts == {"start": "x"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b'{"a": ' + b"[" * 200_000, "is not valid JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "is not valid JSON"),
        (b"[]", "is no JSON object"),
        (b"null", "is no JSON object"),
        (b'{"scripts": "x"}', "are no object"),
        (b" " * (4 << 20) + b"{}", "is longer than 4 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:10],
)
def test_what_cannot_be_read_is_one_clause(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        package.find(os.fsencode(tmp_path), searches=True)
    assert reason in str(caught.value)
    assert f"{tmp_path}/package.json" in str(caught.value)


def test_a_mark_at_the_beginning_and_bytes_that_are_no_text_are_read_as_node_reads_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "package.json").write_bytes(b'\xef\xbb\xbf{"scripts": {"x": "\xff"}}')
    assert package.find(os.fsencode(tmp_path), searches=True).scripts == {"x": "\ufffd"}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir(),
                                  lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to("none"),
                                  lambda path: path.symlink_to("package.json")])  # fmt: skip
def test_what_is_no_file_is_not_waited_for(make: object, tmp_path: Path) -> None:
    make(tmp_path / "package.json")  # type: ignore[operator]
    with pytest.raises(Unreadable):
        package.find(os.fsencode(tmp_path), searches=True)


def test_variables_as_npm_makes_them() -> None:
    of = Package(
        b"/app",
        {
            "name": "x",
            "version": "1",
            "engines": {"node": "1"},
            "config": {"a": {"b": 1, "c": None}, "d": [True, False], "bad": "\ud800", "nul": "\0", "e=f": 1},
        },
    )
    assert of.variables() == [
        (b"npm_package_json", b"/app/package.json"),
        (b"npm_package_name", b"x"),
        (b"npm_package_version", b"1"),
        (b"npm_package_config_a_b", b"1"),
        (b"npm_package_config_a_c", b""),
        (b"npm_package_config_d_0", b"true"),
        (b"npm_package_config_d_1", b""),
    ]
    assert Package(b"/app", {}).variables() == [(b"npm_package_json", b"/app/package.json")]


def test_programs_of_dependencies(tmp_path: Path) -> None:
    of = Package(os.fsencode(tmp_path / "a"), {})
    (tmp_path / "node_modules" / ".bin").mkdir(parents=True)
    program = tmp_path / "node_modules" / ".bin" / "next"
    program.touch(mode=0o755)
    assert of.program(b"next") == os.fsencode(program)
    assert of.program(b"other") is None
    assert of.program(b"./next") is None
    assert of.program_directories()[0] == os.fsencode(tmp_path / "a/node_modules/.bin")
    assert of.program_directories()[-1] == b"/node_modules/.bin"


@pytest.mark.parametrize(
    ("manager", "file", "is_berry"),
    [
        (None, None, False),
        ("yarn@1.22.22", None, False),
        ("yarn@4.1.0", None, True),
        ("pnpm@9.0.0", None, False),
        (1, None, False),
        (None, ".yarnrc.yml", True),
        ("yarn@1.22.22", ".pnp.cjs", True),
    ],
)
def test_yarn_2_is_told_from_yarn_1(
    manager: object, file: str | None, tmp_path: Path, *, is_berry: bool
) -> None:
    if file is not None:
        (tmp_path / file).touch()
    of = Package(os.fsencode(tmp_path / "web"), {"packageManager": manager})
    assert of.uses_berry() is is_berry


@pytest.mark.parametrize(
    ("file", "text", "key"),
    [
        ("a/.npmrc", "; c\nregistry=x\nnode-options = --inspect\n", "node-options"),
        (".npmrc", "script-shell=/bin/bash", "script-shell"),
        ("a/.yarnrc", 'script-shell "/bin/bash"', "script-shell"),
        (".yarnrc", "--run.script-shell bash", "--run.script-shell"),
        ("pnpm-workspace.yaml", "packages:\n - a\nshellEmulator: true", "shellEmulator"),
        ("home/.npmrc", '"node-options"=x', "node-options"),
        ("prefix/etc/npmrc", "workspace[]=x", "workspace"),
    ],
)
def test_settings_that_change_how_a_script_runs(file: str, text: str, key: str, tmp_path: Path) -> None:
    of = Package(os.fsencode(tmp_path / "a"), {})
    environment = [
        b"HOME=" + os.fsencode(tmp_path / "home"),
        b"NPM_CONFIG_PREFIX=" + os.fsencode(tmp_path / "prefix"),
    ]
    assert package.settings_in_the_way(of, environment) is None
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    assert package.settings_in_the_way(of, environment) == f"{path} sets {key}, which changes how it runs"


def test_another_users_file_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / "rc").write_text("node-options=x")
    entry = b"npm_config_userconfig=" + os.fsencode(tmp_path / "rc")
    assert "rc sets node-options" in str(package.settings_in_the_way(Package(b"/", {}), [entry]))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (b"NPM_CONFIG_NODE_OPTIONS=x", "the variable NPM_CONFIG_NODE_OPTIONS changes how it runs"),
        (b"npm_config_script_shell=x", "the variable npm_config_script_shell changes how it runs"),
        (b"pnpm_config_shell_emulator=x", "the variable pnpm_config_shell_emulator changes how it runs"),
        (b"npm_config_script_shell=", None),
        (b"npm_config_loglevel=x", None),
        (b"NODE_OPTIONS=x", None),
    ],
)
def test_variables_that_change_how_a_script_runs(entry: bytes, reason: str | None) -> None:
    assert package.settings_in_the_way(Package(b"/", {}), [entry, b"nonsense"]) == reason

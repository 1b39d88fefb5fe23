"""What a command has npm, yarn or pnpm run, what is started instead, and what is said of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from pyinit.init import npm, package, spawn
from pyinit.init.npm import Found, look
from pyinit.init.signals import Dispositions
from pyinit.init.spawn import Launch

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = [b"HOME=/nowhere", b"PATH=/usr/bin", b"A=0", b"INIT_CWD=/old", b"A=00"]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An app's directory, which is ours as well."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(directory: Path, scripts: dict[str, object], **fields: object) -> None:
    (directory / "package.json").write_text(json.dumps({"scripts": scripts, **fields}))


def seen(line: str, environment: list[bytes] | None = None, *, is_wanted: bool = False) -> Found:
    found = look(line.encode().split(), environment or ENVIRONMENT, is_wanted=is_wanted)
    assert found is not None
    return found


def value(environment: list[bytes], name: str) -> str | None:
    found = [e.partition(b"=")[2] for e in environment if e.startswith(name.encode() + b"=")]
    assert len(found) <= 1, "a name stands once"
    return found[0].decode() if found else None


@pytest.mark.parametrize(
    ("script", "line", "command"),
    [
        ("node server.js", "npm start", ["node", "server.js"]),
        ("exec node 'a b'", "npm start x -- --y", ["node", "a b", "x", "--y"]),
        ("A=1 node .", "yarn start -x", ["node", ".", "-x"]),
        ("node .", "pnpm start -- x", ["node", ".", "--", "x"]),
        ("node .", "npm restart", None),
        ("node . && true", "npm start", None),
        ("cd x", "npm start", None),
        ("", "npm start", None),
        ("node \ud800", "npm start", None),
        ("node .", "npm start --x", None),
    ],
)
def test_a_plain_script_is_the_plan(script: str, line: str, command: list[str] | None, app: Path) -> None:
    write(app, {"start": script})
    plan = seen(line).plan
    assert (None if plan is None else [word.decode() for word in plan.command]) == command


def test_the_script_gets_what_npm_gives_it(app: Path) -> None:
    write(app, {"run:it": "A=1 B=2 node ."}, name="n", version="1.0.0", config={"port": 1})
    inner = app / "src" / "x"
    inner.mkdir(parents=True)
    os.chdir(inner)
    plan = seen("npm run run:it x").plan
    assert plan is not None
    assert plan.directory == os.fsencode(app)
    environment = plan.environment
    assert value(environment, "PATH") == ":".join(
        [f"{above}/node_modules/.bin" for above in (app, *app.parents[:-1])]
        + ["/node_modules/.bin", "/usr/bin"]
    )
    assert {name: value(environment, name) for name in (
        "A", "B", "HOME", "INIT_CWD", "PWD", "npm_command", "npm_lifecycle_event", "npm_lifecycle_script",
        "npm_package_name", "npm_package_version", "npm_package_json", "npm_package_config_port", "npm_execpath")
    } == {
        "A": "1", "B": "2", "HOME": "/nowhere", "INIT_CWD": str(inner), "PWD": str(app), "npm_command": "run-script",
        "npm_lifecycle_event": "run:it", "npm_lifecycle_script": "A=1 B=2 node .", "npm_package_name": "n",
        "npm_package_version": "1.0.0", "npm_package_json": f"{app}/package.json", "npm_package_config_port": "1",
        "npm_execpath": None,
    }  # fmt: skip
    assert ENVIRONMENT[2] == b"A=0", "the caller's own list stays"


@pytest.mark.parametrize(
    ("line", "command"),
    [("npm start", "start"), ("npm t", "test"), ("npm run test", "run-script"), ("yarn test", "run-script")],
)
def test_npm_command(line: str, command: str, app: Path) -> None:
    write(app, {"start": "node .", "test": "node ."})
    plan = seen(line).plan
    assert plan is not None
    assert value(plan.environment, "npm_command") == command


@pytest.mark.parametrize(("path", "end"), [(None, "/bin:/usr/bin"), (b"PATH=", "node_modules/.bin")])
def test_a_path_that_is_missing_or_empty(path: bytes | None, end: str, app: Path) -> None:
    """Missing it is execvp's default; an empty part of it would be the working directory."""
    write(app, {"start": "node ."})
    plan = seen("npm start", [path] if path is not None else [b"X=1"]).plan
    assert plan is not None
    assert (value(plan.environment, "PATH") or "").endswith(end)


def test_what_a_shell_sets_in_front_comes_before_what_the_script_sets(app: Path) -> None:
    write(app, {"start": "A=2 node ."})
    found = look([b"sh", b"-c", b"A=1 B='x y' npm start"], ENVIRONMENT, is_wanted=True)
    assert found is not None
    assert found.plan is not None
    assert (value(found.plan.environment, "A"), value(found.plan.environment, "B")) == ("2", "x y")
    assert found.advice == 'CMD ["node", "."] with ENV A=… and ENV B=… and ENV A=2'


def test_a_script_that_runs_another(app: Path) -> None:
    write(app, {"start": "A=1 npm run -s two -- x", "two": "B=1 yarn three", "three": "node ."})
    found = seen("npm start token")
    assert found.runs == ["A=1 npm run -s two -- x", "B=1 yarn three", "node ."]
    assert found.plan is not None
    assert found.plan.command == [b"node", b".", b"x", b"token"]
    assert value(found.plan.environment, "npm_lifecycle_event") == "three"
    assert (value(found.plan.environment, "A"), value(found.plan.environment, "B")) == ("1", "1")
    assert found.advice == 'CMD ["node", ".", "…"] with ENV A=1 and ENV B=1'
    assert "'A=1 npm run -s two -- x', which runs 'B=1 yarn three', which runs 'node .'" in found.sentence()
    without = seen("npm start").advice
    assert without == 'CMD ["node", ".", "x"] with ENV A=1 and ENV B=1', "what package.json says may be shown"


@pytest.mark.parametrize(
    ("scripts", "reason"),
    [
        ({"start": "npm start"}, "it runs npm again"),
        ({"start": "npm ci"}, "it runs npm again"),
        ({"start": "npm run x"}, "there is no script 'x'"),
        ({"start": "npm run x", "x": "a | b"}, "'|' needs a shell"),
        ({"start": "npm run x", "x": "a", "prex": "b"}, "prex would not run"),
        ({"start": "a", "prestart": "b", "poststart": "c"}, "prestart and poststart would not run"),
        ({"x": "a"}, "there is no script 'start'"),
        ({"start": 1}, "there is no script 'start'"),
    ],
)
def test_why_not(scripts: dict[str, object], reason: str, app: Path) -> None:
    write(app, scripts)
    found = seen("npm start", is_wanted=True)
    assert found.plan is None
    assert reason in str(found.reason)
    assert f"--exec-npm cannot replace it: {found.reason}" in found.sentence()


def test_an_empty_pre_script_does_not_count(app: Path) -> None:
    write(app, {"start": "node .", "prestart": ""})
    assert seen("npm start").plan is not None


def test_npms_own_scripts(app: Path) -> None:
    write(app, {})
    assert seen("npm run env").runs == ["env"]
    assert seen("npm restart").reason == "'&' needs a shell"
    assert seen("yarn run env").reason == f"there is no script 'env' in {app}/package.json"


def test_yarn_2_and_settings_are_reasons(app: Path) -> None:
    write(app, {"start": "node ."})
    assert seen("npm start", [b"npm_config_node_options=x"]).plan is None
    (app / ".pnp.cjs").touch()
    assert seen("yarn start").reason == "Yarn 2 and later run scripts in a shell of their own"
    assert seen("npm start").plan is not None


def test_a_workspaces_script_is_not_looked_for(app: Path) -> None:
    write(app, {"start": "node ."})
    found = seen("npm start -w web")
    assert (found.runs, found.source, found.plan) == ([], "", None)
    assert found.hint == "write the program that it starts as CMD, in exec form (-w names another package)"


def test_a_word_that_is_no_script(app: Path) -> None:
    """A dependency's program is told, a command that we do not know is not."""
    assert look([b"yarn", b"next"], ENVIRONMENT, is_wanted=True) is None
    write(app, {})
    assert look([b"yarn", b"next"], ENVIRONMENT, is_wanted=True) is None
    program = app / "node_modules" / ".bin" / "next"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    assert seen("yarn next").reason == f"it is no script, but the program {program}"


def test_another_directory(app: Path) -> None:
    (app / "web").mkdir()
    write(app, {"start": "node above"})
    write(app / "web", {"start": "node ."})
    found = seen("npm --prefix web start")
    assert found.plan is not None
    assert found.plan.directory == os.fsencode(app / "web")
    assert value(found.plan.environment, "INIT_CWD") == str(app)
    assert found.source == f"{app}/web/package.json"
    assert found.advice == f'CMD ["node", "."] with WORKDIR {app}/web'
    assert "none/package.json" in str(seen("npm --prefix none start").reason)
    assert seen("yarn --cwd none start").runs == ["node above"]


def test_a_dependencys_program_is_written_by_its_path(app: Path) -> None:
    """As CMD it has no node_modules/.bin in PATH."""
    program = app / "node_modules" / ".bin" / "next"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    write(app, {"start": "A='x $y' next start"})
    assert seen("npm start").advice == 'CMD ["node_modules/.bin/next", "start"] with ENV A="x \\$y"'
    (app / "src").mkdir()
    os.chdir(app / "src")
    assert seen("npm start").advice.startswith(f'CMD ["{program}", "start"]')
    plan = seen("npm start").plan
    assert plan is not None
    assert plan.command == [b"next", b"start"]


def test_the_warning(app: Path) -> None:
    write(app, {"start": "node server.js"})
    assert seen("npm start --").sentence() == (
        "CMD runs npm, which does not pass signals on dependably: 'npm start' runs 'node server.js' (package.json);"
        ' write CMD ["node", "server.js"], or give --exec-npm'
    )


def test_a_script_is_one_line_and_not_endless_in_it(app: Path) -> None:
    write(app, {"start": "a\nb\ud800" + "c" * 9999, "prestart": "x"})
    sentence = seen("npm start").sentence()
    assert "\n" not in sentence
    assert len(sentence) < 600
    assert "\\nb\\ud800ccc" in sentence
    assert "ccc', beside prestart (package.json); write the program" in sentence


def launch() -> Launch:
    nothing = Dispositions(default=frozenset(), ignored=frozenset())
    command = [b"npm", b"start"]
    return Launch(command, ENVIRONMENT, mask=frozenset(), dispositions=nothing, terminal=spawn.leave_terminal)


def test_it_is_replaced_where_that_is_wanted_and_possible(app: Path) -> None:
    write(app, {"start": "node ."})
    one = launch()
    found = seen("npm start")
    found.replace(one)
    assert (found.is_replaced, one.command, one.directory) == (False, [b"npm", b"start"], None)
    found = seen("npm start", is_wanted=True)
    found.replace(one)
    assert found.plan is not None
    assert (one.command, one.environment, one.directory) == (
        [b"node", b"."],
        found.plan.environment,
        os.fsencode(app),
    )
    assert found.sentence() == "--exec-npm: started without npm: 'npm start' runs 'node .' (package.json)"
    assert repr(found) == "Found('npm start', runs=['node .'], reason=None)"
    write(app, {"start": "a; b"})
    one, found = launch(), seen("npm start", is_wanted=True)
    found.replace(one)
    assert (found.is_replaced, one.command, one.environment) == (False, [b"npm", b"start"], ENVIRONMENT)


def test_a_fault_of_ours_does_not_keep_the_app_from_starting(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(app, {"start": "node ."})

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(package, "find", fails)
    assert seen("npm start").reason == "it could not be looked at: RuntimeError('odd')"
    monkeypatch.setattr(npm, "read_call", fails)
    assert look([b"npm", b"start"], ENVIRONMENT, is_wanted=True) is None


def test_any_other_command_is_none_of_its_business() -> None:
    assert look([b"node", b"server.js"], ENVIRONMENT, is_wanted=True) is None

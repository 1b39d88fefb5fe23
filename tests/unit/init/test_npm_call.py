"""Command lines as npm, yarn and pnpm read them; that they do is for tests/integration/test_npm.py."""

from __future__ import annotations

import pytest

from pyinit.init.npm_call import read_call


def words(line: str) -> list[bytes]:
    return line.encode().split()


@pytest.mark.parametrize(
    ("line", "text", "script", "arguments"),
    [
        ("npm start", "npm start", "start", ""),
        ("/usr/bin/npm start", "npm start", "start", ""),
        ("npm t", "npm test", "test", ""),
        ("npm tst", "npm test", "test", ""),
        ("npm stop", "npm stop", "stop", ""),
        ("npm restart", "npm restart", "restart", ""),
        ("npm run x", "npm run x", "x", ""),
        ("npm run-script x", "npm run-script x", "x", ""),
        ("npm rum x", "npm rum x", "x", ""),
        ("npm urn x", "npm urn x", "x", ""),
        ("npm run start:prod a -- -b -- c", "npm run start:prod", "start:prod", "a -b -- c"),
        ("npm start - a", "npm start", "start", "- a"),
        ("npm --silent start -s --loglevel warn -- -s", "npm start", "start", "-s"),
        ("npm --loglevel=silent run -q x", "npm run x", "x", ""),
        ("npm run -- x y", "npm run x", "x", "y"),
        ("node /usr/lib/node_modules/npm/bin/npm-cli.js start", "npm start", "start", ""),
        ("yarn start", "yarn start", "start", ""),
        ("yarn x -s --cwd y", "yarn x", "x", "-s --cwd y"),
        ("yarnpkg run -s x y", "yarn run x", "x", "y"),
        ("yarn run run", "yarn run run", "run", ""),
        ("yarn run install", "yarn run install", "install", ""),
        ("node yarn.js x", "yarn x", "x", ""),
        ("pnpm start -- a", "pnpm start", "start", "-- a"),
        ("pnpm -s run x -C y", "pnpm run x", "x", "-C y"),
        ("pnpm t", "pnpm test", "test", ""),
        ("pnpm --reporter silent x", "pnpm x", "x", ""),
    ],
)
def test_a_script_with_its_arguments(line: str, text: str, script: str, arguments: str) -> None:
    call = read_call(words(line), [])
    assert call is not None
    assert (call.text, call.script, call.arguments) == (text, script.encode(), words(arguments))
    assert (call.problem, call.directory, call.is_elsewhere) == (None, None, False)


@pytest.mark.parametrize(
    "line",
    [
        "node server.js",
        "node",
        "npx next start",
        "npm",
        "npm ci",
        "npm install",
        "npm i start",
        "npm run",
        "npm run-script --silent",
        "npm exec x",
        "npm -- ",
        "npm-cli.js start",
        "node npm start",
        "yarn",
        "yarn install",
        "yarn add start",
        "yarn node x.js",
        "yarn run",
        "yarn -- start",
        "yarn workspace web install",
        "yarn workspace web",
        "pnpm i",
        "pnpm exec x",
        "pnpm dlx x",
        "mynpm start",
        "sh npm start",
        "sh -x npm",
    ],
)
def test_what_runs_no_script(line: str) -> None:
    assert read_call(words(line), []) is None


@pytest.mark.parametrize(
    ("line", "directory"),
    [
        ("npm --prefix app start", "app"),
        ("npm start --prefix=app", "app"),
        ("npm -C /app run x", "/app"),
        ("yarn --cwd app start", "app"),
        ("yarn run --cwd=app x", "app"),
        ("pnpm -C app start", "app"),
        ("pnpm --dir app x", "app"),
    ],
)
def test_another_directory(line: str, directory: str) -> None:
    call = read_call(words(line), [])
    assert call is not None
    assert (call.directory, call.problem, call.arguments) == (directory.encode(), None, [])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("npm start --port 1", "npm reads --port itself"),
        ("npm --node-options=--inspect start", "npm reads --node-options itself"),
        ("npm --script-shell bash start", "npm reads --script-shell itself"),
        ("npm start --silent=1", "npm reads --silent itself"),
        ("npm --ignore-scripts start", "npm reads --ignore-scripts itself"),
        ("npm --prefix ~/app start", "--prefix names no plain directory"),
        ("npm start --prefix", "--prefix names no plain directory"),
        ("yarn --inspect start", "yarn reads --inspect itself"),
        ("yarn start -x -- a", "yarn reads -- otherwise from version to version"),
        ("pnpm --parallel start", "pnpm reads --parallel itself"),
        ("pnpm restart", "pnpm restart runs stop and start as well"),
    ],
)
def test_what_is_not_understood_is_told(line: str, problem: str) -> None:
    call = read_call(words(line), [])
    assert call is not None
    assert (call.problem, call.is_elsewhere) == (problem, False)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("npm -w web start", "-w names another package"),
        ("npm start --workspace=web", "--workspace names another package"),
        ("pnpm --filter web start", "--filter names another package"),
        ("pnpm -w start", "-w names another package"),
        ("pnpm -r run x", "-r names another package"),
        ("yarn workspace web start", "it is the script of a workspace"),
        ("yarn workspace web run x", "it is the script of a workspace"),
    ],
)
def test_a_script_of_another_package(line: str, problem: str) -> None:
    call = read_call(words(line), [])
    assert call is not None
    assert (call.problem, call.is_elsewhere) == (problem, True)


@pytest.mark.parametrize(("line", "is_implicit"), [("yarn x", True), ("pnpm x", True), ("yarn start", False),
                                                   ("yarn run x", False), ("pnpm test", False)])  # fmt: skip
def test_a_word_alone_may_be_another_command(line: str, *, is_implicit: bool) -> None:
    call = read_call(words(line), [])
    assert call is not None
    assert call.is_implicit is is_implicit


@pytest.mark.parametrize(
    ("command", "assignments", "problem"),
    [
        (["sh", "-c", "npm start"], [], None),
        (["/bin/sh", "-c", " exec npm start\n"], [], None),
        (["sh", "-ec", "A=1 npm start"], [(b"A", b"1")], None),
        (["bash", "-lc", "npm start"], [], "the shell is told -lc"),
        (["bash", "-c", "npm start"], [], "bash reads BASH_ENV first"),
        (["dash", "-c", "npm start", "name", "x"], [], None),
    ],
)
def test_in_a_shell(command: list[str], assignments: list[tuple[bytes, bytes]], problem: str | None) -> None:
    call = read_call([word.encode() for word in command], [b"BASH_ENV=/x"])
    assert call is not None
    assert (call.text, call.assignments, call.problem) == ("npm start", assignments, problem)


@pytest.mark.parametrize(
    "text", ["npm ci && npm start", "npm start | tee x", "npm start $X", "", "sh -c 'npm start'"]
)
def test_more_than_that_in_a_shell_is_the_shells(text: str) -> None:
    assert read_call([b"sh", b"-c", text.encode()], []) is None

"""npm start and its like: the warning, and --exec-npm, beside what the real npm does."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.front import front
from tests.support.http_client import Client
from tests.support.process import SCRIPT_PATH, Running, parent_of, pyinit_environment, run_pyinit

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(shutil.which("npm") is None, reason="need npm"),
]

# -s: a subreaper, so that nothing else is warned about.
QUIET = {"npm_config_update_notifier": "false", "npm_config_loglevel": "error"}
SHOW = """
console.log(JSON.stringify({argv: process.argv.slice(2), cwd: process.cwd(), env: process.env}))
"""
LOGS_TERM = """
process.on('SIGTERM', () => { console.log('TERM'); process.exit(7) })
setInterval(() => {}, 1000)
console.log(`ready ${process.pid}`)
"""
SERVER = """
require('http').createServer((q, r) => r.end('hello')).listen(process.env.PORT, '127.0.0.1')
process.on('SIGTERM', () => process.exit(6))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    (directory / "src").mkdir(parents=True)
    write(
        directory,
        {"start": "node show.js", "show": "A=1 node show.js 'b c'", "two": "node show.js && node show.js"},
    )
    for name, text in (("show.js", SHOW), ("term.js", LOGS_TERM), ("listen.js", SERVER)):
        (directory / name).write_text(text)
    return directory


def write(directory: Path, scripts: dict[str, str]) -> None:
    manifest = {"name": "app", "version": "1.2.3", "config": {"port": "1"}, "scripts": scripts}
    (directory / "package.json").write_text(json.dumps(manifest))


def home(app: Path) -> dict[str, str]:
    return {**QUIET, "HOME": str(app.parent)}


def told(*args: str, cwd: Path, env: dict[str, str]) -> dict[str, object]:
    """What the script saw."""
    done = run_pyinit("-s", *args, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith(b"{"))
    seen: dict[str, object] = json.loads(line)
    return seen


def test_the_warning_is_one_line_and_npm_runs_as_given(app: Path) -> None:
    done = run_pyinit("-s", "--", "npm", "start", cwd=app, env=home(app))
    assert done.returncode == 0
    assert b"> node show.js" in done.stdout, "npm's own words"
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("[WARN  pyinit (")
    assert line.endswith(
        "] CMD runs npm, which does not pass signals on dependably: 'npm start' runs 'node show.js'"
        ' (package.json); write CMD ["node", "show.js"], or give --exec-npm'
    )


def test_replaced_the_child_is_node_and_hears_its_signal(app: Path) -> None:
    write(app, {"start": "node term.js"})
    with Running("-s", "--exec-npm", "--", "npm", "start", cwd=app, env=home(app)) as pyinit:
        child = pyinit.child()
        assert parent_of(child) == pyinit.pid, "no npm and no shell between"
        pyinit.send(signal.SIGTERM)
        assert pyinit.line() == "TERM"
        assert pyinit.wait() == 7
        (line,) = pyinit.stderr().splitlines()
        assert line.endswith(
            "] --exec-npm: started without npm: 'npm start' runs 'node term.js' (package.json)"
        )


@pytest.mark.parametrize(
    "arguments",
    [
        ["npm", "start"],
        ["npm", "run", "show", "x y", "--", "-z", "--", "", "$HOME"],
        ["npm", "--silent", "run-script", "show", "-s"],
        ["npm", "--prefix", "..", "test"],
        ["sh", "-c", "A=2 B='x y' npm start -- -x"],
    ],
    ids=" ".join,
)
def test_it_sees_what_npm_shows_it(arguments: list[str], app: Path) -> None:
    """The same arguments and directory, and of the environment what the README promises."""
    write(app, {"start": "node show.js", "show": "A=1 node show.js 'b c'", "test": "exec node show.js t"})
    ours, npms = (
        told(*options, "--", *arguments, cwd=app / "src", env={**home(app), "A": "0"})
        for options in (("--exec-npm",), ())
    )
    assert (ours["argv"], ours["cwd"]) == (npms["argv"], npms["cwd"])
    our_env, npm_env = ours["env"], npms["env"]
    assert isinstance(our_env, dict)
    assert isinstance(npm_env, dict)
    gone = {
        name
        for name in npm_env.keys() - our_env.keys()
        if not name.startswith(("npm_config_", "npm_package_"))
    }
    assert gone <= {"COLOR", "EDITOR", "NODE", "npm_execpath", "npm_node_execpath", "OLDPWD", "SHLVL", "_"}
    assert our_env.keys() <= npm_env.keys()
    differs = {name for name in our_env if our_env[name] != npm_env[name]}
    # npm 11 says run. The shells' own are theirs.
    assert differs <= {"PATH", "npm_command", "_", "SHLVL", "OLDPWD"} | set(QUIET)
    npm_path = [part for part in npm_env["PATH"].split(":") if "node-gyp-bin" not in part]
    assert our_env["PATH"].split(":") == npm_path
    assert our_env["npm_command"] == npm_env["npm_command"].replace("run", "run-script").replace(
        "-script-script", "-script"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["npm", "run", "two"], "'&' needs a shell"),
        (["npm", "start", "--foo"], "npm reads --foo itself"),
        (["npm", "run", "around"], "prearound would not run"),
    ],
)
def test_what_cannot_be_replaced_runs_as_given(arguments: list[str], reason: str, app: Path) -> None:
    write(app, {"start": "node show.js", "two": "node show.js && node show.js", "prearound": "true",
                "around": "node show.js"})  # fmt: skip
    done = run_pyinit("-s", "--exec-npm", "--", *arguments, cwd=app, env=home(app))
    assert done.returncode == 0
    assert b'"npm_execpath":' in done.stdout
    assert f"; --exec-npm cannot replace it: {reason}" in done.stderr.decode().splitlines()[0]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_package_that_cannot_be_read_is_npms_to_complain_of(content: str | None, app: Path) -> None:
    (app / "package.json").unlink()
    if content is not None:
        (app / "package.json").write_text(content)
    done = run_pyinit("-s", "--exec-npm", "--", "npm", "start", cwd=app, env=home(app))
    assert b"npm error" in done.stderr
    assert b"cannot replace it" in done.stderr.splitlines()[0]


def test_by_its_variable(app: Path) -> None:
    seen = told("--", "npm", "start", cwd=app, env={**home(app), "PYINIT_EXEC_NPM": "1"})
    env = seen["env"]
    assert isinstance(env, dict)
    assert not {"npm_execpath", "PYINIT_EXEC_NPM"} & env.keys()


def test_a_program_that_is_not_there_is_127(app: Path) -> None:
    """As it is with npm, and its shell."""
    write(app, {"start": "no-such-program"})
    done = run_pyinit("-s", "--exec-npm", "--", "npm", "start", cwd=app, env=home(app))
    assert (done.returncode, b"exec no-such-program failed" in done.stderr) == (127, True)


def test_as_a_drop_in_nothing_changes(app: Path, tmp_path: Path) -> None:
    (tmp_path / "tini").symlink_to(SCRIPT_PATH)
    done = subprocess.run(
        [tmp_path / "tini", "-s", "--", "npm", "start"],
        cwd=app,
        env=pyinit_environment({**home(app), "PYINIT_EXEC_NPM": "1"}),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b'"npm_execpath":' in done.stdout


class TestFront:
    """The same as events, and an app that is served."""

    def test_the_warning(self, app: Path) -> None:
        # With exec: npm signals the shell alone, and node would outlive all of them.
        write(app, {"start": "exec node listen.js"})
        with front("--listen", "127.0.0.1:0", "--", "npm", "start", env=home(app), cwd=app) as running:
            with Client(running.port) as client:
                assert client.get("/").body == b"hello"
            event = running.wait_event("child.runs_npm")
            assert (event["level"], event["command"], event["runs"], event["package"], event["around"]) == (
                "warning", "npm start", ["exec node listen.js"], "package.json", [],
            )  # fmt: skip
            assert event["reason"] == (
                'npm does not pass signals on dependably: write CMD ["node", "listen.js"], or give --exec-npm'
            )
            assert running.wait_event("child.spawned")["program"] == "npm"
            running.stop()
            assert len(running.all_events("child.runs_npm")) == 1

    def test_replaced(self, app: Path) -> None:
        write(app, {"start": "node --max-http-header-size=40000 listen.js"})
        with front(
            "--listen", "127.0.0.1:0", "--exec-npm", "--", "npm", "start", env=home(app), cwd=app / "src"
        ) as running:  # fmt: skip
            with Client(running.port) as client:
                # Node's limit is seen in the script, as it is in a command.
                assert client.get("/", "X-Long: " + "x" * 30000).body == b"hello"
            event = running.wait_event("child.npm_replaced")
            assert (event["level"], event["package"]) == ("info", f"{app}/package.json")
            assert running.wait_event("child.spawned")["program"] == "node"
            assert Path(f"/proc/{running.child_pid}/cwd").readlink() == app
            assert running.stop() == 6
            assert running.all_events("child.runs_npm") == []

"""The bundle: two builds are the same bytes, and all modes run from any place of it, with nothing of the image."""

from __future__ import annotations

import ctypes
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import inventory
import pytest
from build import CACHE
from compiling import Compiler, _digest
from library import own_modules
from sources import MACHINES, sha256

import hatch_build
from pyinit import __version__
from tests.support import bundle, operator
from tests.support.front import EXAMPLE, Front
from tests.support.http_client import Client
from tests.support.process import PATIENCE_S, ROOT, SCRIPT, SIGNAL_LOGGER, TIME_SCALE, Running, pid_tree
from tests.support.unprivileged import NOBODY, sh

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.bundle

MIB = 1 << 20
# What an app may have set; each would end or change an interpreter that heeds it.
HOSTILE = {
    "PYTHONHOME": "/nowhere",
    "PYTHONPATH": "/nowhere",
    "PYTHONPLATLIBDIR": "nowhere",
    "PYTHONMALLOC": "nonsense",
    "PYTHONHASHSEED": "nonsense",
    "PYTHONINSPECT": "1",
    "LD_LIBRARY_PATH": "/nowhere",
    "LC_ALL": "ja_JP.EUC-JP",
    "HOME": "/nowhere",
    "TMPDIR": "/nowhere",
}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the full one elsewhere, under a name with a space."""
    place = tmp_path_factory.mktemp("else where") / "its own"
    shutil.copytree(bundle.full(), place)
    yield place
    shutil.rmtree(place)


class BundledFront(Front):
    """A pyinit of a bundle."""

    def __init__(
        self, words: tuple[str, ...], arguments: tuple[str, ...], env: Mapping[str, str] | None
    ) -> None:
        self._words = words
        super().__init__(arguments, env)

    def _command(self, arguments: list[str]) -> list[str]:
        return [*self._words, *arguments]


@contextmanager
def front(
    program: str | Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    before: tuple[str, ...] = (),
) -> Iterator[BundledFront]:
    running = BundledFront((*before, str(program)), arguments, env)
    try:
        yield running
    finally:
        running.close()


def run(*words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env={"PATH": os.environ["PATH"], **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S * TIME_SCALE,
    )


@pytest.mark.slow
def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    """The second has the packages that the first has fetched, and nothing that the first has made."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in CACHE.iterdir():
        if not path.name.startswith("compiled"):
            (cache / path.name).symlink_to(path)
    for first, options in ((bundle.full(), ()), (bundle.init_only(), ("--init-only",))):
        archive = tmp_path / "again.tar"
        bundle.build(tmp_path / "again", "--tar", str(archive), "--cache", str(cache), *options)
        assert filecmp.cmp(first.with_suffix(".tar"), archive, shallow=False)


def test_sizes_stay_within_bounds() -> None:
    assert inventory.size_bytes(bundle.full()) <= 30 * MIB
    assert inventory.size_bytes(bundle.init_only()) <= 12 * MIB


def test_a_build_overwrites_nothing_but_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(AssertionError, match="holds something else than a bundle"):
        bundle.build(tmp_path)
    assert (tmp_path / "precious").exists()


def test_the_sbom_lists_every_file_with_its_digest_and_every_part_with_its_licence() -> None:
    for folder in (bundle.full(), bundle.init_only()):
        document = json.loads((folder / "sbom.cdx.json").read_text())
        assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
        listed = {
            component["name"]: component["hashes"][0]["content"]
            for component in document["components"]
            if component["type"] == "file"
        }
        there = {
            str(path.relative_to(folder)): sha256(path)
            for path in folder.rglob("*")
            if path.is_file() and path.name != "sbom.cdx.json"
        }
        assert listed == there
        parts = [component for component in document["components"] if component["type"] == "library"]
        assert len({part["bom-ref"] for part in parts}) == len(parts)
        for part in parts:
            assert part["licenses"]
            assert any((folder / "licences" / part["name"]).iterdir())
        packages = {part["name"] for part in parts if part["purl"].startswith("pkg:pypi/")}
        assert ({"uvloop", "aiohttp", "structlog", "prometheus_client"} <= packages) == (
            folder == bundle.full()
        )
        # What mypyc's run-time library is from is in the machine code.
        assert ("mypy" in packages) == (folder == bundle.full())
    licence = (bundle.full() / "licences/mypy/LICENSE").read_text()
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in licence


def test_each_module_of_it_can_be_imported(moved: Path) -> None:
    """An error path years from now, too."""
    script = """
import importlib, sys
sys.path.append(sys.prefix + "/lib/python3.11/site-packages")
for name in sys.argv[1:]:
    importlib.import_module(name)
print(sys.executable)
print(*{str(getattr(m, "__file__", None)) for m in sys.modules.values()}, sep="\\n")
"""
    names = [
        *own_modules(ROOT / "pyinit", is_full=True),
        "uvloop",
        "aiohttp.web",
        "prometheus_client",
        "structlog",
    ]
    done = run(moved / "libexec/python", "-IS", "-c", script, *names, env=HOSTILE)
    assert done.returncode == 0, done.stderr
    executable, *files = done.stdout.splitlines()
    assert executable == str(moved / "libexec/python")
    assert all(file == "None" or file.startswith(f"{moved}/") for file in files), files


@pytest.mark.parametrize(
    ("missing", "package"),
    [("gcc", "gcc"), ("strip", "binutils"), ("readelf", "binutils"), ("apt-get", "apt")],
)
def test_a_tool_that_is_missing_is_named_and_what_was_built_before_stays(
    tmp_path: Path, missing: str, package: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in {"gcc", "strip", "readelf", "apt-get"} - {missing}:
        (programs / name).symlink_to("/bin/false")
    before = tmp_path / "out/libexec/cpython"
    before.parent.mkdir(parents=True)
    before.touch()
    words = (sys.executable, ROOT / "docker/bundle/build.py", tmp_path / "out", "--cache", tmp_path / "cache")
    done = run(*words, env={"PATH": str(programs)})
    assert (done.returncode, done.stderr) == (1, f"the bundle's build needs {missing} (Debian: {package})\n")
    assert before.exists()


def test_what_was_compiled_is_taken_for_no_other_sources(tmp_path: Path) -> None:
    """Nor for the same text in other files."""
    machine = next(machine for machine in MACHINES.values() if machine.is_native)
    archives = ["libc6-dev_1.deb"]

    def digest(**modules: str) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        (root / "pyinit").mkdir(parents=True)
        (root / "hatch_build.py").touch()
        for name, text in modules.items():
            (root / f"pyinit/{name}.py").write_text(text)
        packages = [Path(name) for name in archives]
        return _digest(root, Compiler(machine, (), tmp_path, tmp_path, packages, tmp_path))

    first = digest(a="x = 1\n", b="y = 1\n")
    assert digest(a="x = 1\n", b="y = 1\n") == first
    others = [
        digest(a="x = 2\n", b="y = 1\n"),
        digest(a="x = 1\n", c="y = 1\n"),
        digest(a="x = 1\ny = 1\n", b=""),
    ]
    archives.append("linux-libc-dev_1.deb")
    others.append(digest(a="x = 1\n", b="y = 1\n"))
    assert len({first, *others}) == 5


def test_the_version_says_which_form_it_is(moved: Path) -> None:
    """Init mode alone has nothing that is compiled."""
    for folder, form in ((moved, "compiled"), (bundle.init_only(), "pure")):
        done = run(folder / "bin/pyinit", "--version", env=HOSTILE)
        assert (done.stdout, done.stderr) == (f"pyinit {__version__} ({form})\n", "")


@pytest.mark.slow
def test_the_hot_path_is_machine_code_unless_asked_to_be_left_pure(tmp_path: Path) -> None:
    """Each module of it is there once: what is found first is not for the order of two files to say."""
    bundle.build(tmp_path / "pure", "--pure")
    assert run(tmp_path / "pure/bin/pyinit", "--version").stdout == f"pyinit {__version__} (pure)\n"
    packages = "lib/python3.11/site-packages"
    for folder, ending in ((bundle.full(), ".so"), (tmp_path / "pure", ".pyc")):
        for module in hatch_build.hot_modules(ROOT):
            place = folder / packages / module
            (found,) = place.parent.glob(f"{place.stem}.*")
            assert found.suffix == ending
        assert any((folder / packages).glob("pyinit__mypyc.*")) == (ending == ".so")


def test_init_mode_hands_on_the_environment_mask_and_code(moved: Path) -> None:
    for folder in (moved, bundle.init_only()):
        program = folder / "bin/pyinit"
        done = run(
            "env", "-i", *(f"{k}={v}" for k, v in HOSTILE.items()), program, "-s", "--", "/usr/bin/env"
        )
        assert done.stderr == ""
        assert done.stdout.splitlines() == [f"{name}={value}" for name, value in HOSTILE.items()]
        words = ("env", "--block-signal=USR1", "--block-signal=RTMAX", program, "-s", "--")
        done = run(*words, "cat", "/proc/self/status", env=HOSTILE)
        fields = dict(line.split(":\t", 1) for line in done.stdout.splitlines())
        assert int(fields["SigBlk"], 16) == 1 << (signal.SIGUSR1 - 1) | 1 << (signal.SIGRTMAX - 1)
        assert run(program, "-s", "--", "sh", "-c", "exit 42").returncode == 42
        assert run(program, "-s", "--", "sh", "-c", "kill -9 $$").returncode == 137


def test_it_is_seen_by_its_name_and_passes_signals_on(moved: Path) -> None:
    with Running("-s", "--", *SCRIPT, SIGNAL_LOGGER, program=str(moved / "bin/pyinit")) as running:
        running.child()
        assert Path(f"/proc/{running.pid}/comm").read_text() == "pyinit\n"
        for signum in (signal.SIGUSR1, signal.SIGTERM, signal.SIGRTMAX):
            running.send(signum)
            assert running.line() == str(int(signum))
        assert running.wait() == 0


@pytest.mark.parametrize("name", ["tini", "docker-init", "dumb-init", "catatonit"])
def test_a_link_by_another_inits_name_is_that_init(moved: Path, tmp_path: Path, name: str) -> None:
    link = tmp_path / name
    link.symlink_to(moved / "bin/pyinit")
    done = run(link, "--help" if name == "dumb-init" else "-h", env=HOSTILE)
    assert done.returncode == 0, done.stderr
    assert name.replace("docker-init", "tini")[:4] in (done.stdout + done.stderr).lower()
    assert run(link, "--", "sh", "-c", "exit 7", env=HOSTILE).returncode == 7


def test_the_first_system_call_blocks_every_signal(moved: Path) -> None:
    """Of the program that PID 1 begins as: before it nothing of ours has run, and after it nothing is lost."""
    libc = ctypes.CDLL(None, use_errno=True)
    trace_me, syscall, kill = 0, 24, 8
    pid = os.fork()
    if not pid:
        libc.ptrace(trace_me, 0, None, None)
        os.execv(moved / "bin/pyinit", ["pyinit", "--version"])  # noqa: S606  no shell is wanted
    try:
        assert os.WIFSTOPPED(os.waitpid(pid, 0)[1])  # at the exec
        asked = Path(f"/proc/{pid}/status")
        for _ in range(2):  # at the entry of its first system call, and when that is done
            before = int(asked.read_text().partition("SigBlk:\t")[2][:16], 16)
            assert before == 0
            libc.ptrace(syscall, pid, None, None)
            assert os.WIFSTOPPED(os.waitpid(pid, 0)[1])
        after = int(asked.read_text().partition("SigBlk:\t")[2][:16], 16)
        everything = sum(1 << (signum - 1) for signum in signal.valid_signals())
        # SIGKILL and SIGSTOP cannot be.
        assert after == everything & ~(1 << (signal.SIGKILL - 1)) & ~(1 << (signal.SIGSTOP - 1))
    finally:
        libc.ptrace(kill, pid, None, None)
        os.waitpid(pid, 0)


@pytest.mark.node
def test_front_mode_serves_answers_its_operator_and_drains(moved: Path) -> None:
    """Everything that aiohttp, prometheus-client, structlog and uvloop are for, and not a file of the machine's."""
    name = operator.new_name()
    words = ("--listen", "127.0.0.1:0", "--control", name, "--", "node", str(EXAMPLE))
    with front(moved / "bin/pyinit", *words, env=HOSTILE) as running:
        with Client(running.port) as client:
            client.request("/")
            assert client.response().status == 200
        ctl = (moved / "bin/pyinitctl", "--control", name)
        assert run(*ctl, "health", env=HOSTILE).stdout == "ready\n"
        assert "serving" in run(*ctl, "status", env=HOSTILE).stdout
        for target in ("/status", "/metrics", "/"):
            assert operator.ask(name, target).status == 200
        init_pid = running.process.pid
        for pid in set(pid_tree(init_pid)) - set(pid_tree(running.child_pid)):
            lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
            mapped = {line.split(maxsplit=5)[5] for line in lines if "/" in line}
            assert mapped
            assert not {file for file in mapped if not file.startswith(f"{moved}/")}
        assert run(*ctl, "drain", "--wait", env=HOSTILE).returncode == 0
        assert running.stop() == 0
        assert running.all_events("drain.finished")[0]["cut_count"] == 0
        assert running.other_lines == []


@pytest.mark.node
def test_workers_and_a_sidecar_run_from_it(moved: Path) -> None:
    with front(
        moved / "bin/pyinit",
        "--listen",
        "127.0.0.1:0",
        "--workers",
        "2",
        "--",
        "node",
        str(EXAMPLE),
        env=HOSTILE,
    ) as running:
        words = ("--listen", "127.0.0.1:0", "--upstream", str(running.port))
        with front(moved / "bin/pyinit", *words, "--control", "off", env=HOSTILE) as sidecar:
            with Client(sidecar.port) as client:
                client.request("/")
                assert client.response().status == 200
            assert sidecar.stop() == 0
        assert running.stop() == 0
        assert len(running.all_events("worker.spawned")) == 2


def image_of_nothing_else(folder: Path, place: Path) -> tuple[str, ...]:
    """Words that run what follows where all there is is the bundle, as a user nobody knows, and read-only."""
    (place / "opt/pyinit").mkdir(parents=True)
    script = sh(
        f"mount --bind '{place}' '{place}'\nmount --bind '{folder}' '{place}/opt/pyinit'\n"
        f"mount -o remount,bind,ro '{place}'\nmount -o remount,bind,ro '{place}/opt/pyinit'"
    )
    return (
        "unshare",
        "-m",
        "--propagation",
        "private",
        *script,
        "chroot",
        "--userspec=4711:4711",
        str(place),
    )


@pytest.mark.pid1
def test_it_runs_in_an_image_of_nothing_else(tmp_path: Path) -> None:
    """No C library, shell, /tmp, /dev or /proc, and no user of that number."""
    for folder in (bundle.full(), bundle.init_only()):
        before = image_of_nothing_else(folder, tmp_path / folder.name)
        inside = ("/opt/pyinit/libexec/python", "-IS", "-c", "print('up'); raise SystemExit(5)")
        done = run(*before, "/opt/pyinit/bin/pyinit", "-s", "--", *inside, env=HOSTILE)
        assert (done.stdout, done.returncode) == ("up\n", 5), done.stderr


@pytest.mark.pid1
@pytest.mark.node
def test_so_does_a_sidecar(moved: Path, tmp_path: Path) -> None:
    """Pyinit alone in an image from scratch, beside an app."""
    before = image_of_nothing_else(bundle.full(), tmp_path / "image")
    with front(moved / "bin/pyinit", "--listen", "127.0.0.1:0", "--", "node", str(EXAMPLE)) as app:
        words = ("--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{app.port}", "--control", "off")
        with front("/opt/pyinit/bin/pyinit", *words, env=HOSTILE, before=before) as sidecar:
            with Client(sidecar.port) as client:
                client.request("/")
                assert client.response().status == 200
            assert sidecar.stop() == 0
        assert app.stop() == 0


@pytest.mark.pid1
def test_as_an_engines_init_it_needs_the_image_to_hold_the_bundle(tmp_path: Path) -> None:
    """The engine mounts one file into the container, under a name of its own."""
    init = tmp_path / "docker-init"
    init.touch()
    mounted = f"mount --bind {bundle.full()}/bin/pyinit {init}\nmount -t tmpfs none /opt"
    before = ("unshare", "-m", "--propagation", "private", *sh(mounted))
    done = run(*before, init, "--", "true")
    assert done.returncode == 127
    assert done.stderr == (
        "pyinit: its files are neither beside this program (../libexec) nor in /opt/pyinit:"
        " copy all of /opt/pyinit into the image\n"
    )
    there = f"{mounted}\nmkdir /opt/pyinit\nmount --bind {bundle.full()} /opt/pyinit"
    pid_1 = ("unshare", "-m", "--propagation", "private", "--pid", "--fork", "--kill-child", *sh(there))
    done = run(*pid_1, init, "--", "sh", "-c", "echo $PPID; exit 9")
    assert (done.stdout, done.returncode) == ("1\n", 9), done.stderr


def test_an_interpreter_that_cannot_be_executed_is_named(tmp_path: Path) -> None:
    """It is there: to copy it once more would not help."""
    for name, mode in (("bin", 0o755), ("libexec", 0o644)):
        (tmp_path / name).mkdir()
        shutil.copy(bundle.full() / "bin/pyinit", tmp_path / name)
        (tmp_path / name / "pyinit").chmod(mode)
    done = run(tmp_path / "bin/pyinit", "--", "true")
    assert done.returncode == 127
    assert done.stderr == "pyinit: the interpreter in ../libexec or /opt/pyinit/libexec cannot be executed\n"


@pytest.mark.pid1
def test_any_user_runs_it(moved: Path) -> None:
    reachable = sh(f"mount --bind '{moved}' /mnt")
    words = ("unshare", "-m", "--propagation", "private", *reachable, *NOBODY)
    done = run(*words, "/mnt/bin/pyinit", "-s", "--", "id", "-u", env=HOSTILE)
    assert (done.stdout, done.returncode) == ("1000\n", 0), done.stderr


def test_the_bundle_for_init_mode_names_what_it_lacks() -> None:
    done = run(bundle.init_only() / "bin/pyinit", "--listen", "0", "--", "true")
    assert done.returncode == 2
    assert "init mode alone" in done.stderr


def test_scripts_are_read_by_the_one_for_init_mode_too(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"scripts": {"start": "/bin/echo started"}}')
    words = (
        "env",
        "-C",
        tmp_path,
        bundle.init_only() / "bin/pyinit",
        "-s",
        "--exec-npm",
        "--",
        "npm",
        "start",
    )
    done = run(*words)
    assert (done.stdout, done.returncode) == ("started\n", 0), done.stderr


def test_the_childs_descriptors_are_those_that_we_were_given(moved: Path) -> None:
    """The launcher and the loader open nothing that stays, and close nothing."""
    done = run("bash", "-c", f"exec '{moved}/bin/pyinit' -s -- bash -c 'echo /proc/$$/fd/*' 7</dev/null")
    assert {Path(word).name for word in done.stdout.split()} - {"255"} == {"0", "1", "2", "3", "7"}

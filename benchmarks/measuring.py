"""What the benchmarks share: an installation as an image has one, processes started and timed, Markdown out.

An installation of its own, as the tree's is an editable one: that has .pth files, and no bytecode where
PYTHONDONTWRITEBYTECODE is set, each of which is worth more than what is to be measured.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import statistics
import sys
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "pyinit/scripts/pyinit.py"
# The binary itself: a venv's is a link, and a version manager's may be a shell script.
INTERPRETER = str(Path("/proc/self/exe").resolve())
# Nothing that would change an interpreter or an init.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
PID_NAMESPACE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "--"]
PATIENCE_S = 10.0


class Installation:
    """A virtual environment that holds pyinit alone, as ``pip install`` leaves it: our script, and bytecode.

    Args:
        folder: where it is made.
        bytecode: whether modules are compiled beforehand.
        tree: the source tree to install from, or a wheel.
        packages: what else it holds, copied from where this interpreter has it.

    Attributes:
        python: its interpreter.
        pyinit: the script.
    """

    def __init__(
        self, folder: Path, *, bytecode: bool = True, tree: Path = ROOT, packages: Sequence[str] = ()
    ) -> None:
        venv.create(folder, symlinks=True)
        self._bin = folder / "bin"
        self.python = str(self._bin / "python")
        (site_packages,) = folder.glob("lib/python*/site-packages")
        no_bytecode = shutil.ignore_patterns("__pycache__")
        if tree.suffix == ".whl":
            # A compiled one has a library beside the package. The script is the same, in the folder for those.
            shutil.unpack_archive(tree, site_packages, "zip")
            (script,) = site_packages.glob("*.data/scripts/pyinit")
        else:
            shutil.copytree(tree / "pyinit", site_packages / "pyinit", ignore=no_bytecode)
            script = tree / "pyinit/scripts/pyinit.py"
        for name in packages:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.origin is None:
                raise ModuleNotFoundError(name)
            if spec.submodule_search_locations is None:
                shutil.copy(spec.origin, site_packages)
            else:
                shutil.copytree(Path(spec.origin).parent, site_packages / name, ignore=no_bytecode)
        if bytecode:
            compileall.compile_dir(site_packages, quiet=1)
        self.pyinit = self.script("pyinit", script.read_text())

    def script(self, name: str, text: str, *, first_line: str = "{python}") -> str:
        """An executable beside the interpreter, its ``#!python`` rewritten as an installer does."""
        path = self._bin / name
        path.write_text(text.replace("#!python", "#!" + first_line.format(python=self.python), 1))
        path.chmod(0o755)
        return str(path)

    def isolated(self) -> str:
        """The script with -IS in its first line, as an image's author may add it."""
        return self.script("pyinit-IS", SCRIPT.read_text(), first_line="{python} -IS")

    def called(self, name: str) -> str:
        """A link to the script under another name."""
        link = self._bin / name
        if not link.is_symlink():
            link.symlink_to(self.pyinit)
        return str(link)


def requirements(name: str = "pyinit") -> list[str]:
    """Packages and modules of all that a distribution needs to run, extras apart, as this interpreter has it."""
    found: dict[str, list[str]] = {}
    names = [name]
    for one in names:
        try:
            distribution = importlib.metadata.distribution(one)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python or system
        files = [file for file in distribution.files or () if file.suffix in {".py", ".so"}]
        found[one] = sorted({file.parts[0].partition(".")[0] for file in files})
        for line in distribution.requires or ():
            needed = re.split(r"[^\w.-]", line, maxsplit=1)[0]
            if "extra ==" not in line and needed not in names:
                names.append(needed)
    del found[name]
    return sorted({module for modules in found.values() for module in modules})


class Process:
    """A child of ours; what of 0 to 2 is not given is /dev/null.

    posix_spawn and not subprocess: that forks, and a copy of this process is part of what it measures.
    """

    def __init__(
        self,
        command: list[str],
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        actions = [
            (os.POSIX_SPAWN_DUP2, null if fd is None else fd, number)
            for number, fd in ((0, stdin), (1, stdout), (2, stderr))
        ]
        self.begun_s = time.perf_counter()
        self.pid = os.posix_spawnp(command[0], command, ENVIRONMENT, file_actions=actions)
        os.close(null)

    def wait(self) -> tuple[int, float, float]:
        """Exit code, seconds since the start, seconds of processor time (what it waited for included)."""
        _, status, used = os.wait4(self.pid, 0)
        wall_s = time.perf_counter() - self.begun_s
        return os.waitstatus_to_exitcode(status), wall_s, used.ru_utime + used.ru_stime


def children_of(pid: int) -> list[int]:
    """Its children; none for a process that is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Switches(NamedTuple):
    """How often a process has run, all its threads together."""

    voluntary: int
    involuntary: int
    cpu_ticks: int


def switches(pid: int) -> Switches:
    """From /proc/PID/task/*/status and stat."""
    voluntary = involuntary = ticks = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = proc_fields(task / "status")
        voluntary += int(fields["voluntary_ctxt_switches"])
        involuntary += int(fields["nonvoluntary_ctxt_switches"])
        after_name = (task / "stat").read_text().rpartition(")")[2].split()
        ticks += int(after_name[11]) + int(after_name[12])  # utime, stime: fields 14 and 15 of proc(5)
    return Switches(voluntary, involuntary, ticks)


def proc_fields(path: Path) -> dict[str, str]:
    """A file of ``Name: value`` lines."""
    lines = path.read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def eventually(predicate: Callable[[], bool]) -> None:
    """Ask until it is true."""
    end_s = time.monotonic() + PATIENCE_S
    while not predicate():
        if time.monotonic() > end_s:
            raise TimeoutError(predicate)
        time.sleep(0.01)


def installed_peers() -> dict[str, str]:
    """The real inits on this machine, by name."""
    found = {
        name: shutil.which(name, path=ENVIRONMENT["PATH"]) for name in ("tini", "dumb-init", "catatonit")
    }
    return {
        name: path for name, path in found.items() if path and b"pyinit" not in Path(path).read_bytes()[:4096]
    }


def can_be_pid_1() -> bool:
    """Whether a PID namespace can be had here."""
    return os.geteuid() == 0 and Process([*PID_NAMESPACE, "/bin/true"]).wait()[0] == 0


def spread(values_s: Iterable[float]) -> str:
    """Median, least and most, in milliseconds."""
    values = sorted(values_s)
    return f"{statistics.median(values) * 1e3:.1f} ({values[0] * 1e3:.1f} to {values[-1] * 1e3:.1f})"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine() -> str:
    """What the figures are from."""
    return (
        f"Python {platform.python_version()} ({INTERPRETER}), Linux {platform.release()}, {platform.machine()},"
        f" {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )


def say(text: str) -> None:
    """For whoever waits; stdout is the result."""
    print(text, file=sys.stderr, flush=True)

"""Builds /opt/pyinit for images that have no Python: interpreter, libraries, packages and pyinit, in one folder.

    python docker/bundle/build.py OUTPUT [--init-only | --pure] [--arch amd64|arm64] [--tar FILE]

It runs wherever Debian 12's packages can be had by apt, and needs gcc and binutils; Dockerfile beside this runs it in a
stage. The folder can be copied to any place, needs nothing of the image but a Linux kernel, not even a C library: it
brings Debian's own along, with its loader, so that it runs on any glibc, on musl, and in an image of nothing else.
Refused: the image's glibc, found by the interpreter's own header. It saves 3.1 MiB, leaves Alpine, scratch and
distroless/static out, and LD_LIBRARY_PATH, set for the app, decides which libraries PID 1 is given.

Two builds from the same packages are the same bytes: no times, no owners, no order but the alphabet's, and bytecode
compiled by one process that has no random hashes. The packages that it was built from are listed in sbom.cdx.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import inventory
from compiling import Compiler, compile_into
from library import own_modules
from sources import HERE, MACHINES, PYTHON, Machine, Part, add_development_files, debian_parts, wheel_parts

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("XDGCACHE_HOME") or Path.home() / ".cache") / "pyinit-bundle"
# What files are dated: the day of the tar format's beginning would do as well, but some tools take 0 for none.
_EPOCH_S = int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))
_LAUNCHER_FLAGS = ("-Os", "-Wall", "-Wextra", "-Werror", "-static", "-nostdlib", "-nostartfiles", "-ffreestanding",
                   "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fno-pie", "-no-pie",
                   "-fno-tree-loop-distribute-patterns", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-s")  # fmt: skip
TOOLS = ("gcc", "strip", "readelf")
_LIBRARIES = ("libc.so.6", "libm.so.6", "libz.so.1", "libexpat.so.1", "libffi.so.8")
# Wheels are linked against the empty ones, which glibc still has for them; libresolv is DNS's.
_FRONT_LIBRARIES = ("libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2", "libgcc_s.so.1",
                    "libssl.so.3", "libcrypto.so.3")  # fmt: skip
# Compiled, and fast enough without: C++, whose libstdc++ is 2.1 MiB, of the operator's surface alone; and WebSockets of
# aiohttp's own, which nothing of ours has. Their sources in Python are there for an environment that asks for them.
_NO_LIBRARY = ("frozenlist/_frozenlist.", "aiohttp/_websocket/mask.", "aiohttp/_websocket/reader_c.")
# Of the packages: sources of compiled modules, types, tests, and what only other programs would run.
_NO_USE_SUFFIXES = (".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".hash", ".typed", ".in")
_NO_USE = (*_NO_LIBRARY, "aiohttp/.hash", "aiohttp/test_utils.py", "aiohttp/pytest_plugin.py", "aiohttp/worker.py",
           "multidict/_testcapi", "uvloop/_testbase.py", "prometheus_client/twisted", "prometheus_client/django",
           "prometheus_client/aiohttp", "prometheus_client/bridge", "__pycache__")  # fmt: skip


def main() -> None:
    """Build as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="a folder that is made anew")
    parser.add_argument(
        "--init-only", action="store_true", help="init mode and the drop-ins alone, with no proxy"
    )
    parser.add_argument("--pure", action="store_true", help="nothing of pyinit compiled to machine code")
    parser.add_argument("--arch", choices=MACHINES, help="[this machine's]")
    parser.add_argument("--tar", type=Path, help="an archive of it as well, as opt/pyinit/")
    parser.add_argument("--cache", type=Path, default=CACHE, help="for packages [%(default)s]")
    options = parser.parse_args()
    machine = MACHINES[options.arch] if options.arch else _this_machine()
    if not is_bundle_or_absent(options.output):
        parser.error(f"{options.output} holds something else than a bundle")
    is_full = not options.init_only
    is_compiled = is_full and not options.pure
    parts = build(options.output, machine, options.cache, is_full=is_full, is_compiled=is_compiled)
    if options.tar:
        archive(options.output, options.tar)
    print(inventory.content_table(options.output, parts))


def build(output: Path, machine: Machine, cache: Path, *, is_full: bool, is_compiled: bool) -> list[Part]:
    """Make the folder; returns the packages that are in it."""
    for tool in TOOLS:  # before anything is fetched, and what was made before is gone
        machine.tool(tool)
    with tempfile.TemporaryDirectory(prefix="pyinit-bundle-") as text:
        work = Path(text)
        tree, site = work / "debian", work / "site"
        parts = debian_parts(machine, cache, tree, is_full=is_full)
        if is_full:
            parts += wheel_parts(machine, cache, site)
        if output.exists():
            shutil.rmtree(output)
        for folder in ("bin", "libexec", "lib"):
            (output / folder).mkdir(parents=True)
        _place_programs(tree, output / "libexec", machine, is_full=is_full)
        _place_launchers(output, machine, is_full=is_full)
        names = _library_modules(work, tree, site, machine, cache, is_full=is_full)
        staged = work / "staged" / f"python{PYTHON}"
        _stage_library(tree / f"usr/lib/python{PYTHON}", staged, names)
        _stage_packages(site, staged / "site-packages", is_full=is_full)
        if is_compiled:
            parts.append(_stage_compiled(work, tree, staged / "site-packages/pyinit", machine, parts, cache))
        for path in sorted(staged.rglob("*.so")):
            _run(machine.tool("strip"), "--strip-unneeded", str(path))
        _check_linked(output / "libexec", staged, machine)
        _compile(staged, output / "lib" / f"python{PYTHON}", _interpreter(work, tree, machine, cache))
        for name in ("start_pyinit", *(("start_pyinitctl",) if is_full else ())):
            _compile_one(
                HERE / f"{name}.py", output / "lib" / f"{name}.pyc", _interpreter(work, tree, machine, cache)
            )
        inventory.write(output, parts, machine, is_full=is_full, licence=ROOT / "LICENSE", version=_version())
    _settle(output)
    return parts


def archive(folder: Path, to: Path) -> None:
    """A tar that is the same for the same folder: in order, root's, of one time."""
    with tarfile.open(to, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            info = tar.gettarinfo(path, f"opt/pyinit/{path.relative_to(folder)}")
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            info.mtime = _EPOCH_S
            if info.isreg():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)


def is_bundle_or_absent(folder: Path) -> bool:
    """Whether it may be made anew."""
    return not folder.exists() or not any(folder.iterdir()) or (folder / "libexec/cpython").exists()


def _this_machine() -> Machine:
    for machine in MACHINES.values():
        if machine.is_native:
            return machine
    raise SystemExit(f"no bundle for {os.uname().machine}: {', '.join(MACHINES)}")


def _version() -> str:
    text = (ROOT / "pyinit/__init__.py").read_text()
    return text.partition('__version__ = "')[2].partition('"')[0]


def _place_programs(tree: Path, to: Path, machine: Machine, *, is_full: bool) -> None:
    shutil.copyfile(tree / f"usr/bin/python{PYTHON}", to / "cpython")
    # The kernel names a process after its file: this is what ps is to show.
    shutil.copyfile(_find(tree, machine.loader), to / "pyinit")
    for name in (*_LIBRARIES, *(_FRONT_LIBRARIES if is_full else ())):
        shutil.copyfile(_find(tree, name), to / name)


def _find(tree: Path, name: str) -> Path:
    return next(path for path in sorted(tree.rglob(name)) if path.is_file())


def _place_launchers(output: Path, machine: Machine, *, is_full: bool) -> None:
    programs = {
        "bin/pyinit": ('-DSCRIPT="start_pyinit.pyc"', "-DBLOCKS=1"),
        "libexec/python": ("-DBLOCKS=0",),
        **({"bin/pyinitctl": ('-DSCRIPT="start_pyinitctl.pyc"', "-DBLOCKS=0")} if is_full else {}),
    }
    for place, defines in programs.items():
        source = str(HERE / "launcher.c")
        _run(machine.tool("gcc"), *_LAUNCHER_FLAGS, *defines, "-o", str(output / place), source)


def _interpreter(work: Path, tree: Path, machine: Machine, cache: Path) -> list[str]:
    """Words that run Debian's interpreter on this machine, of the same version whichever machine it is built for."""
    if not machine.is_native:
        tree = work / "native"
        if not tree.exists():
            debian_parts(_this_machine(), cache, tree, is_full=True)
        machine = _this_machine()
    libraries = [tree / f"{top}lib/{machine.uname}-linux-gnu" for top in ("", "usr/")]
    python = str(tree / f"usr/bin/python{PYTHON}")
    loader = str(_find(tree, machine.loader))
    return [loader, "--library-path", ":".join(map(str, libraries)), "--argv0", python, python]


def _library_modules(
    work: Path, tree: Path, site: Path, machine: Machine, cache: Path, *, is_full: bool
) -> list[str]:
    words = _interpreter(work, tree, machine, cache)
    library = Path(words[-1]).parents[1] / f"lib/python{PYTHON}"
    if is_full and not machine.is_native:
        site = work / "native-site"
        wheel_parts(_this_machine(), cache, site)
    path = [str(library), f"{library}/lib-dynload", str(ROOT), *([str(site)] if is_full else [])]
    mode = "full" if is_full else "init"
    names = own_modules(ROOT / "pyinit", is_full=is_full)
    arguments = (mode, ":".join(path), *names)
    ways = [_run(*words, "-ISB", str(HERE / "library.py"), way, *arguments) for way in ("bytecode", "import")]
    return sorted({name for found in ways for name in found.split()})


def _stage_library(library: Path, to: Path, names: Iterable[str]) -> None:
    for name in names:
        place = library / name.replace(".", "/")
        candidates = [place.with_suffix(".py"), place / "__init__.py"]
        candidates += library.glob(f"lib-dynload/{name}.cpython-*.so")
        for path in candidates:
            if path.exists():
                _copy(path, to / path.relative_to(library))
    (to / "lib-dynload").mkdir(exist_ok=True)  # what sys.exec_prefix is found by


def _stage_packages(site: Path, to: Path, *, is_full: bool) -> None:
    for path in sorted(site.rglob("*")) if is_full else ():
        relative = str(path.relative_to(site))
        is_metadata = relative.endswith(".dist-info/METADATA")
        in_metadata = ".dist-info/" in relative and not is_metadata
        if (
            path.is_dir()
            or in_metadata
            or path.suffix in _NO_USE_SUFFIXES
            or any(word in relative for word in _NO_USE)
        ):
            continue
        _copy(path, to / relative)
        if is_metadata:  # its fields are what scanners and importlib.metadata read: what follows is a README
            (to / relative).write_text(path.read_text().partition("\n\n")[0] + "\n\n")
    package = ROOT / "pyinit"
    wanted = set(own_modules(package, is_full=is_full))
    for path in sorted(package.rglob("*")):
        module = ".".join(("pyinit", *path.relative_to(package).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        is_page = is_full and path.suffix == ".html"
        if is_page or (path.suffix == ".py" and module in wanted):
            _copy(path, to / "pyinit" / path.relative_to(package))


def _stage_compiled(
    work: Path, tree: Path, package: Path, machine: Machine, parts: Iterable[Part], cache: Path
) -> Part:
    """The hot path as machine code in its bytecode's place; returns what else is in that."""
    tools = wheel_parts(_this_machine(), cache, work / "tools", requirements="requirements-compile.txt")
    archives = [part.archive for part in (*parts, *tools)]
    archives += add_development_files(machine, cache, tree)
    interpreter = _interpreter(work, tree, machine, cache)
    compiler = Compiler(machine, interpreter, work / "tools", tree, archives, cache)
    compile_into(package, ROOT, compiler)
    mypy = next(part for part in tools if part.name == "mypy")
    # Of mypy only lib-rt, C that its compiler's output includes; by its files' own words, not those of typeshed.
    (licence,) = (path for path in mypy.texts if path.parent.name == "licenses")
    return mypy._replace(licence="MIT AND PSF-2.0 AND 0BSD", texts=(licence,))


def _check_linked(programs: Path, staged: Path, machine: Machine) -> None:
    """That nothing is linked which is not here: on this machine it would be found, and in an image not."""
    there = {machine.loader, *(path.name for path in programs.iterdir())}
    for path in sorted([*programs.iterdir(), *staged.rglob("*.so")]):
        lines = _run(machine.tool("readelf"), "--dynamic", "--wide", str(path)).splitlines()
        wanted = {line.partition("[")[2].rstrip("]") for line in lines if "(NEEDED)" in line}
        if missing := wanted - there:
            raise SystemExit(
                f"{path.name} is linked against {', '.join(sorted(missing))}, which is not in the bundle"
            )


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def _compile(staged: Path, to: Path, interpreter: list[str]) -> None:
    """Bytecode in the sources' place: half their size, and nothing to compare times with."""
    environment = {"PYTHONHASHSEED": "0"}
    words = [
        *interpreter,
        "-SBsP",
        str(HERE / "bytecode.py"),
        str(staged),
        str(to),
        f"/opt/pyinit/lib/python{PYTHON}",
    ]
    _run(*words, env=environment)


def _compile_one(source: Path, to: Path, interpreter: list[str]) -> None:
    words = [
        *interpreter,
        "-SBsP",
        str(HERE / "bytecode.py"),
        str(source),
        str(to),
        f"/opt/pyinit/lib/{source.name}",
    ]
    _run(*words, env={"PYTHONHASHSEED": "0"})


def _settle(output: Path) -> None:
    for path in sorted(output.rglob("*"), reverse=True):
        is_program = (
            path.is_dir() or path.parent.name == "bin" or path.name in ("pyinit", "python", "cpython")
        )
        path.chmod(0o755 if is_program else 0o644)
        os.utime(path, (_EPOCH_S, _EPOCH_S))
    output.chmod(0o755)
    os.utime(output, (_EPOCH_S, _EPOCH_S))


def _run(*words: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()

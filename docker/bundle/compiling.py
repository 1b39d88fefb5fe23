"""Compiles the proxy's hot path for a bundle, as hatch_build.py does for a wheel, and for another machine as well.

mypyc runs in the bundle's own interpreter and sees nothing but what requirements-compile.txt pins; gcc sees Debian's
headers and C library in place of the builder's (--sysroot). So what is made is the same bytes wherever that gcc is, and
fits the interpreter and the C library that it comes to lie beside. Refused: to build the wheel, by pip or by hatch.
Neither crosses, and a wheel's 34 stubs are 14 KB each, two thirds of it padding.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sources import HERE, PYTHON, Machine

if TYPE_CHECKING:
    from collections.abc import Sequence

# As Python has its extensions compiled, but for debugging; and no number of a build, and no name by chance.
_FLAGS = ("-shared", "-fPIC", "-DNDEBUG", "-fwrapv", "-fvisibility=hidden", "-frandom-seed=pyinit", "-s",
          "-Wl,--build-id=none", "-Wl,--as-needed", "-Wl,-z,now")  # fmt: skip
# A stub has one function: what would align its parts to pages is nine tenths of it.
_STUB_FLAGS = ("-Wl,-z,noseparate-code", "-Wl,-z,norelro")


class Compiler(NamedTuple):
    """What compiles.

    Attributes:
        machine: that it compiles for.
        interpreter: words that run the bundle's Python on this one.
        tools: the packages of requirements-compile.txt, unpacked.
        tree: Debian's files for the machine, development files too.
        archives: what those two are unpacked from.
        cache: where what was made of the same is kept.
    """

    machine: Machine
    interpreter: Sequence[str]
    tools: Path
    tree: Path
    archives: Sequence[Path]
    cache: Path


def compile_into(package: Path, root: Path, compiler: Compiler) -> None:
    """Put extension modules where the sources of compiled modules are, and those away.

    Args:
        package: where pyinit's sources were copied to.
        root: the tree that they are of, with hatch_build.py.
        compiler: what to compile with.
    """
    kept = compiler.cache / f"compiled-{compiler.machine.debian}"
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / "lock").open("w") as lock:  # another build of the same is worth waiting for
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = kept / _digest(root, compiler)
        if not made.exists():
            for old in kept.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            with tempfile.TemporaryDirectory(dir=kept) as folder:
                _compile(root, Path(folder), compiler)
                (Path(folder) / "lib").rename(made)
        shutil.copytree(made, package.parent, dirs_exist_ok=True)
    for path in package.rglob("*.so"):
        path.with_name(path.name.partition(".")[0] + ".py").unlink()


def _digest(root: Path, compiler: Compiler) -> str:
    """Of all that decides what is made."""
    # gcc has its output assembled and linked by binutils, a package of its own.
    tools = [compiler.machine.tool(name) for name in ("gcc", "as", "ld")]
    digest = hashlib.sha256("".join(_run(tool, "--version") for tool in tools).encode())
    digest.update("\n".join(path.name for path in compiler.archives).encode())
    ours = (*sorted(HERE.glob("*.py")), root / "hatch_build.py", *sorted((root / "pyinit").rglob("*.py")))
    for path in ours:
        content = path.read_bytes()
        # A name and a length, or what moves from one file to the next would make no difference.
        digest.update(
            f"\n{path.name if path.parent == HERE else path.relative_to(root)} {len(content)}\n".encode()
        )
        digest.update(content)
    return digest.hexdigest()


def _compile(root: Path, folder: Path, compiler: Compiler) -> None:
    machine, tools, tree = compiler.machine, compiler.tools, compiler.tree
    told = _run(*compiler.interpreter, "-SBsP", str(HERE / "to_c.py"), *map(str, (tools, root, folder)))
    places = (tree / f"usr/include/python{PYTHON}", tools / "mypyc/lib-rt", folder / "c")
    includes = [f"-I{place}" for place in places]
    names = [f"-ffile-prefix-map={place}=." for place in (folder, tools, tree)]
    for name, flags, sources in json.loads(told):
        to = (
            folder
            / "lib"
            / f"{name.replace('.', '/')}.cpython-{PYTHON.replace('.', '')}-{machine.uname}-linux-gnu.so"
        )
        to.parent.mkdir(parents=True, exist_ok=True)
        flags += [*_FLAGS, *(_STUB_FLAGS if "." in name else ())]
        gcc = (machine.tool("gcc"), f"--sysroot={tree}", "-o", str(to))
        _run(*gcc, *flags, *includes, *names, *sources)


def _run(*words: str) -> str:
    # Neither compiler is to hear of an include path, or of a way to order, that is this machine's.
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr.strip()}")
    return done.stdout

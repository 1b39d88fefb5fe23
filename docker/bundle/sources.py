"""Where a bundle's parts come from: Debian 12's packages and PyPI's wheels, fetched, unpacked and named.

apt is given lists and a state of its own, so that another machine's packages can be had (no foreign architecture is
added here), and nothing of this machine is changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
SUITE = "bookworm"
PYTHON = "3.11"
# How old the lists of packages may be; two builds in a row are of the same packages.
_LISTS_AGE_S = 3600.0

_INTERPRETER = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib")
# What the interpreter's program links, and ctypes.
_LIBRARIES = ("libc6", "zlib1g", "libexpat1", "libffi8")
# prometheus-client imports ssl; a thread that is cancelled loads libgcc_s, whose licence is in the last.
_FRONT_LIBRARIES = ("libssl3", "libgcc-s1", "gcc-12-base")
# What an extension module is compiled and linked with; nothing of it is in a bundle.
_DEVELOPMENT = (f"libpython{PYTHON}-dev", "libc6-dev", "linux-libc-dev")


class Machine(NamedTuple):
    """A processor's names, and the tools for its programs.

    Attributes:
        debian: as Debian has it, and Docker (TARGETARCH).
        uname: as the kernel and wheels have it.
        loader: of glibc.
        tools: what its compiler's and strip's names begin with, on another machine.
    """

    debian: str
    uname: str
    loader: str
    tools: str

    @property
    def is_native(self) -> bool:
        """Whether its programs run here."""
        return os.uname().machine == self.uname

    def tool(self, name: str) -> str:
        """A compiler or the like for it. Raises SystemExit where there is none."""
        word = name if self.is_native else f"{self.tools}{name}"
        if shutil.which(word) is None:
            package = "gcc" if name == "gcc" else "binutils"
            raise _missing(word, package if self.is_native else f"{package}-{self.tools.rstrip('-')}")
        return word


MACHINES = {
    machine.debian: machine
    for machine in (
        Machine("amd64", "x86_64", "ld-linux-x86-64.so.2", "x86_64-linux-gnu-"),
        Machine("arm64", "aarch64", "ld-linux-aarch64.so.1", "aarch64-linux-gnu-"),
    )
}


class Part(NamedTuple):
    """A package that something in the bundle is from.

    Attributes:
        name: in its registry.
        version: in its registry.
        purl: package URL, of which scanners know it.
        sha256: of the package.
        licence: in the words of its metadata; empty for a Debian package, whose copyright file tells it by file.
        texts: files to be kept: licences and notices.
        archive: the package itself.
    """

    name: str
    version: str
    purl: str
    sha256: str
    licence: str
    texts: tuple[Path, ...]
    archive: Path


def debian_parts(machine: Machine, cache: Path, into: Path, *, is_full: bool) -> list[Part]:
    """Fetch and unpack the Debian packages that a bundle is made of; the same tree for all."""
    names = [*_INTERPRETER, *_LIBRARIES, *(_FRONT_LIBRARIES if is_full else ())]
    return [_debian_part(path, into) for path in _fetched(machine, cache, names)]


def add_development_files(machine: Machine, cache: Path, tree: Path) -> list[Path]:
    """Make a tree of debian_parts one to compile against (gcc's --sysroot); returns what was added, as packages."""
    archives = _fetched(machine, cache, _DEVELOPMENT)
    for path in archives:
        _run("dpkg-deb", "-x", str(path), str(tree))
    return archives


def _fetched(machine: Machine, cache: Path, names: Sequence[str]) -> list[Path]:
    apt = cache / machine.debian
    archives = apt / "archives"
    for folder in (apt / "lists/partial", apt / "cache/archives/partial", archives):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = {
        "Dir::State::Lists": apt / "lists",
        "Dir::State::Status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Architecture": machine.debian,
        "APT::Architectures": machine.debian,
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    updated = apt / "updated"
    if not updated.exists() or time.time() - updated.stat().st_mtime > _LISTS_AGE_S:
        _run("apt-get", "-qq", *words, "update")
        updated.touch()
    shown = _run("apt-get", "-qq", *words, "download", "--print-uris", *names)
    wanted = []
    for line in shown.splitlines():
        # 'address' file size hash; a package that is already in the directory is shown no less.
        _, file, *_ = line.split()
        wanted.append(archives / file)
    if len(wanted) != len(names):
        raise SystemExit(
            f"apt knows {len(wanted)} of {', '.join(names)}: the build needs Debian 12's ({SUITE})"
        )
    if missing := [path.name.partition("_")[0] for path in wanted if not path.exists()]:
        _run("apt-get", "-qq", *words, "download", *missing, cwd=archives)
    return sorted(wanted)


def _debian_part(archive: Path, into: Path) -> Part:
    _run("dpkg-deb", "-x", str(archive), str(into))
    shown = _run("dpkg-deb", "-f", str(archive), "Package", "Version", "Architecture")
    fields = dict(line.split(": ", 1) for line in shown.splitlines())
    name, version = fields["Package"], fields["Version"]
    # As the purl specification has it: what is no letter, digit or one of .-_~ is escaped, but for the colon.
    purl = (
        f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={fields['Architecture']}&distro=debian-12"
    )
    # A package's folder may be a link to that of another one, which is here too.
    copyright_file = (into / "usr/share/doc" / name / "copyright").resolve()
    return Part(name, version, purl, sha256(archive), "", (copyright_file,), archive)


def wheel_parts(
    machine: Machine, cache: Path, into: Path, *, requirements: str = "requirements.txt"
) -> list[Part]:
    """Fetch and unpack packages, as a file beside this one pins them: by itself those of run time."""
    wheels = cache / f"{requirements.removesuffix('.txt').replace('requirements', 'wheels')}-{machine.debian}"
    tags = (
        f"manylinux_2_28_{machine.uname}",
        f"manylinux_2_17_{machine.uname}",
        f"manylinux2014_{machine.uname}",
    )
    platforms = [word for tag in tags for word in ("--platform", tag)]
    lock = HERE / requirements
    stamp, locked = wheels / ".requirements", lock.read_text()
    if not stamp.exists() or stamp.read_text() != locked:
        shutil.rmtree(wheels, ignore_errors=True)
        wheels.mkdir(parents=True)
        python = ("--python-version", PYTHON, "--implementation", "cp", "--only-binary", ":all:")
        pip = (sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--require-hashes")
        _run(*pip, *python, *platforms, "-d", str(wheels), "-r", str(lock))
        stamp.write_text(locked)
    return [_wheel_part(path, into) for path in sorted(wheels.glob("*.whl"))]


def _wheel_part(archive: Path, into: Path) -> Part:
    with zipfile.ZipFile(archive) as wheel:
        wheel.extractall(into)
        names = wheel.namelist()
    metadata_name = next(
        name for name in names if name.count("/") == 1 and name.endswith(".dist-info/METADATA")
    )
    metadata = Parser().parsestr((into / metadata_name).read_text())
    name, version = metadata["Name"], metadata["Version"]
    info = metadata_name.partition("/")[0]
    words = ("licen", "copying", "notice", "authors")
    texts = (
        n for n in names if n.startswith(f"{info}/") and any(w in n.rpartition("/")[2].lower() for w in words)
    )
    licence = metadata["License-Expression"] or (metadata["License"] or "").partition("\n")[0]
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return Part(
        name, version, purl, sha256(archive), licence, tuple(into / text for text in sorted(texts)), archive
    )


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _missing(program: str, package: str) -> SystemExit:
    return SystemExit(f"the bundle's build needs {program} (Debian: {package})")


def _run(*words: str, cwd: Path | None = None) -> str:
    if shutil.which(words[0]) is None:
        raise _missing(words[0], {"apt-get": "apt", "dpkg-deb": "dpkg"}[words[0]])
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words[0]} failed: {done.stderr.strip()}")
    return done.stdout

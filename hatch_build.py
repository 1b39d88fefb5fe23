"""The wheel with the proxy's hot path compiled by mypyc, where PYINIT_COMPILE=1 asks for it; else the plain one.

The extension modules lie beside the sources they are made of, and Python prefers them: to delete them is to have the
pure form again. Not the default, as the images that pyinit is meant for have no compiler, and as such a wheel is for
one version of Python on one kind of machine. Considered: all of pyinit; init mode would wait for the library, and has
no hot path.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "PYINIT_COMPILE"
# What each request passes through, and what those modules take apart: an attribute of a compiled class is had by its
# place in the object, one of any other by a lookup. Nothing that init mode imports.
HOT = (
    "http1/*.py",
    *(
        f"proxy/{name}.py"
        for name in (
            *("config", "downstream", "exchange", "flow", "handshake", "identity", "kernel", "pool"),
            *("preamble", "relay", "server", "stats", "tunnel", "upstream", "websocket"),
        )
    ),
    "drain/tracker.py",
)
# One library for all of them, so that calls between them are C's; each module is a stub that names it.
GROUP = "pyinit"


def is_asked_for() -> bool:
    """Whether the environment asks for the compiled form."""
    value = os.environ.get(VARIABLE, "")
    if value not in {"", "0", "1"}:
        raise ValueError(f"{VARIABLE}={value}: accepted are 1 (compile the hot path) and 0")
    return value == "1"


def hot_modules(root: Path) -> list[str]:
    """The sources to compile, relative to the root."""
    found = {path for pattern in HOT for path in (root / "pyinit").glob(pattern)}
    return sorted(str(path.relative_to(root)) for path in found if path.name != "__init__.py")


def to_c(modules: Iterable[str], folder: Path) -> list[Any]:
    """C for modules of the working directory: the same, whatever is installed beside mypyc.

    Args:
        modules: their sources, relative to it.
        folder: for what is made.

    Returns:
        setuptools' extensions: the library first, then a stub for each module.
    """
    # mypyc and setuptools are there only where the hook has asked for them.
    from mypyc.build import mypycify  # noqa: PLC0415

    # Types are checked by the project's own run of mypy; here what is not the standard library's is Any.
    options = ["--config-file=", "--cache-dir=/dev/null", "--no-site-packages"]
    options += ["--ignore-missing-imports", "--follow-imports=silent"]
    target = str(folder / "c")
    return mypycify([*options, *modules], opt_level="2", debug_level="0", target_dir=target, group_name=GROUP)


def compiled(modules: Iterable[str], folder: Path) -> dict[str, str]:
    """Compile modules of the working directory.

    Args:
        modules: their sources, relative to it.
        folder: for what is made.

    Returns:
        Where each extension module is -> where it belongs.
    """
    from setuptools import Distribution  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    command = build_ext(Distribution({"name": GROUP, "ext_modules": to_c(modules, folder)}))
    command.build_lib = str(folder / "lib")
    command.build_temp = str(folder / "temp")
    command.ensure_finalized()
    command.run()
    return {
        str(path): str(path.relative_to(command.build_lib)) for path in Path(command.build_lib).rglob("*.so")
    }


class CompileHook(BuildHookInterface[Any]):
    """Adds the extension modules to a wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """See BuildHookInterface."""
        return ["mypy[mypyc]>=1.18"] if is_asked_for() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See BuildHookInterface."""
        if not is_asked_for():
            return
        if version == "editable":
            raise ValueError(
                f"{VARIABLE}=1 with an editable install, which is there to run sources as they change"
            )
        self._folder = tempfile.TemporaryDirectory()
        before = os.getcwd()  # noqa: PTH109  to go back to, as it was
        os.chdir(self.root)  # mypyc names modules by their path from here
        # A frontend takes what is printed for its own.
        stdout, sys.stdout = sys.stdout, sys.stderr
        try:
            added = compiled(hot_modules(Path(self.root)), Path(self._folder.name))
        finally:
            sys.stdout = stdout
            os.chdir(before)
        build_data["force_include"].update(added)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """See BuildHookInterface."""
        if is_asked_for():
            self._folder.cleanup()

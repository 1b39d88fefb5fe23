"""Which modules of the standard library a bundle holds: all that can be imported from what is in it, less a list.

Two ways of looking, as each is blind where the other sees: the import statements in the bytecode, those inside
functions too (modulefinder), which finds what an error path loads years from now; and what an import of everything
leaves in sys.modules, which finds what compiled modules load.

Run by the bundle's own interpreter with -IS: prints one module a line.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from modulefinder import Module
    from pathlib import Path
    from types import CodeType

# Of what is found, what no path of ours comes to; each is imported by others inside a function or a try.
EXCLUDED = {
    "_aix_support": "another system",
    "_bootsubprocess": "building Python",
    "_bz2": "libbz2",
    "_lzma": "liblzma",
    "_osx_support": "another system",
    "_pydecimal": "for where _decimal is missing",
    "_pyio": "for where _io is missing",
    "_testcapi": "Python's own tests",
    "_testinternalcapi": "the same",
    "_uuid": "libuuid; uuid does without",
    "asyncio.proactor_events": "another system",
    "asyncio.windows_events": "the same",
    "asyncio.windows_utils": "the same",
    "bdb": "debugger",
    "bz2": "archives of shutil, which does without",
    "cmd": "debugger",
    "code": "debugger",
    "curses": "readline and libncurses",
    "distutils": "building packages",
    "doctest": "tests",
    "ftplib": "urllib's ftp: addresses",
    "importlib._bootstrap": "within the interpreter",
    "importlib._bootstrap_external": "the same",
    "lzma": "archives of shutil",
    "multiprocessing": "we fork and exec, and never start a pool of processes",
    "pdb": "debugger",
    "plistlib": "another system",
    "pydoc": "help() at a prompt",
    "pydoc_data": "the same",
    "readline": "a prompt",
    "statistics": "random's test of itself, and with it decimal",
    "sysconfig": "building packages",
    "test": "Python's own tests",
    "tkinter": "windows",
    "turtle": "windows",
    "unittest": "tests",
    "webbrowser": "pydoc's",
    "xmlrpc": "no protocol of ours",
}
# Loaded by name and so seen by neither way: what the interpreter starts with, host names, and text of the web.
CODECS = ("aliases", "ascii", "charmap", "cp1252", "idna", "latin_1", "punycode", "raw_unicode_escape",
          "unicode_escape", "utf_8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le",
          "utf_32_be")  # fmt: skip
# What init mode and the drop-ins are made of; the rest is front mode's, pyinitctl too: nothing of init mode answers it.
INIT = (
    "__init__",
    "__main__",
    "cli",
    "errors",
    "form",
    "isolated",
    "launched",
    "log",
    "options",
    "settings",
    "values",
)
INIT_PACKAGES = ("init", "dropin")
# Of pyinit what no bundle has: pip's scripts, and what needs the extra pyinit[check], as is said where it is called.
LEFT_OUT = ("scripts", "check")


def own_modules(package: Path, *, is_full: bool) -> list[str]:
    """Modules of pyinit by their whole names, in order."""
    names = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] in LEFT_OUT or (not is_full and not _is_init(parts)):
            continue
        names.append(".".join(("pyinit", *parts)).removesuffix(".__init__"))
    return names


def _is_init(parts: tuple[str, ...]) -> bool:
    # child.py attaches init to a loop: front mode's.
    return (len(parts) == 1 and parts[0] in INIT) or (
        parts[0] in INIT_PACKAGES and parts != ("init", "child")
    )


def found_in_bytecode(path: list[str], names: Iterable[str], *, is_full: bool) -> set[str]:
    """Every module that these can come to import, whenever.

    Args:
        path: as sys.path is to be; the standard library first.
        names: where to begin.
        is_full: with front mode, which cli imports for --listen.

    Raises:
        SystemExit: a module of pyinit can be imported that is not among the names, and so not in the bundle.
    """
    from modulefinder import ModuleFinder  # noqa: PLC0415  the other way of looking is to have imported nothing

    class Finder(ModuleFinder):
        """Looks into functions; of the standard library's only for front mode, whose calls lead everywhere."""

        def scan_code(self, co: CodeType, m: Module) -> None:
            if not is_full and _is_in(path[0], getattr(m, "__file__", None)):
                co = co.replace(co_consts=tuple(None if _is_function(c) else c for c in co.co_consts))
            super().scan_code(co, m)

    finder = Finder(path, excludes=[*EXCLUDED, "pyinit.check", *(() if is_full else ("pyinit.front",))])
    for name in (*names, "os", "codecs", "encodings.idna"):
        finder.import_hook(name)
    own = {name for name in finder.modules if name.startswith("pyinit.")}
    if missing := own.difference(names):
        raise SystemExit(f"imported and not in the bundle: {', '.join(sorted(missing))}")
    return {
        name for name, module in finder.modules.items() if _is_in(path[0], getattr(module, "__file__", None))
    }


def _is_function(constant: object) -> bool:
    # The code of a class runs with its module's; CO_OPTIMIZED is what it is without (inspect).
    return bool(getattr(constant, "co_flags", 0) & 1)


def found_by_import(path: list[str], names: Iterable[str]) -> set[str]:
    """What is there once these are imported, in an interpreter that has imported nothing else."""
    sys.path[:] = path
    for name in names:
        __import__(name)
    modules = [(name, getattr(module, "__file__", None)) for name, module in sys.modules.items()]
    return {name for name, file in modules if _is_in(path[0], file)}


def _is_in(folder: str, file: str | None) -> bool:
    return file is not None and file.startswith(f"{folder}/")


def main(way: str, mode: str, path: list[str], names: list[str]) -> None:
    """Print what one way of looking finds in the standard library."""
    if way == "import":
        found = found_by_import(path, names)
    else:
        found = found_in_bytecode(path, names, is_full=mode == "full")
        found |= {"encodings", *(f"encodings.{codec}" for codec in CODECS)}
    cut = {name for name in found if not EXCLUDED.keys().isdisjoint((name, name.partition(".")[0]))}
    print("\n".join(sorted(found - cut)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(":"), sys.argv[4:])

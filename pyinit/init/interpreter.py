"""This interpreter once more: another process, or this one again, that imports what we would import.

``-m`` will not do: where pyinit was found (a script's directory, a checkout) is not where a fresh interpreter
looks, and what one finds in the directory it is started in, the app's, must not be imported.
"""

from __future__ import annotations

import os
import sys

from pyinit.init import spawn

# Runs with sys.argv = ["-c", module, path entries after a count, arguments...].
_BOOT = (
    "import sys;n=int(sys.argv[2]);sys.path[:]=sys.argv[3:3+n];m=sys.argv[1];"
    "sys.argv[:]=[m,*sys.argv[3+n:]];from importlib import import_module;import_module(m).main(sys.argv)"
)


def command(module: str, arguments: list[str]) -> list[bytes]:
    """Program and arguments that call ``main(argv)`` of a module in a fresh interpreter.

    Args:
        module: by its whole name.
        arguments: what ``main`` is given after that name.
    """
    return [os.fsencode(word) for word in (_program(), *_flags(), *_call(module, arguments))]


def restart(module: str, arguments: list[str]) -> None:
    """Become ``main(argv)`` of a module, blind to PYTHON* variables; returns only where that is refused.

    What PYTHONPATH names comes after our own modules instead of before them: pyinit itself may be found there.
    """
    theirs = [_place(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    sys.path.sort(key=lambda entry: _place(entry) in theirs)
    words = [os.fsencode(word) for word in (_program(), "-I", "-S", *_call(module, arguments))]
    try:
        # With the block we were started with: in the C locale ours has an LC_CTYPE by now.
        spawn.become(words[0], words, spawn.read_environment())
    except OSError:
        return


def _place(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except OSError:
        return entry  # relative, and the directory that we are in is gone


def _program() -> str:
    # A binary that embeds Python names none; the kernel's link is good until the exec, which is when it counts.
    return sys.executable or "/proc/self/exe"


def _call(module: str, arguments: list[str]) -> list[str]:
    return ["-c", _BOOT, module, str(len(sys.path)), *sys.path, *arguments]


def _flags() -> list[str]:
    """The options that decide what is imported and how (what subprocess keeps for multiprocessing, and -P)."""
    flags = sys.flags
    words = ["-P"]
    if flags.isolated:
        words.append("-I")
    else:
        words += ["-E"] * flags.ignore_environment + ["-s"] * flags.no_user_site
    words += ["-S"] * flags.no_site + ["-B"] * flags.dont_write_bytecode + ["-O"] * flags.optimize
    words += [f"-W{text}" for text in sys.warnoptions]
    for name, value in sys._xoptions.items():  # noqa: SLF001  documented, under this name
        words.append(f"-X{name}" if value is True else f"-X{name}={value}")
    return words

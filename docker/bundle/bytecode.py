"""Compiles sources, a folder of them or one, into bytecode that stands in their place; all else is copied.

Of the form whose source is not looked at (PEP 552, unchecked), so that no time is in it. Run by the interpreter that is
to load it, with PYTHONHASHSEED=0, as constants are written in an order that hashes decide.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as to_bytecode


def main(source: Path, to: Path, name: str) -> None:
    """Compile.

    Args:
        source: a folder or a file.
        to: what is made.
        name: in tracebacks, of what source is here.
    """
    if source.is_file():
        _compile(source, to, name)
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = path.relative_to(source)
            (to / place).parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".py":
                _compile(path, (to / place).with_suffix(".pyc"), f"{name}/{place}")
            else:
                shutil.copyfile(path, to / place)
        else:
            (to / path.relative_to(source)).mkdir(parents=True, exist_ok=True)


def _compile(path: Path, to: Path, name: str) -> None:
    to_bytecode(str(path), str(to), name, doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

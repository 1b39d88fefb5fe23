"""Writes the C of the proxy's hot path into a folder, and prints what is to be made of it.

Run by the interpreter that is to load it: mypyc writes for the version that it runs in.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(tools: str, root: str, folder: str) -> None:
    """Print name, flags and sources of each extension module, as JSON.

    Args:
        tools: the packages of requirements-compile.txt, unpacked.
        root: the tree that holds hatch_build.py and pyinit.
        folder: where to.
    """
    sys.path[:0] = [tools, root]
    import hatch_build  # noqa: PLC0415  found by the line above

    os.chdir(root)  # mypyc names modules by their path from here
    stdout, sys.stdout = sys.stdout, sys.stderr  # it prints warnings
    extensions = hatch_build.to_c(hatch_build.hot_modules(Path(root)), Path(folder))
    print(json.dumps([(it.name, it.extra_compile_args, it.sources) for it in extensions]), file=stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

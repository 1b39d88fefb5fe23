"""The second half of a start that had to be isolated: takes the signal mask and the command line from the first.

Signals stay blocked over the exec between the two, and those that came are kept (execve(2)).
"""

from __future__ import annotations

import os

from pyinit import __main__


def main(argv: list[str]) -> None:
    """Run pyinit; does not return.

    Args:
        argv: a name, the signals that were blocked at the very start, ``--``, the command line.
    """
    end = argv.index("--")
    take_name(argv[end + 1])
    __main__.run(argv[end + 1 :], {int(text) for text in argv[1:end]})


def take_name(called_as: str) -> None:
    """For ps and pidof: the kernel names a script after its file, an interpreter after itself."""
    try:
        with open("/proc/self/comm", "wb", buffering=0) as comm:
            comm.write(os.fsencode(os.path.basename(called_as)))
    except OSError:
        pass  # without /proc there is nobody to read it either

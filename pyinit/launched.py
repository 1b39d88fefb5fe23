"""A start by the bundle's launcher (docker/bundle/launcher.c), which has blocked all signals before the interpreter.

It hands over what was blocked before, ahead of the command line: the child gets that mask back.
"""

from __future__ import annotations

import _signal

from pyinit import __main__
from pyinit.isolated import take_name


def main(argv: list[str]) -> None:
    """Run pyinit; does not return.

    Args:
        argv: the script, the mask at the launcher's start as the kernel has it in /proc/PID/status, the command line.
    """
    mask = int(argv[1], 16)
    take_name(argv[2])
    # The C library's own signals are in no set that Python takes.
    __main__.run(argv[2:], {int(signum) for signum in _signal.valid_signals() if mask >> (signum - 1) & 1})

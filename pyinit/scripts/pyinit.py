#!python
"""The ``pyinit`` command as it is installed: blocks every signal before it imports anything, then runs.

A script of our own and no generated entry point: pip's imports ``re`` first, and in those milliseconds PID 1 loses the
signals that come (``benchmarks/start_window.py``). The installer puts its interpreter into the first line and drops
options there; an image's author may add ``-IS``, so that nothing of ``site`` and its .pth files runs before us.
"""

import _signal

mask_at_start = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())

import sys  # noqa: E402  after the mask, which is the point of this file


def packages() -> list[str]:
    """What ``site`` would have found: installers keep scripts and packages under one prefix (sysconfig's schemes).

    A copy of the script that lies elsewhere has its interpreter's to go by.
    """
    import os  # noqa: PLC0415  for -S alone

    return [
        "{}/{}/python{}.{}/{}".format(
            os.path.dirname(os.path.dirname(file)), lib, *sys.version_info[:2], name
        )
        for file in (os.path.realpath(__file__), sys.executable)
        for lib in dict.fromkeys(("lib", sys.platlibdir))  # compiled ones are in lib64 on some distributions
        for name in ("site-packages", "dist-packages")
    ]


if not sys.flags.safe_path:
    del sys.path[0]  # where this file lies, /usr/bin say: nothing of ours is there
# What stands before the standard library is PYTHONPATH's, and the app may have a pyinit.py of its own.
standard = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
theirs = next((i for i, entry in enumerate(sys.path) if entry.endswith(standard)), 0)
sys.path[:] = sys.path[theirs:] + sys.path[:theirs]
if sys.flags.no_site:
    sys.path += packages()

from pyinit.__main__ import main  # noqa: E402  the same

main(mask_at_start)

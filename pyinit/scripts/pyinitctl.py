#!python
"""The ``pyinitctl`` command as it is installed; as with ``pyinit`` an image's author may add ``-IS`` to the first line.

A script of our own, as pip's imports ``re``: a HEALTHCHECK starts this every few seconds for ever. How packages are
found stands here once more, as nothing can be imported before it (tests/unit/test_scripts.py holds the two alike).
"""

import sys


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

from pyinit.ctl.main import main  # noqa: E402  the same

main()

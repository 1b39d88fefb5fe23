"""What bin/pyinitctl of the bundle has the interpreter run: finds the packages; the launcher's words go first."""

import sys

sys.path.append(f"{sys.prefix}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")
del sys.argv[0]  # this file; what the command was called as stands behind it

from pyinit.ctl.main import main  # noqa: E402  found by the line above

main()

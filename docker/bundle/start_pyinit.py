"""What bin/pyinit of the bundle has the interpreter run: finds the packages, and takes over from the launcher."""

import sys

sys.path.append(f"{sys.prefix}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages")

from pyinit.launched import main

main(sys.argv)

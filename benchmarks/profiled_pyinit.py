"""pyinit under cProfile: ``profiled_pyinit.py FILE ARGUMENTS…``, for proxy_profile.py."""

import _signal

_mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())

import cProfile  # noqa: E402  after the mask, as pyinit's own script has it
import os  # noqa: E402  the same
import sys  # noqa: E402  the same

del sys.path[0]  # this folder: nothing of pyinit's is here

from pyinit.cli import run  # noqa: E402  the same

_file = sys.argv.pop(1)
_profile = cProfile.Profile()
_code = _profile.runcall(run, sys.argv, mask_at_start=frozenset(_mask))
_profile.dump_stats(_file)
os._exit(_code)

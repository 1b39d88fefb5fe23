"""pyinit with another time of quiet at the end of its lame duck: ``quiet_pyinit.py SECONDS ARGUMENTS…``.

For drain_balancer.py, which asks whether the constant is well chosen; an option it is not.
"""

import _signal

_mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())

import sys  # noqa: E402  after the mask, as pyinit's own script has it

del sys.path[0]  # this folder: nothing of pyinit's is here

from pyinit.drain import budget  # noqa: E402  the same

# Before pyinit.drain.phases is imported, which takes it by its value.
budget.NO_NEW_CONNECTION_S = float(sys.argv.pop(1))

from pyinit.__main__ import run  # noqa: E402  the same

run(sys.argv, _mask)

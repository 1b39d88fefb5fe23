#!python
"""The ``pyinit`` command as it is installed: blocks every signal before it imports anything, then runs.

A script of our own and no generated entry point: pip's imports ``re`` first, 7 ms in which PID 1 loses the signals
that come. The installer puts its interpreter into the first line.
"""

import _signal

mask_at_start = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())

import sys  # noqa: E402  after the mask, which is the point of this file

if not sys.flags.safe_path:
    del sys.path[0]  # where this file lies, /usr/bin say: nothing of ours is there

from pyinit.__main__ import main  # noqa: E402  the same

main(mask_at_start)

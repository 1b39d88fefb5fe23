"""The first code that runs: blocks every signal before anything else is imported.

As PID 1 a signal that is neither blocked nor handled is dropped by the kernel, while a blocked one is kept.
So the mask comes first, through the C module itself: ``signal`` imports ``enum``, which takes milliseconds.
"""

import _signal

_MASK_AT_START = _signal.pthread_sigmask(
    _signal.SIG_BLOCK,
    # The synchronous ones stay unblocked: blocked, a fault kills without a trace. SIGTTIN and SIGTTOU
    # are ignored instead (init.signals), as a blocked SIGTTOU would let a background write through.
    set(_signal.valid_signals())
    - {
        _signal.SIGFPE,
        _signal.SIGILL,
        _signal.SIGSEGV,
        _signal.SIGBUS,
        _signal.SIGABRT,
        _signal.SIGTRAP,
        _signal.SIGSYS,
        _signal.SIGTTIN,
        _signal.SIGTTOU,
    },
)


def main() -> None:
    """Run pyinit as called from the command line; does not return."""
    import os  # noqa: PLC0415  after the mask, which is the point of this module
    import sys  # noqa: PLC0415  the same

    from pyinit.cli import run  # noqa: PLC0415  the same

    # Not sys.exit: taking the interpreter down costs 20 to 30 ms of the time to stop, and PYTHONINSPECT, meant for
    # the container's app, would leave PID 1 at a prompt. Nothing of ours is buffered.
    os._exit(run(sys.argv, mask_at_start=frozenset(_MASK_AT_START)))


if __name__ == "__main__":
    main()

"""Where every start comes together: blocks all signals, isolates the interpreter where it must, runs the command.

As PID 1 a signal that is neither blocked nor handled is dropped by the kernel, while a blocked one is kept, over an
exec as well. So the mask comes first, through the C module itself: ``signal`` imports ``enum``, which takes
milliseconds. All of them: which stay blocked is decided by init.signals and by the name we are called under. A real
fault (SIGSEGV) ends us all the same: the kernel unblocks what it forces (force_sig).
"""

import _signal

_mask_at_import = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())

# What the container's Python application may have set and what would change us: where modules come from, what is
# checked, traced or printed. PYTHONHOME is obeyed before any code runs; where it fits our interpreter, -I drops it too.
_INTRUSIVE = frozenset(
    "PYTHON" + name
    for name in (
        *(
            "ASYNCIODEBUG",
            "DEBUG",
            "DEVMODE",
            "FAULTHANDLER",
            "HOME",
            "MALLOC",
            "OPTIMIZE",
            "PATH",
            "PLATLIBDIR",
        ),
        *("PROFILEIMPORTTIME", "TRACEMALLOC", "USERBASE", "VERBOSE", "WARNDEFAULTENCODING", "WARNINGS"),
    )
)


def main(mask_at_start: set[int] | None = None) -> None:
    """Run pyinit as called from the command line; does not return.

    Args:
        mask_at_start: the signals that were blocked before our first statement; None where that is this module's.
    """
    import os  # noqa: PLC0415  after the mask, which is the point of this module
    import sys  # noqa: PLC0415  the same

    mask = _mask_at_import if mask_at_start is None else mask_at_start
    if not sys.flags.isolated and not _INTRUSIVE.isdisjoint(os.environ):
        from pyinit.init import interpreter  # noqa: PLC0415  rare, and costs a second start

        interpreter.restart("pyinit.isolated", [*(str(int(signum)) for signum in mask), "--", *sys.argv])
    run(sys.argv, mask)


def run(argv: list[str], mask_at_start: set[int]) -> None:
    """Run the command line; does not return.

    Not sys.exit: taking the interpreter down costs 20 to 30 ms of the time to stop, and PYTHONINSPECT, meant for the
    container's app, would leave PID 1 at a prompt. Nothing of ours is buffered.
    """
    import os  # noqa: PLC0415  after the mask

    from pyinit.cli import run as run_command  # noqa: PLC0415  the same

    os._exit(run_command(argv, mask_at_start=frozenset(mask_at_start)))


if __name__ == "__main__":
    main()

"""A worker's first module: loads the loop as PID 1 does, then the worker."""

from __future__ import annotations

import gc

from pyinit import without_tls


def main(argv: list[str]) -> None:
    """Run the worker; does not return.

    Args:
        argv: as worker.main takes it.
    """
    gc.disable()  # as PID 1 does; on again once configured
    without_tls.load_loop()
    from pyinit import worker  # noqa: PLC0415  with that loop

    worker.main(argv)

"""An app that listens for itself, in a process that is not ours to init: what a sidecar stands beside."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.front import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@contextmanager
def plain_app(
    environment: Mapping[str, str],
    *,
    words: Sequence[str] = ("node", str(EXAMPLE)),
    prefix: Sequence[str] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """It, listening.

    Args:
        environment: ``PORT`` and what else it is told.
        words: of its command; it says a line once it listens.
        prefix: the words that run a command where it is to be.
    """
    process = subprocess.Popen(
        [*prefix, *words],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=EXAMPLE.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

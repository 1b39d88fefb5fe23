"""The example app's image for the benchmarks of containers, in podman or docker."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from measuring import ROOT

sys.path[:0] = [str(ROOT), str(ROOT / "docker")]

import engine  # noqa: E402  found by the line above

from tests.support import bundle  # noqa: E402  as above

EXAMPLE = "localhost/pyinit-bench-example"
ENGINES = ("podman", "docker")
_BUNDLE = "localhost/pyinit-bundle"


def refusal() -> str | None:
    """Why there are no containers here; None where there are."""
    return engine.refusal() or bundle.refusal()


@contextlib.contextmanager
def with_example(name: str) -> Iterator[engine.Engine]:
    """That engine, the one that is there or one that is set up, with the example's production image in it."""
    with engine.docker_engine() if name == "docker" else engine.engine() as found:
        found.import_tar(bundle.full().with_suffix(".tar"), _BUNDLE, "ENV PATH=/opt/pyinit/bin")
        arguments = (f"--build-arg=NODE={engine.BASE}", f"--build-arg=PYINIT={_BUNDLE}")
        found.build(EXAMPLE, ROOT / "docker/example", *arguments)
        yield found

"""From ``podman run`` or ``docker run`` to the first answer: pyinit, tini, Node alone; and what is the engine's of it.

Method: the example app's production image (docker/example) is started by each variant in turn, in the network of a
container that stays, where one client connects every two milliseconds until it has a whole 200; time begins before
the engine's client is started. The engine's own part is a variant too: ``date`` in the same image says when it ran.
All have the same mount (this machine's tini, which the image lacks), user and options. Medians, least and most; and the
processor time of the container's processes until then, which a busy machine changes less.

Finding (podman 4.3 with crun, dockerd 20.10, Node 20, two cores): 174 ms are podman's, 277 docker's. Node alone answers
after 305 (363), with tini after 291 (341), with pyinit in init mode after 324 (381), in front after 387 (457); that is
62 ms and 182 more, by turns, for the proxy's libraries, which are loaded while Node boots. With other work on the
machine, at a load of 10, all of it takes twice as long, and the spread hides all but the front.

Run: sudo .venv/bin/python benchmarks/container_start.py [--engine docker] [--turns 15]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from container_images import ENGINES, EXAMPLE, refusal, with_example
from measuring import children_of, machine, say, spread, table
from storm import whole_answer

from tests.support.containers import Container, container

if TYPE_CHECKING:
    from engine import Engine

_PORT = 8080
# Between two tries to connect, and the error of a start: nothing tells of a listener in another network namespace.
_LOOK_S = 0.002
_PATIENCE_S = 60.0
_NODE = ("node", "server.js")
_PYINIT = "/opt/pyinit/bin/pyinit"
_OWN_PORT = (f"--env=PORT={_PORT}", "--env=HOST=0.0.0.0")
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to start the app.

    Attributes:
        title: in the table.
        options: the engine's.
        words: after the image.
    """

    title: str
    options: tuple[str, ...]
    words: tuple[str, ...]


ENGINE = Variant("the engine alone: `date`", ("--entrypoint=date",), ("+%s.%N",))
ALONE = Variant("Node alone", (*_OWN_PORT, "--entrypoint=node"), _NODE[1:])
VARIANTS = (
    ALONE,
    Variant("tini", (*_OWN_PORT, "--entrypoint=/usr/bin/tini"), ("--", *_NODE)),
    Variant("pyinit, init mode", (*_OWN_PORT, f"--entrypoint={_PYINIT}"), ("--", *_NODE)),
    Variant("pyinit in front", (), ()),
)


class Start(NamedTuple):
    """One start.

    Attributes:
        took_s: from the start of the engine's client to the first answer.
        cpu_s: what the container's processes have used by then.
    """

    took_s: float
    cpu_s: float


def measure(found: Engine, image: str, turns: int) -> dict[Variant, list[Start]]:
    """Each variant in each turn; where there are more than one the first is not counted."""
    starts: dict[Variant, list[Start]] = {variant: [] for variant in (ENGINE, *VARIANTS)}
    with container(found, "--no-healthcheck", "--entrypoint=sleep", image, "infinity") as holder:
        for turn in range(0 if turns > 1 else 1, turns + 1):
            for variant, measured in starts.items():
                wait = _date if variant is ENGINE else _first_answer
                start = _start(found, image, variant, holder, wait)
                if turn:
                    measured.append(start)
            say(f"turn {turn} of {turns}")
    return starts


def _start(
    found: Engine,
    image: str,
    variant: Variant,
    holder: Container,
    wait: Callable[[Engine, str, Container, subprocess.Popen[bytes]], float],
) -> Start:
    name = f"pyinit-bench-{os.getpid()}-{next(_NUMBERS)}"
    tini = shutil.which("tini")
    mount = [f"--volume={tini}:/usr/bin/tini:ro"] if tini else []
    words = (
        "run",
        "-d",
        "--name",
        name,
        f"--network=container:{holder.name}",
        *mount,
        *variant.options,
        image,
    )
    begun_s = time.time()
    with subprocess.Popen(
        found.command(*words, *variant.words), env=found.environment, stdout=subprocess.DEVNULL
    ) as run:
        try:
            ended_s = wait(found, name, holder, run)
            run.wait()
            cpu_s = _cpu_s(int(found.run("inspect", name, "--format", "{{.State.Pid}}")))
        finally:
            run.wait()
            found.run("rm", "--force", name)
    return Start(ended_s - begun_s, cpu_s)


def _cpu_s(pid: int) -> float:
    """Of a process and its descendants, all their threads; 0 for one that has ended."""
    pids = [pid] if pid else []
    for parent in pids:
        pids += children_of(parent)
    files = [task / "schedstat" for one in pids for task in Path(f"/proc/{one}/task").iterdir()]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _first_answer(_found: Engine, name: str, holder: Container, run: subprocess.Popen[bytes]) -> float:
    ask = b"GET / HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n"
    end_s = time.time() + _PATIENCE_S
    with holder.network():
        while time.time() < end_s and not run.poll():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", _PORT), 5.0) as sock:
                sock.sendall(ask)
                answer = whole_answer(sock.recv(1 << 16), has_ended=False)
                if answer is not None and answer[0] == 200:
                    return time.time()
            time.sleep(_LOOK_S)
    raise TimeoutError(f"{name} gave no answer")


def _date(found: Engine, name: str, _holder: Container, run: subprocess.Popen[bytes]) -> float:
    run.wait()
    found.run("wait", name)
    return float(found.run("logs", name))


def text(engine_name: str, starts: dict[Variant, list[Start]]) -> str:
    """Markdown."""
    rows = []
    for variant, measured in starts.items():
        times_s = [start.took_s for start in measured]
        # By turns: what the machine did at that time met both.
        after = "" if variant is ENGINE else spread(_differences(starts, variant, ENGINE))
        more = "" if variant in (ENGINE, ALONE) else spread(_differences(starts, variant, ALONE))
        cpu_ms = statistics.median(start.cpu_s for start in measured) * 1e3
        rows.append([variant.title, spread(times_s), after, more, f"{cpu_ms:.0f}" if cpu_ms else ""])
    heads = (
        f"`{engine_name} run` to the first answer, ms: median (least to most)",
        "in all",
        "more than the engine alone",
        "more than Node alone",
        "processor time of the container",
    )
    return f"{machine()}; {len(starts[ENGINE])} starts of each, in turns.\n\n{table(heads, rows)}"


def _differences(starts: dict[Variant, list[Start]], variant: Variant, other: Variant) -> list[float]:
    pairs = zip(starts[variant], starts[other], strict=True)
    return [one.took_s - another.took_s for one, another in pairs]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="[%(default)s]")
    parser.add_argument("--turns", type=int, default=15, help="[%(default)s]")
    options = parser.parse_args()
    if reason := refusal() or (None if shutil.which("tini") else "need tini"):
        parser.error(f"no containers here: {reason}")
    with with_example(options.engine) as found:
        print(text(options.engine, measure(found, EXAMPLE, options.turns)))


if __name__ == "__main__":
    main()

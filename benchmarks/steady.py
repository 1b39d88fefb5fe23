"""Does memory stay level over an hour's worth of requests, no two of them alike?

Method: a sidecar pyinit, with one worker and then with two; 360,000 requests, which is an hour at 100 a second, as fast
as they go: 32 clients, 13 requests a connection, of every kind (steady_load.py), each with a head, a target and a
client's address that were not there before, as the answers' heads were not: every cache meets its bound, and nothing
is found in it. Every answer is checked. Sixty looks on the way: RSS and PSS of all processes (proxy_usage.py), and from
inside (a hook of the collector, told to a file) the interpreter's allocated blocks and its collections. Descriptors
are counted before and after.

A line is fitted through the second half, as in the first the caches fill, and are emptied at their bounds. It is not
steady where the line rises by more than 512 KiB, which is 3 bytes for each request, and by more than three times its
standard error; nor where a descriptor is left, or an answer was wrong. Exit 1 then.

Finding (Python 3.11.7, uvloop 0.23.0, load 10): level at 23.4 MiB from half on, at 51.0 with two workers; the line
rises by 25 and 52 KiB, the interpreter's blocks do not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple, TypeVar, cast

from measuring import PATIENCE_S, Installation, eventually, machine, say, table
from proxy_usage import KIB, memory_bytes, tree
from soak import look_at
from storm_places import CONDITIONS, Place

_One = TypeVar("_One")

_LOAD = str(Path(__file__).with_name("steady_load.py"))
_LOOKS = 60
_WARM = 1 / 2
_WARM_UP_COUNT = 1000
_GROWTH_MAX_KIB = 512.0
_ERRORS_MAX = 3.0
# Idle connections to the app are kept for 4 s, lingering ones for 1 s. Before the first look that time has to pass: how
# many are open then is what is to be found out, so there is no condition to wait for.
_SETTLE_S = 8.0
# Runs in every interpreter of the installation, before pyinit: tells twice a second at most, as the collector runs.
_HOOK = """\
import gc, os, sys, time
_last_s = 0.0
def _tell(phase, info):
    global _last_s
    now_s = time.monotonic()
    if phase == "stop" and now_s - _last_s > 0.5:
        _last_s = now_s
        runs = [one["collections"] for one in gc.get_stats()]
        fd = os.open(os.environ["STEADY_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        os.write(fd, ("%d %d %d %d %d %d\\n" % (os.getpid(), sys.getallocatedblocks(), gc.isenabled(), *runs)).encode())
        os.close(fd)
if "STEADY_FILE" in os.environ:
    gc.callbacks.append(_tell)
"""


class Look(NamedTuple):
    """All processes of a pyinit at one moment.

    Attributes:
        done_count: requests by then.
        pss_kib: memory, as if there were only they.
        rss_kib: resident, a page that two have counted twice.
        descriptors: open.
    """

    done_count: int
    pss_kib: float
    rss_kib: float
    descriptors: int


class Line(NamedTuple):
    """A least squares fit.

    Attributes:
        growth: by what it rises from the first point to the last.
        error: the standard error of that.
    """

    growth: float
    error: float

    @property
    def is_rising(self) -> bool:
        """By more than chance and more than matters."""
        return self.growth > _GROWTH_MAX_KIB and self.growth > _ERRORS_MAX * self.error


class Inside(NamedTuple):
    """What one interpreter told of itself.

    Attributes:
        blocks: allocated, by time, from the first half on.
        is_collecting: by itself, when it last told.
        collections: of each generation, in all.
    """

    blocks: list[int]
    is_collecting: bool
    collections: tuple[int, ...]


class Result(NamedTuple):
    """One run.

    Attributes:
        title: of it.
        looks: by time.
        kinds: requests by kind.
        wrong: answers by what was wrong.
        before: descriptors before the first request.
        left: and when all had gone.
        inside: of each interpreter.
        took_s: from the first request to the last.
    """

    title: str
    looks: list[Look]
    kinds: dict[str, int]
    wrong: dict[str, int]
    before: int
    left: int
    inside: list[Inside]
    took_s: float

    def fit(self, name: str) -> Line:
        """Of one of a look's figures, after the first half."""
        looks = _warm(self.looks)
        return fitted([look.done_count for look in looks], [float(getattr(look, name)) for look in looks])

    def problems(self) -> list[str]:
        """All that is not as it has to be."""
        found = [f"{count} x {what}" for what, count in self.wrong.items()]
        for name in ("pss_kib", "rss_kib"):
            line = self.fit(name)
            if line.is_rising:
                found.append(f"{name} rises by {line.growth:.0f} ± {line.error:.0f}")
        if self.left > self.before:
            found.append(f"{self.left - self.before} descriptors left over")
        if not all(one.is_collecting for one in self.inside):
            found.append("the collector is off")
        return [f"{self.title}: {one}" for one in found]


def fitted(xs: list[int], ys: list[float]) -> Line:
    """The line through points, of three at least, with different xs."""
    slope = statistics.linear_regression(xs, ys).slope
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    squares = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    error = (squares / (len(xs) - 2) / sum((x - mean_x) ** 2 for x in xs)) ** 0.5
    return Line(slope * (xs[-1] - xs[0]), error * (xs[-1] - xs[0]))


def _warm(values: list[_One]) -> list[_One]:
    """Those after the first half."""
    return values[int(len(values) * _WARM) :]


def run(installation: Installation, folder: Path, requests: int, workers: int) -> Result:
    """One pyinit, one app, one load. Raises RuntimeError where the load fails."""
    told = folder / f"told-{workers}"
    with contextlib.ExitStack() as stack:
        app = stack.enter_context(_running([sys.executable, _LOAD, "app"], stdout=subprocess.PIPE))
        app_port = int(_line(app))
        port = Place(CONDITIONS["loopback"], None).free_port()
        log = stack.enter_context((folder / f"log-{workers}").open("wb"))
        front = stack.enter_context(
            _running(
                [
                    *(installation.pyinit, "--listen", f"127.0.0.1:{port}", "--upstream", str(app_port)),
                    *("--workers", str(workers), "--platform", "docker", "--control", "off"),
                ],
                stderr=log,
                env={"PATH": os.environ["PATH"], "STEADY_FILE": str(told)},
            )
        )
        eventually(lambda: _is_open(port))
        # Every worker has served, and what it keeps from then on is open.
        _ask(port, _WARM_UP_COUNT, 1, lambda _: None)
        time.sleep(_SETTLE_S)
        before = _look(front.pid, 0)
        began_s = time.monotonic()
        looks: list[Look] = []
        end = _ask(port, requests, _LOOKS, lambda done: looks.append(_look(front.pid, done)))
        took_s = time.monotonic() - began_s
        end_s = time.monotonic() + _SETTLE_S
        while (left := _look(front.pid, 0).descriptors) > before.descriptors and time.monotonic() < end_s:
            time.sleep(0.2)
        inside = _inside(told, tree(front.pid))
    title = "1 worker" if workers == 1 else f"{workers} workers"
    return Result(title, looks, end["kinds"], end["wrong"], before.descriptors, left, inside, took_s)


def _ask(port: int, requests: int, steps: int, on_step: Callable[[int], None]) -> dict[str, dict[str, int]]:
    """All requests; what the clients said at their end."""
    command = [sys.executable, _LOAD, "clients", str(port), str(requests), str(steps)]
    with _running(command, stdout=subprocess.PIPE) as load:
        while True:
            said = json.loads(_line(load))
            if "done" not in said:
                return cast("dict[str, dict[str, int]]", said)
            on_step(said["done"])


@contextlib.contextmanager
def _running(
    command: list[str],
    *,
    stdout: int | None = None,
    stderr: IO[bytes] | None = None,
    env: Mapping[str, str] = os.environ,
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None  # noqa: S101  a pipe
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} has ended")
    return line


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _look(pid: int, done_count: int) -> Look:
    looks = [look_at(one) for one in tree(pid)]
    return Look(
        done_count,
        memory_bytes(pid) / KIB,
        sum(look.resident_kib for look in looks),
        sum(look.descriptors for look in looks),
    )


def _inside(told: Path, pids: list[int]) -> list[Inside]:
    rows = [[int(word) for word in line.split()] for line in told.read_text().splitlines()]
    found = []
    for pid in pids:
        own = [row for row in rows if row[0] == pid]
        if own:
            found.append(Inside([row[1] for row in _warm(own)], bool(own[-1][2]), tuple(own[-1][3:])))
    return found


def report(results: list[Result]) -> str:
    """As Markdown."""
    rows = []
    for result in results:
        looks = _warm(result.looks)
        pss, rss = result.fit("pss_kib"), result.fit("rss_kib")
        rows.append(
            (
                result.title,
                f"{sum(result.kinds.values()):,} in {result.took_s:.0f} s",
                *(f"{look.pss_kib / KIB:.1f}" for look in (result.looks[0], looks[0], looks[-1])),
                *(f"{line.growth:+.0f} ± {line.error:.0f}" for line in (pss, rss)),
                f"{result.before} → {result.left}",
                "; ".join(f"{one.blocks[0]:,} → {one.blocks[-1]:,}" for one in result.inside),
                "; ".join("/".join(str(count) for count in one.collections) for one in result.inside),
            )
        )
    heads = (
        *("", "requests", "PSS, MiB: first look", "at half", "at the end"),
        *("PSS's line from there on, KiB", "RSS's", "descriptors", "blocks from there on", "collections"),
    )
    kinds = results[0].kinds
    problems = [problem for result in results for problem in result.problems()]
    return "\n".join(
        [
            table(heads, rows),
            "",
            *(
                f"PSS over the time, {result.title}, MiB: "
                + ", ".join(
                    f"{look.pss_kib / KIB:.2f}" for look in result.looks[:: max(1, len(result.looks) // 15)]
                )
                + "."
                for result in results
            ),
            "",
            "Of the first: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) + ".",
            "",
            "memory is level" if not problems else "\n".join(["**Not as it has to be:**", "", *problems]),
        ]
    )


def main() -> int:
    """Run it, print the table; 1 where it is not steady."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=360_000, help="of each run [%(default)d]")
    parser.add_argument("--workers", type=_counts, default=[1, 2], help="runs with so many [1,2]")
    options = parser.parse_args()
    print(machine() + "\n", flush=True)
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        installation = Installation(folder / "venv", packages=("uvloop", "structlog"))
        (site_packages,) = (folder / "venv").glob("lib/python*/site-packages")
        (site_packages / "steady_hook.py").write_text(_HOOK)
        (site_packages / "steady_hook.pth").write_text("import steady_hook\n")
        for workers in options.workers:
            results.append(run(installation, folder, options.requests, workers))
            say(f"{results[-1].title}: {results[-1].took_s:.0f} s")
    print(report(results))
    return 1 if any(result.problems() for result in results) else 0


def _counts(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())

"""Where do the microseconds of a request go: system calls, kernel, event loop, parsing, our Python?

Four looks at one pyinit under a load of proxy_cost.py, each in a run of its own, as all but the first slow it:

- processor time per request, the kernel's part apart, beside a relay that knows no HTTP (peers/bare_relay.py) and
  nginx: what the relay takes is the price of asyncio's callbacks and of moving the bytes, the rest is that of HTTP;
- system calls per request, counted by ``strace -c``, of the same three;
- ``perf``, by library and by function of C: the interpreter, uvloop, the kernel's network;
- cProfile of our functions: it makes each call dearer, so that small ones look larger than they are.

What is not installed (apt-get install strace linux-perf) is said and left out.

Run beside an installed pyinit: .venv/bin/python benchmarks/proxy_profile.py [--load close] [--tree FOLDER]
HOTPATH.md has what came of it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pstats
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bounds import nothing_left_behind
from measuring import ROOT, Installation, machine, say, table
from proxy_cost import PACKAGES
from proxy_loads import LOADS, Figures, Load, measure, missing
from proxy_peers import APP, OTHERS, Cores, Pinned, cores, nginx, pyinit
from proxy_usage import split_ns, tree
from storm_peers import Peer, Site

_HOST = "127.0.0.1"
_ROWS = 24
_PROFILED = Path(__file__).with_name("profiled_pyinit.py")


class Bench:
    """The app, and one proxy after the other.

    Args:
        folder: for servers' files.
        load: what they get.
        seconds: of each run.
    """

    def __init__(self, folder: Path, load: Load, seconds: float) -> None:
        self._folder = folder
        self._load = load
        self._seconds = seconds
        self._cores: Cores = cores()
        self._app_port = 0

    @contextlib.contextmanager
    def with_app(self) -> Iterator[None]:
        """Everything else happens in it."""
        with self._running(APP, self._cores.rest) as (_, port):
            self._app_port = port
            yield

    @contextlib.contextmanager
    def standing(self, peer: Peer) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """The proxy and its port."""
        with self._running(peer, self._cores.proxy) as pair:
            yield pair

    @contextlib.contextmanager
    def _running(self, peer: Peer, core: str | None) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        place = Pinned(core)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            Path(name).chmod(0o755)
            site = Site(Path(name), _HOST, place.free_port(), self._app_port, 60.0)
            with peer.running(site, place) as process:
                yield process, site.port

    def run(self, pid: int, port: int) -> Figures:
        """One run of the load."""
        return measure(
            self._load, (_HOST, port), pid, seconds=self._seconds, command=self._cores.load_command
        )


def _times(bench: Bench, peers: list[Peer], turns: int) -> str:
    rows = []
    with contextlib.ExitStack() as stack:
        standing = [(peer, *stack.enter_context(bench.standing(peer))) for peer in peers]
        user: dict[str, list[float]] = {peer.name: [] for peer in peers}
        system: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for turn in range(-1, turns):
            for peer, process, port in standing:
                before = split_ns(process.pid)
                units = bench.run(process.pid, port).units
                after = split_ns(process.pid)
                if turn >= 0:
                    user[peer.name].append((after.user_ns - before.user_ns) / 1000 / units)
                    system[peer.name].append((after.system_ns - before.system_ns) / 1000 / units)
    for peer in peers:
        parts = statistics.median(user[peer.name]), statistics.median(system[peer.name])
        rows.append((peer.full_title(), *(f"{part:.1f}" for part in (sum(parts), *parts))))
    return table(("microseconds per unit", "CPU", "user", "kernel"), rows)


def _system_calls(bench: Bench, peers: list[Peer]) -> str:
    counts: dict[str, dict[str, float]] = {}
    for peer in peers:
        with bench.standing(peer) as (process, port), tempfile.NamedTemporaryFile("r") as output:
            pids = [word for pid in tree(process.pid) for word in ("-p", str(pid))]
            tracer = subprocess.Popen(
                ["strace", "-f", "-c", "-o", output.name, *pids], stderr=subprocess.PIPE, text=True
            )
            assert tracer.stderr is not None  # noqa: S101  for the type checker
            for _ in pids[::2]:
                said = tracer.stderr.readline()
                if "attached" not in said:
                    tracer.wait()
                    return f"strace: {said.strip()}"
            units = bench.run(process.pid, port).units
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()
            counts[peer.full_title()] = {name: calls / units for name, calls in _counted(output.read())}
    names = sorted(
        {name for by_name in counts.values() for name in by_name},
        key=lambda name: -max(by_name.get(name, 0) for by_name in counts.values()),
    )
    rows = [(name, *(f"{one.get(name, 0):.2f}" for one in counts.values())) for name in names]
    rows = [row for row in rows if any(float(cell) for cell in row[1:])]
    rows.append(("all", *(f"{sum(one.values()):.2f}" for one in counts.values())))
    return table(("system calls per unit", *counts), rows)


def _counted(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        found = re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)", line)
        if found and found[2] != "total":
            yield found[2], int(found[1])


def _perf(bench: Bench, peer: Peer, folder: Path) -> str:
    data = folder / "perf.data"
    with bench.standing(peer) as (process, port):
        # A timer of the kernel's: a virtual machine often has no counters.
        recorder = subprocess.Popen(
            [
                "perf",
                "record",
                "-q",
                "-e",
                "cpu-clock",
                "-F",
                "4999",
                "-o",
                str(data),
                "-p",
                str(process.pid),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            bench.run(process.pid, port)
        finally:
            recorder.send_signal(signal.SIGINT)
            _, problem = recorder.communicate()
        if not data.exists():
            return f"perf: {problem.strip()}"
        parts = []
        for title, keys in (("library", "dso"), ("function", "dso,symbol")):
            heads = ("share", title) if keys == "dso" else ("share", "library", title)
            told = subprocess.run(
                ["perf", "report", "-i", str(data), "--sort", keys, "--stdio", "-q", "-t", "|"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            rows = [
                [word.strip() for word in line.split("|")[: len(heads)]]
                for line in told.splitlines()
                if "|" in line and not line.startswith("#")
            ]
            parts.append(table(heads, rows[: _ROWS if keys != "dso" else 8]))
    return "\n\n".join(parts)


def _python(bench: Bench, installation: Installation, folder: Path) -> str:
    kept = folder / "profile"
    plain = pyinit(installation)

    def words(site: Site) -> list[str]:
        return [str(_PROFILED), str(kept), *plain.words(site)]

    peer = Peer("profiled", "profiled", installation.python, words, needs_node=False)
    with bench.standing(peer) as (process, port):
        units = bench.run(process.pid, port).units
        process.send_signal(signal.SIGTERM)
        process.wait()
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]]
    stats = pstats.Stats(str(kept)).stats  # type: ignore[attr-defined]  # typeshed leaves it out
    # What every request calls: the start, and the loop that waits, are not its time.
    each = [
        (calls / units, own, f"{Path(file).parent.name}/{Path(file).name}:{line} {name}" if line else name)
        for (file, line, name), (_, calls, own, _, _) in stats.items()
        if calls > units / 2
    ]
    total_s = sum(own for _, own, _ in each)
    rows = [
        (f"{own / total_s:.1%}", f"{calls:.2f}", f"{own / units * 1e6:.2f}", f"`{name}`")
        for calls, own, name in sorted(each, key=lambda one: -one[1])[:_ROWS]
    ]
    return table(("share", "calls per unit", "own time, us", "function"), rows)


def main() -> int:
    """All four, as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [load.name for load in LOADS if load.target]
    parser.add_argument("--load", choices=names, default="browser", help="of proxy_cost.py [%(default)s]")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run [%(default)g]")
    parser.add_argument("--turns", type=int, default=3, help="of the first table [%(default)s]")
    parser.add_argument("--tree", type=Path, default=ROOT, help="another pyinit's")
    options = parser.parse_args()
    if problem := missing():
        say(problem)
        return 2
    (load,) = (one for one in LOADS if one.name == options.load)
    print(f"{machine()}; {load.title}, {load.connections} connections\n")
    with tempfile.TemporaryDirectory() as name, nothing_left_behind():
        folder = Path(name)
        folder.chmod(0o755)
        own = Installation(folder / "venv", tree=options.tree, packages=PACKAGES)
        bench = Bench(folder, load, options.seconds)
        relay = [peer for peer in OTHERS if peer.name == "relay"]
        peers = [peer for peer in (pyinit(own), *relay, nginx()) if peer.refusal() is None]
        with bench.with_app():
            print(_times(bench, peers, options.turns), "\n", flush=True)
            for tool in ("strace", "perf"):
                if shutil.which(tool) is None:
                    print(f"{tool} left out: it is not there\n")
                elif tool == "strace":
                    print(_system_calls(bench, peers), "\n", flush=True)
                else:
                    print(_perf(bench, peers[0], folder), "\n", flush=True)
            print(_python(bench, own, folder))
        say(f"load average {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

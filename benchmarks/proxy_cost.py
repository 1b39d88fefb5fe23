"""What does it cost to stand in front of an app? pyinit beside nginx, HAProxy, Envoy, Caddy, Traefik, Node and aiohttp.

Method: processor time of the proxy's processes (schedstat of every thread, nanoseconds) over what passed, and not
throughput, which is the whole machine's. Proxies are pinned to one core, the load and the app to another. All stand at
once and idle but for the one under load; each load on each proxy, then the next turn, so that whatever the machine does
meets all alike; the first turn warms and is not counted. Medians with least and most; ratios are of medians, to nginx.
proxy_peers.py has the configurations, proxy_load.lua the requests: a browser's behind an AWS load balancer, with a
header that changes in each. The app (proxy_app.py) answers 16 items by turns, each with its own ETag and length; under
``fresh`` no ETag comes twice.

Memory is measured with one proxy alive at a time, as PSS would be were nothing else on the machine (proxy_usage.py):
when it has answered once, with connections that idle after an answer, with downloads of 16 MiB that nobody reads on;
pyinit also when its control socket has been used.
Sharing a core is with a Node hello world (peers/plain.js) on the proxy's own; start is proxy_start.py.

Run beside an installed pyinit: .venv/bin/python benchmarks/proxy_cost.py --json proxy.json --picture docs/proxy.svg
What is missing is said and left out (apt-get install wrk nginx haproxy caddy; npm; pip install 'pyinit[bench]').
``--tree before=/a/checkout`` measures another tree, or a wheel, beside; ``--from proxy.json`` prints and draws again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import proxy_start
from measuring import PATIENCE_S, Installation, eventually, machine, requirements, say
from proxy_loads import LOADS, Load, LoadError, clients, measure, missing
from proxy_peers import APP, HELLO, OTHERS, Pinned, control_name, nginx, pyinit
from proxy_report import Report, draw
from proxy_usage import memory_bytes
from storm_peers import NotStartedError, Peer, Site

_HOST = "127.0.0.1"
PACKAGES = ("uvloop", "structlog")
_SECTIONS = ("loads", "shared", "workers", "memory", "start")
_QUICK_LOADS = ("browser", "one", "get-mib", "events", "websockets")
# Descriptors that a proxy has beside its connections'.
_RESERVE = 512
_STEADY_S = 0.3


class Cores(NamedTuple):
    """Where what runs; None where there is one processor only."""

    proxy: str | None
    rest: str | None
    third: str | None

    @property
    def load_command(self) -> list[str]:
        """In front of a load's own."""
        return ["taskset", "-c", self.rest] if self.rest else []

    @property
    def third_command(self) -> list[str]:
        """The same, on a third core."""
        return ["taskset", "-c", self.third] if self.third else []


def cores() -> Cores:
    """Of those that this process may use."""
    allowed = [str(one) for one in sorted(os.sched_getaffinity(0))]
    proxy, rest, third, *_ = [*allowed, None, None, None] if len(allowed) > 1 else [None] * 3
    return Cores(proxy, rest, third)


class Standing(NamedTuple):
    """A server that runs."""

    title: str
    address: tuple[str, int]
    pid: int


class Run:
    """All sections of one run.

    Args:
        report: where everything goes.
        folder: for servers' files.
        keep: is called with what there is so far.
        warm: begin with a turn that is not counted.
    """

    def __init__(self, report: Report, folder: Path, keep: Callable[[], None], *, warm: bool) -> None:
        self._report = report
        self._folder = folder
        self._keep = keep
        self._first_turn = -1 if warm else 0
        self._cores = cores()
        if self._cores.rest is None:
            self._note("one processor: proxy, load and app share it, nothing is pinned")

    def loads(self, peers: list[Peer], loads: list[Load], *, turns: int, seconds: float) -> None:
        """Every load on every proxy."""
        with contextlib.ExitStack() as stack:
            app = stack.enter_context(self._standing(APP, self._cores.rest))
            standing = self._all(stack, peers, self._cores.proxy, app)
            direct = Standing("direct", app.address, app.pid)
            for turn in range(self._first_turn, turns):
                for load in loads:
                    for one in [direct, *standing] if load.name == "one" else standing:
                        try:
                            figures = measure(
                                load, one.address, one.pid, seconds=seconds, command=self._cores.load_command
                            )
                        except LoadError as problem:
                            self._note(f"{one.title}, {load.title}, turn {turn + 1}: {problem}")
                            continue
                        if turn >= 0:
                            self._report.add(load.name, one.title, figures)
                say(f"turn {turn + 1} of {turns}")
                self._keep()

    def shared(self, peers: list[Peer], *, turns: int, seconds: float) -> None:
        """Node and each proxy on one core, and where there are three, on one each."""
        places = [(self._report.shared, self._cores.proxy, self._cores.load_command)]
        if self._cores.third:
            places.append((self._report.apart, self._cores.rest, self._cores.third_command))
        else:
            self._note("fewer than three cores: no figures with proxy and Node on a core each")
        for rates, app_core, command in places:
            with contextlib.ExitStack() as stack:
                app = stack.enter_context(self._standing(HELLO, app_core))
                standing = [app, *self._all(stack, peers, self._cores.proxy, app)]
                for turn in range(self._first_turn, turns):
                    for one in standing:
                        figures = measure(LOADS[0], one.address, one.pid, seconds=seconds, command=command)
                        if turn >= 0:
                            rates.setdefault(one.title, []).append(figures.rate)
            self._keep()

    def workers(self, peers: list[Peer], *, turns: int, seconds: float) -> None:
        """One worker and two, pinned nowhere, with all the load that there can be."""
        with contextlib.ExitStack() as stack:
            app = stack.enter_context(self._standing(APP, None))
            standing = self._all(stack, peers, None, app)
            for turn in range(self._first_turn, turns):
                for one in standing:
                    figures = measure(LOADS[0], one.address, one.pid, seconds=seconds, command=[])
                    if turn >= 0:
                        self._report.workers.setdefault(one.title, []).append(figures)
        self._keep()

    def memory(self, peers: list[Peer], idle: list[int], slow: int) -> None:
        """One proxy after the other."""
        for peer in peers:
            try:
                self._memory(peer, idle, slow)
            except (NotStartedError, LoadError) as problem:
                self._note(f"{self._title(peer)}, memory: {problem}")
            say(f"memory, {self._title(peer)}")
            self._keep()

    def _memory(self, peer: Peer, idle: list[int], slow: int) -> None:
        by_state = self._report.memory.setdefault(self._title(peer), {})
        command = self._cores.load_command
        with self._standing(APP, self._cores.rest) as app:
            with self._standing(peer, self._cores.proxy, app) as one, contextlib.ExitStack() as stack:
                by_state["ready"] = _steady(one.pid)
                there = 0
                for count in idle:
                    stack.enter_context(clients("idle", one.address, count - there, command))
                    there = count
                    by_state[f"{count:,} idle"] = _steady(one.pid)
            with (
                self._standing(peer, self._cores.proxy, app) as one,
                clients("slow", one.address, slow, command),
            ):
                by_state[f"{slow:,} slow downloads"] = _steady(one.pid)

    def control_memory(self, peers: list[Peer]) -> None:
        """Of pyinits whose control socket has been used: all that it answers, once."""
        for peer in peers:
            with (
                self._standing(APP, self._cores.rest) as app,
                self._standing(peer, self._cores.proxy, app) as one,
            ):
                for path in ("/status", "/metrics", "/"):
                    _ask_control(control_name(one.address[1]), path)
                by_state = self._report.memory.setdefault(one.title, {})
                by_state["control socket used"] = _steady(one.pid)
            self._keep()

    def start(self, installations: Mapping[str, Installation], *, turns: int) -> None:
        """Rows of proxy_start.py, by turns."""
        refusal = HELLO.refusal()
        if refusal:
            self._note(f"no app is started: {refusal}")
        for turn in range(self._first_turn, turns):
            for row in proxy_start.starts(installations, has_node=refusal is None):
                seconds = row.once()
                if turn >= 0:
                    self._report.starts.setdefault(row.title, []).append(seconds)
        self._keep()

    def _all(
        self, stack: contextlib.ExitStack, peers: list[Peer], core: str | None, app: Standing
    ) -> list[Standing]:
        standing = []
        for peer in peers:
            try:
                standing.append(stack.enter_context(self._standing(peer, core, app)))
            except NotStartedError as problem:
                self._note(f"{self._title(peer)} did not start: {problem}")
        return standing

    @contextlib.contextmanager
    def _standing(self, peer: Peer, core: str | None, app: Standing | None = None) -> Iterator[Standing]:
        place = Pinned(core)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=peer.name) as name:
            folder = Path(name)
            folder.chmod(0o755)  # a server's worker may be another user
            site = Site(folder, _HOST, place.free_port(), app.address[1] if app else 0, 60.0)
            with peer.running(site, place) as process:
                yield Standing(self._title(peer), (site.host, site.port), process.pid)

    def _title(self, peer: Peer) -> str:
        if peer.name not in self._report.titles:
            self._report.titles[peer.name] = peer.full_title()
        return self._report.titles[peer.name]

    def _note(self, text: str) -> None:
        if text not in self._report.notes:
            self._report.notes.append(text)
            say(text)


def _ask_control(name: str, path: str) -> None:
    """Take one answer of a control socket. Raises LoadError where it is not 200."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect("\0" + name.removeprefix("@"))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: pyinit\r\nConnection: close\r\n\r\n".encode())
        answer = sock.makefile("rb").read()
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise LoadError(f"{path} on the control socket: {answer[:200]!r}")


def _steady(pid: int) -> int:
    """When two looks in a row are less than a hundredth apart."""
    looks = [0]

    def is_steady() -> bool:
        time.sleep(_STEADY_S)
        looks.append(memory_bytes(pid))
        return abs(looks[-1] - looks[-2]) < looks[-1] / 100

    eventually(is_steady)
    return looks[-1]


def main() -> int:
    """Measure, or read what was; print the tables, draw the picture."""
    options = _options()
    if options.picture and not _can_draw():
        say("no matplotlib: pip install 'pyinit[bench]', or pip install matplotlib")
        return 2
    if options.source:
        report = Report.load(options.source)
    elif problem := missing():
        say(problem)
        return 2
    else:
        report = _measured(options)
    print(report.text())
    if options.picture:
        draw(report, options.picture)
    return 0


def _measured(options: argparse.Namespace) -> Report:
    quick = options.quick
    turns = options.turns or (1 if quick else 5)
    seconds = options.seconds or (0.3 if quick else 1.0)
    idle = options.idle or ([500] if quick else [1000, 10_000])
    slow = options.slow or (100 if quick else 1000)
    plan = {"turns": turns, "seconds a run of wrk": max(1, round(seconds)), "and of other clients": seconds}
    report = Report(machine(), plan, titles={"direct": "direct"})
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    most = (limit - _RESERVE) // 2
    if idle[-1] > most:
        report.notes.append(
            f"RLIMIT_NOFILE is {limit:,}: {most:,} idle connections, as a proxy keeps two descriptors for each"
        )
        idle = [count for count in idle[:-1] if count < most] + [most]
    began_s = time.monotonic()

    def keep() -> None:
        report.took_s = time.monotonic() - began_s
        if options.json:
            report.save(options.json)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        # What answers on the control socket is needed for its memory alone.
        packages = requirements() if "memory" in options.sections else PACKAGES
        own = Installation(folder / "venv", packages=packages)
        ours = [pyinit(own), pyinit(own, workers=2, name="pyinit-2", note=", 2 workers")]
        trees = {"": own}
        for tree, path in options.tree:
            other = trees[f" ({tree})"] = Installation(folder / f"venv-{tree}", tree=path, packages=packages)
            ours.append(pyinit(other, name=tree, note=f" ({tree})"))
        here = _here([*ours, *OTHERS], options.proxies + [tree for tree, _ in options.tree], report)
        loads = [
            load
            for load in LOADS
            if load.name in (options.loads or (_QUICK_LOADS if quick else _all_loads()))
        ]
        run = Run(report, folder, keep, warm=not quick)
        one_worker = [peer for peer in here if peer.name != "pyinit-2"]
        if "loads" in options.sections:
            run.loads(here, loads, turns=turns, seconds=seconds)
        if "shared" in options.sections and HELLO.refusal() is None:
            run.shared(one_worker, turns=1 if quick else min(turns, 3), seconds=seconds)
        if "workers" in options.sections:
            pairs = [
                *(peer for peer in here if peer.name in {"pyinit", "pyinit-2", "nginx"}),
                *_second_nginx(here),
            ]
            run.workers(pairs, turns=turns, seconds=seconds)
        if "memory" in options.sections:
            run.memory(here, idle, slow)
            run.control_memory([peer for peer in here if peer in ours])
        if "start" in options.sections:
            run.start(trees, turns=2 if quick else max(turns, 15))
        report.notes.append(f"load average at the end {os.getloadavg()[0]:.1f}")
        keep()
    return report


def _second_nginx(here: list[Peer]) -> list[Peer]:
    is_there = any(peer.name == "nginx" for peer in here)
    return [nginx(workers=2, name="nginx-2", note=", 2 workers")] if is_there else []


def _here(peers: list[Peer], names: list[str], report: Report) -> list[Peer]:
    """Those that were asked for and can be had; what cannot is noted."""
    here = []
    for peer in peers:
        if peer.name not in names:
            continue
        if refusal := peer.refusal():
            report.notes.append(f"{peer.name} left out: {refusal}")
            say(report.notes[-1])
        else:
            here.append(peer)
    return here


def _all_loads() -> tuple[str, ...]:
    return tuple(load.name for load in LOADS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["pyinit", "pyinit-2", *(peer.name for peer in OTHERS)]
    loads = list(_all_loads())
    parser.add_argument("--turns", type=int, help="of every load on every proxy [5]")
    parser.add_argument("--seconds", type=float, help="of each; wrk takes whole ones [1]")
    parser.add_argument("--proxies", type=_several(names), default=names, help=f"of {','.join(names)}")
    parser.add_argument("--loads", type=_several(loads), help=f"of {','.join(loads)}")
    parser.add_argument(
        "--sections",
        type=_several(list(_SECTIONS)),
        default=list(_SECTIONS),
        help=f"of {','.join(_SECTIONS)}",
    )
    parser.add_argument("--idle", type=_counts, help="connections, ascending [1000,10000]")
    parser.add_argument("--slow", type=int, help="downloads [1000]")
    parser.add_argument(
        "--quick", action="store_true", help="one turn, fewer loads and connections: two minutes"
    )
    parser.add_argument(
        "--tree",
        type=_tree,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="another pyinit's, or a wheel of one",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every figure there")
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="FILE", help="what --json kept, measured no more"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="an SVG; needs matplotlib")
    return parser.parse_args()


def _several(known: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return chosen

    return parse


def _counts(text: str) -> list[int]:
    return sorted(int(word) for word in text.split(","))


def _tree(text: str) -> tuple[str, Path]:
    name, found, path = text.partition("=")
    if not found or not (path.endswith(".whl") or (Path(path) / "pyinit").is_dir()):
        raise argparse.ArgumentTypeError("NAME=FOLDER, with pyinit/ in it, or NAME=WHEEL")
    return name, Path(path).resolve()


def _can_draw() -> bool:
    try:
        import matplotlib as mpl  # noqa: PLC0415  an extra
    except ImportError:
        return False
    return bool(mpl.__version__)


if __name__ == "__main__":
    sys.exit(main())

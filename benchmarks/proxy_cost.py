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
It is over within 20 minutes (``--quick`` 2, ``--minutes N``) on a busy machine too, with fewer turns, which it says.
Ended by a signal it takes all that it started with it; what it had measured is in the JSON.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bounds import nothing_left_behind
from measuring import Installation, machine, requirements, say
from proxy_loads import LOADS, missing
from proxy_peers import HELLO, OTHERS, nginx, pyinit
from proxy_report import Report, draw
from proxy_run import SHARES, Run

if TYPE_CHECKING:
    from storm_peers import Peer

PACKAGES = ("uvloop", "structlog")
_TWO_WORKERS = "pyinit-2"
_MINUTES, _QUICK_MINUTES = 20.0, 2.0
# For what comes after the last section: an end of everything, the tables, the picture.
_END_S = 8.0
_QUICK_LOADS = ("browser", "fresh", "one", "get-mib", "post-mib", "events", "websockets")
_QUICK_PROXIES = ("pyinit", _TWO_WORKERS, "nginx", "haproxy", "aiohttp", "relay")
# Descriptors that a proxy has beside its connections'.
_RESERVE = 512


def main() -> int:
    """Measure, or read what was; print the tables, draw the picture."""
    began_s = time.monotonic()
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
        with nothing_left_behind():
            report = _measured(options, began_s)
    print(report.text())
    if options.picture:
        draw(report, options.picture)
    return 0


def _measured(options: argparse.Namespace, began_s: float) -> Report:
    quick = options.quick
    turns = options.turns or (1 if quick else 5)
    seconds = options.seconds or (0.3 if quick else 1.0)
    minutes = options.minutes or (_QUICK_MINUTES if quick else _MINUTES)
    slow = options.slow or (100 if quick else 1000)
    plan = {
        "turns": turns,
        "seconds a run of wrk": max(1, round(seconds)),
        "and of other clients": seconds,
        "minutes at most": minutes,
    }
    report = Report(machine(), plan, titles={"direct": "direct"})
    idle = _within_limit(options.idle or ([1000] if quick else [1000, 10_000]), report)

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
        trees = {"pyinit": own}
        ours = [pyinit(own)]
        for tree, path in options.tree:
            trees[tree] = Installation(folder / f"venv-{tree}", tree=path, packages=packages)
            ours.append(pyinit(trees[tree], name=tree, note=tree))
        two_workers = pyinit(own, workers=2, name=_TWO_WORKERS, note="2 workers")
        asked = options.proxies or [*(_QUICK_PROXIES if quick else _names())]
        asked += [tree for tree, _ in options.tree]
        here = _here([*ours, two_workers, *OTHERS], asked, report)
        one_worker = [peer for peer in here if peer.name != _TWO_WORKERS]
        report.ours = [peer.name for peer in one_worker if peer.name in trees]
        end_s = began_s + minutes * 60 - _END_S
        sections = [name for name in SHARES if name in options.sections]
        run = Run(report, folder, keep, end_s=end_s, sections=sections, warm=not quick)
        chosen = options.loads or (_QUICK_LOADS if quick else _all_loads())
        loads = [load for load in LOADS if load.name in chosen]
        for section in sections:
            with run.section(section):
                if section == "loads":
                    run.loads(one_worker, loads, turns=turns, seconds=seconds)
                elif section == "shared" and (refusal := HELLO.refusal()):
                    report.note(f"nothing shares a core: {refusal}")
                elif section == "shared":
                    run.shared(one_worker, turns=1 if quick else min(turns, 3), seconds=seconds)
                elif section == "workers":
                    pairs = [peer for peer in here if peer.name in {"pyinit", _TWO_WORKERS, "nginx"}]
                    run.workers([*pairs, *_second_nginx(here)], turns=turns, seconds=seconds)
                elif section == "memory":
                    run.memory(here, idle, slow, has_control=[*trees, _TWO_WORKERS])
                else:
                    titles = {report.title_of(peer): trees[peer.name] for peer in ours}
                    run.start(titles, turns=2 if quick else max(turns, 15))
        report.note(f"load average at the end {os.getloadavg()[0]:.1f}")
        keep()
    return report


def _within_limit(idle: list[int], report: Report) -> list[int]:
    """As many connections as descriptors allow; what they do not is noted."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    most = (limit - _RESERVE) // 2
    if idle[-1] <= most:
        return idle
    report.note(
        f"RLIMIT_NOFILE is {limit:,}: {most:,} idle connections, as a proxy keeps two descriptors for each"
    )
    return [count for count in idle[:-1] if count < most] + [most]


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
            report.note(f"{peer.name} left out: {refusal}")
        else:
            here.append(peer)
    return here


def _names() -> tuple[str, ...]:
    return ("pyinit", _TWO_WORKERS, *(peer.name for peer in OTHERS))


def _all_loads() -> tuple[str, ...]:
    return tuple(load.name for load in LOADS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(_names())
    loads = list(_all_loads())
    parser.add_argument("--turns", type=int, help="of every load on every proxy [5]")
    parser.add_argument("--seconds", type=float, help="of each; wrk takes whole ones [1]")
    parser.add_argument("--proxies", type=_several(names), help=f"of {','.join(names)}")
    parser.add_argument("--loads", type=_several(loads), help=f"of {','.join(loads)}")
    parser.add_argument(
        "--sections",
        type=_several(list(SHARES)),
        default=list(SHARES),
        help=f"of {','.join(SHARES)}",
    )
    parser.add_argument("--idle", type=_counts, help="connections, ascending [1000,10000]")
    parser.add_argument("--slow", type=int, help="downloads [1000]")
    parser.add_argument(
        "--quick", action="store_true", help="one turn, fewer loads, proxies and connections: two minutes"
    )
    parser.add_argument(
        "--minutes", type=float, help=f"at most; what that is too short for is left out [{_MINUTES:g}]"
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

"""Does an idle pyinit ever wake up?

Method: init mode under each of its names and the real inits with ``sleep`` as the child, and front mode with the
example app, ready and without a client; all at once, as idle processes do not disturb each other. Context switches
(/proc/PID/task/*/status, all threads added up) and processor time over a minute: a process that waits for the whole of
it has none. The app's own are a row, as what front mode is compared with.

Finding (Python 3.11.7, uvloop 0.23.0, Node 20.20.2, tini 0.19.0, dumb-init 1.2.5, catatonit 0.1.7): pyinit 0 in every
mode, worker and name; tini 60, one a second, by its sigtimedwait; dumb-init and catatonit 0; the Node app 52 to 62.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from measuring import (
    ROOT,
    Installation,
    Process,
    Switches,
    children_of,
    eventually,
    installed_peers,
    machine,
    proc_fields,
    say,
    switches,
    table,
)

_APP = ["node", str(ROOT / "docker/example/server.js")]
_SETTLE_S = 5.0  # Node's own start goes on for a while after its first answer


def main() -> None:
    """Start all, wait, count, print, stop all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to watch [%(default)g]")
    seconds = parser.parse_args().seconds
    place = machine()
    with tempfile.TemporaryDirectory() as folder:
        started = {
            name: Process(words) for name, words in _variants(Installation(Path(folder) / "venv")).items()
        }
        try:
            for process in started.values():
                eventually(lambda: bool(children_of(process.pid)))  # noqa: B023  asked at once
            time.sleep(_SETTLE_S)
            watched = {label: pid for name, one in started.items() for label, pid in _tree(name, one.pid)}
            before = {label: switches(pid) for label, pid in watched.items()}
            say(f"watching {len(watched)} processes for {seconds:g} s")
            time.sleep(seconds)
            rows = [_row(label, before[label], switches(pid)) for label, pid in watched.items()]
        finally:
            for process in started.values():
                os.kill(process.pid, signal.SIGTERM)
            for process in started.values():
                process.wait()
    print(f"{place}; {seconds:g} s\n")
    print(table(("", "voluntary switches", "involuntary", "CPU, ms"), rows))


def _variants(installation: Installation) -> dict[str, list[str]]:
    child = ["--", "/bin/sleep", "3600"]
    # Front mode needs its libraries: where the benchmark's own interpreter has them.
    front = [str(Path(sys.executable).with_name("pyinit")), "--listen", "127.0.0.1:0"]
    return {
        "init mode": [installation.pyinit, "-s", *child],
        **{
            f"pyinit as `{name}`": [installation.called(name), *child]
            for name in ("tini", "dumb-init", "catatonit")
        },
        **{f"the real {name}": [path, *child] for name, path in installed_peers().items()},
        "front mode": [*front, "--", *_APP],
        "front mode, `--workers 2`": [*front, "--workers", "2", "--", *_APP],
    }


def _tree(name: str, pid: int) -> list[tuple[str, int]]:
    """The process, and where there is an app its children: the app and the workers."""
    if not name.startswith("front"):
        return [(name, pid)]
    children = sorted(children_of(pid))
    names = [proc_fields(Path(f"/proc/{child}/status"))["Name"] for child in children]
    kinds = ["the Node app itself" if one.startswith("node") else "a worker" for one in names]
    return [
        (name, pid),
        *((f"{name}: {kind} ({child})", child) for kind, child in zip(kinds, children, strict=True)),
    ]


def _row(label: str, before: Switches, after: Switches) -> tuple[str, ...]:
    ms_a_tick = 1000 / os.sysconf("SC_CLK_TCK")
    return (
        label,
        str(after.voluntary - before.voluntary),
        str(after.involuntary - before.involuntary),
        f"{(after.cpu_ticks - before.cpu_ticks) * ms_a_tick:.0f}",
    )


if __name__ == "__main__":
    main()

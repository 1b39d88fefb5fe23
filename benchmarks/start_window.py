"""How long is a signal lost to PID 1 after its exec, until something blocks or handles it?

Method: the benchmark forks, enters a new PID namespace and starts the variant with posix_spawn, which returns at the
exec; from there it reads SigBlk and SigCgt of /proc/PID/status without a pause until SIGTERM is in one of them. One
reading takes some 20 us, which is the resolution. Then the proof: as many runs again get SIGTERM at half of that
median, and as many at one and a half times; each is judged by whether it was blocked when sent, as on a busy machine
half is not always before, nor the other after. One that is lost lets the child, ``sleep 0.2``, end by itself; one that
is kept ends it (143). Without root the first half runs as plain processes, which start alike; the proof is left out.

Finding (Python 3.11.7, tini 0.19.0, dumb-init 1.2.5, catatonit 0.1.7; medians, on a shared machine): 11.6 ms as
installed, 9.1 with ``-IS``, which is the interpreter's own start; 19.6 by a generated entry point, which imports ``re``
before us; 16.5 by ``python -m``, for runpy; 21.1 beside a package whose .pth file imports; 0.2 to 0.4 the C inits.

``env --block-signal`` (coreutils) in front of the interpreter makes it as short as tini's. Refused as the way to
install pyinit: the mask that we start with is the one that the child gets back, as with tini, and it would not see a
SIGTERM (the row with losses after). Under dumb-init's name the child's mask is emptied, so there it works.

The real dumb-init loses some after as well, a third in this test: either its child, which unblocks before the exec,
takes them with the empty handler, or there is no group yet to send them to. Not told apart here.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import statistics
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import (
    ENVIRONMENT,
    Installation,
    Process,
    can_be_pid_1,
    children_of,
    installed_peers,
    machine,
    say,
    spread,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

_CLONE_NEWPID = 0x20000000  # os.unshare begins with Python 3.12
_SIGTERM_BIT = 1 << (signal.SIGTERM - 1)
_MISSED_S = 2.0
_KEPT, _LOST = 128 + signal.SIGTERM, 0
# What pip makes of [project.scripts] (distlib's template).
_ENTRY_POINT = """\
#!python
# -*- coding: utf-8 -*-
import re
import sys
from pyinit.__main__ import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""
# As setuptools' distutils-precedence.pth, which is in many an image's site-packages, and its like.
_PTH = "import re, functools, importlib.util\n"


def main() -> None:
    """Measure, prove where that can be, and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=int, default=30, help="of each variant, each of three times [%(default)s]"
    )
    parser.add_argument("--bundle", type=Path, help="what docker/bundle/build.py made, as one more variant")
    options = parser.parse_args()
    runs = options.runs
    is_root, place = can_be_pid_1(), machine()
    windows_s: dict[str, list[float]] = defaultdict(list)
    # By variant, and whether SIGTERM was blocked or handled when it was sent: whether it was lost.
    losses: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        variants = _variants(Path(folder))
        if options.bundle is not None:
            variants["`bin/pyinit` of the bundle"] = [str(options.bundle.resolve() / "bin/pyinit")]
        for turn in range(-1, runs):  # the first fills the page cache, and is not counted
            for name, words in variants.items():
                found_s = _forked(partial(_window_s, words), is_root=is_root)
                if turn >= 0:
                    windows_s[name] += found_s
            say(f"window: {turn + 1} of {runs}")
        for turn in range(runs if is_root else 0):
            for name, words in variants.items():
                for share in (0.5, 1.5):
                    delay_s = share * statistics.median(windows_s[name])
                    was_held, is_held, code = _forked(partial(_sent_after, words, delay_s), is_root=True)
                    if code not in (_KEPT, _LOST):
                        raise SystemExit(f"{name}: exit code {code:g}")
                    if was_held == is_held:
                        losses[name, bool(is_held)].append(code == _LOST)
            say(f"proof: {turn + 1} of {runs}")
    rows = [
        (name, spread(values), *(_share(losses[name, is_held]) for is_held in (False, True)))
        for name, values in windows_s.items()
    ]
    print(f"{place}; {runs} runs each, interleaved, {'as PID 1' if is_root else 'as plain processes'}\n")
    print(table(("", "from exec to SIGTERM blocked, ms", "lost of those sent before", "and after"), rows))


def _variants(folder: Path) -> dict[str, list[str]]:
    ours, crowded = Installation(folder / "venv"), Installation(folder / "crowded")
    (packages,) = Path(crowded.python).parents[1].glob("lib/python*/site-packages")
    (packages / "neighbour.pth").write_text(_PTH)
    entry_point = ours.script("pyinit-entry-point", _ENTRY_POINT)
    return {
        "`pyinit` as installed": [ours.pyinit],
        "the same, `-IS` in its first line": [ours.isolated()],
        "as installed, beside a package whose .pth imports": [crowded.pyinit],
        "the last, `-IS` in its first line": [crowded.isolated()],
        "the entry point that pip would generate": [entry_point],
        "`python -m pyinit`": [ours.python, "-m", "pyinit"],
        "pyinit as `tini`": [ours.called("tini")],
        **_behind_env(ours),
        **{f"the real {name}": [path] for name, path in installed_peers().items()},
    }


def _behind_env(ours: Installation) -> dict[str, list[str]]:
    words = ["/usr/bin/env", "--block-signal"]
    if Process([*words, "/bin/true"]).wait()[0]:
        return {}  # another env than coreutils', or one before 8.31
    return {
        "`env --block-signal pyinit`": [*words, ours.pyinit],
        "`env --block-signal`, then pyinit as `dumb-init`": [*words, ours.called("dumb-init")],
    }


def _window_s(words: list[str]) -> tuple[float, ...]:
    """Seconds from the exec until SIGTERM is blocked or handled; nothing where we were not there to see it."""
    pid = _started(words, "/bin/true")
    begun_s = time.perf_counter()
    with Path(f"/proc/{pid}/status").open("rb", buffering=0) as status:
        while not _holds(status):
            if time.perf_counter() - begun_s > _MISSED_S:
                os.waitpid(pid, 0)
                return ()
        window_s = time.perf_counter() - begun_s
    os.waitpid(pid, 0)
    return (window_s,)


def _sent_after(words: list[str], delay_s: float) -> tuple[float, ...]:
    """Send SIGTERM so long after the exec: whether it was held just before and just after that, and the exit code.

    Held once is held for good: what sigtimedwait(2) waits for is shown as unblocked while it does.
    """
    pid = _started(words, "/bin/sleep", "0.2")
    end_s = time.perf_counter() + delay_s
    was_held = False
    with Path(f"/proc/{pid}/status").open("rb", buffering=0) as status:
        while time.perf_counter() < end_s:  # a sleep would be late
            was_held = was_held or _holds(status)
        was_held = was_held or bool(children_of(pid))
        os.kill(pid, signal.SIGTERM)
        is_held = was_held or _holds(status) or bool(children_of(pid)) or _has_ended(status)
    return was_held, is_held, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _holds(status: FileIO) -> bool:
    """Whether SIGTERM is blocked or handled."""
    status.seek(0)
    data = status.read()
    at = data.index(b"SigBlk:")
    # Name, a tab, 16 hexadecimal digits: SigBlk, SigIgn and SigCgt, in this order.
    blocked, _, caught = (int(line[8:24], 16) for line in data[at : at + 75].splitlines())
    return bool((blocked | caught) & _SIGTERM_BIT)


def _has_ended(status: FileIO) -> bool:
    status.seek(0)
    return b"\nState:\tZ" in status.read()


def _share(losses: list[bool]) -> str:
    return f"{sum(losses)} of {len(losses)}" if losses else ""


def _started(words: list[str], *child: str) -> int:
    """The pid, as soon as it has exec'd: posix_spawn shares memory until then (CLONE_VFORK)."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in range(3)]
    return os.posix_spawn(words[0], [*words, "--", *child], ENVIRONMENT, file_actions=actions)


def _forked(measure: Callable[[], tuple[float, ...]], *, is_root: bool) -> list[float]:
    """What the function returns in a copy of this process, whose first child is PID 1 where we are root."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        try:
            if is_root and ctypes.CDLL(None).unshare(_CLONE_NEWPID):
                raise OSError("unshare was refused")
            os.write(write_end, " ".join(repr(float(value)) for value in measure()).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return [float(word) for word in text.split()]


if __name__ == "__main__":
    main()

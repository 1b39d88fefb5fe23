"""Is anything left over after hours of good, bad, slow and vanishing clients?

Method: a pyinit in front of the example app; eighty clients at once, each a story drawn at random (keep-alive,
pipelined, uploads, downloads, event streams, WebSockets, malformed heads, half-closed, reset in every place, slow in
either direction), with pauses that keep the load below half a processor. Every answer is checked. Then all stop, and
what idle connections may last is waited for: pyinit's and the app's descriptors and threads have to be what they were
before, memory may have grown by a bound, no callback may have failed; then a SIGTERM, whose drain report has to be
empty. Exit 1 where any of it is not so.

Finding (2 minutes, Python 3.11.7, uvloop 0.23.0, Node 20.20.2): 19,652 connections, each answer right; descriptors,
sockets and threads as before half a second after the last client, RSS 31.7 to 33.0 MiB and level from the first ten
seconds on, an empty report.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from measuring import ROOT, children_of, machine, proc_fields, say, table
from soak_stories import SLOW_READERS, STORIES, Client, Story, Wrong

_CLIENTS = 80
_PAUSE_S = (0.02, 0.3)
_STORY_MAX_S = 60.0
# What may stand open once all clients have gone: idle connections to the app (4 s), lingering (1 s), a look a second.
_SETTLE_S = 30.0
_WARM_S = 6.0
_MEMORY_LOOKS = 12
# Parsers remember lines and heads (4,096 and 512), the allocator keeps what it had at the busiest moment.
_GROWTH_MAX_BYTES = 16 << 20


class Look(NamedTuple):
    """A process at one moment."""

    descriptors: int
    sockets: int
    threads: int
    resident_kib: int
    cpu_s: float


def look_at(pid: int) -> Look:
    """From /proc."""
    fields = proc_fields(Path(f"/proc/{pid}/status"))
    targets = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            targets.append(str(entry.readlink()))
    after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return Look(
        len(targets),
        sum(target.startswith("socket:") for target in targets),
        int(fields["Threads"]),
        int(fields["VmRSS"].split()[0]),
        (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK"),
    )


class Load:
    """All clients.

    Attributes:
        told: stories by name.
        wrong: what was not as it has to be, with how often.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._at_random = random.Random(seed)
        self.told: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    async def run(self, end_s: float) -> None:
        """Tell stories until then, and each to its end."""
        await asyncio.gather(*(self._client(end_s) for _ in range(_CLIENTS)))

    async def _client(self, end_s: float) -> None:
        while time.monotonic() < end_s:
            (story,) = self._at_random.choices(list(STORIES), list(STORIES.values()))
            await self.tell(story)
            await asyncio.sleep(self._at_random.uniform(*_PAUSE_S))

    async def tell(self, story: Story) -> None:
        """One connection."""
        name = story.__name__
        self.told[name] += 1
        client: Client | None = None
        try:
            client = await Client.connect(self._port, receive_bytes=4096 if story in SLOW_READERS else None)
            async with asyncio.timeout(_STORY_MAX_S):
                await story(client, self._at_random)
        except (
            Wrong,
            OSError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            TimeoutError,
        ) as problem:
            self.wrong[f"{name}: {type(problem).__name__}: {problem}"] += 1
        finally:
            if client is not None:
                client.close()


class Front:
    """A pyinit in front of the example app, its log in a file."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        command = [
            *(
                str(Path(sys.executable).with_name("pyinit")),
                "--listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ),
            *("--write-timeout", "3", "--idle-timeout", "4", "--head-timeout", "5", "--body-timeout", "5"),
            *(
                "--stop-timeout",
                "30",
                "--drain-delay",
                "0",
                "--",
                "node",
                str(ROOT / "docker/example/server.js"),
            ),
        ]
        fd = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDWR)
        actions = [
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, fd, 2),
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYINIT_")}
        self.pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
        os.close(fd)
        os.close(null)

    def events(self, name: str = "") -> list[dict[str, object]]:
        """What it has logged, of one name or all."""
        found = []
        for line in self._log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [event for event in found if name in ("", event.get("event"))]

    async def port(self) -> int:
        """Where it listens, once the app is ready."""
        end_s = time.monotonic() + 20
        while not self.events("app.ready"):
            if time.monotonic() > end_s:
                raise TimeoutError(self._log.read_text())
            await asyncio.sleep(0.05)
        return int(str(self.events("listener.bound")[0]["address"]).rpartition(":")[2])

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


async def settled(front: Front, pids: dict[str, int], before: dict[str, Look]) -> float:
    """Wait until descriptors are what they were, and no longer than they may take; how long it took."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < _SETTLE_S:
        if all(look_at(pid).descriptors <= before[name].descriptors for name, pid in pids.items()):
            break
        await asyncio.sleep(0.25)
    assert front.pid  # noqa: S101  it is still there
    return time.monotonic() - began_s


def problems_of(
    before: dict[str, Look], after: dict[str, Look], load: Load, front: Front, code: int
) -> list[str]:
    """All that is not as it has to be."""
    found = [f"{count} x {text}" for text, count in load.wrong.most_common()]
    for name, was in before.items():
        now = after[name]
        if now.descriptors > was.descriptors:
            found.append(f"{name}: {now.descriptors - was.descriptors} descriptors left over")
        if name == "pyinit" and now.threads != was.threads:
            found.append(f"{name}: {now.threads} threads, {was.threads} before")
    grown = (after["pyinit"].resident_kib - before["pyinit"].resident_kib) * 1024
    if grown > _GROWTH_MAX_BYTES:
        found.append(f"pyinit: grown by {grown >> 20} MiB")
    if failed := front.events("callback.failed"):
        found.append(f"{len(failed)} callbacks failed: {failed[0].get('traceback')}")
    reports = front.events("drain.finished")
    if len(reports) != 1 or any(
        reports[0][key] for key in ("cut_count", "exchanges_finished", "tunnels_finished")
    ):
        found.append(f"the drain report: {reports}")
    if code not in (0, 143):
        found.append(f"exit code {code}")
    return found


async def soak(minutes: float, seed: int, *, warms_up: bool) -> bool:
    """Run it, print the summary; whether all was well."""
    place = machine()
    with tempfile.TemporaryDirectory() as folder:
        front = Front(Path(folder))
        code: int | None = None
        try:
            port = await front.port()
            (app_pid,) = children_of(front.pid)
            pids = {"pyinit": front.pid, "the app": app_pid}
            warm = Load(port, seed)
            if warms_up:
                # All kinds once, so that what is loaded and kept at first use is no growth.
                await asyncio.gather(*(warm.tell(story) for story in STORIES))
                await asyncio.sleep(_WARM_S)
            before = {name: look_at(pid) for name, pid in pids.items()}
            say(f"{minutes:g} minutes, seed {seed}")
            load = Load(port, seed + 1)
            began_s, own_s = time.monotonic(), time.process_time()
            running = asyncio.ensure_future(load.run(began_s + minutes * 60))
            memory_kib = []
            while not running.done():
                memory_kib.append(look_at(front.pid).resident_kib)
                await asyncio.wait([running], timeout=minutes * 60 / _MEMORY_LOOKS)
            await running
            took_s, own_s = time.monotonic() - began_s, time.process_time() - own_s
            settle_s = await settled(front, pids, before)
            after = {name: look_at(pid) for name, pid in pids.items()}
            code = front.stop()
            load.wrong.update(warm.wrong)
            problems = problems_of(before, after, load, front, code)
            _print(place, load, front, (took_s, own_s, settle_s), memory_kib, before, after, problems)
            return not problems
        finally:
            if code is None:
                front.stop()


def _print(
    place: str,
    load: Load,
    front: Front,
    times: tuple[float, float, float],
    memory_kib: list[int],
    before: dict[str, Look],
    after: dict[str, Look],
    problems: list[str],
) -> None:
    took_s, own_s, settle_s = times
    lines = [
        place,
        "",
        (
            f"{took_s:.0f} s, {sum(load.told.values())} connections, the load at {own_s / took_s:.0%} of a processor;"
            f" quiet {settle_s:.1f} s after the last client. pyinit's RSS over the time, MiB: "
            + ", ".join(f"{kib / 1024:.1f}" for kib in memory_kib)
        ),
        "",
        table(
            ("", "descriptors", "sockets", "threads", "RSS, MiB", "CPU, s"),
            [
                (
                    name,
                    f"{was.descriptors} → {now.descriptors}",
                    f"{was.sockets} → {now.sockets}",
                    f"{was.threads} → {now.threads}",
                    f"{was.resident_kib / 1024:.1f} → {now.resident_kib / 1024:.1f}",
                    f"{now.cpu_s - was.cpu_s:.1f}",
                )
                for (name, was), now in zip(before.items(), after.values(), strict=True)
            ],
        ),
        "",
        table(("story", "told"), [(name, str(count)) for name, count in load.told.most_common()]),
        "",
        table(
            ("logged", "times"),
            [(str(k), str(v)) for k, v in Counter(str(e.get("event")) for e in front.events()).most_common()],
        ),
        "",
        f"drain report: `{json.dumps(front.events('drain.finished'))}`",
        "",
        "nothing is left over" if not problems else "\n".join(["**Not as it has to be:**", "", *problems]),
    ]
    print("\n".join(lines))


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long [%(default)g]")
    parser.add_argument("--seed", type=int, default=1, help="of the stories' order [%(default)d]")
    parser.add_argument("--cold", action="store_true", help="no warm-up: quicker, for a run of seconds")
    options = parser.parse_args()
    sys.exit(0 if asyncio.run(soak(options.minutes, options.seed, warms_up=not options.cold)) else 1)


if __name__ == "__main__":
    main()

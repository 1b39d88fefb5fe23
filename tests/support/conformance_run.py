"""The whole corpus against a proxy in a process of its own; once a session against the installed command."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.corpus.everything import TOPICS
from tests.support.conformance import Lane, Observed, run_all
from tests.support.process import TIME_SCALE
from tests.support.recorder import Recorder
from tests.support.targets import OURS, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.corpus.case import Case

    Results = dict[str, list[tuple[Case, Observed]]]
else:
    Results = dict

# Nothing of ours is waited for so long: it is what a failure takes.
PATIENCE_S = 5.0 * TIME_SCALE


async def against(target: Target, *, lane_count: int, patience_s: float, settle_s: float) -> Results:
    """All rows against a proxy in a process of its own."""
    apps = [Recorder() for _ in range(lane_count)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            with target.run(Path(folder), [app.port for app in apps]) as ports:
                lanes = [Lane(port, app) for port, app in zip(ports, apps, strict=True)]
                return await run_lanes(lanes, patience_s, settle_s)
        finally:
            for app in apps:
                await app.stop()


@functools.cache
def run_command() -> Results:
    """All rows against the command, once a session: its results are values."""
    return asyncio.run(against(OURS, lane_count=1, patience_s=PATIENCE_S, settle_s=PATIENCE_S))


async def run_lanes(
    lanes: Sequence[Lane], patience_s: float, settle_s: float, topics: Sequence[str] = ()
) -> Results:
    """All rows, or those of some topics, with their topics."""
    rows = [(topic, case) for topic in topics or TOPICS for case in TOPICS[topic]]
    found = await run_all([case for _, case in rows], lanes, patience_s=patience_s, settle_s=settle_s)
    results: Results = {}
    for (topic, _), result in zip(rows, found, strict=True):
        results.setdefault(topic, []).append(result)
    return results

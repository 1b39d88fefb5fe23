"""What does ``docker stop`` do to each request of a busy container? One stop, as a timeline and as a picture.

Method: the example app's production image (docker/example) runs in a real container with a lame duck and a budget of
eight seconds; clients in its network (storm.py) ask without pause, a tenth of a second to a request or a whole one,
and one asks for an answer that takes a minute; in the middle the engine stops it, by the image's STOPSIGNAL and its own
ten seconds. The phases are those of pyinit's log, whose clock is the same machine's.

Finding: the lame duck, with clients that take no notice, lasts for half the budget; from then on connects are refused,
and may be tried again; what was begun is finished; the app hears of it when there is nothing left; the minute's
request is cut (503) at the drain's deadline, so that the app keeps its own time. Nothing else is lost.

Run: sudo .venv/bin/python benchmarks/container_stop.py --json stop.json --picture docs/stop.svg
``--from stop.json`` prints and draws again. Needs root, Node.js, and apt for podman where that is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from container_images import ENGINES, EXAMPLE, refusal, with_example
from measuring import machine
from stop_timeline import Timeline, draw
from storm import LOST, Kind, Outcome, Plan, Request, Storm, whole_answer

from tests.support.containers import Attached, Container, container

if TYPE_CHECKING:
    from engine import Engine

_PLAN = Plan(
    new=10, reuse=10, slow=6, think_s=(0.02, 0.25), before_s=2.5, after_s=3.0, budget_s=15.0,
    fast_target="/slow?ms=120", slow_target="/slow?ms=900",
)  # fmt: skip
_SETTINGS = ("--env=PYINIT_STOP_TIMEOUT=8", "--env=PYINIT_DRAIN_DELAY=1")
_ENDLESS = b"GET /slow?ms=60000 HTTP/1.1\r\nHost: storm.test\r\n\r\n"


class _Endless(threading.Thread):
    """A request that gets its end and no answer. It is begun in this thread's network."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.began_s = self.ended_s = time.monotonic()
        self.outcome = Outcome.EMPTY
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.sendall(_ENDLESS)
        self.start()

    def run(self) -> None:
        with self._sock, contextlib.suppress(ConnectionError):
            answer = whole_answer(self._sock.recv(1 << 16), has_ended=False)
            if answer is not None:
                self.outcome = Outcome.ANSWERED if answer[0] == 200 else Outcome.NOT_200
        self.ended_s = time.monotonic()


def measure(found: Engine, image: str) -> Timeline:
    """One stop by that engine of a container of the example's image."""
    requests: list[Request] = []
    with container(found, *_SETTINGS, image) as running:
        running.wait_event("app.ready")
        with Attached(found, running) as waiting, running.network():
            endless = _Endless(8080)
            Storm("127.0.0.1", 8080, _PLAN, requests.append).run(waiting, signal.SIGTERM)
            assert waiting.stopping is not None  # noqa: S101  the storm began it
            waiting.stopping.wait()
            endless.join()
        return _timeline(found.name, running, waiting.asked_s, requests, endless)


def _timeline(
    engine_name: str, running: Container, asked_s: float, requests: list[Request], endless: _Endless
) -> Timeline:
    offset_s = time.time() - time.monotonic()
    events = running.events()
    at_s = [datetime.fromisoformat(event["timestamp"]).timestamp() - offset_s for event in events]
    names = [event["event"] for event in events]
    signal_s = at_s[names.index("signal.received")]
    phases = tuple(
        (event["phase"], begin_s - signal_s)
        for event, begin_s in zip(events, at_s, strict=True)
        if event["event"] == "drain.phase_changed"
    )
    shifted = [
        replace(request, began_s=request.began_s - signal_s, ended_s=request.ended_s - signal_s)
        for request in (
            *requests,
            Request(Kind.SLOW, endless.outcome, endless.began_s, endless.ended_s),
        )
    ]
    settings = " ".join(word.removeprefix("--env=") for word in _SETTINGS)
    return Timeline(
        machine(),
        f"`{engine_name} run` with {settings}, `{engine_name} stop -t 10`;"
        f" {_PLAN.new} clients with a connection for each request, {_PLAN.reuse} that keep theirs, {_PLAN.slow} slow.",
        asked_s - signal_s,
        phases,
        at_s[names.index("drain.finished")] - signal_s,
        tuple(shifted[:-1]),
        shifted[-1],
    )


def main() -> int:
    """Measure, or read what was; print, draw. 1 where a request was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="[%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the stop there")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="what --json kept")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="an SVG or PNG; needs matplotlib")
    options = parser.parse_args()
    if options.picture and importlib.util.find_spec("matplotlib") is None:
        parser.error("no matplotlib: pip install 'pyinit[bench]'")
    if not options.source and (reason := refusal()):
        parser.error(f"no containers here: {reason}")
    if options.source:
        timeline = Timeline.load(options.source)
    else:
        with with_example(options.engine) as found:
            timeline = measure(found, EXAMPLE)
    if options.json:
        timeline.save(options.json)
    print(timeline.text())
    if options.picture:
        draw(timeline, options.picture)
    return 1 if timeline.count(*LOST, Outcome.NOT_200) else 0


if __name__ == "__main__":
    sys.exit(main())

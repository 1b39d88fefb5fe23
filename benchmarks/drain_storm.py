"""What is lost when a server is told to stop under load? pyinit beside Node's own ways, and three proxies.

Method: for each stop a server is started, stormed (``storm.py`` has the clients and what counts as lost), signalled
in the middle, and watched to its end, for as long as the platform's grace; each server in each condition, then the
next stop of each, so that whatever the machine does meets all alike. Conditions are loopback, where a handshake takes
no time and its races hide, and a link of 20 ms round trip, without and with 2 % of packets lost. A server's own
documentation says what stops it gracefully (``storm_peers.py``). The network stays when the process has gone: what a
kernel still has to deliver then arrives, as it would not in a container.

A connect is refused at once, which every client may retry, or is served: anything else is a request lost, or, where
the connect timed out, seconds lost. Counts before the signal are kept apart; a loss there is the setup's fault, and
said.

Run beside an installed pyinit: .venv/bin/python benchmarks/drain_storm.py --json storm.json --picture docs/drain.svg
What is missing (apt-get install nginx-light haproxy caddy; npm for stoppable and http-terminator; root for the link)
is said and left out. ``--from storm.json`` prints and draws again.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from measuring import machine, say
from storm import LOST, Counts, Plan, Stop, Storm, StormError
from storm_peers import APP, PEERS, NotStartedError, Peer, Site
from storm_places import CONDITIONS, Condition, Place, place, refusal
from storm_report import Report, draw

_QUICK = {"new": 20, "reuse": 12, "slow": 4, "before_s": 0.7, "after_s": 0.5}
_NO_MATPLOTLIB = "no matplotlib: pip install 'pyinit[bench]', or pip install matplotlib"


class Run:
    """Every stop of every peer in every condition.

    Args:
        peers: those that are here.
        conditions: likewise.
        plan: how hard.
    """

    def __init__(self, peers: list[Peer], conditions: list[Condition], plan: Plan) -> None:
        self._peers = {peer: peer.full_title() for peer in peers}
        self._conditions = conditions
        self._plan = plan
        self.report = Report(machine(), asdict(plan))

    def make(self, stops: int, json_path: Path | None) -> None:
        """The stops, interleaved; what there is so far is kept at each turn's end."""
        began_s = time.monotonic()
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.chmod(0o755)  # a server's worker may be another user
            places = [stack.enter_context(place(condition)) for condition in self._conditions]
            app_ports = [self._app(stack, folder, at) for at in places]
            for turn in range(stops):
                for at, app_port in zip(places, app_ports, strict=True):
                    for peer in self._peers:
                        self._stop(peer, at, app_port, f"{turn + 1} of {stops}")
                self.report.took_s = time.monotonic() - began_s
                if json_path:
                    self.report.save(json_path)

    def _app(self, stack: contextlib.ExitStack, folder: Path, at: Place) -> int:
        """A Node behind the proxies there, which goes on running."""
        port = at.free_port()
        own = folder / f"app-{port}"
        own.mkdir()
        stack.enter_context(APP.running(Site(own, at.host, port, 0, self._plan.budget_s), at))
        return port

    def _stop(self, peer: Peer, at: Place, app_port: int, turn: str) -> None:
        title, condition = self._peers[peer], at.condition.name
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            site = Site(folder, at.host, at.free_port(), app_port, self._plan.budget_s)
            try:
                with peer.running(site, at) as process, at.client_side():
                    stop = Storm(site.host, site.port, self._plan).run(process, peer.signum)
            except (NotStartedError, StormError) as problem:
                # One stop less, and not the hour that the others have taken.
                self._note(f"{title}, {condition}, stop {turn}, is not counted: {problem}")
                return
        self.report.stops.setdefault((condition, title), []).append(stop)
        say(f"stop {turn}, {condition}, {title}: {_summary(stop)}")
        if early := _lost(stop.before):
            self._note(f"{title}, {condition}, stop {turn}: {early} lost before the signal")

    def _note(self, text: str) -> None:
        self.report.notes.append(text)
        say(text)


def _lost(counts: Counts) -> int:
    return sum(count for (_, outcome), count in counts.items() if outcome in LOST)


def _summary(stop: Stop) -> str:
    killed = ", killed" if stop.is_killed else ""
    return f"lost {_lost(stop.after)}, {stop.exit_s:.2f} s to its exit{killed}"


def main() -> int:
    """Measure, or read what was; print the tables, draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names, places = [peer.name for peer in PEERS], list(CONDITIONS)
    parser.add_argument("--stops", type=int, help="of each peer in each condition [20]")
    parser.add_argument("--peers", type=_several(names), default=names, help=f"of {','.join(names)}")
    parser.add_argument("--conditions", type=_several(places), help=f"of {','.join(places)}")
    parser.add_argument("--quick", action="store_true", help="one stop each, a small storm, loopback and rtt")
    for name, what in (("new", "new-connection"), ("reuse", "connection-reusing"), ("slow", "slow")):
        parser.add_argument(f"--{name}", type=int, help=f"{what} clients [{getattr(Plan(), name)}]")
    parser.add_argument(
        "--before", type=float, dest="before_s", help="seconds of storm before the signal [1.5]"
    )
    parser.add_argument("--after", type=float, dest="after_s", help="least seconds of it after [2]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every stop there")
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="FILE", help="what --json kept, measured no more"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="an SVG; needs matplotlib")
    options = parser.parse_args()
    if options.picture and not _can_draw():
        parser.error(_NO_MATPLOTLIB)  # now, and not after an hour
    if options.source:
        report = Report.load(options.source)
    else:
        given = {
            name: value for name in asdict(Plan()) if (value := getattr(options, name, None)) is not None
        }
        plan = replace(Plan(), **{**(_QUICK if options.quick else {}), **given})
        stops = options.stops or (1 if options.quick else 20)
        report = measure(
            [peer for peer in PEERS if peer.name in options.peers],
            options.conditions or (["loopback", "rtt"] if options.quick else places),
            plan,
            stops,
            options.json,
        )
    print(report.text())
    if not report.stops:
        return 1
    if options.picture:
        draw(report, options.picture)
    return 0


def measure(
    peers: list[Peer], conditions: list[str], plan: Plan, stops: int, json_path: Path | None
) -> Report:
    """With whatever is here; what is not is noted."""
    left_out = {
        peer.title.partition(" {}")[0] + peer.title.partition(" {}")[2]: peer.refusal() for peer in peers
    }
    left_out |= {CONDITIONS[name].name: refusal(CONDITIONS[name]) for name in conditions}
    notes = [f"{name} left out: {why}" for name, why in left_out.items() if why]
    for note in notes:
        say(note)
    run = Run(
        [peer for peer in peers if peer.refusal() is None],
        [CONDITIONS[name] for name in conditions if refusal(CONDITIONS[name]) is None],
        plan,
    )
    run.report.notes += notes
    run.make(stops, json_path)
    return run.report


def _several(known: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return chosen

    return parse


def _can_draw() -> bool:
    try:
        import matplotlib as mpl  # noqa: PLC0415  an extra
    except ImportError:
        return False
    return bool(mpl.__version__)


if __name__ == "__main__":
    sys.exit(main())

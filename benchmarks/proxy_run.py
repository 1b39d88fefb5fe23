"""All sections of a run of proxy_cost.py, each within its share of the time.

The first ones have little to do, and what they do not use of theirs is the later ones'; the loads, which are most of
it, come last. What a share is too short for is left out, and said.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import proxy_start
from bounds import TimeUpError, end_descendants, time_limit
from measuring import PATIENCE_S, Installation, eventually, say
from proxy_loads import LOADS, Figures, Load, LoadError, clients, measure
from proxy_peers import APP, HELLO, Pinned, control_name, cores
from proxy_targets import CONTROL, IDLE, READY
from proxy_usage import memory_bytes
from storm_peers import NotStartedError, Peer, Site

if TYPE_CHECKING:
    from proxy_report import Report

# More than the first ones take on a quiet machine; a busy one leaves the loads half of the time.
SHARES = {"start": 10, "shared": 10, "workers": 6, "memory": 26, "loads": 48}
_HOST = "127.0.0.1"
_STEADY_S = 0.3  # between two looks at memory, of which there is no event
# Of the loads' time, where the turn that is not counted takes long.
_WARM_SHARE = 0.25


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
        end_s: when all has to be over, monotonic.
        sections: that will be, of SHARES.
        warm: begin with a turn that is not counted.
    """

    def __init__(
        self,
        report: Report,
        folder: Path,
        keep: Callable[[], None],
        *,
        end_s: float,
        sections: Collection[str],
        warm: bool,
    ) -> None:
        self._report = report
        self._folder = folder
        self._keep = keep
        self._end_s = end_s
        self._shares = {name: share for name, share in SHARES.items() if name in sections}
        self._first_turn = -1 if warm else 0
        self._at = ""
        self._cores = cores()
        if self._cores.rest is None:
            self._note("one processor: proxy, load and app share it, nothing is pinned")

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Its share of the time that is left; what has not been done by then is not done. Nothing of it runs after."""
        left_s = max(0.0, self._end_s - time.monotonic())
        share_s = left_s * self._shares[name] / sum(self._shares.values())
        del self._shares[name]
        self._at = "its beginning"
        try:
            with time_limit(share_s):
                yield
        except TimeUpError:
            self._note(f"{name}: {share_s:.0f} s were not enough; stopped at {self._at}")
        finally:
            end_descendants()
            self._keep()

    def loads(self, peers: list[Peer], loads: list[Load], *, turns: int, seconds: float) -> None:
        """Every load on every proxy."""
        with contextlib.ExitStack() as stack:
            app = stack.enter_context(self._standing(APP, self._cores.rest))
            standing = self._all(stack, peers, self._cores.proxy, app)
            direct = Standing("direct", app.address, app.pid)
            warm_end_s = time.monotonic() + _WARM_SHARE * (self._end_s - time.monotonic())
            for turn in self._turns(turns):
                for load in loads:
                    if turn < 0 and time.monotonic() > warm_end_s:
                        break
                    for one in [direct, *standing] if load.name == "one" else standing:
                        figures = self._measure(load, one, turn, seconds, self._cores.load_command)
                        if figures and turn >= 0:
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
                # Node compiles what runs often: the first one, it alone, would be measured before that.
                self._measure(LOADS[0], app, -1, seconds, command)
                for turn in self._turns(turns):
                    for one in standing:
                        figures = self._measure(LOADS[0], one, turn, seconds, command)
                        if figures and turn >= 0:
                            rates.setdefault(one.title, []).append(figures.rate)

    def workers(self, peers: list[Peer], *, turns: int, seconds: float) -> None:
        """One worker and two, pinned nowhere, with all the load that there can be."""
        with contextlib.ExitStack() as stack:
            app = stack.enter_context(self._standing(APP, None))
            standing = self._all(stack, peers, None, app)
            for turn in self._turns(turns):
                for one in standing:
                    figures = self._measure(LOADS[0], one, turn, seconds, [])
                    if figures and turn >= 0:
                        self._report.workers.setdefault(one.title, []).append(figures)

    def memory(self, peers: list[Peer], idle: list[int], slow: int, *, has_control: Collection[str]) -> None:
        """One proxy after the other; of pyinits, those that have a control socket, also when it has been used."""
        for peer in peers:
            title = self._title(peer)
            self._at = title
            by_state = self._report.memory.setdefault(title, {})
            try:
                with self._standing(APP, self._cores.rest) as app:
                    self._memory(peer, app, by_state, idle, slow)
                    if peer.name in has_control:
                        self._control_memory(peer, app, by_state)
            except (NotStartedError, LoadError, OSError) as problem:
                self._note(f"{title}, memory: {problem}")
            say(f"memory, {title}")
            self._keep()

    def _memory(
        self, peer: Peer, app: Standing, by_state: dict[str, int], idle: list[int], slow: int
    ) -> None:
        command = self._cores.load_command
        with self._standing(peer, self._cores.proxy, app) as one, contextlib.ExitStack() as stack:
            by_state[READY] = _steady(one.pid)
            there = 0
            for count in idle:
                stack.enter_context(clients("idle", one.address, count - there, command))
                there = count
                by_state[IDLE.format(count)] = _steady(one.pid)
        with self._standing(peer, self._cores.proxy, app) as one, clients("slow", one.address, slow, command):
            by_state[f"{slow:,} slow downloads"] = _steady(one.pid)

    def _control_memory(self, peer: Peer, app: Standing, by_state: dict[str, int]) -> None:
        """With all that it answers, once."""
        with self._standing(peer, self._cores.proxy, app) as one:
            for path in ("/status", "/metrics", "/"):
                _ask_control(control_name(one.address[1]), path)
            by_state[CONTROL] = _steady(one.pid)

    def start(self, installations: Mapping[str, Installation], *, turns: int) -> None:
        """Rows of proxy_start.py, by turns; installations by what rows call them."""
        refusal = HELLO.refusal()
        if refusal:
            self._note(f"no app is started: {refusal}")
        for turn in self._turns(turns):
            for row in proxy_start.starts(installations, has_node=refusal is None):
                self._at = f"{_named(turn, turns)}, {row.title}"
                try:
                    seconds = row.once()
                except TimeoutError:
                    self._note(f"{row.title}: not there after {PATIENCE_S:g} s")
                    continue
                if turn >= 0:
                    self._report.starts.setdefault(row.title, []).append(seconds)

    def _turns(self, turns: int) -> Iterator[int]:
        """-1 is the one that is not counted."""
        for turn in range(self._first_turn, turns):
            self._at = _named(turn, turns)
            yield turn

    def _measure(
        self, load: Load, one: Standing, turn: int, seconds: float, command: list[str]
    ) -> Figures | None:
        """None where there are no figures; why is noted."""
        place, _, _ = self._at.partition(", ")
        self._at = f"{place}, {load.title}, {one.title}"
        try:
            return measure(load, one.address, one.pid, seconds=seconds, command=command)
        except LoadError as problem:
            self._note(f"{one.title}, {load.title}, turn {turn + 1}: {problem}")
            return None

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
        return self._report.title_of(peer)

    def _note(self, text: str) -> None:
        self._report.note(text)


def _named(turn: int, turns: int) -> str:
    return f"turn {turn + 1} of {turns}" if turn >= 0 else "the turn that warms"


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
    """When two looks in a row are less than a hundredth apart. Raises LoadError where that takes too long."""
    looks = [0]

    def is_steady() -> bool:
        time.sleep(_STEADY_S)
        looks.append(memory_bytes(pid))
        return abs(looks[-1] - looks[-2]) < looks[-1] / 100

    try:
        eventually(is_steady)
    except TimeoutError:
        raise LoadError(f"not steady after {PATIENCE_S:g} s: {looks[-2]:,}, {looks[-1]:,} bytes") from None
    return looks[-1]

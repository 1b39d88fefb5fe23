"""PID 1's side of the workers, with workers that do not work."""

import asyncio
import os
import resource
import socket

import pytest

from pyinit.drain.outcomes import InFlight, Kind
from pyinit.errors import SpawnError
from pyinit.proxy import ipc
from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.fleet import Fleet
from pyinit.proxy.link import Link
from pyinit.proxy.stats import Levels, Stats
from pyinit.proxy.steering import Snapshot
from tests.support.proxy_world import eventually

CONFIG = ProxyConfig(upstream=UpstreamAddress(path="/app"))


class Log:
    """Collects events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def take(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    debug = info = warning = error = take


class World:
    """A fleet whose workers are the other ends of its links, in the test's hands."""

    def __init__(self, count: int = 2, *, starts: bool = True) -> None:
        self.log = Log()
        self.starts = starts
        self.ends: list[Link] = []
        self.heard: list[list[ipc.Message]] = []
        self.spawned_s: list[float] = []
        self.quiet_count = 0
        self.opened_count = 0
        self.unreachable_count = 0
        self.fleet = Fleet(
            [ipc.Configure(index, CONFIG, (), (), "json", "info") for index in range(count)],
            [],
            spawn=self._spawn,
            on_quiet=self._quiet,
            on_new_connection=self._opened,
            on_unreachable=self._unreachable,
            log=self.log,
        )

    def _spawn(self, link_fd: int, inherited: list[int]) -> int:
        assert inherited == []
        self.spawned_s.append(asyncio.get_running_loop().time())
        if not self.starts:
            raise SpawnError("fork", "Resource temporarily unavailable")
        heard: list[ipc.Message] = []
        sock = socket.socket(fileno=os.dup(link_fd))
        self.ends.append(Link(sock, on_message=heard.append, on_end=lambda _: None))
        self.heard.append(heard)
        return 1000 + len(self.ends)

    def _quiet(self) -> None:
        self.quiet_count += 1

    def _opened(self) -> None:
        self.opened_count += 1

    def _unreachable(self) -> None:
        self.unreachable_count += 1

    async def close(self) -> None:
        for end in self.ends:
            end.close()
        await self.fleet.settle(0)


async def turns() -> None:
    await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_quiet_is_said_once_when_all_have_said_it() -> None:
    world = World()
    world.fleet.start()
    world.ends[0].send(ipc.Quiet())
    await turns()
    world.fleet.stop_accepting(1.0)
    await turns()
    assert world.quiet_count == 0
    world.ends[1].send(ipc.Quiet())
    world.ends[1].send(ipc.Quiet())
    await turns()
    assert world.quiet_count == 1
    await world.close()
    assert world.quiet_count == 1


@pytest.mark.asyncio
async def test_an_app_that_ended_at_once_needs_no_workers() -> None:
    world = World()
    world.fleet.stop_accepting(0.0)
    world.fleet.start()
    await turns()
    assert world.quiet_count == 1
    assert world.ends == []
    await world.close()


@pytest.mark.asyncio
async def test_a_successor_is_given_every_order_that_went_before() -> None:
    world = World(1)
    world.fleet.start()
    world.fleet.announce_stop()
    world.ends[0].send(ipc.ConnectionOpened())
    await turns()
    assert world.opened_count == 1
    world.ends[0].close()
    assert world.fleet.exited(1001, 1)
    assert not world.fleet.exited(1001, 1), "a pid can come again, as somebody else's"
    await asyncio.sleep(0.15)
    assert [type(it) for it in world.heard[1]] == [ipc.Configure, ipc.AnnounceStop]
    await world.close()


@pytest.mark.asyncio
async def test_a_successor_is_told_of_the_readiness_as_it_is_alone() -> None:
    world = World(1)
    world.fleet.start()
    for reason in (None, "hung", None, "hung again"):
        world.fleet.set_readiness(reason)
    world.ends[0].send(ipc.AppUnreachable())
    await turns()
    assert world.unreachable_count == 1
    assert world.heard[0][1:] == [ipc.Readiness(it) for it in (None, "hung", None, "hung again")]
    world.ends[0].close()
    assert world.fleet.exited(1001, 1)
    await asyncio.sleep(0.15)
    assert world.heard[1][1:] == [ipc.Readiness("hung again")]
    await world.close()


@pytest.mark.asyncio
async def test_what_cannot_start_is_tried_again_less_and_less_often() -> None:
    world = World(1, starts=False)
    world.fleet.start()
    await asyncio.sleep(0.8)
    gaps = [b - a for a, b in zip(world.spawned_s, world.spawned_s[1:], strict=False)]
    assert 1 <= len(gaps) <= 3
    assert all(gap >= 0.09 * 2**i for i, gap in enumerate(gaps))
    world.fleet.stop_accepting(0.0)
    await turns()
    assert world.quiet_count == 1
    await world.close()


@pytest.mark.asyncio
async def test_a_worker_for_whose_link_there_is_no_descriptor_is_tried_again() -> None:
    world = World(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        world.fleet.start()
        await turns()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert world.ends == []
    ((event, fields),) = world.log.events
    assert (event, fields) == (
        "worker.not_started",
        {"worker": 0, "reason": "socketpair failed: Too many open files"},
    )
    await eventually(lambda: world.ends, "a worker, once there are descriptors")
    await world.close()


@pytest.mark.asyncio
async def test_a_census_leaves_out_who_does_not_answer_and_keeps_its_order() -> None:
    world = World()
    world.fleet.start()
    for end in world.ends:
        end.send(ipc.Report())
    await turns()
    taken: list[tuple[int, Snapshot]] = []
    for number in (1, 2):
        world.fleet.ask(lambda now, number=number: taken.append((number, now)))  # type: ignore[misc]
    await turns()
    for number in (2, 1):
        world.ends[0].send(ipc.Report(number, {"idle": number}))
    await turns()
    assert taken == []
    world.ends[1].send(ipc.Report(2, {"idle": 5, "active": 1}))
    await asyncio.sleep(0.3)
    assert [(number, now.census, now.silent_workers) for number, now in taken] == [
        (1, {"idle": 1}, 1),
        (2, {"idle": 7, "active": 1}, 0),
    ]
    await world.close()


@pytest.mark.asyncio
async def test_a_worker_that_talks_nonsense_is_dropped() -> None:
    world = World()
    world.fleet.start()
    world.ends[0]._sock.send(b"nonsense\n")
    world.ends[1].send(ipc.Quiet())
    await turns()
    world.fleet.stop_accepting(0.0)
    await turns()
    assert world.quiet_count == 1
    assert [fields["worker"] for event, fields in world.log.events if event == "worker.link_ended"] == [0]
    await world.close()


@pytest.mark.asyncio
async def test_who_does_not_answer_does_not_hold_the_signal_or_the_end_back() -> None:
    world = World()
    world.fleet.start()
    began_s = asyncio.get_running_loop().time()
    world.fleet.close_pool()
    world.ends[0].send(ipc.UpstreamsGone())
    await world.fleet.upstreams_gone()
    world.fleet.stop_accepting(0.0)
    await world.fleet.settle(0.1)
    assert 0.3 < asyncio.get_running_loop().time() - began_s < 2
    await world.close()


@pytest.mark.asyncio
async def test_the_last_words_of_a_worker_that_has_gone_are_heard() -> None:
    world = World(1)
    world.fleet.start()
    report = ipc.Report()
    report.outcomes.exchanges_finished = 3
    world.ends[0].send(report)
    world.ends[0].close()
    assert world.fleet.exited(1001, 137), "its exit is seen before the link is read"
    assert world.fleet.outcomes.exchanges_finished == 3
    world.fleet.stop_accepting(0.0)
    await world.close()


@pytest.mark.asyncio
async def test_a_link_that_nobody_reads_is_ended_before_it_fills_our_memory() -> None:
    ours, theirs = socket.socketpair()
    ends: list[str] = []
    link = Link(ours, on_message=lambda _: None, on_end=ends.append)
    with theirs:
        for _ in range(200):
            link.send(ipc.Cut("x" * 100_000, 503))
    assert ends == ["it does not read"]
    assert not link.is_open


@pytest.mark.asyncio
async def test_counters_never_go_down_when_a_worker_is_replaced() -> None:
    """One that does is read as a restart, and all that it stands at as new."""
    world = World(1)
    world.fleet.start()
    taken: list[Snapshot] = []
    for life in range(3):
        await eventually(lambda life=life: len(world.ends) > life, "a successor")  # type: ignore[misc]
        world.ends[life].send(ipc.Report(stats=Stats(requests=10, durations_sum_s=0.5, log_lines_dropped=1)))
        await eventually(lambda life=life: world.fleet.stats.requests == 10 * (life + 1))  # type: ignore[misc]
        world.ends[life].close()
        assert world.fleet.exited(1001 + life, 137)
        world.fleet.ask(taken.append)
    assert [now.stats for now in taken] == [
        Stats(requests=10 * n, durations_sum_s=0.5 * n, log_lines_dropped=n) for n in (1, 2, 3)
    ]
    assert [(now.workers, now.workers_serving, now.worker_exits) for now in taken] == [
        (1, 0, 1),
        (1, 0, 2),
        (1, 0, 3),
    ]
    await world.close()


@pytest.mark.asyncio
async def test_what_is_in_flight_is_everybodys_the_oldest_first() -> None:
    world = World()
    world.fleet.start()
    for end in world.ends:
        end.send(ipc.Report())
    await turns()
    taken: list[Snapshot] = []
    world.fleet.ask(taken.append)
    exchanges = [InFlight("GET", f"/{age}", float(age), "peer") for age in range(30, 0, -1)]
    stream = InFlight("GET", "/events", 15.5, "peer", Kind.STREAM)
    world.ends[0].send(
        ipc.Report(1, in_flight={"exchange": 30}, oldest=tuple(exchanges[:20]), levels=Levels(upstreams=3))
    )
    world.ends[1].send(ipc.Report(1, in_flight={"stream": 1}, oldest=(stream,), levels=Levels(upstreams=1)))
    await eventually(lambda: taken)
    (now,) = taken
    assert now.in_flight == {"exchange": 30, "stream": 1}
    assert now.oldest == (*exchanges[:15], stream, *exchanges[15:19])
    assert (now.levels.upstreams, now.workers_serving) == (4, 2)
    await world.close()

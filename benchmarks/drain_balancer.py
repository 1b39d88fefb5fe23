"""What do a load balancer's clients see of a target's stop, when it is taken out late, or never?

    python benchmarks/drain_balancer.py [--quick] [--only ecs|kubernetes|quiet] [--reps N]

Method: HAProxy stands in for the balancer and tries nothing twice. As an ALB it reuses connections to its
targets for anybody's requests (``http-reuse always``, idle ones kept for 60 s) and asks each target every 5 s
whether it is well (two failures take it out); as kube-proxy it relays connections. Each variant is a target
in a pool of its own, PID 1 of a PID namespace, beside a second one that stays; all pools are under load at
once, so that they share whatever the machine does. Keep-alive clients send some 25 requests a second to each
pool; three of its ten ask for what takes 1.5 s, and in the kubernetes pools half of them open a connection
for each request. The targets get SIGTERM in one moment, and are taken out (``set server … state drain``:
nothing new is sent, what is under way finishes) so many seconds later; SIGKILL comes at the platform's grace.
Whatever is no whole 200 is an error: the balancer's 502, 503, 504, a reset, an end without an answer. The way
to the targets and back takes 1 ms (link.py), and Node keeps idle connections for 75 s, or its 5 s would add
errors of their own.

The quiet at the lame duck's end is tried at 0, 1, 2 and 4 s (quiet_pyinit.py) with three kinds of traffic to
the target: a dozen requests a second; one each 3 s; and one a second over connections that a burst has left
in the balancer's pool.

Finding (Python 3.11.7, HAProxy 2.6.12, Node 20.20.2, two stops each): no error with the lame duck of ecs and
kubernetes wherever the target is taken out before half the budget (14.75 s of 30); without one, a dozen for
each second that it is late. Taken out at 20 s it takes --stop-timeout 60; never, some 75, until the checks
fail: they are the app's to answer, and do so for as long as we accept. Through kube-proxy 0, where 5 s of
sleep and server.close() cut one now and then. So 5 s stay the default. Of the quiet, 1 and 2 s do alike where
there is traffic (0 and 41 errors at 0 s), and 2 s leave room; 4 s would save one or two of the rare requests,
and cost every stop 2 s. The one a second over the pool is lost at any (2 to 4 a stop), as requests on
connections that were there before do not count as new; tried with those counted as well, none was.

Needs root, HAProxy, tini, Node.js, and pyinit installed beside the interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import link
from measuring import ENVIRONMENT, PID_NAMESPACE, children_of, eventually, machine, say, table

if TYPE_CHECKING:
    from collections.abc import Sequence

_DELAY_S = 0.0005
_WARM_S = 4.0  # the burst's slow requests are over by then
_SETTLE_S = 3.0  # after the last thing that happens: longer than the slowest request
_NEVER_S = 60.0  # by then the checks have found it, or they never will
_FIRST_PORT, _STAYING_PORT = 9000, 8000
_FALLBACK = "/usr/sbin"  # Debian's place for HAProxy is not in every user's PATH

# No word of how to stop but for CLOSE_AFTER_S; pyinit's app has none.
_APP = """
const http = require('node:http');
const server = http.createServer((req, res) => {
  const answer = () => res.writeHead(200, { 'Content-Length': 3 }).end('ok\\n');
  if (req.url === '/slow') setTimeout(answer, 1500);
  else answer();
});
server.keepAliveTimeout = 75_000;
server.listen(process.env.PORT, process.env.HOST || '127.0.0.1');
const after = process.env.CLOSE_AFTER_S;
if (after) process.on('SIGTERM', () => setTimeout(() => server.close(() => process.exit(0)), after * 1000));
"""

_HAPROXY = """
global
  stats socket {stats} mode 600 level admin
  maxconn 2000
  nbthread 1
defaults
  timeout connect 3s
  timeout client 75s
  timeout server 75s
  timeout check 2s
  retries 0
  no option redispatch
  balance roundrobin
  http-reuse always
  option httpchk
  http-check send meth GET uri / ver HTTP/1.1 hdr Host app hdr User-Agent {agent}
  default-server check inter 5s fall 2 rise 1 pool-purge-delay 60s
"""
_POOL = """
listen {name}
  mode {mode}
  bind {client}:{port}
  server a {server}:{port}
  server b {server}:{staying}
"""


class Traffic(NamedTuple):
    """What a pool's clients do.

    Attributes:
        clients: how many.
        interval_s: of each, on average.
        slow_clients: so many of them ask for what takes 1.5 s.
        fresh_clients: so many open a connection for each request.
        burst: slow requests all at once at the beginning.
    """

    clients: int
    interval_s: float
    slow_clients: int = 0
    fresh_clients: int = 0
    burst: int = 0


_BUSY = Traffic(10, 0.28, slow_clients=3)
_BUSY_FRESH = Traffic(10, 0.28, slow_clients=3, fresh_clients=5)
# The second target gets every other one.
_RARE = Traffic(1, 1.5)
_POOLED = Traffic(1, 0.5, burst=60)


class Variant(NamedTuple):
    """A target.

    Attributes:
        label: in the table.
        command: before the app's own.
        grace_s: the platform's, from SIGTERM to SIGKILL.
        close_after_s: the app's own handler: from SIGTERM to server.close(); None for no handler.
        traffic: of its pool.
    """

    label: str
    command: list[str]
    grace_s: float = 30.0
    close_after_s: float | None = None
    traffic: Traffic = _BUSY


class Group(NamedTuple):
    """Variants that run side by side.

    Attributes:
        variants: one row each.
        takeouts_s: from SIGTERM; None for never. One run, and one column, each.
        mode: HAProxy's.
        agent: who the health checks say they are.
    """

    variants: list[Variant]
    takeouts_s: list[float | None]
    mode: str
    agent: str


class Seen(NamedTuple):
    """What became of one variant in one run.

    Attributes:
        requests: after SIGTERM.
        errors: how many of each kind.
        exited_s: from SIGTERM; None for a target that was still there at the end.
        lame_duck_s: where pyinit reports one.
    """

    requests: int
    errors: Counter[str]
    exited_s: float | None
    lame_duck_s: float | None


def _pyinit(*arguments: str, quiet_s: float | None = None) -> list[str]:
    beside = Path(sys.executable)
    start = [str(beside.with_name("pyinit"))]
    if quiet_s is not None:
        start = [str(beside), str(Path(__file__).with_name("quiet_pyinit.py")), f"{quiet_s:g}"]
    return [*start, "--log-format", "json", "--listen", "{address}", *arguments, "--"]


def _groups(*, is_quick: bool) -> dict[str, Group]:
    node = [
        Variant("Node as PID 1, no handler", []),
        Variant("tini, Node without a handler", ["tini", "--"]),
        Variant("Node, `server.close()`", [], close_after_s=0.0),
        Variant("Node, 5 s of sleep, then `server.close()`", [], close_after_s=5.0),
    ]
    ecs = [
        *node,
        Variant("pyinit, docker: 10 s, no lame duck", _pyinit("--platform", "docker"), grace_s=10.0),
        Variant("pyinit, ecs, `--drain-delay 0`", _pyinit("--platform", "ecs", "--drain-delay", "0")),
        Variant("**pyinit, ecs: 30 s, lame duck 5 s**", _pyinit("--platform", "ecs")),
        Variant(
            "**pyinit, ecs, `--stop-timeout 60`**",
            _pyinit("--platform", "ecs", "--stop-timeout", "60"),
            grace_s=60.0,
        ),
    ]
    kubernetes = [
        *node,
        Variant(
            "pyinit, kubernetes, `--drain-delay 0`", _pyinit("--platform", "kubernetes", "--drain-delay", "0")
        ),
        Variant("**pyinit, kubernetes: 30 s, lame duck 5 s**", _pyinit("--platform", "kubernetes")),
    ]
    kubernetes = [variant._replace(traffic=_BUSY_FRESH) for variant in kubernetes]
    quiet = [
        Variant(f"{quiet_s:g} s, {name}", _pyinit("--platform", "ecs", quiet_s=quiet_s), traffic=traffic)
        for name, traffic in (
            ("a dozen a second", _BUSY),
            ("one each 3 s", _RARE),
            ("one a second, pooled", _POOLED),
        )
        for quiet_s in (0.0, 1.0, 2.0, 4.0)
    ]
    elb = "ELB-HealthChecker/2.0"
    return {
        "ecs": Group(ecs, [0, 3] if is_quick else [0, 3, 10, 20, None], "http", elb),
        "kubernetes": Group(kubernetes, [1] if is_quick else [0, 1, 3, 5], "tcp", "kube-probe/1.30"),
        "quiet": Group(quiet, [8] if is_quick else [8, 13], "http", elb),
    }


# -- the load, in a process of its own at the client's end ---------------------------------------------------

Row = tuple[int, float, str]  # pool, when it began, outcome


async def _load(address: str, pools: list[Traffic]) -> None:
    """Ask until SIGTERM, then print what became of each request."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    rows: list[Row] = []
    clients = []
    for pool, traffic in enumerate(pools):
        clients += [_once(address, pool, rows) for _ in range(traffic.burst)]
        clients += [
            _client(address, pool, traffic, number, rows, stopping) for number in range(traffic.clients)
        ]
    await asyncio.gather(*clients)
    print(json.dumps(rows))


async def _once(address: str, pool: int, rows: list[Row]) -> None:
    connection = _Connection(address, _FIRST_PORT + pool)
    rows.append((pool, time.monotonic(), await connection.ask("/slow")))
    connection.close()


async def _client(
    address: str, pool: int, traffic: Traffic, number: int, rows: list[Row], stopping: asyncio.Event
) -> None:
    connection = _Connection(address, _FIRST_PORT + pool)
    target = "/slow" if number < traffic.slow_clients else "/"
    is_fresh = number % 2 == 0 and number // 2 < traffic.fresh_clients  # slow ones among them
    while not stopping.is_set():
        pause_s = traffic.interval_s * random.uniform(0.5, 1.5)
        try:
            await asyncio.wait_for(stopping.wait(), pause_s)
        except TimeoutError:
            began_s = time.monotonic()
            rows.append((pool, began_s, await connection.ask(target)))
        if is_fresh:
            connection.close()
    connection.close()


class _Connection:
    """A client's, opened anew where it has ended."""

    def __init__(self, address: str, port: int) -> None:
        self._address = address, port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, target: str) -> str:
        """One request; ``200``, another status, or how it went wrong."""
        answer = b""
        try:
            async with asyncio.timeout(20):
                if self._ends is None or self._ends[0].at_eof():
                    self.close()
                    self._ends = await asyncio.open_connection(*self._address)
                reader, writer = self._ends
                writer.write(f"GET {target} HTTP/1.1\r\nHost: app\r\n\r\n".encode())
                answer = head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:-2])
                await reader.readexactly(int(fields["content-length"]))
        except asyncio.IncompleteReadError as problem:
            self.close()
            return "cut" if answer or problem.partial else "no answer"
        except TimeoutError:
            self.close()
            return "timeout"
        except ConnectionError:
            self.close()
            return "reset"
        if fields.get("connection") == "close":
            self.close()
        return head[9:12].decode()

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
        self._ends = None


# -- the targets, the balancer -------------------------------------------------------------------------------


class _Target:
    """A running one, PID 1 of its namespace."""

    def __init__(self, end: link.End, folder: Path, number: int, variant: Variant) -> None:
        self.variant = variant
        self.exited_s: float | None = None
        self._number = number
        port = _FIRST_PORT + number
        environment = {**ENVIRONMENT, "PORT": str(port)}
        if not any("{address}" in word for word in variant.command):
            environment["HOST"] = end.address
        if variant.close_after_s is not None:
            environment["CLOSE_AFTER_S"] = f"{variant.close_after_s:g}"
        words = [word.replace("{address}", f"{end.address}:{port}") for word in variant.command]
        self._log = folder / f"target-{number}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                end.command([*PID_NAMESPACE, *words, "node", str(folder / "app.js")]),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_listening(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.variant.label}: {self._log.read_text()}")
        port = f":{_FIRST_PORT + self._number:04X} "
        lines = Path(f"/proc/{self._process.pid}/net/tcp").read_text().splitlines()
        return any(port in line and line.split()[3] == "0A" for line in lines)

    def signal(self, signum: signal.Signals) -> None:
        for pid in children_of(self._process.pid):
            os.kill(pid, signum)

    def watch(self, since_s: float) -> bool:
        """Whether it has gone; SIGKILL where its time is over."""
        if self.exited_s is None:
            passed_s = time.monotonic() - since_s
            if self._process.poll() is not None:
                self.exited_s = passed_s
            elif passed_s >= self.variant.grace_s:
                self.signal(signal.SIGKILL)
        return self.exited_s is not None

    def lame_duck_s(self) -> float | None:
        for line in self._log.read_text().splitlines():
            if '"drain.finished"' in line:
                lasted_s: float | None = json.loads(line)["phases_s"].get("lame_duck")
                return lasted_s
        return None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class _Balancer:
    """A running HAProxy."""

    def __init__(self, between: link.Link, folder: Path, group: Group) -> None:
        program = shutil.which("haproxy") or f"{_FALLBACK}/haproxy"
        self._stats = folder / "stats"
        self._pools = [f"pool{number}" for number in range(len(group.variants))]
        text = _HAPROXY.format(stats=self._stats, agent=group.agent)
        for number, name in enumerate(self._pools):
            text += _POOL.format(
                name=name,
                mode=group.mode,
                client=between.client.address,
                server=between.server.address,
                port=_FIRST_PORT + number,
                staying=_STAYING_PORT,
            )
        config = folder / "haproxy.cfg"
        config.write_text(text)
        with (folder / "haproxy.log").open("wb") as log:
            self._process = subprocess.Popen(
                between.client.command([program, "-db", "-f", str(config)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask(self, *commands: str) -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self._stats))
            sock.sendall("; ".join(commands).encode() + b"\n")
            answer = b""
            while piece := sock.recv(1 << 16):
                answer += piece
        return answer.decode()

    def states(self, server: str) -> list[tuple[str, str]]:
        """Of each pool's a or b: what it thinks of it, and the last check's result."""
        if not self._stats.exists():
            return []
        rows = [row.split(",") for row in self.ask("show stat").splitlines()]
        heads = rows[0]
        status, check = heads.index("status"), heads.index("check_status")
        return [(row[status], row[check]) for row in rows[1:] if row[1:2] == [server]]

    def is_up(self) -> bool:
        states = [*self.states("a"), *self.states("b")]
        return len(states) == 2 * len(self._pools) and all(check == "L7OK" for _, check in states)

    def is_without_a(self) -> bool:
        return all(status.startswith("DOWN") for status, _ in self.states("a"))

    def take_out(self) -> None:
        answer = self.ask(*(f"set server {name}/a state drain" for name in self._pools)).strip()
        if answer:
            raise RuntimeError(answer)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def _run(group: Group, takeout_s: float | None) -> list[Seen]:
    """Stop all targets of a group once, under load."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "app.js").write_text(_APP)
        between = stack.enter_context(link.Link(_DELAY_S))
        staying = Variant("the one that stays", [])
        targets = []
        places = [(_STAYING_PORT - _FIRST_PORT, staying), *enumerate(group.variants)]
        for number, variant in places:
            targets.append(_Target(between.server, folder, number, variant))
            stack.callback(targets[-1].close)
            eventually(targets[-1].is_listening)
        del targets[0]
        balancer = _Balancer(between, folder, group)
        stack.callback(balancer.close)
        eventually(balancer.is_up)
        pools = json.dumps([variant.traffic for variant in group.variants])
        load = subprocess.Popen(
            between.client.command([sys.executable, __file__, "--load", pools, between.client.address]),
            stdout=subprocess.PIPE,
        )
        stack.callback(load.wait)
        stack.callback(load.kill)
        time.sleep(_WARM_S)
        since_s = time.monotonic()
        for target in targets:
            target.signal(signal.SIGTERM)
        _attend(group, targets, balancer, since_s, takeout_s)
        load.send_signal(signal.SIGTERM)
        rows: list[Row] = json.loads(load.communicate()[0])
        early = Counter(outcome for _, began_s, outcome in rows if began_s < since_s - 2 and outcome != "200")
        if early:
            raise RuntimeError(f"errors before the stop: {early}")
        return [
            Seen(
                requests=sum(pool == number and began_s >= since_s for pool, began_s, _ in rows),
                errors=Counter(out for pool, _, out in rows if pool == number and out != "200"),
                exited_s=target.exited_s,
                lame_duck_s=target.lame_duck_s(),
            )
            for number, target in enumerate(targets)
        ]


def _attend(
    group: Group, targets: Sequence[_Target], balancer: _Balancer, since_s: float, takeout_s: float | None
) -> None:
    """From SIGTERM until nothing more can happen to anybody."""
    is_taken_out = False
    end_s = since_s + _NEVER_S + 20
    while time.monotonic() < end_s:
        time.sleep(0.02)
        passed_s = time.monotonic() - since_s
        # All of them, as each has its clock.
        gone = [target.watch(since_s) for target in targets]
        if takeout_s is None:
            is_over = balancer.is_without_a()
        else:
            if not is_taken_out and passed_s >= takeout_s:
                balancer.take_out()
                is_taken_out = True
            # Through kube-proxy old connections go on to the end; an ALB's target has nothing more to do.
            is_over = is_taken_out and (group.mode == "http" or all(gone))
            is_over = is_over and all(
                is_gone or "{address}" not in " ".join(target.variant.command)
                for target, is_gone in zip(targets, gone, strict=True)
            )
        if is_over:
            end_s = min(end_s, time.monotonic() + _SETTLE_S)


# -- the figures ---------------------------------------------------------------------------------------------


def _numbers(values: Sequence[float], form: str) -> str:
    """The median, and the range where there is one; of two the range says it all."""
    least, most = (f"{value:{form}}" for value in (min(values), max(values)))
    if least == most:
        return least
    return (
        f"{least} to {most}"
        if len(values) == 2
        else f"{statistics.median_low(values):{form}} ({least} to {most})"
    )


def _print_group(name: str, group: Group, runs: dict[float | None, list[list[Seen]]]) -> None:
    heads = ["quiet, traffic" if name == "quiet" else "target"]
    heads += [
        "never taken out" if at_s is None else f"taken out after {at_s:g} s" for at_s in group.takeouts_s
    ]
    heads += ["lame duck, s" if name == "quiet" else "exit, s", "errors were"]
    rows = []
    for number, variant in enumerate(group.variants):
        seen = {at_s: [run[number] for run in runs[at_s]] for at_s in group.takeouts_s}
        cells = [_numbers([one.errors.total() for one in seen[at_s]], "d") for at_s in group.takeouts_s]
        everything = [one for some in seen.values() for one in some]
        times_s = [one.lame_duck_s if name == "quiet" else one.exited_s for one in everything]
        known_s = [value for value in times_s if value is not None]
        kinds = sum((one.errors for one in everything), Counter[str]())
        cells.append(f"{min(known_s):.1f} to {max(known_s):.1f}" if known_s else "later")
        cells.append(", ".join(f"{kind}: {count}" for kind, count in kinds.most_common()) or "none")
        rows.append([variant.label, *cells])
    requests = [one.requests for some in runs.values() for run in some for one in run]
    print(f"\n{name}: client errors a stop; {_numbers(requests, 'd')} requests from SIGTERM on\n")
    print(table(heads, rows), flush=True)


def main() -> None:
    """Run the groups, interleaving their repetitions, and print a table each; or be the load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a take-out or two, once: two to three minutes")
    parser.add_argument("--only", choices=["ecs", "kubernetes", "quiet"], help="one of the tables")
    parser.add_argument("--reps", type=int, help="stops for each column [2; --quick: 1]")
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        pools = [Traffic(*fields) for fields in json.loads(arguments.load[0])]
        asyncio.run(_load(arguments.load[1], pools))
        return
    problem = link.missing()
    if problem:
        parser.error(problem)
    # As an exception, so that nothing that was started is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for program in ("haproxy", "tini", "node"):
        if not shutil.which(program) and not shutil.which(program, path=_FALLBACK):
            parser.error(f"no {program}")
    reps = arguments.reps or (1 if arguments.quick else 2)
    groups = _groups(is_quick=arguments.quick)
    chosen = [arguments.only] if arguments.only else list(groups)
    print(f"{machine()}; {reps} stops each")
    runs: dict[str, dict[float | None, list[list[Seen]]]] = {
        name: {at_s: [] for at_s in groups[name].takeouts_s} for name in chosen
    }
    for rep in range(reps):
        for name in chosen:
            for at_s in groups[name].takeouts_s:
                say(f"{rep + 1} of {reps}: {name}, taken out {'never' if at_s is None else f'at {at_s:g} s'}")
                runs[name][at_s].append(_run(groups[name], at_s))
    for name in chosen:
        _print_group(name, groups[name], runs[name])


if __name__ == "__main__":
    main()

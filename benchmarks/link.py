"""Two network namespaces with a way between them that takes time and loses packets: what loopback hides shows here.

    python benchmarks/link.py --delay-ms 10 --loss 0.02 -- sh -c 'ip netns exec $CLIENT_NS curl -m 3 http://$SERVER_ADDR/'

A client's and a server's namespace are joined by two TUN devices; a process of its own moves the packets between
them, each the delay after it came. (netem would be less work and needs a kernel module that few hosts of
containers have.) Needs root, iproute2 and /dev/net/tun. The command gets CLIENT_NS and SERVER_NS, for
``ip netns exec``, and SERVER_ADDR and SERVER_ADDR6.

The devices are made here and moved there: a TUN descriptor opened inside a namespace would keep it alive, and a
namespace has to be able to end with the last process in it, as a container's does.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_DEVICE = Path("/dev/net/tun")
# A router's queue each way; what does not fit is lost, as there.
_QUEUE_PACKETS = 20_000
_PACKETS_PER_TURN = 256
_numbers = count()


class End(NamedTuple):
    """One side of the link.

    Attributes:
        namespace: its name, for ``ip netns exec``.
        address: its IPv4 address.
        address6: and its IPv6 one.
    """

    namespace: str
    address: str
    address6: str

    def command(self, command: list[str]) -> list[str]:
        """The same, run at this end; ``ip netns exec`` execs, so that the pid is the command's own."""
        return ["ip", "netns", "exec", self.namespace, *command]


class Link:
    """The two ends and the way between, as a context manager.

    Args:
        delay_s: one way.
        loss: the share of packets lost, each way; 0 to 1.
        lose: flags of TCP segments, as ``("SA", "+PA", "PA")``: the first SYN-ACK is lost, of what data comes then
            the first passes, the second is lost.
    """

    def __init__(self, delay_s: float, loss: float = 0.0, lose: Sequence[str] = ()) -> None:
        self._delay_s = delay_s
        self._loss = loss
        self._lose = lose
        name = f"pi{os.getpid()}x{next(_numbers)}"
        self.client = End(f"{name}c", "10.9.0.1", "fd09::1")
        self.server = End(f"{name}s", "10.9.0.2", "fd09::2")
        self._relay: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            tuns = [_attach(end) for end in (self.client, self.server)]
            command = [sys.executable, __file__, "--relay", *map(str, tuns)]
            command += ["--delay-ms", str(self._delay_s * 1000), "--loss", str(self._loss)]
            command += ["--lose", ",".join(self._lose)]
            self._relay = subprocess.Popen(command, pass_fds=tuns)
            for tun in tuns:
                os.close(tun)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """What is under way stays there meanwhile."""
        assert self._relay is not None  # noqa: S101  for the type checker
        self._relay.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._relay.send_signal(signal.SIGCONT)

    def forget_server(self) -> None:
        """Let the server's namespace end with the last process in it, its connections and all."""
        _ip("netns", "del", self.server.namespace)

    def _end(self) -> None:
        if self._relay is not None:
            self._relay.kill()
            self._relay.wait()
        for end in (self.client, self.server):
            subprocess.run(
                ["ip", "netns", "del", end.namespace],
                check=False,
                stderr=subprocess.DEVNULL,
            )


def missing() -> str | None:
    """Why there can be no link here; None where there can."""
    if os.geteuid():
        return "network namespaces need root"
    if not _DEVICE.exists():
        return f"no {_DEVICE}"
    for command in (["ip", "netns", "add", f"pi{os.getpid()}p"], ["ip", "netns", "del", f"pi{os.getpid()}p"]):
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True)
        except FileNotFoundError:
            return "no ip (apt-get install iproute2)"
        if done.returncode:
            return done.stderr.strip()
    return None


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _attach(end: End) -> int:
    """Make the namespace and its device; returns the descriptor that the device's packets go through."""
    name = end.namespace
    tun = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    _ip("netns", "add", name)
    _ip("link", "set", name, "netns", name)
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "addr", "add", f"{end.address}/24", "dev", name)
    _ip("-n", name, "-6", "addr", "add", f"{end.address6}/64", "dev", name, "nodad")
    _ip("-n", name, "link", "set", name, "txqueuelen", "10000", "up")
    return tun


def _tcp_flags(packet: bytes) -> str:
    """Its flags in the order of their bits, as ``SA`` or ``PA``; empty for what is no TCP segment."""
    if packet[0] >> 4 == 6:
        protocol, at = packet[6], 40
    else:
        protocol, at = packet[9], (packet[0] & 15) * 4
    if protocol != socket.IPPROTO_TCP or len(packet) <= at + 13:
        return ""
    return "".join(letter for bit, letter in enumerate("FSRPA") if packet[at + 13] >> bit & 1)


def relay(tuns: tuple[int, int], delay_s: float, loss: float, lose: Sequence[str] = ()) -> None:
    """Move packets both ways until killed. From a device that is gone, what is under way still arrives."""
    here, there = tuns
    read = list(tuns)
    ways: dict[int, tuple[int, deque[tuple[float, bytes]]]] = {
        here: (there, deque()),
        there: (here, deque()),
    }
    now = time.monotonic
    to_lose = deque(lose)
    while True:
        wait_s = 1.0
        for out, packets in ways.values():
            while packets and packets[0][0] <= now():
                try:
                    os.write(out, packets.popleft()[1])
                except OSError:
                    continue  # lost: the device is full, or gone with its namespace
            if packets:
                wait_s = min(wait_s, packets[0][0] - now())
        for tun in select.select(read, [], [], max(wait_s, 0.0))[0]:
            packets = ways[tun][1]
            for _ in range(_PACKETS_PER_TURN):
                try:
                    packet = os.read(tun, 65536)
                except BlockingIOError:
                    break
                except OSError:
                    read.remove(tun)  # its namespace has ended
                    break
                if to_lose and _tcp_flags(packet) == to_lose[0].lstrip("+") and to_lose.popleft()[0] != "+":
                    continue
                if len(packets) < _QUEUE_PACKETS and (not loss or random.random() >= loss):
                    packets.append((now() + delay_s, packet))


def main() -> int:
    """Run a command beside a link, or be its relay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--delay-ms", type=float, default=10.0, help="one way")
    parser.add_argument("--loss", type=float, default=0.0, help="the share of packets lost, 0 to 1")
    parser.add_argument("--lose", default="", help="flags of TCP segments to lose, in this order, as SA,PA")
    parser.add_argument("--relay", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("command", nargs="*")
    arguments = parser.parse_args()
    delay_s, lose = arguments.delay_ms / 1000, list(filter(None, arguments.lose.split(",")))
    if arguments.relay:
        relay(tuple(arguments.relay), delay_s, arguments.loss, lose)
        return 0
    if not arguments.command:
        parser.error("no command")
    problem = missing()
    if problem:
        parser.error(problem)
    with Link(delay_s, arguments.loss, lose) as link:
        environment = {
            **os.environ,
            "CLIENT_NS": link.client.namespace,
            "SERVER_NS": link.server.namespace,
            "SERVER_ADDR": link.server.address,
            "SERVER_ADDR6": link.server.address6,
        }
        return subprocess.run(arguments.command, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())

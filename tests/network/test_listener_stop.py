"""Stopping to accept across a way that takes time: what the kernel has accepted is served, all else refused at once.

Each way of refusing, by having the kernel refuse the one before it; by user, and with --workers.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from link import Link

from tests.support.far_front import (
    client_socket,
    connecting,
    family_of,
    far_node,
    handshakes,
    is_refused_at_once,
)
from tests.support.front import TIME_SCALE
from tests.support.http_client import Client
from tests.support.newcomers import REFUSED, REFUSED_LATE, SERVED, Newcomers
from tests.support.process import ROOT, eventually, status_fields
from tests.support.unprivileged import NOBODY, everybody_can_reach, sh

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.link, pytest.mark.node]

HELLO = "http.createServer((q,s)=>s.end('hello'))"
# One way; 20 ms there and back, as across a region.
WAY_S = 0.01
# Time for a stop while a handshake's last packet is under way; below half of the second after which it is sent again.
LONG_WAY_S = min(0.2 * TIME_SCALE, 0.45)

# What --listen says -> where its clients connect to.
PLACES = {
    "IPv4": ("10.9.0.2:0", "10.9.0.2"),
    "IPv6": ("[fd09::2]:0", "fd09::2"),
    "IPv6 on dual-stack": ("0", "fd09::2"),
    "IPv4 on dual-stack": ("0", "10.9.0.2"),
}
EACH_PLACE = pytest.mark.parametrize(("listen", "host"), PLACES.values(), ids=PLACES)
EACH_COUNT = pytest.mark.parametrize("workers", ["1", "2"], ids=["alone", "two workers"])


def refused(*names: str) -> tuple[str, ...]:
    """Words before a command that the kernel refuses these to."""
    return (sys.executable, "-P", f"{ROOT}/tests/support/seccomp.py", *names, "--")


def newcomers(link: Link, address: tuple[str, int]) -> Newcomers:
    return Newcomers(partial(client_socket, link, family_of(address)), address)


def answers(socks: list[socket.socket]) -> list[tuple[int, bytes, str | None]]:
    """What connects that are under way are answered with, once they have succeeded."""
    eventually(lambda: all(is_connected(sock) for sock in socks))
    clients = [Client.over(sock) for sock in socks]
    for client in clients:
        client.request("/")
    responses = [client.response() for client in clients]
    for client in clients:
        client.close()
    return [(it.status, it.body, it.get("connection")) for it in responses]


def is_connected(sock: socket.socket) -> bool:
    problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert not problem, f"connect: errno {problem}"
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


@EACH_COUNT
@EACH_PLACE
def test_handshakes_under_way_are_completed_and_served_and_others_refused(
    listen: str, host: str, workers: str
) -> None:
    with Link(LONG_WAY_S) as link, far_node(link, HELLO, "--workers", workers, "--listen", listen) as app:
        address = (host, app.port)
        under_way = connecting(link, address, 20)
        with link.frozen():
            assert handshakes(link, app.port) == 20
            app.signal()
            app.wait_event("drain.phase_changed", phase="draining")
        assert is_refused_at_once(link, address)
        assert answers(under_way) == [(200, b"hello", "close")] * 20
        assert app.wait() == 0


@EACH_COUNT
@EACH_PLACE
def test_under_load_nothing_is_lost(listen: str, host: str, workers: str) -> None:
    with Link(WAY_S) as link, far_node(link, HELLO, "--workers", workers, "--listen", listen) as app:
        clients = newcomers(link, (host, app.port))
        assert clients.stop(app) == 0
        assert (clients.lost, app.all_events("listener.plain_close")) == ({}, [])
        assert clients.outcomes[REFUSED] > clients.outcomes[REFUSED_LATE]


@EACH_COUNT
def test_a_user_without_capabilities_and_new_privileges_loses_nothing(workers: str, tmp_path: Path) -> None:
    before = (*sh(everybody_can_reach(tmp_path)), *NOBODY)
    arguments = ("--workers", workers, "--listen", "10.9.0.2:0")
    with Link(WAY_S) as link, far_node(link, HELLO, *arguments, before=before) as app:
        clients = newcomers(link, ("10.9.0.2", app.port))
        rights = status_fields(app.process.pid, ("CapPrm", "CapBnd", "CapAmb", "NoNewPrivs"))
        assert [int(value, 16) for value in rights.values()] == [0, 0, 0, 1]
        assert clients.stop(app) == 0
        assert (clients.lost, app.all_events("listener.plain_close")) == ({}, [])
        assert clients.outcomes[REFUSED] > clients.outcomes[REFUSED_LATE]


@EACH_COUNT
def test_without_the_option_a_filter_drops_new_syns_and_nothing_is_lost(workers: str) -> None:
    """They are sent again after a second, and refused once the listener is closed."""
    arguments = ("--workers", workers, "--listen", "0")
    with Link(WAY_S) as link, far_node(link, HELLO, *arguments, before=refused("SO_BINDTOIFINDEX")) as app:
        clients = newcomers(link, ("10.9.0.2", app.port))
        assert clients.stop(app) == 0
        assert (clients.lost, app.all_events("listener.plain_close")) == ({}, [])
        assert clients.outcomes[REFUSED_LATE]


@EACH_COUNT
def test_a_handshake_that_only_its_cookie_tells_of_is_completed(workers: str) -> None:
    """As under a flood: no socket stands for it, and its last packet has to find the listener."""
    arguments = ("--workers", workers, "--listen", "0")
    with Link(WAY_S) as link:
        # For all, as a flood would have it for most.
        always = "echo 2 >/proc/sys/net/ipv4/tcp_syncookies"
        subprocess.run(link.server.command(["sh", "-c", always]), check=True)
        with far_node(link, HELLO, *arguments) as app:
            clients = newcomers(link, ("10.9.0.2", app.port))
            assert clients.stop(app) == 0
            assert clients.lost == {}
            assert clients.outcomes[REFUSED_LATE]


def test_without_the_filter_too_what_waits_is_accepted_and_the_log_says_what_may_be_lost() -> None:
    before = refused("SO_BINDTOIFINDEX", "SO_ATTACH_FILTER")
    with Link(WAY_S) as link, far_node(link, HELLO, "--listen", "0", before=before) as app:
        clients = newcomers(link, ("10.9.0.2", app.port))
        assert clients.stop(app) == 0
        (said,) = app.all_events("listener.plain_close")
        assert "handshake will be reset" in said["reason"]
        assert clients.outcomes[SERVED]
        # Those whose last packet was under way, and no others: each was connected, and answered by a reset.
        assert set(clients.lost) <= {"Connection reset by peer after 0 bytes"}


@EACH_COUNT
def test_without_sock_diag_it_waits_a_fixed_time_and_nothing_is_lost(workers: str) -> None:
    arguments = ("--workers", workers, "--listen", "0")
    with Link(WAY_S) as link, far_node(link, HELLO, *arguments, before=refused("SOCK_DIAG")) as app:
        clients = newcomers(link, ("10.9.0.2", app.port))
        assert clients.stop(app) == 0
        assert app.all_events("listener.sock_diag_missing")
        assert clients.lost == {}


@EACH_COUNT
def test_a_unix_socket_is_unlinked_and_loses_nothing(workers: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    arguments: Sequence[str] = ("--workers", workers, "--listen", f"unix:{path}")
    with Link(WAY_S) as link, far_node(link, HELLO, *arguments) as app:
        app.wait_event("app.ready")
        clients = Newcomers(lambda: socket.socket(socket.AF_UNIX), str(path))
        assert clients.stop(app) == 0
        assert clients.lost == {}
        assert clients.outcomes[REFUSED]
        assert not path.exists()

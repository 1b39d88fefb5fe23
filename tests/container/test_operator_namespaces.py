"""Who may ask a pyinit what, with real users and namespaces; and where there is no control socket by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pyinit.admin.visitors import STRANGERS_MAX
from tests.support.front import EXAMPLE, Front, NamespacedFront, example
from tests.support.operator import Said, ask, asked_as, health, new_name, readiness, status
from tests.support.proc_figures import figures_of
from tests.support.process import SCRIPT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.node,
    pytest.mark.pid1,
    pytest.mark.skipif(os.geteuid() != 0, reason="other users and namespaces need root"),
    pytest.mark.skipif(not shutil.which("setpriv"), reason="need setpriv"),
]

SOMEBODY = ("setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups", "--")
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
REFUSED = Said(403, "our own user or root may ask\n")
# With a mount or a container's engine of its own it would not be the host's network namespace that is shared.
PRIVATE_NETWORK = ("unshare", "--net", "--")


def test_another_user_is_refused_and_said_so_once() -> None:
    name = new_name()
    with example("--control", name) as app:
        assert app.port
        for target, method in (("/status", "GET"), ("/readyz", "GET"), ("/stop", "POST"), ("/nope", "GET")):
            assert asked_as(*SOMEBODY, name=name, target=target, method=method) == REFUSED
        assert asked_as(*SOMEBODY, name=f"{name}.health", target="") == (
            0,
            "refused: our own user or root may ask\n",
        )
        assert asked_as(name=name, target="/readyz") == (200, "ready\n"), "root, who runs it"
        assert app.stop() == 0
        (refused,) = app.all_events("control.refused")
        assert str(refused["peer"]).startswith("uid 4711, pid ")


# Opens as many connections as it is told, says so, and holds them until its stdin ends.
_HOLD = """
import socket, sys
held = []
for _ in range(int(sys.argv[2])):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect("\\0" + sys.argv[1])
    held.append(sock)
print("held", flush=True)
sys.stdin.read()
"""


def test_another_user_cannot_keep_the_operator_out() -> None:
    name = new_name()
    with example("--control", name) as app:
        assert app.port
        assert status(name)["phase"] == "serving"
        before = figures_of(app.process.pid).descriptors
        command = [*SOMEBODY, sys.executable, "-I", "-S", "-c", _HOLD, name[1:], "200"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as stranger:
            assert stranger.stdin is not None
            assert stranger.stdout is not None
            assert stranger.stdout.readline() == b"held\n"
            for _ in range(20):
                assert readiness(name) == (200, "ready")
            assert figures_of(app.process.pid).descriptors <= before + STRANGERS_MAX + 2
            stranger.stdin.close()
        assert app.stop() == 0


@pytest.fixture
def somebodys() -> Iterator[tuple[Front, str]]:
    """A pyinit that does not run as root, as an image's USER."""
    name = new_name()
    running = _as(SOMEBODY, name)
    try:
        assert running.port
        yield running, name
    finally:
        running.close()


def _as(before: tuple[str, ...], name: str) -> Front:
    class AsThem(Front):
        def _command(self, arguments: list[str]) -> list[str]:
            return [*before, SCRIPT_PATH, *arguments]

    return AsThem(["--listen", "127.0.0.1:0", "--control", name, "--", "node", str(EXAMPLE)])


def test_its_own_user_and_root_may_do_everything(somebodys: tuple[Front, str]) -> None:
    app, name = somebodys
    assert asked_as(*NOBODY, name=name, target="/status") == REFUSED
    assert asked_as(*SOMEBODY, name=name, target="/readyz") == (200, "ready\n")
    assert readiness(name) == (200, "ready"), "root"
    assert asked_as(*SOMEBODY, name=name, target="/drain", method="POST").status == 202
    assert ask(name, "/stop", method="POST").status == 202
    assert app.wait() == 0


def test_a_peer_in_another_pid_namespace_may_only_read() -> None:
    """A container beside ours in one pod or task: same network, own processes, and root as ours may be."""
    name = new_name()
    app = NamespacedFront(["--listen", "127.0.0.1:0", "--control", name, "--", "node", str(EXAMPLE)])
    try:
        assert app.port
        assert health(name) == "ready\n"
        assert status(name)["pid"] == 1
        for target in ("/drain", "/stop", "/log-level", "/status"):
            answer = ask(name, target, method="POST")
            assert (answer.status, answer.body) == (
                403,
                b"from another PID namespace this can be read, not ordered\n",
            )
        assert asked_as(*SOMEBODY, name=name, target="/status") == REFUSED
        inside = ("nsenter", "--target", str(app.init_pid), "--pid", "--")
        assert asked_as(*inside, name=name, target="/drain", method="POST").status == 202
        assert status(name)["stop"]["signal"] is None
        assert app.stop() == 0
    finally:
        app.close()


def test_users_that_a_user_namespace_has_no_number_for_are_not_taken_for_ours() -> None:
    """In a user namespace everybody else is shown as 65534: also to a pyinit that runs as 65534 there."""
    name = new_name()
    running = _as(("unshare", "--user", "--map-user", "65534", "--"), name)
    try:
        assert running.port
        assert asked_as(*SOMEBODY, name=name, target="/status") == REFUSED
        assert asked_as(name=name, target="/stop", method="POST") == REFUSED, "root outside is nobody inside"
        assert running.wait_event("control.refused")["peer"].startswith("uid 65534, ")
        assert running.stop() == 0
    finally:
        running.close()


# Holds sockets that a machine's services have, runs what follows, and ends with it.
_MACHINE = """
import socket, subprocess, sys
held = [socket.socket(socket.AF_UNIX) for _ in sys.argv[1].split(",") if sys.argv[1]]
for sock, name in zip(held, sys.argv[1].split(",")):
    sock.bind(name.replace("@", "\\0", 1))
sys.exit(subprocess.run(sys.argv[2:]).returncode)
"""


def _listening(sockets: str, *, pid_namespace: bool, arguments: tuple[str, ...] = ()) -> dict[str, object]:
    """What a pyinit says of its control socket, in a network namespace that has these sockets of a machine."""

    class There(Front):
        def _command(self, given: list[str]) -> list[str]:
            unshare = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "--"]
            machine = [sys.executable, "-I", "-S", "-c", _MACHINE, sockets]
            return [*PRIVATE_NETWORK, *machine, *(unshare if pid_namespace else ()), SCRIPT_PATH, *given]

    running = There(["--listen", "127.0.0.1:0", *arguments, "--", "sh", "-c", "exit 3"])
    try:
        running.process.wait(30)
        (event,) = [
            *running.all_events("control.listening"),
            *running.all_events("control.off"),
            *running.all_events("control.failed"),
        ]
        return event
    finally:
        running.close()


@pytest.mark.parametrize(
    ("sockets", "pid_namespace", "event"),
    [
        ("", True, "control.listening"),
        ("@something/else", True, "control.listening"),
        ("@/containerd-shim/0123/shim.sock", True, "control.off"),
        ("@/containerd-shim/0123/shim.sock", False, "control.listening"),
    ],
    ids=["a container's", "with an app's own sockets", "the machine's", "on the machine itself"],
)
def test_under_host_networking_there_is_none(sockets: str, event: str, *, pid_namespace: bool) -> None:
    found = _listening(sockets, pid_namespace=pid_namespace)
    assert found["event"] == event
    if event == "control.off":
        assert "--control @NAME opens it" in str(found["reason"])


def test_under_host_networking_there_is_one_that_was_asked_for() -> None:
    name = new_name()
    found = _listening("@/containerd-shim/0/s", pid_namespace=True, arguments=("--control", name))
    assert (found["event"], found["address"]) == ("control.listening", name)

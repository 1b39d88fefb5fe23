"""``pyinitctl`` across namespaces and users: whom it finds without a name, and what it may do there.

Each pyinit is PID 1 of a namespace of its own, and all of a test are in one network namespace that is nobody else's: so
a task or a pod looks.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.support.ctl import ctl, said
from tests.support.front import EXAMPLE, Front
from tests.support.process import PATIENCE_S, SCRIPT_PATH, TIME_SCALE, children_of, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.pid1, pytest.mark.node]

NOBODY = 65534
# The interpreter may lie where another user cannot read: this reads, and changes nothing else.
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"),
)

REFUSED_ELSEWHERE = (
    "pyinitctl: @pyinit refuses this to uid 0: from another PID namespace this can be read, not ordered;"
    " it runs as uid 0\n"
)


class Network:
    """A network namespace with loopback alone, held by a process that waits."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--", "sh", "-c", "ip link set lo up && echo up && read _"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"up\n"

    @property
    def inside(self) -> list[str]:
        """What a command is run in it with."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(PATIENCE_S * TIME_SCALE)
        self._holder.stdout.close()


class Container(Front):
    """A pyinit that is PID 1 in a network that others are in as well."""

    def __init__(self, network: Network, *arguments: str, env: dict[str, str] | None = None) -> None:
        self._network = network
        super().__init__(["--listen", "127.0.0.1:0", *arguments, "--", "node", str(EXAMPLE)], env)

    def _command(self, arguments: list[str]) -> list[str]:
        unshare = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "--"]
        return [*self._network.inside, *unshare, SCRIPT_PATH, *arguments]

    @property
    def init_pid(self) -> int:
        """As seen from here; nsenter and unshare's parent are one process, which execs."""
        return eventually(lambda: children_of(self.process.pid))[0]

    @property
    def exec(self) -> list[str]:
        """What ``docker exec`` does: into all of its namespaces that are its own."""
        target = str(self.init_pid)
        return ["nsenter", "--target", target, "--pid", "--mount", "--net", "--"]

    @property
    def control(self) -> str:
        """The name it got."""
        return str(self.wait_event("control.listening")["address"])

    def close(self) -> None:
        """End all of its namespace; unshare, which waits, takes no SIGTERM."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(PATIENCE_S * TIME_SCALE)
        super().close()

    def signal(self, signum: int = signal.SIGTERM) -> None:
        """Send PID 1 a signal."""
        os.kill(self.init_pid, signum)


@contextmanager
def containers(
    network: Network, count: int, *arguments: str, env: dict[str, str] | None = None
) -> Iterator[list[Container]]:
    """So many, ready one after the other."""
    with ExitStack() as stack:
        running = []
        for _ in range(count):
            one = Container(network, *arguments, env=env)
            stack.callback(one.close)
            one.wait_event("app.ready")
            running.append(one)
        yield running


def another_pid_namespace(network: Network) -> list[str]:
    """A container beside: the same network, none of its processes to be seen."""
    return [*network.inside, "unshare", "--fork", "--pid", "--mount-proc", "--"]


def test_the_one_pyinit_is_found_without_a_name() -> None:
    # Under what looks like host networking it has to be named; in a container's own network it need not.
    with Network() as network, containers(network, 1, "--control", "@pyinit") as (app,):
        assert said(ctl("health", before=app.exec)) == (0, "ready\n", "")
        assert re.match(
            r"pyinit \S+ at @pyinit: front mode, pid 1, up ", ctl("status", before=app.exec).stdout
        )
        assert said(ctl("stop", before=app.exec)) == (0, "draining\n", "")
        assert app.wait() == 0


def test_none_in_this_network_namespace_says_why_that_may_be() -> None:
    with Network() as network:
        code, stdout, stderr = said(ctl("status", before=network.inside))
        assert (code, stdout) == (3, "")
        assert stderr.startswith("pyinitctl: no pyinit here: no control socket in this network namespace. ")
        assert said(ctl("health", before=network.inside)) == (1, "", stderr)
        with containers(network, 1, "--control", "off") as (app,):
            assert said(ctl("status", before=app.exec)) == (3, "", stderr)


def test_from_another_pid_namespace_it_can_be_read_and_not_ordered() -> None:
    with Network() as network, containers(network, 1, "--control", "@pyinit") as (app,):
        # From a container beside, and from the machine, whose processes PID 1 cannot see either.
        for before in (another_pid_namespace(network), network.inside):
            assert said(ctl("health", before=before)) == (0, "ready\n", "")
            assert "  phase       serving\n" in ctl("status", before=before).stdout
            for words in (["drain", "--wait"], ["stop"], ["log-level", "debug"]):
                assert said(ctl(*words, before=before)) == (4, "", REFUSED_ELSEWHERE)
        assert said(ctl("health", before=app.exec)) == (0, "ready\n", ""), "nothing was done"


@pytest.mark.parametrize(
    "env", [{}, {"PYINIT_CONTROL": "@pyinit"}], ids=["no name", "the same variable in each"]
)
def test_of_several_each_container_finds_its_own(env: dict[str, str]) -> None:
    """The health of the container beside would be an answer that looks right."""
    arguments = () if env else ("--control", "@pyinit")
    with Network() as network, containers(network, 3, *arguments, env=env) as apps:
        assert [app.control for app in apps] == ["@pyinit", "@pyinit-2", "@pyinit-3"]
        assert said(ctl("drain", "--wait", before=apps[1].exec, env=env))[0] == 0
        assert [ctl("health", before=app.exec, env=env).stdout for app in apps] == [
            "ready\n",
            "not ready: drained, waiting for the stop signal\n",
            "ready\n",
        ]
        assert said(ctl("stop", before=apps[2].exec, env=env))[0] == 0
        assert apps[2].wait() == 0
        assert ctl("health", before=apps[0].exec, env=env).stdout == "ready\n"


# Connects until the queue is full; what has been put there stays when it leaves.
FILL = """
import socket
while True:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    try:
        sock.connect("\\0pyinit-2.health")
    except BlockingIOError:
        break
"""


def test_a_neighbour_does_not_answer_for_one_that_is_stuck() -> None:
    """After minutes of checks nothing can be learned of it any more, not even whose it is."""
    env = {"PYINIT_CONTROL": "@pyinit"}
    with Network() as network, containers(network, 2, env=env) as (_, stuck):
        into = stuck.exec
        stuck.signal(signal.SIGSTOP)
        late = "pyinitctl: {} does not answer within 1 s: pyinit is stuck, or stopped\n".format
        assert said(ctl("health", "--timeout", "1", before=into, env=env)) == (1, "", late("@pyinit-2"))
        subprocess.run([*into, sys.executable, "-c", FILL], check=True, timeout=PATIENCE_S * TIME_SCALE)
        for changes in (env, {}):
            assert said(ctl("health", "--timeout", "1", before=into, env=changes)) == (
                1,
                "",
                late("@pyinit-2"),
            )


def test_of_several_status_lists_all_and_what_orders_needs_a_name() -> None:
    with Network() as network, containers(network, 2, "--control", "@pyinit") as (first, second):
        assert said(ctl("drain", "--wait", before=second.exec))[0] == 0
        done = ctl("status", before=first.exec)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "2 pyinits in this network namespace\n"
            "  @pyinit    ready                                            pid 1\n"
            "  @pyinit-2  not ready: drained, waiting for the stop signal  in another PID ...\n"
            "\n"
            "One of them: pyinitctl --control @pyinit-2 status\n"
        )
        beside = another_pid_namespace(network)
        expected = (
            "pyinitctl: several pyinits in this network namespace: @pyinit, @pyinit-2; say which with --control @pyinit"
            " or PYINIT_CONTROL\n"
        )
        for words in (["stop"], ["drain"], ["log-level", "info"], ["status", "--json"]):
            assert said(ctl(*words, before=beside)) == (2, "", expected)
        assert said(ctl("health", before=beside)) == (1, "", expected)
        assert said(ctl("health", "--control", "@pyinit-2", before=beside))[:2] == (
            1,
            "not ready: drained, waiting for the stop signal\n",
        )
        assert ctl("status", "--control", "@pyinit", before=beside).stdout.startswith("pyinit ")


def test_another_user_may_not_ask_and_is_told_who_may(tmp_path: Path) -> None:
    refused = (
        f"pyinitctl: @pyinit refuses this to uid {NOBODY}: our own user or root may ask; it runs as uid 0\n"
    )
    with Network() as network, containers(network, 1, "--control", "@pyinit") as (app,):
        as_nobody = [*app.exec, *AS_NOBODY]
        for words in (
            ["status"],
            ["status", "--json"],
            ["drain"],
            ["stop", "--wait"],
            ["log-level", "debug"],
        ):
            assert said(ctl(*words, before=as_nobody)) == (4, "", refused)
        assert said(ctl("health", before=as_nobody)) == (
            1,
            "",
            f"pyinitctl: @pyinit does not answer uid {NOBODY}: its own user (uid 0) or root may ask\n",
        )
        app.wait_event("control.refused")
    path = tmp_path / "control"
    with Network() as network, containers(network, 1, "--control", f"unix:{path}") as (app,):
        for socket_file in (path, Path(f"{path}.health")):
            socket_file.chmod(0o600)
        shut = f"pyinitctl: {path} may not be opened by uid {NOBODY}\n"
        before = [*app.exec, *AS_NOBODY]
        assert said(ctl("status", "--control", str(path), before=before)) == (4, "", shut)
        assert said(ctl("health", "--control", str(path), before=before)) == (1, "", shut)

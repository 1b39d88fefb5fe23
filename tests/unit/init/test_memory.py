"""Kills for lack of memory as cgroups count them: v2 and v1, from files in the form that kernels write.

Written down here, as a limit and a kill cannot be had where these tests run: the fields of mem_cgroup_oom_control_read
and of memory_events_show (mm/memcontrol.c). No real kill is seen by any test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pyinit.init import memory
from pyinit.init.child import Child
from pyinit.init.signals import SIGKILL, Forwarding

if TYPE_CHECKING:
    from pathlib import Path

V2 = "low 0\nhigh 0\nmax 57\noom 3\noom_kill 2\noom_group_kill 0\n"
V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"
# Before Linux 4.13.
OLD_V1 = "oom_kill_disable 0\nunder_oom 0\n"
V1_OWN = "12:pids:/docker/1f\n5:cpu,memory:/docker/1f\n1:name=systemd:/docker/1f\n0::/docker/1f\n"


def kills(tmp_path: Path, own: str | None, files: dict[str, str]) -> int | None:
    """The count where /proc/self/cgroup holds ``own`` and these files are there."""
    if own is not None:
        (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return memory.kills(str(tmp_path / "root"), str(tmp_path / "own"))


@pytest.mark.parametrize(
    ("own", "files", "count"),
    [
        pytest.param("0::/\n", {"memory.events": V2}, 2, id="v2 in a namespace of its own"),
        pytest.param("0::/a/b\n", {"a/b/memory.events": V2, "memory.events": ""}, 2, id="v2 seen whole"),
        pytest.param("0::/../x\n", {"memory.events": V2}, 2, id="v2 seen from outside its namespace"),
        pytest.param(V1_OWN, {"memory/memory.oom_control": V1}, 4, id="v1 mounted as the container's"),
        pytest.param(
            V1_OWN,
            {"memory/docker/1f/memory.oom_control": V1, "memory/memory.oom_control": "oom_kill 9\n"},
            4,
            id="v1 seen whole",
        ),
        pytest.param(V1_OWN, {"memory/memory.oom_control": OLD_V1}, None, id="v1 of an old kernel"),
        pytest.param("0::/\n", {"memory.events": "oom_kill 0\n"}, 0, id="none"),
        pytest.param("0::/\n", {"memory.events": "oom_kill many\n"}, None, id="no number"),
        pytest.param("0::/\n", {}, None, id="no controller"),
        pytest.param(None, {"memory.events": V2}, 2, id="no /proc"),
        pytest.param("nonsense\n\n", {"memory.events": V2}, 2, id="no line that can be read"),
    ],
)
def test_the_count_is_the_own_cgroups(
    tmp_path: Path, own: str | None, files: dict[str, str], count: int | None
) -> None:
    assert kills(tmp_path, own, files) == count


class Log:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def debug(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    info = warning = error = debug


@pytest.mark.parametrize(
    ("status", "counts", "named"),
    [
        pytest.param(SIGKILL, [1, 3], 2, id="killed, and the count has grown"),
        pytest.param(SIGKILL, [1, 1], None, id="killed by somebody"),
        pytest.param(SIGKILL, [None, None], None, id="nothing is counted"),
        pytest.param(137 << 8, [1, 2], None, id="an exit with 137"),
        pytest.param(15, [1, 2], None, id="another signal"),
    ],
)
def test_a_child_that_was_killed_while_the_count_grew_is_named(
    status: int, counts: list[int | None], named: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(counts)
    monkeypatch.setattr(memory, "kills", lambda: next(answers))
    monkeypatch.setattr("pyinit.init.reaper.reap", lambda: ([(7, status)], False))
    log, codes = Log(), list[int]()
    child = Child(
        7,
        forwarding=Forwarding({}),
        to_group=False,
        warn_on_reap=False,
        on_signal=lambda _: None,
        on_exit=codes.append,
        log=log,
    )
    child._reap()
    assert codes == [15 + 128 if status == 15 else 137]
    found = [fields["oom_kills"] for event, fields in log.events if event == "child.out_of_memory"]
    assert found == ([] if named is None else [named])

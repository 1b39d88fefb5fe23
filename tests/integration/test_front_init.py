"""Init's own options in front mode: they mean what they mean without a proxy."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.front import front, node
from tests.support.process import eventually, status_fields

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.node

SERVER = "http.createServer((q, r) => r.end('x')).listen(port, '127.0.0.1');"


@pytest.mark.parametrize("option", [("--expect-exit", "7"), ("-e", "7"), ("-ge7",)])
def test_an_expected_code_is_success(option: tuple[str, ...]) -> None:
    with node(SERVER + "process.on('SIGTERM', () => process.exit(7))", *option) as app:
        assert app.port
        app.signal(signal.SIGTERM)
        assert app.wait() == 0
        assert app.wait_event("drain.finished")["exit_code"] == 0


def test_another_code_is_not() -> None:
    with front("--listen", "127.0.0.1:0", "-e", "143", "--", "node", "-e", "process.exit(3)") as app:
        assert app.wait() == 3


def test_the_stop_signal_goes_to_the_whole_group(tmp_path: Path) -> None:
    """A shell in between, as in `CMD npm start`, does not pass it on."""
    helper = f"trap 'echo >{tmp_path}/heard; exit' TERM; echo >{tmp_path}/up; while :; do sleep 0.05; done"
    script = (
        f"require('child_process').spawn('sh', ['-c', {helper!r}], {{stdio: 'ignore'}});"
        "process.on('SIGTERM', () => process.exit(0));"
    )
    with node(SERVER + script, "-g") as app:
        assert app.port
        eventually((tmp_path / "up").exists)
        app.signal(signal.SIGTERM)
        assert app.wait() == 0
        eventually((tmp_path / "heard").exists)


def test_a_zombie_that_was_reaped_is_told() -> None:
    orphan = "require('child_process').spawn('sh', ['-c', '(sleep 0.2 &) ; exit'], {stdio: 'ignore'});"
    with node(SERVER + orphan, "-w") as app:
        reaped = app.wait_event("process.reaped")
        assert reaped["level"] == "warning"
        assert reaped["pid"] != app.child_pid


def test_verbosity_shows_what_the_log_level_shows() -> None:
    """A base image's TINI_VERBOSITY=4, or -vv: there is one log in front mode, and that is where to look."""
    orphan = "require('child_process').spawn('sh', ['-c', '(sleep 0.2 &) ; exit'], {stdio: 'ignore'});"
    with node(SERVER + orphan, "-vv") as app:
        assert app.wait_event("process.reaped")["level"] == "debug"
    with node(SERVER + orphan, "-vv", "--log-level", "info", "-w") as app:
        assert app.wait_event("process.reaped")["level"] == "warning"


def test_masks_and_dispositions_are_the_childs_again() -> None:
    with node(SERVER) as app:
        assert app.port
        # Node sets handlers of its own; what it ignores and blocks is what it was given.
        assert status_fields(app.child_pid, ["SigBlk"]) == {"SigBlk": "0" * 16}

"""The storm counts right: what a lossy server says it did, and that pyinit loses nothing where plain Node does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import drain_storm
import link
import pytest
from storm import LOST, Kind, Outcome, Plan, Storm, whole_answer
from storm_peers import APP, APPS, PEERS, Peer
from storm_report import Report

from tests.support.front import DEADLINE_S, TIME_SCALE
from tests.support.process import ROOT

SMALL = Plan(new=6, reuse=4, slow=3, before_s=0.5, after_s=0.2, slow_target="/slow?ms=400")
# Of the lossy server, which says no more of the others: it cannot know when the signal was sent.
TOLD = (*LOST, Outcome.NOT_200, Outcome.IDLE_CLOSED, Outcome.IDLE_RESET)


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that prints a line once it listens."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.slow
def test_every_loss_is_counted_as_what_it_was_and_nothing_else_is() -> None:
    plan = Plan(
        new=30,
        reuse=40,
        slow=20,
        think_s=(0.3, 0.5),
        before_s=0.7,
        after_s=0.2,
        timeout_s=3.0 * TIME_SCALE,
        budget_s=10 * DEADLINE_S,
    )
    with started(sys.executable, "-m", "tests.support.lossy_server") as process:
        assert process.stdout is not None
        stop = Storm("127.0.0.1", int(process.stdout.readline()), plan).run(process, signal.SIGTERM)
        did = json.loads(process.stdout.read())
    for kind in Kind:
        counted = {outcome.value: stop.after[kind, outcome] for outcome in TOLD if stop.after[kind, outcome]}
        assert counted == did[kind.value]
        assert set(counted) >= {outcome.value for outcome in (*LOST, Outcome.NOT_200)}
    assert stop.count(Outcome.IDLE_CLOSED)
    assert stop.count(Outcome.IDLE_RESET)
    assert stop.count(Outcome.REFUSED)
    assert {outcome for _, outcome in stop.before} == {Outcome.ANSWERED}
    assert (stop.exit_code, stop.is_killed) == (0, False)


@pytest.mark.node
@pytest.mark.slow
def test_pyinit_loses_nothing_where_node_without_a_handler_does(tmp_path: Path) -> None:
    kept = tmp_path / "storm.json"
    command = [sys.executable, "benchmarks/drain_storm.py"]
    done = subprocess.run(
        [*command, "--quick", "--peers", "pyinit,node", "--json", str(kept)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10 * DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = Report.load(kept)
    assert report.conditions == ["loopback", *(["20 ms round trip"] if link.missing() is None else [])]
    for condition in report.conditions:
        ((pyinit,), (node,)) = (report.stops[condition, peer] for peer in report.peers)
        assert pyinit.count(*LOST) == 0, pyinit
        assert pyinit.count(Outcome.ANSWERED), pyinit
        assert (pyinit.exit_code, pyinit.is_killed) == (0, False)
        # The slow requests that it was at, at the least: each client always has one but for the moment between two.
        assert node.count(*LOST) > 0, node
        assert node.exit_code == -signal.SIGTERM
    again = subprocess.run(
        [*command, "--from", str(kept)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert again.stdout == done.stdout
    in_short, *lines = [line for line in done.stdout.splitlines() if line.startswith("| pyinit")]
    assert in_short.split(" | ")[1::2] == ["0 (0)"] * len(report.conditions)
    assert [line.split(" | ")[4] for line in lines] == ["**0**"] * len(report.conditions)


@pytest.mark.node
def test_who_does_not_go_is_killed_at_the_budgets_end() -> None:
    """SIGCONT is none that Node ends by."""
    stay = f"const app = require({json.dumps(str(APPS / 'app.js'))}); const server = app.createServer();"
    stay += "server.listen(0, '127.0.0.1', () => console.log(server.address().port))"
    with started("node", "-e", stay) as process:
        assert process.stdout is not None
        plan = Plan(new=2, reuse=2, slow=2, before_s=0.3, after_s=0.1, budget_s=0.5)
        stop = Storm("127.0.0.1", int(process.stdout.readline()), plan).run(process, signal.SIGCONT)
    assert stop.is_killed
    assert stop.exit_code == -signal.SIGKILL
    assert stop.exit_s >= 0.5
    assert stop.count(*LOST) > 0


@pytest.mark.node
def test_a_peer_that_is_not_installed_is_said_and_left_out() -> None:
    absent = Peer("absent", "Absent {}", "no-such-program", lambda _: [])
    report = drain_storm.measure([absent, APP], ["loopback"], SMALL, 1, None)
    assert report.notes == ["Absent left out: need no-such-program"]
    assert [peer.startswith("Node ") for peer in report.peers] == [True]
    assert "- Absent left out: need no-such-program" in report.text()


@pytest.mark.node
def test_a_peer_that_does_not_come_up_is_said_and_the_others_are_measured() -> None:
    broken = Peer("broken", "Broken {}", "node", lambda _: ["-e", "throw new Error('as asked')"])
    report = drain_storm.measure([broken, APP], ["loopback"], SMALL, 1, None)
    (note,) = report.notes
    assert note.startswith("Broken ")
    assert "is not counted" in note
    assert "as asked" in note
    assert len(report.peers) == 1


def test_every_peer_has_a_name_of_its_own() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS) == 8


@pytest.mark.node
def test_a_picture_shows_every_peer_and_condition(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="need matplotlib")
    report = drain_storm.measure([APP], ["loopback"], SMALL, 1, None)
    kept, picture = tmp_path / "storm.json", tmp_path / "drain.svg"
    report.save(kept)
    # In a process of its own: matplotlib keeps the fonts that it has read open.
    command = [sys.executable, "benchmarks/drain_storm.py", "--from", str(kept), "--picture", str(picture)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    text = picture.read_text()
    assert all(f">{label}<" in text for label in (*report.peers, *report.conditions))


def test_without_matplotlib_the_line_that_installs_it_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(sys, "argv", ["drain_storm.py", "--picture", str(tmp_path / "drain.svg")])
    with pytest.raises(SystemExit, match="2"):
        drain_storm.main()
    assert "pip install matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", (200, True)),
        (b"HTTP/1.1 503 No\r\nConnection: close\r\ncontent-length: 0\r\n\r\n", (503, False)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", (200, True)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", (200, False)),
    ],
    ids=["by its length", "refused", "chunked", "of HTTP/1.0"],
)
def test_an_answer_is_whole_with_its_last_byte_and_not_before(
    answer: bytes, expected: tuple[int, bool]
) -> None:
    assert whole_answer(answer, has_ended=False) == expected
    for length in range(len(answer)):
        assert whole_answer(answer[:length], has_ended=True) is None


def test_an_answer_without_a_length_is_whole_when_its_connection_ends() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nabc"
    assert whole_answer(answer, has_ended=False) is None
    assert whole_answer(answer, has_ended=True) == (200, False)

"""For all tests: what cannot run here and why, and nothing left behind."""

from __future__ import annotations

import gc
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import engine
import link
import pytest

from tests.support import bundle
from tests.support.process import PidNamespace, children_of, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKERS = ("link", "pid1", "engine", "bundle", "node", "slow")


def pytest_configure(config: pytest.Config) -> None:
    """Files are handed out as they are collected: compiled and container first, which have few tests and take longest.

    xdist would have those with the most tests first, and three workers idle for the last minutes.
    """
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs namespaces or Node.js where there is none, with the reason."""
    reasons: dict[str, str | None] = {}
    if any(item.get_closest_marker("link") for item in items):
        reasons["link"] = link.missing()
    if any(item.get_closest_marker("pid1") for item in items):
        reasons["pid1"] = PidNamespace.refusal()
    if any(item.get_closest_marker("engine") for item in items):
        reasons["engine"] = engine.refusal()
    if any(item.get_closest_marker("bundle") for item in items):
        reasons["bundle"] = bundle.refusal()
    if any(item.get_closest_marker("node") for item in items):
        reasons["node"] = None if shutil.which("node") else "need node"
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for what was left out and why, as a run that skipped all of PID 1 is no proof of it."""
    left_out: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        marker = next((name for name in _MARKERS if name in report.keywords), "other")
        _, _, reason = (
            report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
        )
        left_out[marker, str(reason).removeprefix("Skipped: ")] += 1
    deselected = len(terminalreporter.stats.get("deselected", []))
    parts = [f"{count} {marker} tests ({reason})" for (marker, reason), count in sorted(left_out.items())]
    if deselected:
        parts.append(f"{deselected} tests (deselected)")
    if parts:
        terminalreporter.write_line(f"left out: {', '.join(parts)}")


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaks a child process or a descriptor: its successors would be blamed for it."""
    children, descriptors = _children(), _descriptors()
    yield
    if _descriptors() - descriptors:
        gc.collect()  # a socket in a reference cycle is no leak
    leaked = {fd: _target(fd) for fd in sorted(_descriptors() - descriptors)}
    assert not leaked, f"descriptors left open: {leaked}"
    eventually(lambda: not _children() - children, within_s=1.0, what=lambda: _children() - children)


def _children() -> set[int]:
    try:
        with open("/proc/thread-self/children") as line:  # noqa: PTH123  a file of /proc
            return set(map(int, line.read().split()))
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return set(children_of(os.getpid()))


def _descriptors() -> set[int]:
    found = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    return {fd for fd in found if _target(fd) is not None}  # not the one that listed them


def _target(fd: int) -> str | None:
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except FileNotFoundError:
        return None

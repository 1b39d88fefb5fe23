"""Descriptors and memory: what the machine says, and what stands for what it does not."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from pyinit import limits

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


class FakeLimits:
    """Stands for the kernel: a test that raised its own limit could not take it back."""

    def __init__(self, soft: int, hard: int, *, refuses: bool = False) -> None:
        self.pair = (soft, hard)
        self.refuses = refuses

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.pair

    def setrlimit(self, _: int, pair: tuple[int, int]) -> None:
        if self.refuses:
            raise ValueError
        self.pair = pair


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "after"),
    [
        (1024, 4096, 4096, (4096, 4096)),
        (4096, 4096, 4096, (4096, 4096)),
        (1024, resource.RLIM_INFINITY, 1 << 20, (1 << 20, resource.RLIM_INFINITY)),
        (1024, 1 << 30, 1 << 20, (1 << 20, 1 << 30)),
        (1 << 25, 1 << 30, 1 << 25, (1 << 25, 1 << 30)),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1 << 20, (resource.RLIM_INFINITY,) * 2),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one(
    soft: int, hard: int, raised: int, after: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeLimits(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", fake.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", fake.setrlimit)
    assert limits.raise_descriptor_limit() == raised
    assert fake.pair == after


def test_a_refusal_leaves_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeLimits(1024, 4096, refuses=True)
    monkeypatch.setattr(resource, "getrlimit", fake.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", fake.setrlimit)
    assert limits.raise_descriptor_limit() == 1024


@pytest.mark.parametrize(
    ("descriptors", "clients"), [(1024, 480), (66, 1), (10, 1), (1 << 20, (1 << 19) - 32)]
)
def test_a_client_takes_two_descriptors(descriptors: int, clients: int) -> None:
    assert limits.max_connections(descriptors) == clients


def cgroup(tmp_path: Path, own: str, **files: str) -> int:
    """The limit where /proc/self/cgroup holds ``own`` and these files (``__`` for a slash) are there."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "root" / name.replace("__", "/").replace("_in_bytes", "_in_bytes")
        path = path.with_name(
            path.name.replace("memory_max", "memory.max").replace("memory_limit", "memory.limit")
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return limits.buffer_memory_bytes(tmp_path / "root", tmp_path / "own")


def test_a_tenth_of_a_v2_limit(tmp_path: Path) -> None:
    assert cgroup(tmp_path, "0::/\n", memory_max=f"{512 * MIB}\n") == 512 * MIB // 10


def test_a_tenth_of_a_v1_limit(tmp_path: Path) -> None:
    own = "5:memory:/docker/x\n0::/\n"
    assert cgroup(tmp_path, own, memory__memory_limit_in_bytes=f"{256 * MIB}\n") == 256 * MIB // 10


def test_the_smallest_of_several_counts(tmp_path: Path) -> None:
    found = cgroup(tmp_path, "0::/a/b\n", memory_max=f"{512 * MIB}\n", a__b__memory_max=f"{100 * MIB}\n")
    assert found == 10 * MIB


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "0\n", "", "-1\n"])
def test_no_limit_is_64_mib(tmp_path: Path, text: str) -> None:
    assert cgroup(tmp_path, "0::/\n", memory_max=text) == 64 * MIB


def test_nothing_to_read_is_64_mib(tmp_path: Path) -> None:
    assert limits.buffer_memory_bytes(tmp_path / "none", tmp_path / "none") == 64 * MIB

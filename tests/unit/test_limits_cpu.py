"""Processors by quota and affinity: files as v1, v2 and containers have them."""

from pathlib import Path

import pytest

from pyinit import limits

# Recorded: file under the cgroup mount -> text; text of /proc/self/cgroup; what --workers auto makes of it on a
# machine where 16 processors may be used.
CASES: list[tuple[str, dict[str, str], str, int]] = [
    ("v2, no quota", {"cpu.max": "max 100000\n"}, "0::/\n", 16),
    ("v2, docker --cpus 2", {"cpu.max": "200000 100000\n"}, "0::/\n", 2),
    ("v2, docker --cpus 2.9: what is left over is for the app", {"cpu.max": "290000 100000\n"}, "0::/\n", 2),
    ("v2, a quarter of a processor", {"cpu.max": "25000 100000\n"}, "0::/\n", 1),
    ("v2, more quota than processors", {"cpu.max": "6400000 100000\n"}, "0::/\n", 16),
    (
        "v2, the host's tree: an ancestor's quota counts too",
        {"kubepods/cpu.max": "300000 100000", "kubepods/pod1/c/cpu.max": "max 100000"},
        "0::/kubepods/pod1/c\n",
        3,
    ),
    (
        "v1, docker",
        {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "50000\n"},
        "4:cpu,cpuacct:/docker/8f\n3:memory:/docker/8f\n0::/\n",
        3,
    ),
    (
        "v1, no quota",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        "4:cpu,cpuacct:/\n",
        16,
    ),
    (
        "v1, the host's tree, mounted by both names",
        {
            "cpu,cpuacct/docker/8f/cpu.cfs_quota_us": "400000\n",
            "cpu,cpuacct/docker/8f/cpu.cfs_period_us": "100000\n",
        },
        "4:cpu,cpuacct:/docker/8f\n",
        4,
    ),
    ("a cpuset line is no cpu line", {"cpuset/cpu.max": "100000 100000"}, "5:cpuset:/x\n", 16),
    ("outside of the namespace", {"cpu.max": "max 100000"}, "0::/../../other\n", 16),
    ("nothing there", {}, "", 16),
    ("not to be read", {"cpu.max": "many\n", "cpu/cpu.cfs_quota_us": "x"}, "what\n0::/\n", 16),
    ("a period of nothing", {"cpu.max": "100000 0\n"}, "0::/\n", 16),
]


@pytest.mark.parametrize(("name", "files", "own", "expected"), CASES, ids=[case[0] for case in CASES])
def test_processors(tmp_path: Path, name: str, files: dict[str, str], own: str, expected: int) -> None:
    root = tmp_path / "cgroup"
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (tmp_path / "self").write_text(own)
    assert limits.cpu_count(root, tmp_path / "self", usable=16) == expected, name


def test_affinity_is_a_bound_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("800000 100000\n")
    assert limits.cpu_count(tmp_path, tmp_path / "none", usable=3) == 3


def test_the_kernels_own_answer_is_at_least_one() -> None:
    assert limits.cpu_count() >= 1

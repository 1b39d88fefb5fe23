"""What a peer may do, by what the kernel says of it."""

import os
from pathlib import Path

import pytest

from pyinit.admin.peers import OVERFLOW_UID, Access, Peer, knows_every_user

OWN = os.geteuid()
OTHER = OWN + 4711


@pytest.mark.parametrize(
    ("peer", "access"),
    [
        (Peer(10, OWN, 0), Access.FULL),
        (Peer(10, 0, 0), Access.FULL),
        (Peer(0, OWN, 0), Access.READ),
        (Peer(0, 0, 0), Access.READ),
        (Peer(10, OTHER, 0), Access.NONE),
        (Peer(0, OTHER, 0), Access.NONE),
    ],
    ids=["ours", "root", "ours next door", "root next door", "another", "another next door"],
)
def test_access(peer: Peer, access: Access) -> None:
    assert peer.access is access


@pytest.mark.parametrize(
    ("uid_map", "is_known"),
    [
        ("         0          0 4294967295\n", True),
        ("         0     100000      65536\n", False),
        ("         0       1000          1\n         1     100000      65535\n", False),
        ("", False),
    ],
    ids=["the machine's own namespace", "a container's", "a rootless engine's", "not written yet"],
)
def test_whether_the_overflow_user_can_be_anybody(tmp_path: Path, uid_map: str, *, is_known: bool) -> None:
    file = tmp_path / "uid_map"
    file.write_text(uid_map)
    assert knows_every_user(file) is is_known


def test_nobody_is_nobody_where_every_user_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image's USER nobody: in a user namespace that shows others by its number too, it cannot be told from them."""
    monkeypatch.setattr(os, "geteuid", lambda: OVERFLOW_UID)
    found = []
    for is_known in (True, False):
        monkeypatch.setattr("pyinit.admin.peers.knows_every_user", lambda is_known=is_known: is_known)
        found.append(Peer(10, OVERFLOW_UID, 0).access)
    assert found == [Access.FULL, Access.NONE]


def test_a_log_line_says_who() -> None:
    assert str(Peer(10, 5, 0)) == "uid 5, pid 10"
    assert str(Peer(0, 5, 0)) == "uid 5, in another PID namespace"

"""Listening sockets as the kernel tells of them, both ways."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from pyinit import ports

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::", "0.0.0.0"])
@pytest.mark.parametrize("has_diag", [True, False])
def test_what_listens_here_is_found_by_its_port_and_inode(
    host: str, monkeypatch: pytest.MonkeyPatch, *, has_diag: bool
) -> None:
    if not has_diag:

        def refused(*_: int) -> Iterator[bytes]:
            raise OSError

        monkeypatch.setattr("pyinit.ports.dump", refused)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as sock:
        port, inode = sock.getsockname()[1], str(os.fstat(sock.fileno()).st_ino)
        assert [(it.ip, it.inode) for it in ports.listening() if it.port == port] == [(host, inode)]

"""The public addresses: bound, not listened on, and one line for each reason that one cannot be had."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pyinit import ports, sockets
from pyinit.errors import ListenError
from pyinit.values import Address, listen_address

if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def bound(stack: ExitStack, address: Address) -> _socket.socket:
    (sock,) = sockets.bind(address)
    stack.callback(sock.close)
    return sock


def port_of(sock: _socket.socket) -> int:
    return int(sock.getsockname()[1])


def refusal(address: Address) -> ListenError:
    with pytest.raises(ListenError) as problem:
        sockets.bind(address)
    assert str(problem.value).startswith(f"--listen {address}: ")
    return problem.value


def test_a_bare_port_is_dual_stack(stack: ExitStack) -> None:
    sock = bound(stack, Address(port=0))
    if sock.family == socket.AF_INET6:
        assert not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    sock.listen()
    with socket.create_connection(("127.0.0.1", port_of(sock)), timeout=5):
        pass


def test_without_ipv6_it_is_every_ipv4_address(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sockets._bind_inet

    def without_ipv6(
        address: Address, family: int, place: tuple[object, ...], *, dual: bool
    ) -> _socket.socket:
        if family == socket.AF_INET6:
            raise sockets._NoSuchFamilyError
        return real(address, family, place, dual=dual)

    monkeypatch.setattr(sockets, "_bind_inet", without_ipv6)
    assert bound(stack, Address(port=0)).getsockname()[0] == "0.0.0.0"


def test_until_it_listens_a_connect_is_refused(stack: ExitStack) -> None:
    sock = bound(stack, Address(host="127.0.0.1", port=0))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(sock)), timeout=5)


def test_reuse_is_off_after_the_bind_and_it_is_not_inherited(stack: ExitStack) -> None:
    """With SO_REUSEADDR on both sides an app could bind our port, and our listen() would fail."""
    sock = bound(stack, Address(host="127.0.0.1", port=0))
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not os.get_inheritable(sock.fileno())
    app = stack.enter_context(socket.socket())
    app.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with pytest.raises(OSError, match="in use"):
        app.bind(("127.0.0.1", port_of(sock)))


def test_a_port_whose_connections_are_in_time_wait_can_be_had(stack: ExitStack) -> None:
    """A restart at once: the side that closes first keeps its connections for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    bound(stack, Address(host="127.0.0.1", port=port))


def test_a_taken_port(stack: ExitStack) -> None:
    port = port_of(bound(stack, Address(host="127.0.0.1", port=0)))
    problem = refusal(Address(host="127.0.0.1", port=port))
    assert (problem.exit_code, "taken" in str(problem)) == (125, True)


def test_addresses_that_are_nobodys() -> None:
    # TEST-NET-1 (RFC 5737), and a name of the reserved domain (RFC 6761).
    problem = refusal(Address(host="192.0.2.1", port=0))
    assert (problem.exit_code, "no interface" in str(problem)) == (2, True)
    for host in ("no-such-host.invalid", "a..b.invalid", "é..invalid", "\udcff"):
        assert refusal(Address(host=host, port=0)).exit_code == 2


def test_a_unix_socket_and_one_left_from_before(stack: ExitStack, tmp_path: Path) -> None:
    address = listen_address(f"unix:{tmp_path}/app.sock", {})
    first = bound(stack, address)
    first.listen()
    assert refusal(address).exit_code == 125  # somebody listens there
    first.close()
    again = bound(stack, address)  # the file is still there, and nobody's
    assert again.getsockname() == address.path


def test_a_path_that_is_no_socket_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    assert refusal(Address(path=str(file))).exit_code == 125
    assert file.read_text() == "precious"
    assert refusal(Address(path=str(tmp_path / "none" / "x"))).exit_code == 2


def test_a_free_port_can_be_bound(stack: ExitStack) -> None:
    port = sockets.free_port()
    assert port_of(bound(stack, Address(host="127.0.0.1", port=port))) == port


def test_who_listens_is_found_in_proc(stack: ExitStack) -> None:
    sock = bound(stack, Address(host="127.0.0.1", port=0))
    port = port_of(sock)
    assert not [found for found in ports.listening() if found.port == port]
    sock.listen()
    (found,) = [found for found in ports.listening() if found.port == port]
    assert (found.ip, found.is_loopback) == ("127.0.0.1", True)
    held = ports.inodes({os.getpid()})
    assert held is not None
    assert found.inode in held

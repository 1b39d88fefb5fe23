"""A container's network goes with its PID 1, and with it what its kernel has not delivered yet: all has to be before.

The server's namespace has no name any more when pyinit is stopped, so that it ends with pyinit and its app. What they
wrote to clients that read slowly is by then in send buffers.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from link import Link

from pyinit.proxy.downstream import LINGER_S
from tests.support.far_front import FarFront, client_socket, far_node
from tests.support.front import DEADLINE_S, EXAMPLE
from tests.support.http_client import Client
from tests.support.process import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.link, pytest.mark.node, pytest.mark.slow]

# One way.
WAY_S = 0.01
# So much at a time on its way: a slow reader, of a megabyte and a half a second across 20 ms.
WINDOW_BYTES = 16 * 1024
SIZE_BYTES = 2 << 20
LOST_SIZE_BYTES = 512 << 10
# Its stream never ends by itself; a WebSocket is sent a message.
APP = f"""
(body=>{{
  const server=http.createServer((q,s)=>{{
    if(q.url==='/events'){{s.writeHead(200,{{'Content-Type':'text/event-stream'}});s.write('data: '+body+'\\n\\n')}}
    else if(q.url==='/chunked'){{s.write(body.slice(1));s.end('x')}}
    else s.end(body);
  }});
  const ws=require({str(EXAMPLE.with_name("websocket.js"))!r});
  server.on('upgrade',(q,k,head)=>{{
    ws.accept(q,k,head);
    const start=Buffer.from([0x81,127,0,0,0,0,0,0,0,0]);
    start.writeUInt32BE(body.length,6);
    k.write(Buffer.concat([start,Buffer.from(body)]));
  }});
  return server;
}})('x'.repeat(%d))"""

UPGRADE = (
    *("Connection: Upgrade", "Upgrade: websocket"),
    *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
)
EACH_WAY_TO_RUN = pytest.mark.parametrize(
    ("workers", "is_pid_1"),
    [("1", False), ("1", True), ("2", True)],
    ids=["a process", "PID 1", "two workers"],
)


def slow_client(link: Link, address: tuple[str, int]) -> Client:
    sock = client_socket(link, socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
    sock.settimeout(DEADLINE_S)
    sock.connect(address)
    return Client.over(sock)


def http_answer(client: Client, request: str, *fields: str) -> Callable[[], object]:
    """Ask, and see the answer begin; what is returned reads it, and how the connection ends."""
    client.send("\r\n".join([request, "Host: app.example", *fields, "", ""]).encode())
    client.sock.recv(1, socket.MSG_PEEK)

    def read() -> object:
        answer = client.response()
        return answer.status, answer.body, answer.is_cut, client.ends()

    return read


def half_closed(client: Client, request: str) -> Callable[[], object]:
    """The same of a client whose FIN comes while its answer is under way."""
    read = http_answer(client, request)
    client.sock.shutdown(socket.SHUT_WR)
    return read


def web_socket(client: Client) -> Callable[[], object]:
    """Its one message, and the code of the close after it."""
    client.request("/ws", *UPGRADE)
    assert client.response().status == 101
    client.sock.recv(1, socket.MSG_PEEK)

    return lambda: web_socket_rest(client)


def web_socket_rest(client: Client) -> tuple[int, bytes, int, int, str]:
    """Opcode and content of a message and of the close after it, which is answered; how the connection ends."""
    start = client.read(10)
    message = client.read(int.from_bytes(start[2:]))
    close = client.read(4)
    client.send(b"\x88\x82\0\0\0\0" + close[2:])
    return start[0], message, close[0], int.from_bytes(close[2:]), client.ends()


@pytest.mark.parametrize(
    ("loss", "size"), [(0.0, SIZE_BYTES), (0.02, LOST_SIZE_BYTES)], ids=["no loss", "2 % lost"]
)
@EACH_WAY_TO_RUN
def test_every_byte_of_what_is_in_flight_arrives_before_the_network_ends(
    loss: float, size: int, workers: str, *, is_pid_1: bool
) -> None:
    body = b"x" * size
    arguments = ("--stop-timeout", "60", "--workers", workers, "--listen", "10.9.0.2:0")
    with Link(WAY_S, loss) as link, far_node(link, APP % size, *arguments, is_pid_1=is_pid_1) as app:
        address = ("10.9.0.2", app.port)
        link.forget_server()
        clients = [slow_client(link, address) for _ in range(6)]
        reads = {
            "length": http_answer(clients[0], "GET /length HTTP/1.1"),
            "chunked": http_answer(clients[1], "GET /chunked HTTP/1.1"),
            "ends with the connection": http_answer(clients[2], "GET /chunked HTTP/1.0"),
            "FIN before the answer": half_closed(clients[3], "GET /length HTTP/1.1"),
            "events": http_answer(clients[4], "GET /events HTTP/1.1", "Accept: text/event-stream"),
            "WebSocket": web_socket(clients[5]),
        }
        answers = read_across_the_stop(app, reads)
        whole = (200, body, False, "fin")
        assert summary(answers) == summary(
            {
                **dict.fromkeys(reads, whole),
                "events": (200, b"data: " + body + b"\n\n", False, "fin"),
                "WebSocket": (0x81, body, 0x88, 1001, "fin"),
            }
        )
        (finished,) = app.all_events("drain.finished")
        assert finished["cut_count"] == 0
        for client in clients:
            client.close()


def read_across_the_stop(app: FarFront, reads: dict[str, Callable[[], object]]) -> dict[str, object]:
    """What each read brings, begun when the stop is asked for."""
    with ThreadPoolExecutor(len(reads)) as readers:
        app.signal()
        running = {name: readers.submit(outcome, read) for name, read in reads.items()}
        assert app.wait() == 0
        return {name: it.result() for name, it in running.items()}


def outcome(read: Callable[[], object]) -> object:
    """Or how it failed: the others are to be seen too."""
    try:
        return read()
    except (OSError, EOFError) as problem:
        return repr(problem)


def summary(answers: dict[str, object]) -> dict[str, object]:
    """With lengths for bytes, as a failure is to be read by people."""
    return {
        name: tuple(len(part) if isinstance(part, bytes) else part for part in answer)
        if isinstance(answer, tuple)
        else answer
        for name, answer in answers.items()
    }


# What each kind of client asks for, before its answer is given.
KINDS: dict[str, tuple[str, ...]] = {
    "length": ("GET /length HTTP/1.1",),
    "the last of a connection": ("GET /length HTTP/1.1", "Connection: close"),
    "chunked": ("GET /chunked HTTP/1.1",),
    "ends with the connection": ("GET /chunked HTTP/1.0",),
    "events": ("GET /events HTTP/1.1", "Accept: text/event-stream"),
    "WebSocket": ("GET /ws HTTP/1.1", *UPGRADE),
}
# More than one flight at the start of a connection, and less than a send buffer.
BUFFERED_BYTES = 48 << 10
# Answers when it is told to.
TOLD_APP = f"""
(server=>{{
  const answer=server.listeners('request')[0],upgrade=server.listeners('upgrade')[0];
  server.removeAllListeners('request');
  server.removeAllListeners('upgrade');
  server.on('request',(...them)=>{{process.on('SIGUSR2',()=>answer(...them));console.log('asked')}});
  server.on('upgrade',(...them)=>{{process.on('SIGUSR2',()=>upgrade(...them));console.log('asked')}});
  process.on('SIGUSR2',()=>console.log('told'));
  return server;
}})({APP % BUFFERED_BYTES})"""


@EACH_WAY_TO_RUN
@pytest.mark.parametrize("kind", KINDS)
def test_it_stays_as_long_as_an_answer_is_on_its_way(kind: str, workers: str, *, is_pid_1: bool) -> None:
    """However long: the way is frozen from before the answer until long after the linger."""
    arguments = ("--stop-timeout", "60", "--idle-grace", "0", "--workers", workers, "--listen", "10.9.0.2:0")
    with Link(WAY_S) as link, far_node(link, TOLD_APP, *arguments, is_pid_1=is_pid_1) as app:
        address = ("10.9.0.2", app.port)
        link.forget_server()
        with slow_client(link, address) as client:
            client.send("\r\n".join([*KINDS[kind], "Host: app.example", "", ""]).encode())
            eventually(lambda: "asked" in app.stdout)
            with link.frozen():
                app.signal(signal.SIGUSR2)
                eventually(lambda: "told" in app.stdout)
                app.signal()
                assert not has_ended_soon(app)
            body = b"x" * BUFFERED_BYTES
            if kind == "WebSocket":
                assert client.response().status == 101
                assert web_socket_rest(client) == (0x81, body, 0x88, 1001, "fin")
            else:
                answer = client.response()
                expected = b"data: " + body + b"\n\n" if kind == "events" else body
                assert (answer.is_cut, len(answer.body), client.ends()) == (False, len(expected), "fin")
        assert app.wait() == 0


def test_a_client_that_ends_once_its_answer_is_written_still_gets_it() -> None:
    """Its FIN finds the connection between requests, but for the kernel there is much to do yet."""
    arguments = ("--stop-timeout", "60", "--access-log", "--listen", "10.9.0.2:0")
    with Link(WAY_S) as link, far_node(link, APP % BUFFERED_BYTES, *arguments) as app:
        address = ("10.9.0.2", app.port)
        link.forget_server()
        with slow_client(link, address) as client:
            read = http_answer(client, "GET /length HTTP/1.1")
            app.wait_event("request.finished")
            client.sock.shutdown(socket.SHUT_WR)
            eventually(lambda: state_of(client.sock) == TCP_FIN_WAIT2)
            app.signal()
            assert not has_ended_soon(app)
            assert summary({"": read()}) == summary({"": (200, b"x" * BUFFERED_BYTES, False, "fin")})
        assert app.wait() == 0


# Its FIN is acknowledged; ours has not come.
TCP_FIN_WAIT2 = 5


def state_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def has_ended_soon(app: FarFront) -> bool:
    """Within twice the linger: where the answer is no, no machine is too slow for it."""
    try:
        app.process.wait(2 * LINGER_S)
    except subprocess.TimeoutExpired:
        return False
    return True

"""A raw HTTP client over a blocking socket: sends what it is told, sees FIN and RST apart."""

import socket
import time
from types import TracebackType
from typing import Self

from tests.support.front import DEADLINE_S


class Response:
    """One response as it came.

    Attributes:
        status: of the status line.
        fields: (name in lower case, value), in order.
        body: framing removed.
        interim: statuses of the 1xx before it.
        trailers: field lines after a chunked body.
    """

    def __init__(self, status: int, fields: list[tuple[str, str]]) -> None:
        self.status = status
        self.fields = fields
        self.body = b""
        self.interim: list[int] = []
        self.trailers: list[str] = []
        self.is_cut = False
        self.was_reset = False

    def get(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), None)

    def __repr__(self) -> str:
        return f"Response({self.status}, {self.fields}, {len(self.body)} bytes, cut={self.is_cut})"


class Client:
    """One connection.

    Args:
        port: of the listener.
        host: its address.
        receive_bytes: SO_RCVBUF, for a client that is soon full.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", *, receive_bytes: int | None = None) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.sock.settimeout(DEADLINE_S)
        if receive_bytes is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.connect((host, port))
        self._buffer = b""
        self.was_reset = False

    @classmethod
    def unix(cls, path: str) -> "Client":
        """Over a unix socket."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            # Without a timeout yet: with one a full queue is EAGAIN, and not waited for (unix(7)).
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return cls.over(sock)

    @classmethod
    def over(cls, sock: socket.socket) -> "Client":
        """Over a socket that is connected; the client's from here on."""
        client = cls.__new__(cls)
        client.sock = sock
        client.sock.settimeout(DEADLINE_S)
        client._buffer = b""
        client.was_reset = False
        return client

    def send(self, *pieces: bytes) -> None:
        """Send, piece by piece."""
        for piece in pieces:
            self.sock.sendall(piece)

    def get(self, target: str, *fields: str, method: str = "GET") -> Response:
        """Request and response on this connection."""
        self.request(target, *fields, method=method)
        return self.response(method=method)

    def request(self, target: str, *fields: str, method: str = "GET", body: bytes = b"") -> None:
        """A request head, and a body after it."""
        lines = [f"{method} {target} HTTP/1.1", "Host: app.example", *fields, "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def response(self, method: str = "GET") -> Response:
        """Read one response to its end; ``is_cut`` where it ends before that."""
        interim: list[int] = []
        while True:
            head = self._until(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            if status >= 200 or status == 101:
                break
            interim.append(status)
        fields = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:-2])]
        answer = Response(status, fields)
        answer.interim = interim
        try:
            self._body(answer, method)
        except EOFError:
            answer.is_cut = True
        answer.was_reset = self.was_reset
        return answer

    def _body(self, answer: Response, method: str) -> None:
        length = answer.get("content-length")
        if method == "HEAD" or answer.status in (101, 204, 304):
            return
        if answer.get("transfer-encoding") == "chunked":
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                answer.body += self.read(size)
                self.read(2)
            while (line := self._until(b"\r\n")) != b"\r\n":
                answer.trailers.append(line.decode().strip())
        elif length is not None:
            while len(answer.body) < int(length):
                answer.body += self._some(int(length) - len(answer.body))
        else:
            while True:
                try:
                    answer.body += self._some(1 << 20)
                except EOFError:
                    break
            answer.is_cut = self.was_reset

    def read(self, size: int) -> bytes:
        """So many bytes exactly. Raises EOFError."""
        data = b""
        while len(data) < size:
            data += self._some(size - len(data))
        return data

    def until(self, marker: bytes) -> bytes:
        """Everything up to a marker, with it. Raises EOFError."""
        return self._until(marker)

    def ends(self) -> str:
        """How the connection ends: ``fin`` or ``reset``; bytes before that are dropped."""
        try:
            while True:
                self._some(1 << 20)
        except EOFError:
            return "reset" if self.was_reset else "fin"

    def is_open(self) -> bool:
        """Whether neither FIN, reset nor data is there now."""
        self.sock.settimeout(0)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self.sock.settimeout(DEADLINE_S)
        return False

    def _until(self, marker: bytes) -> bytes:
        while marker not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(marker)
        return head + marker

    def _some(self, most: int) -> bytes:
        if not self._buffer:
            self._fill()
        data, self._buffer = self._buffer[:most], self._buffer[most:]
        return data

    def _fill(self) -> None:
        try:
            data = self.sock.recv(1 << 20)
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True
            data = b""
        if not data:
            raise EOFError("the connection has ended")
        self._buffer += data

    def reset(self) -> None:
        """Close with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self) -> None:
        """Close."""
        self.sock.close()

    def __del__(self) -> None:
        """A test's connections end with it."""
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def eventually(condition: object, what: str = "condition") -> None:
    """Wait until a callable says yes, up to the tests' deadline."""
    assert callable(condition)
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"never: {what}"
        time.sleep(0.01)

"""A server that, told to stop, treats requests in every bad way in turn, and says how often it did which.

For who counts losses: ``python -m tests.support.lossy_server`` prints its port, and at its end, as JSON, what it did
to which kind of client, in the words of benchmarks/storm.py. No connection is lost but by intent: SYNs are refused
before anything is closed, and it ends when the last connection has.
"""

from __future__ import annotations

import heapq
import itertools
import json
import selectors
import signal
import socket
import struct
import sys
import time
from collections import Counter
from contextlib import suppress

_SO_BINDTOIFINDEX = 62
_NO_SUCH_INTERFACE = 0x7FFFFFFF
# So that the stop meets most clients waiting; a reusing one asks again later than its answer's FIN or reset arrives.
_ANSWER_S, _SLOW_ANSWER_S = 0.05, 0.3
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
# Sent, then FIN (False) or reset (True); None: nothing, until the client goes.
_TREATMENTS: dict[str, tuple[tuple[bytes, bool | None], ...]] = {
    "reset": ((b"", True),),
    "empty": ((b"", False),),
    "truncated": ((_ANSWER[:-1], False), (_ANSWER[:-1], True), (_ANSWER[:9], False)),
    "timed out": ((b"", None), (_ANSWER[:9], None)),
    "not 200": ((_UNAVAILABLE, False),),
}
_IDLE_TREATMENTS: dict[str, tuple[tuple[bytes, bool | None], ...]] = {
    "idle closed": ((_ANSWER, False),),
    "idle reset": ((_ANSWER, True),),
}


class LossyServer:
    """One thread, one selector."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._woken, waker = socket.socketpair()
        for sock in (self._woken, waker):
            sock.settimeout(0)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(waker.fileno())
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._waker = waker
        self._open: set[socket.socket] = set()
        self._due: list[tuple[float, int, socket.socket, str]] = []
        self._serials = itertools.count()
        self._is_stopping = False
        self._did: Counter[tuple[str, str]] = Counter()
        bad = [(name, way) for name, ways in _TREATMENTS.items() for way in ways]
        idle = [(name, way) for name, ways in _IDLE_TREATMENTS.items() for way in ways]
        self._turns = {
            "new": itertools.cycle(bad),
            "slow": itertools.cycle(bad),
            "reuse": itertools.cycle(bad + idle),
        }

    def run(self) -> None:
        """Serve until told to stop, then do harm to each open connection, once."""
        _say(str(self._listener.getsockname()[1]))
        while not self._is_stopping or self._open:
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in self._selector.select(wait_s):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._woken:
                    self._stop()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._read(key.fileobj)
            while self._due and self._due[0][0] <= time.monotonic():
                _, _, sock, kind = heapq.heappop(self._due)
                self._answer(sock, kind)
        did = {kind: {name: n for (of, name), n in self._did.items() if of == kind} for kind in self._turns}
        _say(json.dumps(did))

    def _stop(self) -> None:
        self._woken.recv(4096)
        # A new SYN is refused from here on; the listener stays, for whoever was in a handshake.
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NO_SUCH_INTERFACE)
        self._accept()
        self._is_stopping = True

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                self._open.add(sock)
                self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, sock: socket.socket) -> None:
        request = sock.recv(65536)
        if not request:
            self._close(sock)
            return
        assert request.endswith(b"\r\n\r\n"), request
        if request.startswith(b"GET /slow"):
            kind, wait_s = "slow", _SLOW_ANSWER_S
        else:
            kind, wait_s = "new" if b"Connection: close" in request else "reuse", _ANSWER_S
        heapq.heappush(self._due, (time.monotonic() + wait_s, next(self._serials), sock, kind))

    def _answer(self, sock: socket.socket, kind: str) -> None:
        if not self._is_stopping:
            sock.sendall(_ANSWER)
            return
        name, (data, ends_by_reset) = next(self._turns[kind])
        self._did[kind, name] += 1
        sock.sendall(data)
        if ends_by_reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if ends_by_reset is not None:
            self._close(sock)

    def _close(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        self._open.remove(sock)
        sock.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    LossyServer().run()

"""The clients of proxy_cost.py that wrk does not have: ``proxy_clients.py KIND HOST PORT N``.

events: N event streams, whose events are counted. websockets: N of them, each with a frame under way, whose echoes are
counted. idle: N connections that had one answer each. slow: N downloads of 16 MiB that are not read on.

It says ``ready`` when all stand. A line with seconds on its stdin makes it count for these, and say the number as JSON;
its end is the end.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable

from proxy_app import EVENT, FRAME_PAYLOAD_BYTES, MIB

_AT_ONCE = 100
_PATIENCE_S = 60.0
_READ_BYTES = 64 * 1024
# An address for each connection, of the block that RFC 2544 has for benchmarks.
_FIELDS = b"Host: shop.example.com\r\nUser-Agent: Mozilla/5.0\r\nX-Forwarded-For: 198.18.%d.%d\r\n"
_EVENTS = b"GET /events HTTP/1.1\r\n" + _FIELDS + b"Accept: text/event-stream\r\n\r\n"
_IDLE = b"GET /api/items/1 HTTP/1.1\r\n" + _FIELDS + b"\r\n"
_SLOW = b"GET /slow HTTP/1.1\r\n" + _FIELDS + b"\r\n"
_UPGRADE = (
    b"GET /ws HTTP/1.1\r\n" + _FIELDS + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# Masked with zeros.
_FRAME = bytes((0x82, 0x80 | FRAME_PAYLOAD_BYTES, 0, 0, 0, 0)) + b"x" * FRAME_PAYLOAD_BYTES
_ECHO_BYTES = FRAME_PAYLOAD_BYTES + 2
# No chunk's head or end holds it, whatever a proxy makes of the chunks.
_EVENT_MARK = EVENT[: EVENT.index(b"\n")]


class Clients:
    """Connections of one kind.

    Args:
        kind: one of KINDS.
        address: the proxy's.
        count: how many.
    """

    def __init__(self, kind: str, address: tuple[str, int], count: int) -> None:
        self._kind = kind
        self._address = address
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        for begun in range(0, count, _AT_ONCE):
            self._open(range(begun, min(count, begun + _AT_ONCE)))

    def _open(self, numbers: range) -> None:
        request, has_begun = _KINDS[self._kind]
        opened = {}
        for number in numbers:
            sock = socket.socket()
            if self._kind == "slow":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(_PATIENCE_S)
            sock.connect(self._address)
            sock.sendall(request % divmod(number, 256))
            opened[sock.fileno()] = sock
        for fd, sock in opened.items():
            answer = b""
            while not has_begun(answer):
                try:
                    block = sock.recv(1024)
                except TimeoutError:
                    raise SystemExit(
                        f"{len(self._socks):,} answered, no answer for {_PATIENCE_S:g} s"
                    ) from None
                if not block:
                    raise SystemExit(f"{len(self._socks):,} answered, the next closed after {answer[:200]!r}")
                answer += block
            if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")):
                raise SystemExit(f"answered {answer[:200]!r}")
            sock.settimeout(0)
            self._socks[fd] = sock
            if self._kind in {"events", "websockets"}:
                self._poll.register(fd, select.EPOLLIN)

    def count_for(self, seconds: float) -> int:
        """How many events or echoes came."""
        count = 0
        echoed: dict[int, int] = dict.fromkeys(self._socks, 0)
        if self._kind == "websockets":
            for sock in self._socks.values():
                sock.send(_FRAME)
        else:
            self._drop_what_came()
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(left_s):
                block = self._socks[fd].recv(_READ_BYTES)
                if not block:
                    raise SystemExit("closed before its end")
                if self._kind == "events":
                    count += block.count(_EVENT_MARK)
                    continue
                echoed[fd] += len(block)
                if echoed[fd] >= _ECHO_BYTES:
                    echoed[fd] -= _ECHO_BYTES
                    count += 1
                    self._socks[fd].send(_FRAME)
        return count

    def _drop_what_came(self) -> None:
        for fd, _ in self._poll.poll(0):
            self._socks[fd].recv(MIB)


def _has_head(answer: bytes) -> bool:
    return b"\r\n\r\n" in answer


def _is_whole(answer: bytes) -> bool:
    head, ends, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    if ends and not length:
        return body.endswith(b"0\r\n\r\n")  # a proxy may have chunked it
    return bool(ends) and len(body) >= int(length)


_KINDS: dict[str, tuple[bytes, Callable[[bytes], bool]]] = {
    "events": (_EVENTS, _has_head),
    "websockets": (_UPGRADE, _has_head),
    "idle": (_IDLE, _is_whole),
    "slow": (_SLOW, _has_head),
}


def main(kind: str, host: str, port: str, count: str) -> None:
    """As the module says."""
    clients = Clients(kind, (host, int(port)), int(count))
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = float(line)
        counted = clients.count_for(seconds)
        print(json.dumps({"count": counted, "wall_s": seconds}), flush=True)
    os._exit(0)  # ten thousand sockets need no taking down one by one


if __name__ == "__main__":
    main(*sys.argv[1:])

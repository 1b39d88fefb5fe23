"""The event stream grammar and its client, as the HTML standard has them (section 9.2), byte by byte and slowly.

Independent of pyinit.http1.sse, which it is the measure of: it dispatches events, and knows no shortcuts.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from tests.support.http_client import Client

BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """What ``onmessage`` gets."""

    last_id: str
    kind: str
    data: str


class EventParser:
    """Interprets a stream.

    Attributes:
        events: dispatched so far.
        last_id: what Last-Event-ID would be.
        retry_ms: the reconnection time; None where the stream did not set one.
        is_between: whether nothing of an event has come since the last one's end, at a line's beginning.
    """

    def __init__(self, last_id: str = "") -> None:
        self.events: list[Event] = []
        self.last_id = last_id
        self.retry_ms: int | None = None
        self.is_between = True
        self._start = b""
        self._has_started = False
        self._line = bytearray()
        self._has_fields = False
        self._is_after_cr = False
        self._data: list[str] = []
        self._kind = ""
        self._id = last_id

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if not self._has_started:
            self._start += data
            if BOM.startswith(self._start):
                if self._start == BOM:
                    self._has_started, self.is_between = True, True
                else:
                    self.is_between = not self._start
                return
            self._has_started = True
            data = self._start.removeprefix(BOM)
        for at in range(len(data)):
            self._byte(data[at : at + 1])

    def _byte(self, byte: bytes) -> None:
        if byte == b"\n" and self._is_after_cr:
            self._is_after_cr = False
            return
        self._is_after_cr = byte == b"\r"
        if byte in (b"\r", b"\n"):
            self._take_line(self._line.decode(errors="replace"))
            self._line.clear()
            self.is_between = not self._has_fields
        else:
            self._line += byte
            self.is_between = False

    def _take_line(self, line: str) -> None:
        if not line:
            self._dispatch()
            return
        if line.startswith(":"):
            return
        self._has_fields = True
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> None:
        self.last_id = self._id
        if self._data:
            self.events.append(Event(self.last_id, self._kind or "message", "\n".join(self._data)))
        self._data, self._kind, self._has_fields = [], "", False


class EventSource:
    """A client that behaves as a browser's, and is stricter: what ends otherwise than it should is told.

    Attributes:
        events: of all connections, in order.
        endings: of each connection that has ended: ``whole`` or what it was instead.
        last_ids: the Last-Event-ID of each connection made.
    """

    def __init__(
        self, next_port: Callable[[], int], target: str = "/events", *, retry_s: float = 0.01
    ) -> None:
        self._next_port = next_port
        self._target = target
        self._retry_s = retry_s
        self._last_id = ""
        self.events: list[Event] = []
        self.endings: list[str] = []
        self.last_ids: list[str] = []

    def run_until(self, is_enough: Callable[[], bool], within_s: float) -> None:
        """Connect and connect again, until then."""
        end_s = time.monotonic() + within_s
        while not is_enough():
            assert time.monotonic() < end_s, (self.endings, self.events[-3:])
            try:
                client = Client(self._next_port())
            except ConnectionRefusedError:
                time.sleep(self._retry_s)
                continue
            with client:
                self.last_ids.append(self._last_id)
                fields = [f"Last-Event-ID: {self._last_id}"] if self._last_id else []
                client.request(self._target, "Accept: text/event-stream", "Cache-Control: no-cache", *fields)
                ending = self._read(client, lambda: is_enough() or time.monotonic() > end_s)
            if ending:
                self.endings.append(ending)

    def _read(self, client: Client, is_enough: Callable[[], bool]) -> str:
        head = client.until(b"\r\n\r\n").lower()
        assert head.startswith(b"http/1.1 200"), head
        assert b"\r\ntransfer-encoding: chunked\r\n" in head, head
        parser = EventParser(self._last_id)
        try:
            while not is_enough():
                size = int(client.until(b"\r\n"), 16)
                parser.feed(client.read(size))
                self.events += parser.events
                parser.events.clear()
                self._last_id = parser.last_id
                assert client.read(2) == b"\r\n"
                if not size:
                    break
            else:
                return ""
        except (EOFError, ConnectionResetError) as cut:
            return f"cut: {cut!r}"
        if not parser.is_between:
            return "torn"
        return "whole" if client.ends() == "fin" else "whole, then a reset"

"""The page, with a /status of the test's own: whatever a run could say, at once."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pyinit.admin import page

if TYPE_CHECKING:
    from collections.abc import Iterator

Status = dict[str, Any]


def status(**changes: Any) -> Status:
    """A run that serves; fields of ``/status``, with these instead."""
    states = ("new", "active", "idle", "tunnel", "lingering")
    counts = ("exchanges_finished", "connections_closed_idle", "tunnels_finished", "websockets_closed")
    totals = ("connections", "requests", "refused", "upstream_connects", "upstream_failures", "replays")
    return {
        "status_version": 1,
        "pid": 1,
        "version": "1.2.3",
        "mode": "front",
        "started_at": 1_000_000_000.0,
        "uptime_s": 3600.0,
        "phase": "serving",
        "ready": True,
        "not_ready": None,
        "platform": "docker",
        "listeners": ["[::]:8080"],
        "upstream": "127.0.0.1:40000",
        "budget": {
            "total_s": 9.5,
            "lame_duck_s": 0.0,
            "lame_duck_max_s": 4.75,
            "drain_s": 6.55,
            "kill_s": 9.4,
            "spent_s": 0.0,
            "left_s": 9.5,
        },
        "stop": None,
        "child": {"pid": 7, "program": "node", "exit_code": None},
        "workers": 1,
        "connections": dict.fromkeys(states, 0),
        "oldest": [],
        "totals": {**dict.fromkeys(totals, 0), "responses": [0] * 6, "callback_faults": 0},
        "outcomes": {**dict.fromkeys(counts, 0), "streams_ended": 0, "cut_count": 0, "cut": []},
        "signals": {},
        "processes_reaped": 0,
        "log_level": "info",
        "log_lines_dropped": 0,
        **changes,
    }


class PageServer(ThreadingHTTPServer):
    """A stand-in for pyinit's own server.

    Attributes:
        status: what it says next; None is a 504.
        asked_count: how often it was.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status: Status | None = status()
        self.asked_count = 0
        self.page = page.load()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        """The page and the state."""
        if self.path == "/":
            self._answer(200, self.server.page.body, self.server.page.fields)
        elif self.path == "/status":
            self.server.asked_count += 1
            now = self.server.status
            self._answer(504 if now is None else 200, json.dumps(now).encode(), {})
        else:
            self._answer(404, b"", {})

    def _answer(self, code: int, body: bytes, fields: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Nothing."""


@contextmanager
def page_server() -> Iterator[PageServer]:
    """One that runs."""
    server = PageServer()
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        serving.join()

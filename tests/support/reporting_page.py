"""A page of the test's own in a headless Chromium, which says what it sees by ``report(value)``.

No driver: the page's script is the test, and what it reports comes back as JSON to the small server that the page is
from.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.chromium import browsing

_PAGE = """<!doctype html><meta charset="utf-8"><title>test</title><script>
let reported = Promise.resolve();
const report = (value) => {
  const body = JSON.stringify(value);
  reported = reported.then(() => fetch('/report', {method: 'POST', body}));
};
window.onerror = (text) => report({error: text});
%s
</script>
"""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = (_PAGE % script).encode()
        self.reports: list[Any] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """The page, and nothing else."""
        is_page = self.path == "/"
        self._answer(200 if is_page else 404, self.server.page if is_page else b"")

    def do_POST(self) -> None:
        """What the page reports."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.reports.append(json.loads(body))
        self._answer(200, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Nothing."""


@contextmanager
def reports(script: str) -> Iterator[list[Any]]:
    """A browser whose page runs this script; what it has reported so far.

    Args:
        script: may call ``report(value)``; its errors are reported as ``{error}``.
    """
    server = _Server(script)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        with browsing(f"http://127.0.0.1:{server.server_port}/"):
            yield server.reports
    finally:
        server.shutdown()
        server.server_close()
        serving.join()

"""A registry of npm with one package, which has a hole as severe as it is told; for what asks about holes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE, VERSION = "pyinit-left-behind", "1.0.0"
_ADVISORIES = "/-/npm/v1/security/advisories/bulk"


class Registry:
    """One that runs, on this machine's loopback.

    Attributes:
        url: where.
        severity: of the package's hole, in npm's words; None for a registry that knows of none for anybody: 405.
        asked: for each question about holes, the versions by package.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.severity: str | None = None
        self.asked: list[dict[str, list[str]]] = []
        self.package = _package()

    @property
    def _integrity(self) -> str:
        return f"sha512-{base64.b64encode(hashlib.sha512(self.package).digest()).decode()}"

    @property
    def _tarball(self) -> str:
        return f"{self.url}{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"

    def add_to(self, app: Path) -> None:
        """Make the package a dependency of an app that has none."""
        for name, place in (("package.json", ()), ("package-lock.json", ("packages", ""))):
            whole = json.loads((app / name).read_text())
            part = whole
            for key in place:
                part = part[key]
            part["dependencies"] = {PACKAGE: VERSION}
            if place:
                dependency = {"version": VERSION, "resolved": self._tarball, "integrity": self._integrity}
                whole["packages"][f"node_modules/{PACKAGE}"] = dependency
            (app / name).write_text(json.dumps(whole))

    def about_package(self) -> dict[str, Any]:
        """What npm is told of it."""
        dist = {"tarball": self._tarball, "integrity": self._integrity}
        return {
            "name": PACKAGE,
            "dist-tags": {"latest": VERSION},
            "versions": {VERSION: {"name": PACKAGE, "version": VERSION, "dist": dist}},
        }

    def about_holes(self) -> dict[str, Any]:
        """The same, of its hole."""
        hole = {
            "id": 1,
            "url": f"{self.url}holes/1",
            "title": "It was left behind",
            "severity": self.severity,
            "vulnerable_versions": "<=1.0.0",
        }
        return {PACKAGE: [hole]}


def _package() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        text = json.dumps({"name": PACKAGE, "version": VERSION}).encode()
        info = tarfile.TarInfo("package/package.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return file.getvalue()


@contextmanager
def registry() -> Iterator[Registry]:
    """Run one for a while."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith(".tgz"):
                self._answer(200, found.package)
            elif self.path == f"/{PACKAGE}":
                self._answer(200, json.dumps(found.about_package()).encode())
            else:
                self._answer(404, b"{}")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != _ADVISORIES or found.severity is None:
                self._answer(405, b"{}")
                return
            found.asked.append(json.loads(gzip.decompress(body)))
            self._answer(200, json.dumps(found.about_holes()).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Registry(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()

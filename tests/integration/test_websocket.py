"""A stop, seen from both ends of WebSockets: `ws` as the app, and as clients Node, Python and a browser.

Each client has four: an idle one, one in the middle of large frames from the app, one in the middle of a fragmented
message, and one that uploads without a pause.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support import chromium, node_packages
from tests.support.front import DEADLINE_S, Front, example, front
from tests.support.http_client import eventually

pytestmark = pytest.mark.node

GLOBAL_WEBSOCKET = "--experimental-websocket"
PATHS = ("/echo", "/flood", "/fragments", "/upload")
Event = dict[str, Any]
# Gives the next event of a client's.
Source = Callable[[], Event]


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """They are there, or all of this is left out."""
    if reason := node_packages.refusal():
        pytest.skip(reason)


@contextmanager
def serving(*arguments: str) -> Iterator[Front]:
    app = str(node_packages.FOLDER / "websocket_app.js")
    with front("--listen", "127.0.0.1:0", *arguments, "--", "node", app) as running:
        yield running


def app_events(app: Front) -> list[Event]:
    """What the app has told, in order."""
    return [json.loads(line) for line in app.stdout.splitlines()]


def stopped(app: Front, next_event: Source) -> list[Event]:
    """Stop once all four have begun; how each of them ended."""
    begun: set[str] = set()
    while begun != set(PATHS):
        event = next_event()
        assert event["event"] == "begun", event
        begun.add(event["path"])
    app.signal()
    ended = [next_event() for _ in PATHS]
    assert app.wait() == 0
    return sorted(ended, key=lambda event: str(event["path"]))


def all_went_away(app: Front, ended: list[Event], *, but: str = "") -> None:
    """Every client and the app saw code 1001, whole messages and a clean close; and the drain's report says so.

    Args:
        app: after its end.
        ended: by path.
        but: a path whose client need not call it clean.
    """
    for event, path in zip(ended, PATHS, strict=True):
        assert (event["event"], event["path"], event["code"], event["broken"]) == ("closed", path, 1001, 0)
        assert event["clean"] or path == but, event
    # What the app said last is read by a thread.
    eventually(lambda: {"path": "SIGTERM"} in app_events(app))
    closed = app_events(app)
    closed.remove({"path": "SIGTERM"})
    assert sorted((it["path"], it["code"], it["clean"], it["failed"]) for it in closed) == [
        (path, 1001, True, None) for path in PATHS
    ]
    report = app.wait_event("drain.finished")
    assert (report["websockets_closed"], report["tunnels_finished"], report["cut_count"]) == (4, 0, 0)


# -- Node ----------------------------------------------------------------------------------------------------


def has_global_websocket() -> bool:
    """Node 22 and later, and 20 where it is asked to."""
    if not shutil.which("node"):
        return False
    words = ["node", GLOBAL_WEBSOCKET, "-p", "typeof WebSocket"]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    return tried.stdout.strip() == "function"


@pytest.mark.parametrize("kind", ["ws", "undici", "global"])
def test_clients_in_node_see_1001_and_a_clean_close(kind: str) -> None:
    if kind == "global" and not has_global_websocket():
        pytest.skip("need a Node with a WebSocket of its own")
    with serving() as app:
        script = str(node_packages.FOLDER / "websocket_client.js")
        flags = [GLOBAL_WEBSOCKET] if kind == "global" else []
        words = ["node", *flags, script, kind, f"ws://127.0.0.1:{app.port}"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client:
            lines: queue.Queue[str] = queue.Queue()
            assert client.stdout is not None

            def read() -> None:
                for line in client.stdout or ():
                    lines.put(line)

            reading = threading.Thread(target=read)
            reading.start()
            try:
                ended = stopped(app, lambda: json.loads(lines.get(timeout=DEADLINE_S)))
                assert client.wait(DEADLINE_S) == 0, "nothing is left that would keep it"
            finally:
                client.kill()
                reading.join(DEADLINE_S)
        all_went_away(app, ended)
        if kind == "ws":
            assert {it["extensions"] for it in app_events(app)[:-1]} == {"permessage-deflate"}


# -- a browser -----------------------------------------------------------------------------------------------


class Reports(http.server.ThreadingHTTPServer):
    """Where a page's script tells what it has seen."""

    def __init__(self) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        super().__init__(("127.0.0.1", 0), Reported)


class Reported(http.server.BaseHTTPRequestHandler):
    """One report."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Reports)
        self.server.events.put(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Say nothing."""


def test_a_browser_sees_1001_and_a_clean_close() -> None:
    """Where it had more to send it says so by wasClean, as it does when `ws` itself closes."""
    if reason := chromium.refusal():
        pytest.skip(reason)
    with serving() as app, Reports() as reports:
        thread = threading.Thread(target=reports.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with chromium.browsing(f"http://127.0.0.1:{app.port}/page?report={reports.server_port}"):
                ended = stopped(app, lambda: reports.events.get(timeout=3 * DEADLINE_S))
        finally:
            reports.shutdown()
            thread.join(DEADLINE_S)
        all_went_away(app, ended, but="/upload")
        assert {it["extensions"] for it in app_events(app)[:-1]} == {"permessage-deflate"}


# -- Python --------------------------------------------------------------------------------------------------


async def conversation(socket: ClientConnection, path: str, begun: asyncio.Event) -> Event:
    """What a client of its kind does, until it is closed."""
    broken = 0
    noise = os.urandom(300_000)

    async def upload() -> None:
        try:
            while True:
                await socket.send(noise)
                await asyncio.sleep(0)  # a send that the kernel takes whole does not let others run
        except ConnectionClosed:
            return

    sending = asyncio.ensure_future(upload()) if path == "/upload" else None
    if path == "/echo":
        await socket.send("hello")
    try:
        while True:
            message = await socket.recv()
            broken += (path == "/flood" and len(message) != 2_000_000) or (
                path == "/fragments" and message != "whole"
            )
            begun.set()
    except ConnectionClosed as closed:
        if sending is not None:
            await sending
        is_clean = closed.rcvd is not None and closed.sent is not None and closed.rcvd_then_sent is True
        code = closed.rcvd.code if closed.rcvd is not None else None
        return {"event": "closed", "path": path, "code": code, "clean": is_clean, "broken": broken}


async def stop_among(app: Front, paths: tuple[str, ...]) -> list[Event]:
    """A WebSocket for each path; the stop when all have begun; how they ended."""
    url = f"ws://127.0.0.1:{app.port}"
    sockets = [
        await connect(url + path, proxy=None, max_size=None, close_timeout=DEADLINE_S) for path in paths
    ]
    begun = [asyncio.Event() for _ in paths]
    talks = [asyncio.ensure_future(conversation(*it)) for it in zip(sockets, paths, begun, strict=True)]
    for it in begun:
        await it.wait()
    app.signal()
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.gather(*talks)


def test_a_python_client_sees_1001_and_a_clean_close() -> None:
    with serving() as app:
        ended = asyncio.run(stop_among(app, PATHS))
        assert app.wait() == 0
        all_went_away(app, ended)


def test_workers_close_theirs_within_the_spread_and_the_report_has_the_sum() -> None:
    count = 12
    with serving("--workers", "2", "--close-spread", "1") as app:
        assert app.port
        for index in (0, 1):
            app.wait_event("worker.spawned", worker=index)
        began_s = time.monotonic()
        ended = asyncio.run(stop_among(app, ("/echo",) * count))
        assert app.wait() == 0
        assert time.monotonic() - began_s > 0.4, "twelve at once would be no spread"
        assert {(it["code"], it["clean"]) for it in ended} == {(1001, True)}
        report = app.wait_event("drain.finished")
        assert (report["websockets_closed"], report["cut_count"]) == (count, 0)


def test_the_example_app_sees_it_too() -> None:
    async def story(app: Front) -> None:
        async with connect(f"ws://127.0.0.1:{app.port}/ws", proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
            app.signal()
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd_then_sent) == (1001, True)

    with example() as app:
        asyncio.run(story(app))
        assert app.wait() == 0
        report = app.wait_event("drain.finished")
        assert (report["websockets_closed"], report["cut_count"]) == (1, 0)
        eventually(lambda: app.process.poll() == 0)

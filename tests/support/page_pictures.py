"""Pictures of the page, of a real run under a small load: serving, draining and ended, light, dark and on a phone.

``python -m tests.support.page_pictures FOLDER [SECONDS]``; the README's is FOLDER/page.png. It takes as long as the
plots are to reach back, 240 s without SECONDS.
"""

import asyncio
import random
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import websockets.asyncio.client
from websockets.exceptions import WebSocketException

from tests.support.devtools import Tab, tab
from tests.support.front import Front, example

LOOKS = {"light": (1120, 900, "light"), "dark": (1120, 900, "dark"), "phone": (360, 740, "light")}
CLIENTS = 24
WEBSOCKETS = 6


async def _ask(port: int, rand: random.Random) -> None:
    """A client that keeps its connection, asks now and then, and comes again; until it is refused."""
    with suppress(OSError):
        while True:
            await asyncio.sleep(rand.uniform(0, 2))
            with suppress(asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await _visit(reader, writer, rand)
                finally:
                    writer.close()


async def _visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rand: random.Random) -> None:
    for _ in range(rand.randrange(5, 40)):
        # A few are slow, and one now and then slower than a drain is long.
        target = rand.choices(
            ["/", "/headers", "/nothing-here", f"/slow?ms={rand.randrange(200, 3000)}", "/slow?ms=40000"],
            [60, 25, 2, 14, 0.4],
        )[0]
        writer.write(f"GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if line)
        await reader.readexactly(int(fields[b"content-length"]))
        if fields.get(b"connection") == b"close":
            return
        await asyncio.sleep(rand.expovariate(2))


async def _chat(port: int) -> None:
    with suppress(OSError, WebSocketException):
        async with websockets.asyncio.client.connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as chat:
            async for _ in chat:
                pass


async def _load(port: int, is_over: asyncio.Event) -> None:
    rand = random.Random(0)
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(CLIENTS):
            tasks.append(group.create_task(_ask(port, random.Random(number))))
            if number % (CLIENTS // WEBSOCKETS) == 0:
                tasks.append(group.create_task(_chat(port)))
            await asyncio.sleep(rand.expovariate(1))
        await is_over.wait()
        for task in tasks:
            task.cancel()


def _take(page: Tab, folder: Path, name: str) -> None:
    for look, (width, height, scheme) in LOOKS.items():
        page.look(width=width, height=height, scheme=scheme)
        page.picture(folder / f"{name}-{look}.png")


def main(folder: Path, seconds: float) -> None:
    """Run it, look, stop it, look."""
    folder.mkdir(parents=True, exist_ok=True)
    loop, is_over = asyncio.new_event_loop(), asyncio.Event()
    with example("--admin", "127.0.0.1:0", "--platform", "ecs") as run, tab() as page:
        port = run.port
        page.look(width=1120, height=900)
        page.open(f"http://{run.wait_event('admin.listening')['address']}/")
        loading = threading.Thread(target=loop.run_until_complete, args=(_load(port, is_over),), daemon=True)
        loading.start()
        try:
            _story(run, page, folder, seconds)
        finally:
            loop.call_soon_threadsafe(is_over.set)
            loading.join()
            loop.close()


def _story(run: Front, page: Tab, folder: Path, seconds: float) -> None:
    time.sleep(seconds)
    _take(page, folder, "serving")
    run.signal()
    page.wait_text("#phase", "Draining")
    page.look(width=1120, height=820)
    time.sleep(2.5)  # for the plots to show it
    page.picture(folder / "page.png", whole=False)
    _take(page, folder, "draining")
    run.wait()
    page.wait_text("#pulse", "ended")
    _take(page, folder, "ended")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 240.0)

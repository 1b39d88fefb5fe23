"""A relay that knows no HTTP: what asyncio's callbacks on uvloop and the kernel cost, and nothing else.

``bare_relay.py HOST PORT APP_PORT``. One connection to the app for each of a client's.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop


class Client(asyncio.Protocol):
    """A client's side; what comes before the app's side is there is kept."""

    def __init__(self, app: tuple[str, int]) -> None:
        self._app = app
        self._app_side: App | None = None
        self._kept = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the app."""
        self.transport = cast("asyncio.Transport", transport)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            _, self._app_side = await asyncio.get_running_loop().create_connection(
                lambda: App(self), *self._app
            )
        except OSError:
            self.transport.abort()
            return
        if self.transport.is_closing():
            self._app_side.transport.close()
        else:
            self._app_side.transport.write(self._kept)

    def data_received(self, data: bytes) -> None:
        """To the app."""
        if self._app_side is None:
            self._kept += data
        else:
            self._app_side.transport.write(data)

    def pause_writing(self) -> None:
        """The client reads no more."""
        if self._app_side is not None:
            self._app_side.transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        if self._app_side is not None:
            self._app_side.transport.resume_reading()

    def connection_lost(self, _problem: Exception | None) -> None:
        """The app's side goes too."""
        if self._app_side is not None:
            self._app_side.transport.close()


class App(asyncio.Protocol):
    """The app's side."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """To the client."""
        self._client.transport.write(data)

    def pause_writing(self) -> None:
        """The app reads no more."""
        self._client.transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self._client.transport.resume_reading()

    def connection_lost(self, _problem: Exception | None) -> None:
        """The client's side goes too."""
        self._client.transport.close()


async def serve(host: str, port: int, app_port: int) -> None:
    """Until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client((host, app_port)), host, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

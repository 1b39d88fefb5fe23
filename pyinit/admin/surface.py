"""The operator's sockets through a run: opened once the app has been exec'd, served by what is loaded when asked for.

aiohttp and prometheus-client take 0.2 s and 19 MiB: most runs never need them. So the control socket only listens,
and who first connects waits in its queue while they are imported, in a thread, so that requests go on meanwhile.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import traceback
from typing import TYPE_CHECKING, Any

from pyinit import without_tls
from pyinit.admin import sockets
from pyinit.admin.accepting import Reserve
from pyinit.admin.health import HealthSocket

if TYPE_CHECKING:
    import socket
    from types import ModuleType

    from pyinit.admin.peers import Peer
    from pyinit.admin.state import Operator
    from pyinit.log import EventLog
    from pyinit.values import Address

_SERVER = "pyinit.admin.server"
# The importing thread hands the interpreter over so soon when the loop wants it (5 ms by default).
_SWITCH_INTERVAL_S = 0.0005
_REFUSED_AGAIN_S = 10.0
# It could not be loaded (no descriptor, no memory): who waits then is let go, and it is tried again for the next.
_LOAD_AGAIN_S = 1.0


class Surface:
    """Health, control and admin sockets.

    Args:
        operator: whose they are.
        control: where; None for neither control nor health.
        is_control_named: the user asked for it, so that host networking does not matter.
        admin: where the read-only part is served too; None for nowhere.
        log: for events.
    """

    def __init__(
        self,
        operator: Operator,
        *,
        control: Address | None,
        is_control_named: bool,
        admin: Address | None,
        log: EventLog,
    ) -> None:
        self._operator = operator
        self._control_address = control
        self._is_control_named = is_control_named
        self._admin_address = admin
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._files: list[sockets.SocketFile] = []
        self._waiting: list[socket.socket] = []
        self._health: HealthSocket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._server: Any = None  # admin.server.Server, which is not imported yet
        self._refused_at_s: float | None = None
        self._unsaid_count = 0
        self._reserve = Reserve()
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Open what is to be had; what is not is logged, and never a reason not to run."""
        address = self._control_address
        if address is not None and not self._is_control_named and sockets.uses_host_network():
            self._log.info(
                "control.off",
                reason="host networking: the name would be everybody's on this machine; --control @NAME opens it",
            )
            address = None
        try:
            if address is not None:
                self._open_control(address)
        except (OSError, ValueError) as problem:
            self._log.error("control.failed", address=str(address), reason=_reason(problem))
        try:
            if self._admin_address is not None:
                self._wait_on(sockets.open_admin(self._admin_address), "admin.listening")
        except (OSError, ValueError) as problem:
            self._log.error("admin.failed", address=str(self._admin_address), reason=_reason(problem))

    def _open_control(self, address: Address) -> None:
        control, health = sockets.open_pair(address)
        name = sockets.name_of(control)
        is_suffixed = address.path is not None and address.path.startswith("@") and name != address.path
        taken = {"taken": address.path} if is_suffixed else {}
        self._wait_on(control, "control.listening", **taken)
        if health is not None:
            self._own(health)
            self._health = HealthSocket(
                health,
                not_ready=lambda: self._operator.not_ready,
                on_refused=self.refused,
                reserve=self._reserve,
            )

    def _wait_on(self, sock: socket.socket, event: str, **fields: object) -> None:
        self._own(sock)
        self._waiting.append(sock)
        self._loop.add_reader(sock.fileno(), self._asked)
        self._log.info(event, address=sockets.name_of(sock), **fields)

    def _own(self, sock: socket.socket) -> None:
        self._sockets.append(sock)
        file = sockets.file_of(sock)
        if file is not None:
            self._files.append(file)

    def _asked(self) -> None:
        """Somebody waits in a queue: load what answers, once."""
        for sock in self._waiting:
            self._loop.remove_reader(sock.fileno())
        if self._serving is None:
            self._serving = self._loop.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            module = await self._load()
            self._server = module.Server(
                self._operator, on_refused=self.refused, reserve=self._reserve, log=self._log
            )
            await self._server.start(self._waiting)
            await self._loop.shutdown_default_executor()  # its thread is of no more use
        except Exception:  # noqa: BLE001  without it the app is served all the same
            self._log.error(
                "control.failed", reason="it could not be loaded", traceback=traceback.format_exc()
            )
            self._server = None
            self._retry = self._loop.call_later(_LOAD_AGAIN_S, self._wait_again)

    async def _load(self) -> ModuleType:
        if self._reserve.is_last():
            # Modules are files. What is given up for them would be a client's before a thread has opened the second:
            # so all wait, who have no room to come in anyway.
            self._reserve.give_up()
            try:
                return _import_server()
            finally:
                self._reserve.restore()
        usual_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        try:
            return await self._loop.run_in_executor(None, _import_server)
        finally:
            sys.setswitchinterval(usual_s)

    def _wait_again(self) -> None:
        """Let go who waits, and wait for the next."""
        self._serving = None
        self._reserve.give_up()
        for sock in self._waiting:
            sockets.drop_waiting(sock)
            self._loop.add_reader(sock.fileno(), self._asked)
        self._reserve.restore()

    def refused(self, peer: Peer) -> None:
        """One who may not ask: said once in a while, as it may ask for ever."""
        now_s = self._loop.time()
        if self._refused_at_s is not None and now_s - self._refused_at_s < _REFUSED_AGAIN_S:
            self._unsaid_count += 1
            return
        self._log.warning(
            "control.refused",
            peer=str(peer),
            reason="our own user or root may ask",
            unsaid=self._unsaid_count,
        )
        self._refused_at_s, self._unsaid_count = now_s, 0

    async def close(self) -> None:
        """Close everything; the end."""
        if self._health is not None:
            self._health.close()
        if self._retry is not None:
            self._retry.cancel()
        if self._serving is not None:
            self._serving.cancel()
        for sock in self._waiting:
            self._loop.remove_reader(sock.fileno())
        try:
            if self._server is not None:
                await self._server.stop()
        finally:
            for sock in self._sockets:
                sock.close()
            for file in self._files:
                file.remove()

    def __repr__(self) -> str:
        return f"Surface({len(self._sockets)} sockets, loaded={self._server is not None})"


def _import_server() -> ModuleType:
    # In this order: prometheus-client wants HTTPS of urllib, which has it only if it was loaded with ssl.
    importlib.import_module("pyinit.admin.metrics")
    without_tls.load("aiohttp.web")
    return importlib.import_module(_SERVER)


def _reason(problem: OSError | ValueError) -> str:
    """Why an address cannot be had; a ValueError is a name that is no host's (the idna codec's)."""
    return (isinstance(problem, OSError) and problem.strerror) or str(problem)

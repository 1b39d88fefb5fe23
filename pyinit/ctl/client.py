"""HTTP to the control socket: one request a connection, every way to fail as a sentence."""

from __future__ import annotations

import http.client
import json
import os
import socket
from typing import TYPE_CHECKING

from pyinit.ctl import find
from pyinit.ctl.problem import FORBIDDEN, FOREIGN, LATE, USAGE, Nobody, Problem, is_late, is_not_pyinit

if TYPE_CHECKING:
    from pyinit.ctl.find import Place

# The oldest exchanges, and a report's cut ones: kilobytes. More is somebody else's.
_ANSWER_MAX_BYTES = 4 << 20
_STATUS_VERSION = 1


class Client:
    """Asks one pyinit.

    Args:
        place: where it listens.
        timeout_s: for each step; the first to ask waits while pyinit loads what answers.
    """

    def __init__(self, place: Place, timeout_s: float) -> None:
        self._place = place
        self._timeout_s = timeout_s

    @property
    def address(self) -> str:
        """As a user writes it."""
        return self._place.text

    def status_text(self) -> str:
        """The JSON of /status. Raises Problem."""
        return self._ask("GET", "/status")

    def status(self) -> dict[str, object]:
        """The same, read. Raises Problem."""
        try:
            status = json.loads(self.status_text())
        except ValueError:
            raise is_not_pyinit(self.address) from None
        if not isinstance(status, dict) or not isinstance(status.get("status_version"), int):
            raise is_not_pyinit(self.address)
        if status["status_version"] != _STATUS_VERSION:
            raise Problem(
                f"{self.address} speaks version {status['status_version']} of /status and this pyinitctl"
                f" {_STATUS_VERSION}: use the one it came with, or --json",
                FOREIGN,
            )
        return status

    def order(self, path: str, body: str = "") -> str:
        """POST; what it says. Raises Problem."""
        return self._ask("POST", path, body.encode()).strip()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> str:
        connection = _Connection(self._place, self._timeout_s)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            text = response.read(_ANSWER_MAX_BYTES).decode("utf-8", "replace")
        except http.client.RemoteDisconnected:
            raise Nobody(
                f"{self.address} closed the connection without an answer: it has just ended"
            ) from None
        except (TimeoutError, BlockingIOError):
            raise is_late(self.address, self._timeout_s) from None
        except OSError as problem:
            raise find.explain(problem, self._place, self._timeout_s) from None
        except http.client.HTTPException:
            raise is_not_pyinit(self.address) from None
        finally:
            connection.close()
        if response.status < 300:
            return text
        raise self._refusal(response.status, text.strip(), connection.listener_uid)

    def _refusal(self, status: int, text: str, listener_uid: int | None) -> Problem:
        reason = text if text.isprintable() and len(text) < 200 else ""
        if status == 403:
            whose = "" if listener_uid is None else f"; it runs as uid {listener_uid}"
            return Problem(
                f"{self.address} refuses this to uid {os.geteuid()}: {reason or 'no reason given'}{whose}",
                FORBIDDEN,
            )
        if status == 400 and reason:
            return Problem(reason, USAGE)
        if status == 504:
            return Problem(f"{self.address}: {reason or 'a worker does not answer'}", LATE)
        if status in (404, 405):
            return is_not_pyinit(self.address)
        return Problem(f"{self.address} answers {status}: {reason or 'no reason given'}", FOREIGN)


class _Connection(http.client.HTTPConnection):
    """Over a unix socket as well."""

    def __init__(self, place: Place, timeout_s: float) -> None:
        # Host: over TCP a loopback address is asked for by address (admin.server.is_host_expected).
        super().__init__(place.host or "pyinit", place.port or None)
        self._place = place
        self._timeout_s = timeout_s
        self.listener_uid: int | None = None

    def connect(self) -> None:
        bare = find.connect(self._place, self._timeout_s)
        listener = find.listener_of(bare)
        self.listener_uid = None if listener is None else listener[1]
        self.sock = socket.socket(bare.family, bare.type, fileno=bare.detach())
        self.sock.settimeout(self._timeout_s)

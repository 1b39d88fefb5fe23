"""A tab of a headless Chromium, driven over the DevTools protocol: what a page shows, says and was refused."""

from __future__ import annotations

import base64
import json
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.sync.client import ClientConnection, connect

from tests.support.chromium import browsing
from tests.support.front import DEADLINE_S
from tests.support.process import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

# Runs before any script of a page, and outside its policy.
_OBSERVER = """
window.refused = [];
document.addEventListener('securitypolicyviolation', (event) =>
  refused.push(`${event.effectiveDirective} ${event.blockedURI}`));
window.shifted = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => { shifted += entry.value; }))
  .observe({type: 'layout-shift', buffered: true});
"""


class Tab:
    """One page.

    Attributes:
        complaints: of its console: errors and warnings of scripts and policies, uncaught exceptions; not those of a
            request that found nobody.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._count = 0
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_OBSERVER)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        self._count += 1
        self._connection.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(DEADLINE_S))
            if message.get("id") == self._count:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            self._heard(message.get("method"), message.get("params", {}))

    def _heard(self, event: str | None, parameters: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(parameters["args"]))
        elif event == "Log.entryAdded" and parameters["entry"]["source"] != "network":
            self.complaints.append(f"{parameters['entry']['source']}: {parameters['entry']['text']}")

    def open(self, url: str) -> None:
        """Go there."""
        self.call("Page.navigate", url=url)
        eventually(
            lambda: self.evaluate("location.href !== 'about:blank' && document.readyState") == "complete"
        )

    def evaluate(self, expression: str) -> Any:
        """A script's value."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self, selector: str) -> str:
        """What an element says, as a person sees it: nothing where it is hidden."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def wait_text(self, selector: str, *parts: str) -> str:
        """Wait until an element says all of this; what it says."""
        eventually(
            lambda: all(part in self.text(selector) for part in parts),
            what=lambda: (selector, parts, self.text("body")),
        )
        return self.text(selector)

    @property
    def refused(self) -> list[str]:
        """What the page's Content-Security-Policy has refused."""
        return list(self.evaluate("refused"))

    def look(self, *, width: int, height: int, scheme: str = "light", scale: float = 1) -> None:
        """The window's size in CSS pixels, and what the user prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A PNG of the page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def roles(self) -> dict[str, list[dict[str, Any]]]:
        """What a screen reader is told of: nodes by role."""
        found: dict[str, list[dict[str, Any]]] = {}
        for node in self.call("Accessibility.getFullAXTree")["nodes"]:
            if not node["ignored"]:
                found.setdefault(str(node["role"]["value"]), []).append(node)
        return found


@contextmanager
def tab() -> Iterator[Tab]:
    """An empty tab of a Chromium of its own."""
    with browsing("about:blank", "--remote-debugging-port=0") as profile:
        found = profile / "DevToolsActivePort"
        port = eventually(lambda: found.exists() and found.read_text().partition("\n")[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=DEADLINE_S) as answer:
            pages = [target for target in json.load(answer) if target["type"] == "page"]
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
            yield Tab(connection)

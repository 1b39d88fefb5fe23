"""curl with kept connections: ``python curl_client.py curl URL CONNECTIONS LEAST_S MOST_S``.

A process each, as one that fetches many URLs with --rate: it sends them one after the other on one connection, and
thinks in between. Where a kept connection has died under a request, curl sends it again on a fresh one, and has no
switch for that: it is counted as retried, by what curl says of it.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import threading
from collections import Counter

_TIMEOUT_S = 10.0
_URLS = 10_000
# From then on a connection has been kept, and thought.
_WARM_ANSWERS = 3
_RESULT = re.compile(r"RESULT (\d+) (\d+) (\d+)$")
# curl's own: 7 is a refused connect, 28 a time-out with or without a connection.
_COULD_NOT_CONNECT = 7


class Curl:
    """One curl, and what has come of its requests so far."""

    def __init__(self, url: str, think_s: float, warm: threading.Semaphore) -> None:
        self.counts: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._warm = warm
        command = ["curl", "-v", "-s", "-o", "/dev/null", "-m", str(_TIMEOUT_S)]
        # To stderr, which is not buffered: the end comes by a signal.
        command += ["-w", "%{stderr}RESULT %{exitcode} %{http_code} %{num_connects}\\n"]
        command += ["--rate", f"{max(1, round(3600 / think_s))}/h", f"{url}?[1-{_URLS}]"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def end(self) -> None:
        """Let it go on no more."""
        self._process.terminate()
        self._reader.join()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stderr is not None  # noqa: S101  a pipe
        with self._process.stderr as lines:
            for line in lines:
                if "retrying a fresh connect" in line:
                    self.counts["retried"] += 1
                if found := _RESULT.search(line):
                    code, status, connects = map(int, found.groups())
                    self._ended(code, status, connects)

    def _ended(self, code: int, status: int, connects: int) -> None:
        self.counts["connections"] += connects if not code else 0
        if not code and status == 200:
            self.counts["answered"] += 1
            if self.counts["answered"] == _WARM_ANSWERS:
                self._warm.release()
        elif code == _COULD_NOT_CONNECT:
            self.counts["refused"] += 1
        else:
            self.lost[f"curl {code}" if code else f"HTTP {status}"] += 1


def say_when_warm(warm: threading.Semaphore, count: int) -> None:
    """Once each of them is."""
    for _ in range(count):
        warm.acquire()
    print(json.dumps({"warm": True}), flush=True)


def main() -> None:
    """Send until stdin ends, and say what has come of it."""
    url, connections, least_s, most_s = sys.argv[2:6]
    warm = threading.Semaphore(0)
    curls = [
        Curl(url, max(0.05, random.uniform(float(least_s), float(most_s))), warm)
        for _ in range(int(connections))
    ]
    # Beside the wait for the end, as that may come first: no curl may be left behind.
    threading.Thread(target=say_when_warm, args=(warm, len(curls)), daemon=True).start()
    sys.stdin.read()
    counts: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for curl in curls:
        curl.end()
    for curl in curls:
        counts += curl.counts
        lost += curl.lost
    names = ("connections", "answered", "refused", "retried")
    print(json.dumps({**{name: counts[name] for name in names}, "lost": lost}), flush=True)


if __name__ == "__main__":
    main()

"""Real clients that go on with kept connections across a stop: ``benchmarks/drain_clients.py``, one stop of it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support import node_packages
from tests.support.front import DEADLINE_S
from tests.support.process import ROOT

pytestmark = pytest.mark.node

CLIENTS = ("agent", "globalAgent", "undici", "fetch", "curl", "urllib3", "aiohttp", "httpx", "go")
# Not every machine has them, and a test run does not ask for Go.
MAY_BE_MISSING = {"undici", "curl", "go"}
Told = dict[str, Any]


def no_link() -> str | None:
    """Why there can be no delay between namespaces; None where there can."""
    tried = subprocess.run(
        [sys.executable, "benchmarks/link.py", "--", "true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return tried.stderr.rpartition("error: ")[2].strip() if tried.returncode == 2 else None


@pytest.fixture(
    scope="module", params=["loopback", pytest.param("rtt20", marks=pytest.mark.pid1)], ids=lambda name: name
)
def told(request: pytest.FixtureRequest) -> Told:
    """What each client has told of one stop, all of them at once."""
    network = request.param
    if network != "loopback" and (reason := no_link()):
        pytest.skip(reason)
    node_packages.refusal()  # installs undici where it can be had
    done = subprocess.run(
        [
            *(sys.executable, "benchmarks/drain_clients.py", "--json", "--stops", "1"),
            *("--servers", "pyinit", "--networks", network, "--connections", "8", "--think", "0.3"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=5 * DEADLINE_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    told: Told = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("client", CLIENTS)
def test_it_loses_no_request_and_needs_no_retry(told: Told, client: str) -> None:
    if client in MAY_BE_MISSING and (needed := told["left_out"].get(client)):
        pytest.skip(f"need {needed}")
    (counts,) = (counts for counts in told["told"] if counts["client"] == client)
    assert counts["answered"] >= 3 * 8, "all of its connections were kept"
    assert counts["connections"] <= counts["answered"] / 2, "they were used again"
    assert (counts["lost"], counts["retried"]) == ({}, 0), counts

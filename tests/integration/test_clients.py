"""Real clients that go on with kept connections across a stop: ``benchmarks/drain_clients.py``, one stop of it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support import node_packages
from tests.support.front import DEADLINE_S, example
from tests.support.process import ROOT

pytestmark = pytest.mark.node

CLIENTS = ("agent", "globalAgent", "undici", "fetch", "curl", "urllib3", "aiohttp", "httpx", "go")
# Not every machine has them, and a test run does not ask for Go.
MAY_BE_MISSING = {"undici", "curl", "go"}
Told = dict[str, Any]

# An Agent that would keep its connection for a minute; says whose end came first.
WHO_LETS_GO = """
const http=require('http'), agent=new http.Agent({keepAlive:true,timeout:60000});
setInterval(()=>{},1000);
http.get(process.argv[1],{agent},(response)=>{
  const {socket}=response;
  let hasEnded=false;
  socket.once('end',()=>hasEnded=true);
  socket.once('close',()=>{console.log(hasEnded?'server':'client');process.exit()});
  response.resume();
});
"""


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


def test_an_agent_lets_go_of_an_idle_connection_before_we_do() -> None:
    """Or its next request may meet our close: told nothing, it keeps the connection for its own minute."""
    with example("--idle-timeout", "3") as app:
        done = subprocess.run(
            ["node", "-e", WHO_LETS_GO, f"http://127.0.0.1:{app.port}/"],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        )
    assert done.stdout.strip() == "client"

"""Front mode as a real PID 1: the main job, in a PID namespace of its own."""

import os
import signal

import pytest

from tests.support.front import EXAMPLE, NamespacedFront
from tests.support.http_client import Client

pytestmark = [
    pytest.mark.node,
    pytest.mark.pid1,
    pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root"),
]


def test_the_main_job_as_pid_1() -> None:
    """Serves, finishes what is in flight on SIGTERM, reaps a thousand orphans, exits with the app's code."""
    script = (
        "const cp=require('child_process');"
        "process.on('SIGUSR2',()=>cp.spawn('sh',['-c','for i in $(seq 1000);do (exit 0 & );done']));"
        f"require({str(EXAMPLE)!r})"
    )
    app = NamespacedFront(["--listen", "127.0.0.1:0", "-w", "--", "node", "-e", script])
    try:
        slow = Client(app.port)
        assert slow.get("/").status == 200
        app.signal(signal.SIGUSR2)
        app.wait_count("process.reaped", 1000)
        slow.request("/slow?ms=500")
        with Client(app.port) as other:
            assert other.get("/").status == 200
        app.signal(signal.SIGTERM)
        answer = slow.response()
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert app.wait() == 0
        (finished,) = app.all_events("drain.finished")
        assert finished["cut_count"] == 0
    finally:
        app.close()

"""GET /status/end: waits, and has the run's last state for who is still there."""

import asyncio
import json
import socket
from unittest.mock import sentinel

import pytest

from pyinit.admin.accepting import Reserve
from pyinit.admin.server import Server
from tests.support.front import DEADLINE_S, node
from tests.support.http_client import Client


@pytest.mark.node
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_the_report_says_is_what_it_says(workers: str) -> None:
    app = "http.createServer(()=>{}).listen(port,'127.0.0.1');process.on('SIGTERM',()=>process.exit(3))"
    short = ("--stop-timeout", "3", "--child-timeout", "1")
    with node(app, "--admin", "127.0.0.1:0", "--workers", workers, *short) as run:
        address = run.wait_event("admin.listening")["address"]
        with Client(run.port) as cut, Client(int(address.rpartition(":")[2])) as waiting:
            cut.request("/never")
            waiting.send(b"GET /status/end HTTP/1.1\r\nHost: localhost\r\n\r\n")  # loopback: no other name
            assert run.stop() == 3
            answer = waiting.response()
        assert answer.status == 200
        last = json.loads(answer.body)
        report = run.wait_event("drain.finished")
        assert (last["phase"], last["child"]["exit_code"]) == ("done", 3)
        assert last["outcomes"] == {name: report[name] for name in last["outcomes"]}
        assert [one["target"] for one in last["outcomes"]["cut"]] == ["/never"]


def test_who_leaves_is_not_waited_with() -> None:
    """Or every page that was ever opened would leave a task behind."""
    reserve = Reserve()

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            sock.setblocking(False)  # noqa: FBT003  the library's signature; as sockets.open_admin's are
            server = Server(sentinel.operator, on_refused=sentinel.nobody, reserve=reserve, log=sentinel.log)
            await server.start([sock])
            before = asyncio.all_tasks()
            _, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(b"GET /status/end HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(DEADLINE_S):
                while asyncio.all_tasks() == before:  # noqa: ASYNC110  what is waited for is aiohttp's
                    await asyncio.sleep(0)
                writer.close()
                while asyncio.all_tasks() != before:  # noqa: ASYNC110  the same
                    await asyncio.sleep(0)
            await server.stop()

    asyncio.run(story())
    reserve.give_up()

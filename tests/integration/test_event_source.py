"""EventSource across a drain: it connects to the next instance, and misses no event that was sent.

The app's events are numbered from one moment on, the same in each instance, and are sent from Last-Event-ID on; each in
two writes, so that a stop finds most of them begun.
"""

import threading
import time
from contextlib import ExitStack

import pytest

from tests.support import chromium
from tests.support.event_source import EventSource
from tests.support.front import DEADLINE_S, Front, front
from tests.support.http_client import Client, eventually, free_port
from tests.support.reporting_page import reports as browser_reports

pytestmark = pytest.mark.node

APP = """
// So long it looks around itself: what we have closed, it is to have seen.
process.on('SIGTERM',()=>setTimeout(()=>process.exit(7),100));
const http=require('http'), began=Number(process.env.BEGAN_MS), every=25;
http.createServer((req,res)=>{
  if(req.url!=='/events'){
    res.writeHead(200,{'content-type':'text/event-stream'});
    res.write('data: a chat\\n\\n');
    return;
  }
  res.writeHead(200,{'content-type':'text/event-stream','cache-control':'no-cache','access-control-allow-origin':'*'});
  res.write(':hello\\n');
  let next=Number(req.headers['last-event-id']||0)+1, timer;
  console.log('from '+next);
  const step=()=>{
    if(began+next*every>Date.now()){timer=setTimeout(step,5);return}
    res.write('retry: 50\\nid: '+next+'\\n');
    timer=setTimeout(()=>{res.write('data: event '+next+'\\n\\n');next++;step()},10);
  };
  res.on('close',()=>{clearTimeout(timer);console.log('closed')});
  step();
}).listen(process.env.PORT,'127.0.0.1');
"""


def start(stack: ExitStack, port: int, began_ms: int, *arguments: str) -> Front:
    """An instance on that port, ready."""
    command = ("--listen", f"127.0.0.1:{port}", *arguments, "--", "node", "-e", APP)
    instance = stack.enter_context(front(*command, env={"BEGAN_MS": str(began_ms)}))
    assert instance.port == port
    return instance


def is_report(instance: Front, streams_ended: int) -> None:
    """The drain ended so many streams, and cut nothing."""
    finished = instance.wait_event("drain.finished")
    assert (finished["streams_ended"], finished["cut_count"]) == (streams_ended, 0), finished
    assert finished["phases_s"].get("draining", 0) < 3, "nobody was waited for in vain"


@pytest.mark.parametrize("workers", [1, 2])
def test_it_connects_to_the_next_instance_and_misses_nothing(workers: int) -> None:
    ports = [free_port(), free_port()]
    began_ms = time.time_ns() // 1_000_000
    with ExitStack() as stack:
        first, second = (start(stack, port, began_ms, "--workers", str(workers)) for port in ports)
        sources = [
            EventSource(lambda: ports[0] if first.process.poll() is None else ports[1]) for _ in range(8)
        ]

        def run(source: EventSource) -> None:
            source.run_until(
                lambda: (
                    bool(source.endings) and len(source.last_ids) >= 2 and len(source.events) > at_stop + 20
                ),
                DEADLINE_S,
            )

        at_stop = 1_000_000
        threads = [threading.Thread(target=run, args=(source,)) for source in sources]
        for thread in threads:
            thread.start()
        eventually(lambda: all(len(source.events) > 20 for source in sources), "events came")
        at_stop = max(len(source.events) for source in sources)
        assert first.stop() == 7
        for thread in threads:
            thread.join()
        for source in sources:
            assert source.endings == ["whole"]
            numbers = [int(event.last_id) for event in source.events]
            assert numbers == list(range(1, len(numbers) + 1)), "each once, in order"
            assert [event.data for event in source.events] == [f"event {number}" for number in numbers]
            assert source.last_ids[0] == ""
            assert 20 < int(source.last_ids[1]) < numbers[-1]
        is_report(first, len(sources))
        assert first.stdout.count("closed") == len(sources), "the app sees each of them go"
        assert second.stop() == 7


def test_a_chat_answer_to_a_post_is_never_ended_early() -> None:
    """The same app and type: cut at the deadline, so that nobody takes what came for all of it."""
    with ExitStack() as stack:
        port = free_port()
        instance = start(stack, port, 0, "--stop-timeout", "2.5", "--child-timeout", "0.5")
        client = stack.enter_context(Client(port))
        client.request("/chat", "Accept: text/event-stream", "Content-Length: 2", method="POST", body=b"hi")
        client.until(b"a chat\n\n")
        instance.signal()
        began_s = time.monotonic()
        with pytest.raises(EOFError):
            client.until(b"0\r\n\r\n")
        assert time.monotonic() - began_s > 1
        instance.wait()
        finished = instance.wait_event("drain.finished")
        assert (finished["streams_ended"], finished["cut_count"]) == (0, 1)
        assert [(cut["method"], cut["target"]) for cut in finished["cut"]] == [("POST", "/chat")]


def test_never_is_as_before() -> None:
    with ExitStack() as stack:
        port = free_port()
        budget = ("--stop-timeout", "2.5", "--child-timeout", "0.5")
        instance = start(stack, port, time.time_ns() // 1_000_000, *budget, "--stream-grace", "-1")
        client = stack.enter_context(Client(port))
        client.request("/events", "Accept: text/event-stream")
        client.until(b"event 3\n\n")
        instance.signal()
        with pytest.raises(EOFError):
            client.until(b"0\r\n\r\n")
        instance.wait()
        finished = instance.wait_event("drain.finished")
        assert (finished["streams_ended"], finished["cut_count"]) == (0, 1)


@pytest.mark.skipif(chromium.refusal() is not None, reason="need chromium")
def test_a_browsers_own_event_source() -> None:
    """Chromium's: the next instance is started on the same port once the first is gone."""
    port = free_port()
    began_ms = time.time_ns() // 1_000_000
    script = f"""
    const source = new EventSource('http://127.0.0.1:{port}/events');
    source.onopen = () => report({{open: true}});
    source.onerror = () => report({{state: source.readyState}});
    source.onmessage = (event) => report({{id: Number(event.lastEventId), data: event.data}});
    """
    with ExitStack() as stack:
        first = start(stack, port, began_ms)
        reports = stack.enter_context(browser_reports(script))

        def seen() -> list[int]:
            return [report["id"] for report in reports if "id" in report]

        eventually(lambda: len(seen()) > 20, "events came")
        assert first.stop() == 7
        is_report(first, 1)
        at_stop = len(seen())
        second = start(stack, port, began_ms)
        eventually(lambda: len(seen()) > at_stop + 20, "and come again")
        numbers = seen()
        assert numbers == list(range(1, len(numbers) + 1)), "each once, in order"
        assert [it["data"] for it in reports if "id" in it] == [f"event {number}" for number in numbers]
        assert not [it for it in reports if "error" in it]
        states = [it["state"] for it in reports if "state" in it]
        assert states
        assert set(states) == {0}, "it went on connecting, and never gave up"
        assert sum("open" in it for it in reports) == 2
        (last,) = (line for line in second.stdout.splitlines() if line.startswith("from "))
        assert 20 < int(last.removeprefix("from ")) <= numbers[-1]
        assert second.stop() == 7

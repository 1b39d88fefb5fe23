"""The page in a real browser: through a whole drain, when pyinit is gone, with whatever a client can name things."""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support import chromium
from tests.support.devtools import Tab, tab
from tests.support.front import front, node
from tests.support.http_client import Client, free_port
from tests.support.page_server import page_server, status
from tests.support.process import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.front import Front

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(chromium.refusal() is not None, reason="need chromium"),
]

HOSTILE = "/<img/src=x/onerror=document.title='taken'>"
# A SIGUSR1 goes to the app: the first has it answer what waits at /later and end its tunnels, the next after a SIGTERM
# lets it leave.
APP = """
let waiting=[], tunnels=[], isAsked=false;
process.on('SIGTERM',()=>{isAsked=true});
process.on('SIGUSR1',()=>{
  if(isAsked) process.exit(7);
  waiting.forEach((res)=>res.end('at last'));
  tunnels.forEach((socket)=>socket.end());
});
http.createServer((req,res)=>{
  if(req.url==='/later') waiting.push(res);
  else if(req.url==='/quick') res.end('quick');
  else if(req.url==='/missing') res.writeHead(404).end();
}).on('upgrade',(req,socket)=>{
  tunnels.push(socket);
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: chat\\r\\n\\r\\n');
}).listen(port,'127.0.0.1');
"""
# So long that every phase lasts until the test ends it.
ENDLESS = ("--stop-timeout", "900", "--drain-delay", "200", "--child-timeout", "300")


@contextmanager
def shown(url: str) -> Iterator[Tab]:
    """The page; at the end, nothing on it was refused or has failed."""
    with tab() as page:
        page.look(width=1120, height=1000)
        page.open(url)
        yield page
        assert page.refused == []
        assert page.complaints == []


def admin_url(run: Front) -> str:
    return f"http://{run.wait_event('admin.listening')['address']}/"


def counts(page: Tab) -> dict[str, int]:
    """Every number of the page that has a name."""
    script = (
        "Object.fromEntries([...document.querySelectorAll('td[id]')].map((cell)=>[cell.id,cell.innerText]))"
    )
    found = page.evaluate(script)
    return {name: int(text) for name, text in found.items() if text.isdecimal()}


def wait_counts(page: Tab, **expected: int) -> None:
    wanted = {name.replace("_", "-", 1): count for name, count in expected.items()}
    eventually(lambda: wanted.items() <= counts(page).items(), what=lambda: (wanted, counts(page)))


def left_share(page: Tab) -> float:
    return float(page.evaluate("parseFloat(document.getElementById('left').style.width)")) / 100


def test_a_whole_drain() -> None:
    with ExitStack() as stack:
        run = stack.enter_context(node(APP, "--admin", "127.0.0.1:0", *ENDLESS))
        clients = [stack.enter_context(Client(run.port)) for _ in range(6)]
        idle, missing, later, hostile, tunnel, _new = clients
        assert idle.get("/quick").status == 200
        assert missing.get("/missing").status == 404
        later.request("/later")
        hostile.request(HOSTILE)
        tunnel.request("/chat", "Connection: Upgrade", "Upgrade: chat")
        assert tunnel.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")

        page = stack.enter_context(shown(admin_url(run)))
        page.wait_text("#phase", "Serving")
        assert page.text("#ready") == "ready"
        assert page.text("#pulse") == "live"
        assert page.evaluate("document.title") == "Serving · pyinit"
        wait_counts(page, count_new=1, count_active=2, count_idle=2, count_tunnel=1, count_lingering=0)
        assert page.text("#connections") == "6"
        wait_counts(page, total_requests=5, total_s2=1, total_s4=1, outcome_cut_count=0)
        assert page.text("#stop") == "no stop has begun"
        assert page.text("#budget") == "899.5 s"
        assert left_share(page) == 1
        assert f"node, pid {run.child_pid}, running" in page.text("#fact-app")
        assert page.text("#step-serving").startswith("Serving")
        drawn = "[...document.querySelectorAll('#states path')].filter((it)=>it.getAttribute('d'))"
        assert page.evaluate(f"{drawn}.map((it)=>it.classList[0])") == ["new", "active", "idle", "tunnel"]
        assert page.evaluate("document.querySelector('#states .stop')") is None

        run.signal(signal.SIGTERM)
        page.wait_text("#phase", "Lame duck")
        assert page.text("#ready") == "not ready: lame duck: still accepting, about to drain"
        assert page.text("#said") == "Lame duck, not ready: lame duck: still accepting, about to drain"
        assert re.fullmatch(r"SIGTERM, \d.* ago", page.text("#stop"))
        assert page.text("#budget").endswith(" s of 899.5 s left")
        assert page.evaluate("document.querySelectorAll('#states .stop').length") == 1
        eventually(lambda: left_share(page) < 1)
        wait_counts(page, count_active=2, count_idle=2, count_tunnel=1)

        # The next phase at once.
        run.signal(signal.SIGQUIT)
        page.wait_text("#phase", "Draining")
        assert page.text("#step-lame_duck") != "Lame duck", "it has its duration"
        assert idle.ends() == missing.ends() == "fin"
        idle.close()
        missing.close()
        wait_counts(page, count_idle=0, count_active=2, count_tunnel=1, outcome_exchanges_finished=0)
        run.signal(signal.SIGUSR1)
        assert later.response().body == b"at last"
        for client in (later, tunnel):
            client.ends()
            client.close()
        wait_counts(
            page, count_active=1, count_tunnel=0, outcome_exchanges_finished=1, outcome_tunnels_finished=1
        )
        assert page.text("#cut") == "Nothing was cut."

        run.signal(signal.SIGQUIT)
        page.wait_text("#phase", "Stopping")
        wait_counts(page, outcome_cut_count=1)
        assert f"GET {HOSTILE}" in page.text("#cut"), "a name that a client chose is text"
        assert "from 127.0.0.1" in page.text("#cut")
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
        assert page.evaluate("document.title") == "Stopping · pyinit"

        run.signal(signal.SIGUSR1)
        assert run.wait() == 7
        page.wait_text("#pulse", "ended", "last state below")
        assert page.text("#phase") == "Done"
        assert page.text("#meaning") == "The app has exited. Its exit code is 7."
        assert page.text("#connections") == "0"
        assert f"pid {run.child_pid}, exited with 7" in page.text("#fact-app")
        assert page.text("#fact-signals") == "SIGTERM, SIGQUIT \u00d7 2, SIGUSR1 \u00d7 2"
        assert page.text("#said") == "pyinit has ended. Its last state is shown."
        report = run.wait_event("drain.finished")
        seen = counts(page)
        for name in ("exchanges_finished", "connections_closed_idle", "tunnels_finished", "cut_count"):
            assert seen[f"outcome-{name}"] == report[name], (name, seen, report)
        # web.dev's bound for good; numbers of other widths in the head's right side are some of it.
        assert page.evaluate("shifted") < 0.1


def test_what_is_cut_in_the_last_moment_is_shown() -> None:
    """The app exits as soon as it is asked to: between the cut and our end there is no second to ask in."""
    with ExitStack() as stack:
        run = stack.enter_context(
            node("http.createServer(()=>{}).listen(port,'127.0.0.1')", "--admin", "127.0.0.1:0", *ENDLESS)
        )
        client = stack.enter_context(Client(run.port))
        client.request("/never")
        page = stack.enter_context(shown(admin_url(run)))
        page.wait_text("#phase", "Serving")
        run.signal(signal.SIGTERM)
        page.wait_text("#phase", "Lame duck")
        run.signal(signal.SIGQUIT)
        page.wait_text("#phase", "Draining")
        run.signal(signal.SIGQUIT)
        run.wait()
        page.wait_text("#pulse", "ended")
        wait_counts(page, outcome_cut_count=1)
        assert "GET /never" in page.text("#cut")


def test_gone_without_a_word_and_another_in_its_place() -> None:
    port = free_port()
    options = ("--listen", "127.0.0.1:0", "--upstream", str(free_port()), "--admin", f"127.0.0.1:{port}")
    with ExitStack() as stack:
        first = stack.enter_context(front(*options))
        page = stack.enter_context(shown(admin_url(first)))
        page.wait_text("#phase", "Starting")
        assert page.text("#ready").startswith("not ready: starting")
        pid = page.text("#fact-processes")
        first.process.kill()
        first.process.wait()
        page.wait_text("#pulse", "gone for", "last state below")
        assert page.text("#phase") == "Starting"
        assert page.text("#fact-processes") == pid
        assert page.text("#said").startswith("pyinit does not answer any more")

        second = stack.enter_context(front(*options))
        admin_url(second)
        page.wait_text("#pulse", "live")
        assert page.text("#fact-processes") == f"pid {second.process.pid}"
        # One that is there and says nothing is as good as gone.
        second.signal(signal.SIGSTOP)
        page.wait_text("#pulse", "gone for")
        second.signal(signal.SIGCONT)
        page.wait_text("#pulse", "live")


def test_it_does_not_ask_while_nobody_looks() -> None:
    with page_server() as server, shown(server.url) as page:
        page.wait_text("#phase", "Serving")
        hide = "Object.defineProperty(document,'hidden',{value:%s,configurable:true});"
        changed = "document.dispatchEvent(new Event('visibilitychange'))"
        page.evaluate(hide % "true" + changed)
        assert page.text("#pulse") == "paused while hidden"
        assert page.evaluate("ticking") == 0, "no timer is left"
        eventually(lambda: page.evaluate("isAsking") is False)
        asked_count = server.asked_count
        server.status = status(phase="starting")
        assert page.text("#phase") == "Serving"
        page.evaluate(hide % "false" + changed)
        page.wait_text("#phase", "Starting")
        assert page.text("#pulse") == "live"
        assert server.asked_count > asked_count


def test_an_answer_that_is_none_is_told_from_silence() -> None:
    with page_server() as server, shown(server.url) as page:
        page.wait_text("#phase", "Serving")
        server.status = None
        page.wait_text("#pulse", "it answers 504")
        server.status = status()
        page.wait_text("#pulse", "live")


EVIL = "<b id=evil>&lt;</b>\"'><script>document.title='taken'</script>\u202e" + "x" * 300


def test_nothing_that_is_named_becomes_markup() -> None:
    row = {"method": "GET", "target": "/" + EVIL, "age_s": 1.5, "peer": EVIL}
    hostile = status(
        phase=EVIL,
        ready=False,
        not_ready=EVIL,
        version=EVIL,
        mode=EVIL,
        platform=EVIL,
        listeners=[EVIL],
        upstream=EVIL,
        child={"pid": 7, "program": EVIL, "exit_code": None},
        oldest=[row, {"method": "", "target": "", "age_s": 3700.0, "peer": "10.0.0.1"}],
        signals={EVIL: 2},
        log_level=EVIL,
    )
    hostile["outcomes"] |= {"cut_count": 101, "cut": [row] * 100}
    with page_server() as server, shown(server.url) as page:
        server.status = hostile
        page.wait_text("#oldest", f"GET /{EVIL}", f"from {EVIL}", "1 h 01 min", "tunnel")
        assert page.text("#cut-count") == "the first 100 of 101"
        assert page.text("#phase") == EVIL
        assert page.evaluate("document.querySelectorAll('#evil, main script').length") == 0
        for width in (360, 1120):
            page.look(width=width, height=800)
            assert page.evaluate("document.documentElement.scrollWidth") == width, (
                "nothing is wider than the window"
            )


def test_what_would_get_in_does_not_run() -> None:
    """The policy itself, should the page ever forget: neither a handler nor an outside resource."""
    with page_server() as server, tab() as page:
        page.open(server.url)
        page.evaluate(
            "document.body.insertAdjacentHTML('beforeend','<p style=\"color:red\" onclick=\"taken=1\">x</p>')"
        )
        page.evaluate("document.body.lastChild.click()")
        page.evaluate(f"fetch('http://localhost:{server.server_port}/').catch(()=>0)")
        eventually(lambda: len(page.refused) == 3, what=lambda: page.refused)
        assert {refused.partition(" ")[0] for refused in page.refused} == {
            "style-src-attr", "script-src-attr", "connect-src"
        }  # fmt: skip
        assert page.evaluate("typeof taken") == "undefined"


def test_on_a_phone_and_to_a_screen_reader() -> None:
    busy = status(connections={"new": 1, "active": 1234, "idle": 56789, "tunnel": 12, "lingering": 3})
    busy |= {
        "oldest": [{"method": "GET", "target": "/slow", "age_s": 12.0, "peer": "2001:db8::1234:5678:9abc"}]
    }
    with page_server() as server, shown(server.url) as page:
        server.status = busy
        page.look(width=360, height=740)
        page.wait_text("#connections", "58,039")
        page.wait_text("#oldest", "GET /slow")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        roles = page.roles()
        assert {"main", "banner", "status", "meter"} <= set(roles), sorted(roles)
        regions = {node["name"]["value"] for node in roles["region"]}
        assert regions == {
            "Serving", "Connections", "Requests", "What the stop did", "This run", "Oldest in flight"
        }  # fmt: skip
        (meter,) = roles["meter"]
        assert meter["name"]["value"] == "Stop budget"
        assert {node["name"]["value"][:20] for node in roles["image"]} == {
            "Connections by state",
            "Requests per second ",
        }
        assert page.evaluate("document.querySelector('[aria-current=step]').id") == "step-serving"

"""The proxy in front of real Node: what a client and an app see through it."""

import base64
import contextlib
import hashlib
import json
import os
import socket
import struct
import time

import pytest

from tests.support.front import example, memory_bytes, node
from tests.support.http_client import Client, eventually

pytestmark = pytest.mark.node

MIB = 1 << 20


def test_connections_are_kept_on_both_sides() -> None:
    with (
        node("http.createServer((q,s)=>s.end(String(q.socket.remotePort))).listen(port,'127.0.0.1')") as app,
        Client(app.port) as client,
    ):
        first = client.get("/")
        assert first.get("connection") == "keep-alive"
        assert first.get("keep-alive") == "timeout=74", "ours: the app's hop-by-hop fields end here"
        assert client.get("/").body == first.body, "one connection to the app"


def test_the_app_sees_the_request_as_sent_and_who_sent_it() -> None:
    with example() as app, Client(app.port) as client:
        seen = json.loads(client.get("/headers?q=1", "X-Mixed-Case: A", "x-mixed-case: b").body)
        assert (seen["method"], seen["url"], seen["httpVersion"]) == ("GET", "/headers?q=1", "1.1")
        raw = seen["rawHeaders"]
        fields = list(zip(raw[::2], raw[1::2], strict=True))
        sent = [("Host", "app.example"), ("X-Mixed-Case", "A"), ("x-mixed-case", "b")]
        assert [field for field in fields if field in sent] == sent
        added = dict(field for field in fields if field not in sent)
        assert added["X-Forwarded-For"] == "127.0.0.1"
        assert added["X-Forwarded-Proto"] == "http"
        assert added["X-Forwarded-Host"] == "app.example"
        assert added["X-Forwarded-Port"] == str(app.port)
        assert added["Forwarded"] == "for=127.0.0.1;host=app.example;proto=http"
        assert added["Via"] == "1.1 pyinit"


@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
def test_bodies_pass_both_ways(*, chunked: bool) -> None:
    data = os.urandom(3 * MIB + 17)
    with example() as app, Client(app.port) as client:
        if chunked:
            client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(data), 70_001):
                piece = data[at : at + 70_001]
                client.send(b"%x;ext=1\r\n" % len(piece), piece, b"\r\n")
            client.send(b"0\r\nX-Trailer: t\r\n\r\n")
        else:
            client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(data), data)
        got = json.loads(client.response().body)
        assert got == {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        answer = client.get(f"/download?bytes={5 * MIB}" + ("&chunked=1" if chunked else ""))
        assert len(answer.body) == 5 * MIB
        assert (answer.get("transfer-encoding") == "chunked") is chunked


@pytest.mark.slow
def test_a_gibibyte_each_way_stays_in_bounded_memory() -> None:
    size = 1 << 30
    block = bytes(1 << 20)
    with example() as app:
        with Client(app.port) as client:
            client.request(f"/download?bytes={size}")
            client.until(b"\r\n\r\n")
            left = size
            while left:
                left -= len(client._some(1 << 20))
        with Client(app.port) as client:
            client.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(block)):
                client.send(block)
            assert json.loads(client.response().body)["length"] == size
        assert memory_bytes(app.process.pid) < 96 * MIB


def test_a_client_that_does_not_read_stops_the_app_and_nothing_else() -> None:
    """Back-pressure: what we hold for a slow reader is bounded; others are served meanwhile."""
    with example() as app:
        assert app.port
        before = memory_bytes(app.process.pid)
        with Client(app.port) as slow:
            slow.request(f"/download?bytes={512 * MIB}")
            slow.until(b"\r\n\r\n")
            for _ in range(20):
                with Client(app.port) as other:
                    assert other.get("/").status == 200
            assert memory_bytes(app.process.pid) - before < 16 * MIB


def test_responses_without_a_body_are_framed_so() -> None:
    script = """http.createServer((q,s)=>{
      if(q.url==='/204'){s.writeHead(204);s.end()}
      else if(q.url==='/304'){s.writeHead(304,{ETag:'"x"','Content-Length':'12'});s.end()}
      else{s.setHeader('Content-Length',5);s.end('hello')}}).listen(port,'127.0.0.1')"""
    with node(script) as app, Client(app.port) as client:
        head = client.get("/", method="HEAD")
        assert (head.status, head.get("content-length"), head.body) == (200, "5", b"")
        assert client.get("/204").status == 204
        not_modified = client.get("/304")
        assert (not_modified.status, not_modified.get("etag")) == (304, '"x"')
        assert client.get("/").body == b"hello", "the connection is still in step"


def test_interim_responses_pass_and_100_continue_is_the_apps() -> None:
    script = """http.createServer((q,s)=>{
      s.writeEarlyHints({link:'</a.css>; rel=preload'});
      let n=0;q.on('data',d=>n+=d.length);q.on('end',()=>s.end(String(n)))}).listen(port,'127.0.0.1')"""
    with node(script) as app, Client(app.port) as client:
        client.request("/", "Content-Length: 5", "Expect: 100-continue", method="POST")
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue")
        client.send(b"12345")
        answer = client.response()
        assert (answer.interim, answer.body) == ([103], b"5")


def test_pipelined_requests_are_answered_in_order() -> None:
    script = """http.createServer((q,s)=>setTimeout(()=>s.end(q.url),q.url==='/0'?200:0)).listen(port,'127.0.0.1')"""
    with node(script) as app, Client(app.port) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(50)))
        assert [client.response().body for _ in range(50)] == [b"/%d" % i for i in range(50)]


def test_websocket_and_events_pass_through() -> None:
    with example() as app:
        with Client(app.port) as client:
            key = base64.b64encode(os.urandom(16)).decode()
            answer = client.get(
                "/ws",
                "Connection: keep-alive, Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {key}",
            )
            assert (answer.status, answer.get("connection"), answer.get("upgrade")) == (
                101,
                "Upgrade",
                "websocket",
            )
            mask = b"\1\2\3\4"
            client.send(b"\x81\x82" + mask + bytes(c ^ m for c, m in zip(b"hi", mask, strict=False)))
            assert client.read(4) == b"\x81\x02hi"
            client.send(
                b"\x88\x82" + mask + bytes(a ^ b for a, b in zip(struct.pack("!H", 1000), mask, strict=False))
            )
            assert client.read(4) == b"\x88\x02" + struct.pack("!H", 1000)
            assert client.ends() == "fin"
        with Client(app.port) as client:
            client.request("/stream?ms=10", "Accept: text/event-stream", "Last-Event-ID: 41")
            assert b"text/event-stream" in client.until(b"\r\n\r\n")
            assert b"id: 42" in client.until(b"\n\n")
            assert b"id: 43" in client.until(b"\n\n")


def test_a_client_that_leaves_is_an_abort_for_the_app() -> None:
    script = """http.createServer((q,s)=>{
      s.on('close',()=>{if(!s.writableEnded)console.log('aborted '+q.url)});
      console.log('begins '+q.url);
      if(q.url==='/begun'){const t=setInterval(()=>s.write('x'),10);s.on('close',()=>clearInterval(t))}})
      .listen(port,'127.0.0.1')"""
    with node(script) as app:
        waiting, begun = Client(app.port), Client(app.port)
        begun.request("/begun")
        begun.until(b"\r\n\r\n")
        waiting.request("/waiting")
        eventually(lambda: "begins /waiting" in app.stdout, "both are in the app")
        begun.close()
        eventually(lambda: "aborted /begun" in app.stdout, "the begun one")
        waiting.reset()
        eventually(lambda: "aborted /waiting" in app.stdout, "the waiting one")


@pytest.mark.parametrize(
    ("route", "status"),
    [("/length", 200), ("/chunked", 200), ("/nothing", 502), ("/garbage", 502)],
    ids=[
        "short of its length",
        "before its last chunk",
        "without a response",
        "with something else than HTTP",
    ],
)
def test_an_app_that_breaks_off_is_never_a_clean_end(route: str, status: int) -> None:
    script = """http.createServer((q,s)=>{
      if(q.url==='/length'){s.writeHead(200,{'Content-Length':100});s.write('x'.repeat(10),()=>q.socket.destroy())}
      else if(q.url==='/chunked'){s.write('x',()=>q.socket.destroy())}
      else if(q.url==='/garbage'){q.socket.end('SSH-2.0-OpenSSH\\r\\n\\r\\n')}
      else q.socket.destroy()}).listen(port,'127.0.0.1')"""
    with node(script) as app, Client(app.port) as client:
        answer = client.get(route)
        assert answer.status == status
        if status == 200:
            assert answer.is_cut
        else:
            assert answer.get("connection") == "close"
            assert b"502 Bad Gateway: " in answer.body


def test_an_http10_client_gets_a_close_delimited_body_and_no_interim() -> None:
    script = """http.createServer((q,s)=>{s.writeEarlyHints({link:'</a>; rel=preload'});
      s.write('a'.repeat(70000));s.write('b');s.end()}).listen(port,'127.0.0.1')"""
    with node(script) as app, Client(app.port) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = client.response()
        assert (answer.interim, answer.get("transfer-encoding"), answer.get("connection")) == (
            [],
            None,
            "close",
        )
        assert answer.body == b"a" * 70000 + b"b"
        assert not answer.is_cut


def test_a_half_closed_client_is_still_answered() -> None:
    with example() as app, Client(app.port) as client:
        client.request("/slow?ms=200")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.response().status == 200
        assert client.ends() == "fin"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A:\r\n" * 2001 + b"\r\n", 431),
    ],
    ids=[
        "both lengths",
        "space before the colon",
        "no host",
        "bare LF",
        "CONNECT",
        "HTTP/2",
        "TLS",
        "long target",
        "long head",
        "many fields",
    ],
)
def test_what_breaks_the_rules_is_answered_and_closed_and_the_app_never_sees_it(
    raw: bytes, status: int
) -> None:
    script = """let n=0;http.createServer((q,s)=>{n++;s.end(String(n))}).listen(port,'127.0.0.1')"""
    with node(script) as app:
        with Client(app.port) as client:
            client.send(raw)
            answer = client.response()
            assert (answer.status, answer.get("connection")) == (status, "close")
            assert client.ends() == "fin"
        with Client(app.port) as client:
            assert client.get("/").body == b"1", "the first request it sees"


def test_a_body_that_breaks_its_framing_aborts_the_apps_request() -> None:
    script = """http.createServer((q,s)=>{q.on('end',()=>console.log('complete'));
      console.log('begins');q.on('error',e=>console.log('error '+e.code));q.resume()}).listen(port,'127.0.0.1')"""
    with node(script) as app, Client(app.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        eventually(lambda: "begins" in app.stdout, "the request is in the app")
        client.send(b"0\r\nContent-Length: 5\r\n\r\n")
        assert client.response().status == 400
        eventually(lambda: "error ECONNRESET" in app.stdout, "the app sees an abort")
        assert "complete" not in app.stdout


def test_an_early_answer_to_an_upload_arrives_though_the_app_has_closed() -> None:
    """A 413 sent while the body is still coming, by an app that closes: ours to deliver, whatever our writes say."""
    script = """http.createServer((q,s)=>{s.writeHead(413,{Connection:'close','Content-Length':3});s.end('big')})
      .listen(port,'127.0.0.1')"""
    with node(script) as app:
        for _ in range(20):
            with Client(app.port) as client:
                client.request("/", f"Content-Length: {3 * MIB}", method="POST")
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    client.send(bytes(3 * MIB))
                answer = client.response()
                assert (answer.status, answer.body) == (413, b"big")


def test_an_idle_connection_to_the_app_is_dropped_before_node_drops_it() -> None:
    """Node closes at 5 s what it announced so; ours goes at 4, and no request meets the close."""
    script = """http.createServer((q,s)=>s.end(String(q.socket.remotePort))).listen(port,'127.0.0.1')
      .keepAliveTimeout=2000"""
    with node(script) as app, Client(app.port) as client:
        first = client.get("/").body
        began_s = time.monotonic()
        while client.get("/").body == first:
            time.sleep(1.1)  # longer than 2 s less the margin of 1
            assert time.monotonic() - began_s < 10, "never dropped"


def test_access_log_has_one_line_a_request_without_its_query() -> None:
    with example("--access-log") as app:
        with Client(app.port) as client:
            client.get("/?token=secret")
            client.get("/nowhere")
        app.stop()
        lines = app.all_events("request.finished")
        assert [(e["method"], e["target"], e["status"]) for e in lines] == [
            ("GET", "/", 200),
            ("GET", "/nowhere", 404),
        ]
        assert all(e["bytes_out"] > 0 and e["duration_s"] >= 0 for e in lines)


def test_max_forwards_ends_here_at_nought_and_date_is_added_where_node_sends_none() -> None:
    script = """http.createServer((q,s)=>{s.sendDate=q.url!=='/dateless';
      s.end(`${q.method} ${q.headers['max-forwards']} ${q.headers.via}`)}).listen(port,'127.0.0.1')"""
    with node(script) as app, Client(app.port) as client:
        for method in ("TRACE", "OPTIONS"):
            assert client.get("/", "Max-Forwards: 2", method=method).body == f"{method} 1 1.1 pyinit".encode()
            last = client.get("/", "Max-Forwards: 0", "X-Mine: 1", method=method)
            assert b"pyinit" not in last.body, "the app has not seen it"
            assert last.status == 200
        assert client.get("/", "Max-Forwards: 0").body == b"GET 0 1.1 pyinit", "it means nothing elsewhere"
        for path in ("/", "/dateless"):
            dates = [value for name, value in client.get(path).fields if name == "date"]
            assert len(dates) == 1
            assert dates[0].endswith(" GMT")


def test_forwarding_fields_of_a_stranger_are_replaced_and_of_a_trusted_peer_kept() -> None:
    sent = ("X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https")
    with example("--trust", "none") as app, Client(app.port) as client:
        raw = json.loads(client.get("/headers", *sent).body)["rawHeaders"]
        assert "9.9.9.9" not in raw
        assert raw[raw.index("X-Forwarded-Proto") + 1] == "http"
    with example() as app, Client(app.port) as client:
        raw = json.loads(client.get("/headers", *sent).body)["rawHeaders"]
        assert raw[raw.index("X-Forwarded-For") + 1] == "9.9.9.9"
        assert raw[raw.index("X-Forwarded-Proto") + 1] == "https"
        assert raw[raw.index("X-Forwarded-Port") + 1] == "443"

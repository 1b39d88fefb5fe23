"""Requests in every state of being under way, for tests that stop pyinit just then: an app that waits, and stories.

A story is one connection. It runs up to its ``yield`` before the stop, and tells there what the app will have logged
by then; the rest of it runs afterwards, and checks every byte.
"""

import hashlib
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.support.front import Front, front
from tests.support.http_client import Client, Response, free_port

# What waits goes on at SIGUSR2. It logs each request as it comes, and on its SIGTERM how many connections it still has.
APP = """
const http=require('http'),crypto=require('crypto'),port=process.env.PORT;
const big=Buffer.alloc(16<<20);for(let i=0;i<big.length;i++)big[i]=(i*31+(i>>8))&255;
let open=false;const held=[];
const gate=then=>open?then():held.push(then);
process.on('SIGUSR2',()=>{open=true;held.splice(0).forEach(then=>then())});
const digest=(req,then)=>{const hash=crypto.createHash('sha256');
  req.on('data',data=>hash.update(data));req.on('end',()=>then(hash.digest('hex')))};
const upload=(req,res)=>digest(req,hash=>res.end(hash+' '+(req.trailers['x-check']||'')));
const log=req=>console.log(req.method+' '+req.url.split('?')[0]+'.');
const routes={
  wait:(req,res)=>gate(()=>res.end('whole '+req.url)),
  empty:(req,res)=>gate(()=>{res.statusCode=204;res.end()}),
  upload,
  echo:(req,res)=>req.pipe(res),
  length:(req,res)=>{res.setHeader('content-length',big.length);res.end(big)},
  chunked:(req,res)=>{res.write(big);res.end()},
  close:(req,res)=>{res.removeHeader('transfer-encoding');res.write(big);res.end()},
  halves:(req,res)=>{res.write('one ');gate(()=>res.end('two'))},
  trailers:(req,res)=>{res.setHeader('trailer','x-check');res.write('one ');
    gate(()=>{res.addTrailers({'x-check':'yes'});res.end('two')})},
  hints:(req,res)=>{res.writeEarlyHints({link:'</a.css>; rel=preload'});gate(()=>res.end('whole'))},
  idle:(req,res)=>res.end('idle'),
};
const server=http.createServer((req,res)=>{log(req);routes[req.url.split(/[/?]/)[1]](req,res)});
server.on('checkContinue',(req,res)=>{log(req);gate(()=>{res.writeContinue();upload(req,res)})});
server.on('upgrade',(req,sock)=>{log(req);sock.on('error',()=>{});gate(()=>{
  sock.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n');
  sock.on('data',data=>sock.write(data));sock.on('end',()=>sock.end())})});
process.on('SIGTERM',()=>setTimeout(()=>server.getConnections((_,count)=>{
  console.log('SIGTERM connections='+count);process.exit(7)}),20));
server.listen(port,'127.0.0.1',()=>console.log('listening'));
"""
BIG = bytes((i * 31 + (i >> 8)) & 255 for i in range(1 << 16)) * 256
UPLOAD = BIG[: 1 << 20]
DIGEST = hashlib.sha256(UPLOAD).hexdigest().encode()


# Its one item is what the app has logged by the time of the stop.
Steps = Generator[str, None, None]
Story = Callable[["Run", Client], Steps]


class Run:
    """What the stories of one stop have seen.

    Attributes:
        port: the public one.
        answered: how many whole answers came after the stop.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0

    def whole(self, client: Client, body: bytes, *, closes: bool = True, method: str = "GET") -> Response:
        """One answer that is all there, and closes the connection where its head can still say so."""
        answer = client.response(method=method)
        assert answer.status in (200, 204), answer
        assert not answer.is_cut, answer
        assert answer.body == body, answer
        assert (answer.get("connection") == "close") is closes, answer
        self.answered += 1
        if closes:
            assert client.ends() == "fin"
        return answer

    def rest(self, client: Client, head: bytes, body: bytes) -> Response:
        """The rest of an answer whose head had come before the stop."""
        assert b"onnection: close" not in head
        fields = [line.partition(": ") for line in head.decode().split("\r\n")[1:-2]]
        answer = Response(200, [(name.lower(), value) for name, _, value in fields])
        client._body(answer, "GET")
        assert answer.body == body, answer
        assert not answer.is_cut
        self.answered += 1
        return answer

    def last_request(self, client: Client) -> None:
        """On a connection that nobody has said was to close: one more is answered."""
        client.request("/idle/last")
        self.whole(client, b"idle")


def request(target: str, *fields: str, method: str = "GET", minor: int = 1, head_ends: bool = True) -> bytes:
    """A request's head."""
    lines = [f"{method} {target}?secret=1 HTTP/1.{minor}", "Host: app.example", *fields]
    return ("\r\n".join(lines) + ("\r\n\r\n" if head_ends else "")).encode()


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def not_begun(run: Run, client: Client) -> Steps:
    client.send(request("/wait/a"))
    yield "GET /wait/a."
    run.whole(client, b"whole /wait/a?secret=1")


def head_request(run: Run, client: Client) -> Steps:
    client.send(request("/wait/head", method="HEAD"))
    yield "HEAD /wait/head."
    run.whole(client, b"", method="HEAD")


def no_content(run: Run, client: Client) -> Steps:
    client.send(request("/empty"))
    yield "GET /empty."
    assert run.whole(client, b"").status == 204


def upload_by_length(run: Run, client: Client) -> Steps:
    client.send(request("/upload/l", f"Content-Length: {len(UPLOAD)}", method="POST"), UPLOAD[:300_000])
    yield "POST /upload/l."
    client.send(UPLOAD[300_000:])
    run.whole(client, DIGEST + b" ")


def upload_in_chunks_with_a_trailer(run: Run, client: Client) -> Steps:
    client.send(request("/upload/c", "Transfer-Encoding: chunked", "Trailer: X-Check", method="POST"))
    # Ends in the middle of a chunk's size line.
    client.send(chunk(UPLOAD[:70_000]), b"1")
    yield "POST /upload/c."
    client.send(b"0000\r\n", UPLOAD[70_000 : 70_000 + 0x10000], b"\r\n", chunk(UPLOAD[70_000 + 0x10000 :]))
    client.send(b"0\r\nX-Check: yes\r\n\r\n")
    run.whole(client, DIGEST + b" yes")


def upload_that_is_echoed(run: Run, client: Client) -> Steps:
    """The response begins before the request has ended, and both go on."""
    client.send(request("/echo/a", "Content-Length: 8", method="POST"), b"half")
    head = client.until(b"\r\n\r\n")
    yield "POST /echo/a."
    client.send(b"rest")
    run.rest(client, head, b"halfrest")
    run.last_request(client)


def upload_that_waits_for_100(run: Run, client: Client) -> Steps:
    client.send(request("/upload/e", f"Content-Length: {len(UPLOAD)}", "Expect: 100-continue", method="PUT"))
    yield "PUT /upload/e."
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    client.send(UPLOAD)
    run.whole(client, DIGEST + b" ")


def hints_have_gone_out(run: Run, client: Client) -> Steps:
    client.send(request("/hints"))
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 103 ")
    yield "GET /hints."
    run.whole(client, b"whole")


def half_a_head(run: Run, client: Client) -> Steps:
    client.send(request("/wait/h", "X-Half", head_ends=False))
    yield ""
    client.send(b": x\r\n\r\n")
    run.whole(client, b"whole /wait/h?secret=1")


def download(target: str) -> Story:
    """Of 16 MiB a part is read, the rest after the stop; the kernel's buffers do not hold that much."""

    def story(run: Run, client: Client) -> Steps:
        client.send(request(target))
        head = client.until(b"\r\n\r\n")
        yield f"GET {target}."
        if target == "/close":  # only a close can end it
            assert b"Connection: close" in head
            answer = Response(200, [])
            client._body(answer, "GET")
            assert answer.body == BIG
            assert not answer.is_cut
            run.answered += 1
            return
        run.rest(client, head, BIG)
        run.last_request(client)

    return story


def response_in_halves(run: Run, client: Client) -> Steps:
    client.send(request("/halves/a"))
    head = client.until(b"\r\n\r\n")
    yield "GET /halves/a."
    run.rest(client, head, b"one two")
    run.last_request(client)


def response_with_trailers(run: Run, client: Client) -> Steps:
    client.send(request("/trailers"))
    head = client.until(b"\r\n\r\n")
    yield "GET /trailers."
    assert run.rest(client, head, b"one two").trailers == ["x-check: yes"]
    run.last_request(client)


def old_client_whose_answer_has_begun(run: Run, client: Client) -> Steps:
    """HTTP/1.0: the chunked framing is taken off, and the end is a FIN."""
    client.send(request("/halves/o", "Connection: keep-alive", minor=0))
    head = client.until(b"\r\n\r\n")
    yield "GET /halves/o."
    assert b"Connection: close" in head
    assert client.read(7) == b"one two"
    run.answered += 1
    assert client.ends() == "fin"


def old_client_that_keeps_its_connection(run: Run, client: Client) -> Steps:
    client.send(request("/wait/o", "Connection: keep-alive", minor=0))
    yield "GET /wait/o."
    run.whole(client, b"whole /wait/o?secret=1")


def pipelined(run: Run, client: Client) -> Steps:
    """Four at once, a body among them: all are here when the stop comes, and the last one's answer closes."""
    post = request("/upload/p", "Content-Length: 4", method="POST") + b"body"
    client.send(request("/wait/p1") + request("/wait/p2") + post + request("/wait/p3"))
    yield "GET /wait/p1."
    run.whole(client, b"whole /wait/p1?secret=1", closes=False)
    run.whole(client, b"whole /wait/p2?secret=1", closes=False)
    run.whole(client, hashlib.sha256(b"body").hexdigest().encode() + b" ", closes=False)
    run.whole(client, b"whole /wait/p3?secret=1")


def one_and_a_half(run: Run, client: Client) -> Steps:
    client.send(request("/wait/x1") + request("/wait/x2", "X-Half", head_ends=False))
    yield "GET /wait/x1."
    run.whole(client, b"whole /wait/x1?secret=1", closes=False)
    client.send(b": x\r\n\r\n")
    run.whole(client, b"whole /wait/x2?secret=1")


def pipelined_behind_a_close(run: Run, client: Client) -> Steps:
    """RFC 9112 section 9.6: what comes after a response that closes is not processed; the test looks for it."""
    client.send(request("/echo/b", "Content-Length: 8", method="POST"))
    yield "POST /echo/b."
    client.send(b"half")
    assert b"Connection: close" in client.until(b"\r\n\r\n")
    client.send(b"rest" + request("/wait/unseen"))
    answer = Response(200, [("transfer-encoding", "chunked")])
    client._body(answer, "GET")
    assert answer.body == b"halfrest"
    run.answered += 1
    assert client.ends() == "fin", "and no reset, which could destroy the answer on its way"


def upgrade_under_way(run: Run, client: Client) -> Steps:  # noqa: ARG001  no answer of its own
    client.send(request("/up", "Connection: Upgrade", "Upgrade: echo"))
    yield "GET /up."
    assert client.response().status == 101
    client.send(b"ping")
    assert client.read(4) == b"ping"
    client.sock.shutdown(socket.SHUT_WR)
    assert client.ends() == "fin"


def idle(run: Run, client: Client) -> Steps:
    client.send(request("/idle/a"))
    assert client.response().get("connection") == "keep-alive"
    yield "GET /idle/a."
    run.last_request(client)


STORIES: dict[str, Story] = {
    "idle": idle,  # first, while its grace lasts
    "not begun": not_begun,
    "HEAD": head_request,
    "204": no_content,
    "upload by length": upload_by_length,
    "upload in chunks": upload_in_chunks_with_a_trailer,
    "upload echoed": upload_that_is_echoed,
    "100-continue": upload_that_waits_for_100,
    "103 gone out": hints_have_gone_out,
    "half a head": half_a_head,
    "download by length": download("/length"),
    "download in chunks": download("/chunked"),
    "download until close": download("/close"),
    "begun": response_in_halves,
    "trailers": response_with_trailers,
    "HTTP/1.0 begun": old_client_whose_answer_has_begun,
    "HTTP/1.0 not begun": old_client_that_keeps_its_connection,
    "pipelined": pipelined,
    "one and a half": one_and_a_half,
    "pipelined behind a close": pipelined_behind_a_close,
    "upgrade": upgrade_under_way,
}


class World(NamedTuple):
    """The pyinit in front, and the one whose stdout is the app's and that hands SIGUSR2 to it: the same, or an init."""

    front: Front
    app: Front


@contextmanager
def world(mode: str, *arguments: str) -> Iterator[World]:
    """``one`` process, two ``workers``, or a ``sidecar`` beside the app."""
    if mode == "sidecar":
        port = free_port()
        with (
            front("--", "node", "-e", APP, env={"PORT": str(port)}) as app,
            front("--listen", "127.0.0.1:0", "--upstream", str(port), *arguments) as sidecar,
        ):
            yield World(sidecar, app)
        return
    workers = ("--workers", "2") if mode == "workers" else ()
    with front("--listen", "127.0.0.1:0", *workers, *arguments, "--", "node", "-e", APP) as app:
        yield World(app, app)

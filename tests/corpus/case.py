"""What a row of the corpus is: bytes with splits and pauses, and the outcomes that are allowed.

    Case("Content-Length beside Transfer-Encoding", "RFC 9112 6.1", post(...), [Refused(400), ...])

The outcomes are what the RFCs leave open to an intermediary, so that another proxy can be judged by the same rows;
the first is what design 5 has chosen among them, and pyinit is held to that one alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# -- steps of the client and of the app ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent for so long: what came before is read on its own."""

    seconds: float = 0.003


@dataclass(frozen=True, slots=True)
class Await:
    """The client: wait for one more response, an interim one too. The app: until the client has got a byte."""


@dataclass(frozen=True, slots=True)
class AwaitBytes:
    """The app: wait until this much of the request's stream has come. The client: until it has been sent this."""

    marker: bytes


@dataclass(frozen=True, slots=True)
class HalfClose:
    """FIN, and read on."""


@dataclass(frozen=True, slots=True)
class Reset:
    """RST."""


@dataclass(frozen=True, slots=True)
class Close:
    """The app closes: FIN behind what it has sent."""


@dataclass(frozen=True, slots=True)
class Echo:
    """The app: send back whatever comes, from here on."""


Step = bytes | Pause | Await | AwaitBytes | HalfClose | Reset | Close | Echo


@dataclass(frozen=True, slots=True)
class Reply:
    """What the app does about one request.

    Attributes:
        steps: in order; after them it reads the next request.
        early: begin at the end of the request's head, not of its body.
        on_accept: bytes sent as soon as the connection is there, before any request.
        afterwards: sent when the response has gone out and a moment has passed: onto an idle connection.
    """

    steps: tuple[Step, ...]
    early: bool = False
    on_accept: bytes = b""
    afterwards: bytes = b""


def reply(*steps: Step, early: bool = False, on_accept: bytes = b"", afterwards: bytes = b"") -> Reply:
    """A Reply, its steps in a row."""
    return Reply(steps, early=early, on_accept=on_accept, afterwards=afterwards)


# -- what may come of it -------------------------------------------------------------------------------------

# Any error will do where no RFC names one: what counts is that the message goes no further.
REFUSALS = frozenset(range(400, 600))
GATEWAY_FAULTS = frozenset((500, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class Refused:
    """The proxy answers with an error of its own; no whole message reaches the app.

    Attributes:
        statuses: any of these.
        closes: the connection has to end with it, since what follows on it cannot be told.
        late: a part of the message may have reached the app, never its end.
    """

    statuses: frozenset[int]
    closes: bool = True
    late: bool = False


def refused(*statuses: int, closes: bool = True, late: bool = False) -> Refused:
    """A refusal; without statuses by any of them."""
    return Refused(frozenset(statuses) or REFUSALS, closes=closes, late=late)


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection ends without a word; nothing whole reaches the app.

    Attributes:
        late: a part of a message may have reached it.
        waits: it may be open still, more being waited for.
    """

    late: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Http09:
    """The proxy serves HTTP/0.9, which has been no part of HTTP since RFC 9112: a body and nothing else."""


@dataclass(frozen=True, slots=True)
class Http2:
    """The proxy speaks HTTP/2 where a client begins with it (RFC 9113 section 3.3)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The proxy answers by itself, as it may: the app hears nothing, the connection goes on or ends.

    Attributes:
        statuses: any of these.
        has: parts of the answer's head or body.
        lacks: what must not be in it.
    """

    statuses: frozenset[int]
    has: tuple[bytes, ...] = ()
    lacks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A request as the app must read it.

    Attributes:
        target: any of these; an absolute target may be passed on as it came, or as its path.
        has: name (lower-case) -> its values, in order.
        lacks: names that must not be there.
        trailers: None where they may be dropped (RFC 9110 section 6.5.1).
    """

    method: bytes = b"GET"
    target: tuple[bytes, ...] = (b"/",)
    body: bytes = b""
    has: Mapping[bytes, Sequence[bytes]] = field(default_factory=dict)
    lacks: tuple[bytes, ...] = ()


def message(
    method: bytes = b"GET",
    target: bytes | Iterable[bytes] = b"/",
    body: bytes = b"",
    *,
    has: Mapping[bytes, Sequence[bytes]] | None = None,
    lacks: Iterable[bytes] = (),
) -> Message:
    """A Message."""
    targets = (target,) if isinstance(target, bytes) else tuple(target)
    return Message(method, targets, body, has or {}, tuple(lacks))


@dataclass(frozen=True, slots=True)
class Forwarded:
    """These messages reach the app, each once and alone, and each gets its own answer.

    Attributes:
        then: statuses of a refusal that follows them; empty where nothing does.
    """

    messages: tuple[Message, ...]
    then: frozenset[int] = frozenset()


def forwarded(*messages: Message, then: Iterable[int] = ()) -> Forwarded:
    """A Forwarded; without a message a plain GET /."""
    return Forwarded(messages or (message(),), frozenset(then))


@dataclass(frozen=True, slots=True)
class Passed:
    """The client gets this response whole, and with it a connection in order or its end.

    Attributes:
        has: name -> value.
        lacks: names that must not be there.
        present: names that must be there.
        interim: the 1xx before it; None where that is open.
        requests: how many requests the app got for it; a safe one may be sent twice.
    """

    status: int = 200
    body: bytes = b"ok"
    has: Mapping[bytes, bytes] = field(default_factory=dict)
    lacks: tuple[bytes, ...] = ()
    interim: tuple[int, ...] | None = ()
    present: tuple[bytes, ...] = ()
    requests: tuple[int, ...] = (1,)


@dataclass(frozen=True, slots=True)
class Followed:
    """This response, and behind it, if anything, what belongs to the second request.

    Attributes:
        status: of the first; None for any.
        body: of the first; None for any.
    """

    status: int | None = 200
    body: bytes | None = b"ok"


@dataclass(frozen=True, slots=True)
class Replaced:
    """The client gets an error of the proxy's in place of the response, a gateway's for choice."""

    statuses: frozenset[int] = GATEWAY_FAULTS
    requests: tuple[int, ...] = (1, 2)


def replaced(*statuses: int, requests: tuple[int, ...] = (1, 2)) -> Replaced:
    """A gateway's error; without statuses any."""
    return Replaced(frozenset(statuses) or GATEWAY_FAULTS, requests)


@dataclass(frozen=True, slots=True)
class Cut:
    """The client can tell that the response is not whole: short of its length, of its last chunk, or a reset.

    Attributes:
        body: what has come of it, at the most; None for anything.
    """

    body: bytes | None = None
    requests: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, slots=True)
class Switched:
    """101 reaches the client, and bytes flow both ways.

    Attributes:
        upgrade: what Upgrade says in it.
        received: what the client gets behind it; None for anything.
    """

    upgrade: bytes
    received: bytes | None


Outcome = (
    Refused | Closed | Http09 | Http2 | Answered | Forwarded | Passed | Followed | Replaced | Cut | Switched
)

# -- the row -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """One exchange.

    Attributes:
        name: a sentence, or what is sent; unique in its topic.
        rfc: the section that decides.
        send: the client's side.
        outcomes: what is allowed; the first is pyinit's own choice.
        app: what the app does about the first requests; then, and without any, it answers 200.
        answers: final responses to wait for before the connection is asked whether it is still in order.
        never: bytes that must not reach the client.
        asks: whether the sentinel goes over the connection; not where the message is left unfinished.
        node_refuses: why Node itself refuses what is rightly passed on; empty where it reads it.
    """

    name: str
    rfc: str
    send: tuple[Step, ...]
    outcomes: tuple[Outcome, ...]
    app: tuple[Reply, ...] = ()
    answers: int = 1
    never: tuple[bytes, ...] = ()
    asks: bool = True
    node_refuses: str = ""


def case(
    name: str,
    rfc: str,
    send: bytes | Sequence[Step],
    *outcomes: Outcome,
    app: Reply | Sequence[Reply] = (),
    answers: int = 1,
    never: Iterable[bytes] = (),
    asks: bool = True,
    node_refuses: str = "",
) -> Case:
    """A Case, its parts as they are handy to write."""
    return Case(
        name,
        rfc,
        (send,) if isinstance(send, bytes) else tuple(send),
        outcomes,
        app=(app,) if isinstance(app, Reply) else tuple(app),
        answers=answers,
        never=tuple(never),
        asks=asks,
        node_refuses=node_refuses,
    )


# -- bytes ---------------------------------------------------------------------------------------------------


def head(*lines: bytes) -> bytes:
    """Lines with their ends, and the empty one."""
    return b"\r\n".join([*lines, b"", b""])


def get(*lines: bytes, target: bytes = b"/", version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    """A request with Host and these lines."""
    return head(b"%b %b HTTP/%b" % (method, target, version), b"Host: a.example", *lines)


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/", version: bytes = b"1.1") -> bytes:
    """A POST with these lines; its framing is among them."""
    return get(*lines, target=target, version=version, method=b"POST") + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    """A chunked POST."""
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


def ok(body: bytes = b"ok", *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with its length."""
    return head(b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines) + body


def pieces(data: bytes, *places: int) -> tuple[Step, ...]:
    """The same bytes in several reads."""
    steps: list[Step] = []
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        steps += [data[start:end], Pause()]
    return tuple(steps[:-1])


def response_case(
    name: str,
    rfc: str,
    response: bytes | tuple[Step, ...],
    *outcomes: Outcome,
    request: bytes = b"",
    never: tuple[bytes, ...] = (),
) -> Case:
    """A row about what the app answers to a plain GET, or to another request."""
    steps = (response,) if isinstance(response, bytes) else response
    return case(name, rfc, request or get(), *outcomes, app=reply(*steps), never=never)


def chunked_ok(body: bytes, *lines: bytes) -> bytes:
    """A chunked response."""
    return head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", *lines) + body

"""Hypothesis strategies: HTTP/1.1 messages by the grammar, the same with faults, and ways to cut them."""

import os
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# No deadline: a machine that others use too is slow now and then, and that is no fault of the code's. The same
# examples each time, as a test that fails by chance is believed by nobody; PYINIT_TEST_EXPLORE=1 looks for others.
law = settings(
    max_examples=120,
    deadline=None,
    derandomize=not os.environ.get("PYINIT_TEST_EXPLORE"),
    suppress_health_check=[HealthCheck.too_slow],
)

_ALNUM = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_TCHAR = b"!#$%&'*+-.^_`|~" + _ALNUM
_VCHAR = bytes(range(0x21, 0x7F))
_OBS_TEXT = bytes(range(0x80, 0x100))

# Methods that llhttp knows: it refuses others, which is a verdict on the method and not on the framing.
METHODS = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"M-SEARCH",
)

# Fields with a meaning of their own are placed by who builds the message.
_PLACED = frozenset(
    b"connection content-length expect forwarded host http2-settings keep-alive max-forwards proxy-connection"
    b" te transfer-encoding upgrade x-request-id x-forwarded-for x-forwarded-host x-forwarded-port"
    b" x-forwarded-proto date trailer".split()
)

# What requests have been smuggled with.
TRICKS = (
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n ",
    b"\n\n",
    b"\r\n\r\n",
    b"\0",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"+",
    b"-",
    b"0",
    b"0x",
    b"#",
    b"Content-Length: 3\r\n",
    b"Content-Length : 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: content-length\r\n",
    b"Connection: Upgrade\r\nUpgrade: x\r\n",
    b"Host: b\r\n",
    b";a=b",
    b'="',
    b"0\r\n\r\n",
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message and what should be read out of it.

    Attributes:
        start: the start line.
        fields: name and value.
        body: as on the wire.
        payload: the body without its framing.
    """

    start: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    payload: bytes = b""

    @property
    def block(self) -> bytes:
        """The head without its final empty line."""
        return b"\r\n".join([self.start, *(b"%b: %b" % pair for pair in self.fields)])

    @property
    def wire(self) -> bytes:
        """The message as it is sent."""
        return self.block + b"\r\n\r\n" + self.body


def _bytes_of(alphabet: bytes, *, min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(alphabet), min_size=min_size, max_size=max_size).map(bytes)


tokens = _bytes_of(_TCHAR, min_size=1)
field_names = tokens.filter(lambda name: name.lower() not in _PLACED)
field_values = _bytes_of(_VCHAR + b" \t" + _OBS_TEXT).map(lambda value: value.strip(b" \t"))
fields = st.tuples(field_names, field_values)
targets = _bytes_of(_VCHAR.replace(b"#", b""), max_size=20).map(lambda path: b"/" + path)
hosts = st.sampled_from(
    (b"a", b"example.com", b"example.com:8080", b"127.0.0.1:1", b"[::1]", b"[fe80::1]:65535")
)
payloads = st.binary(max_size=40)


@st.composite
def chunk_extensions(draw: st.DrawFn) -> bytes:
    """Extensions of one chunk, mostly none."""
    quoted = st.one_of(
        _bytes_of(_ALNUM + b" \t;,=\x80\xff", max_size=6),
        st.sampled_from((rb"\"", rb"\\", rb"a\ b")),
    ).map(lambda text: b'"%b"' % text)
    extension = st.tuples(tokens, st.none() | tokens | quoted).map(
        lambda pair: b";" + pair[0] + (b"=" + pair[1] if pair[1] is not None else b"")
    )
    return b"".join(draw(st.lists(extension, max_size=2)))


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A chunked body and its payload."""
    wire = []
    chunks = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    for chunk in chunks:
        zeros, shape = draw(st.integers(0, 3)), draw(st.sampled_from((b"%b%x", b"%b%X")))
        wire += [shape % (b"0" * zeros, len(chunk)), draw(chunk_extensions()), b"\r\n", chunk, b"\r\n"]
    wire += [b"0" * draw(st.integers(1, 4)), draw(chunk_extensions()), b"\r\n"]
    wire += [b"x-%b: %b\r\n" % pair for pair in draw(st.lists(fields, max_size=2))]
    return b"".join([*wire, b"\r\n"]), b"".join(chunks)


@st.composite
def requests(draw: st.DrawFn) -> Message:
    """A request that is to be accepted."""
    method, target, host = draw(st.sampled_from(METHODS)), draw(targets), draw(hosts)
    framings = ["none", "length", "chunked"] if method != b"TRACE" else ["none"]
    framing = draw(st.sampled_from(framings))
    minor = draw(st.sampled_from((0, 1))) if framing != "chunked" else 1
    placed = [draw(fields) for _ in range(draw(st.integers(0, 4)))]
    body = payload = b""
    if framing == "length":
        body = payload = draw(payloads)
        placed.append((draw(st.sampled_from((b"Content-Length", b"content-length"))), b"%d" % len(body)))
    elif framing == "chunked":
        body, payload = draw(chunked_bodies())
        placed.append((b"Transfer-Encoding", draw(st.sampled_from((b"chunked", b"Chunked")))))
    placed.append((draw(st.sampled_from((b"Host", b"host"))), host))
    options = draw(st.sampled_from((b"", b"close", b"keep-alive", b"Keep-Alive, TE")))
    if options:
        placed.append((b"Connection", options))
    start = b"%b %b HTTP/1.%d" % (method, target, minor)
    return Message(start, tuple(draw(st.permutations(placed))), body, payload)


@st.composite
def responses(draw: st.DrawFn) -> Message:
    """A final response, with a body even to HEAD, 204 or 304."""
    status = draw(st.sampled_from((200, 201, 204, 206, 301, 304, 404, 500, 599)))
    reason = draw(st.sampled_from((b"", b"OK", b"Not Found", b"caf\xe9")))
    placed = [draw(fields) for _ in range(draw(st.integers(0, 4)))]
    body = payload = b""
    if draw(st.booleans()):
        body = payload = draw(payloads)
        placed.append((b"Content-Length", b"%d" % len(body)))
    else:
        body, payload = draw(chunked_bodies())
        placed.append((b"Transfer-Encoding", b"chunked"))
    if draw(st.booleans()):
        placed.append((b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT"))
    start = b"HTTP/1.1 %d %b" % (status, reason)
    return Message(start, tuple(draw(st.permutations(placed))), body, payload)


@st.composite
def near_valid(draw: st.DrawFn) -> bytes:
    """A request with one to three faults, each of which may also be none."""
    wire = draw(requests()).wire
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(wire)))
        # At a line's beginning a whole field line can slip in.
        if draw(st.booleans()) and (line_end := wire.find(b"\r\n", at)) >= 0:
            at = line_end + 2
        trick = draw(st.sampled_from(TRICKS) | st.binary(min_size=1, max_size=2))
        wire = wire[:at] + trick * draw(st.integers(0, 1)) + wire[at + draw(st.integers(0, 2)) :]
    return wire


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """``data`` in pieces, none of them empty."""
    if len(data) < 2:
        return [data] if data else []
    places = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=8)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]

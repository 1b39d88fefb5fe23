"""Heads as they go on: what an intermediary adds to a request, and how a response's head ends.

The forwarding modes (design 5):
  auto     from a trusted peer what it sent passes unchanged and what is absent is set; else as ``replace``
  append   For and Forwarded grow by the peer; Proto, Host and Port are set where absent
  replace  whatever came is removed, all are set
  keep     whatever came passes, nothing is set
  off      whatever came is removed, nothing is set

Set where absent means in accord with what is there: behind a load balancer that ended TLS and sent
X-Forwarded-Proto: https, an absent X-Forwarded-Port is 443, not the port of ours that it connected to. A field
that came with no value is absent, and removed: Express skips it, and without another would take us for the client.

What is added counts towards the app's own limit for heads, and a head just below that was accepted before there was
a pyinit. Then it goes on with what a request cannot do without (``_needed``). Considered: to raise the child's limit
(its environment and command line are its own), and to leave all out (who pads a request could then pass for
127.0.0.1, which apps tend to trust).
"""

from pyinit.http1.abnf import IPV6, TOKEN
from pyinit.http1.message import RequestHead, ResponseHead

# An IPv6 address has 45 at most; some load balancers add a port.
_ADDRESS_MAX = 64
MODES = ("auto", "append", "replace", "keep", "off")
# What ends the head of a response: the empty line alone, and one whose connection is closed behind it.
END = b"\r\n\r\n"
CLOSING_END = b"\r\nConnection: close" + END


# For one verdict: a load balancer has a few addresses. Kept there and not here, so that there are no more than a
# RequestParser has verdicts, whatever clients send and however many connections they have.
_PLANS_MAX = 8
# One by one each is a copy of the head.
_CUTS_MAX = 4


class _Edits:
    """What becomes of single lines.

    Attributes:
        removed: as often as they come.
        replaced: line -> what stands in the place of its last occurrence.
    """

    __slots__ = ("removed", "replaced")

    def __init__(self) -> None:
        self.removed: list[bytes] = []
        self.replaced: dict[bytes, bytes] = {}

    def apply(self, fields: bytes) -> bytes:
        """Field lines, each behind a line end, with this done to them."""
        fields += b"\r\n"
        if len(self.removed) <= _CUTS_MAX:
            for line in self.removed:
                fields = fields.replace(b"\r\n%b\r\n" % line, b"\r\n", 1)
        else:
            removed = frozenset(self.removed)
            fields = b"\r\n".join([line for line in fields.split(b"\r\n") if line not in removed])
        for last, line in self.replaced.items():
            at = fields.rindex(b"\r\n%b\r\n" % last) + 2
            fields = fields[:at] + line + fields[at + len(last) :]
        return fields[:-2]


# What goes between the target and the fields, and what is done to those. Where a client's address ends the first, and
# may be another's in the next head, what goes behind it.
Plan = tuple[bytes, _Edits | None, bytes | None]


class Forwarder:
    """Turns the request heads of a client, on however many connections, into what the app is sent.

    Args:
        mode: one of MODES.
        via: our name in Via; empty for none.
        peer_ip: the client's address as text, IPv4-mapped ones unmapped; empty for a unix socket.
        is_trusted: whether the peer's own forwarding fields are believed.
        local_host: where the client connected to, ``host:port``, for an HTTP/1.0 request that names no host.
        local_port: the port of that; empty for a unix socket.
        head_max_bytes: where the app refuses a head, as Node counts: --max-http-header-size.
    """

    __slots__ = (
        "_ahead",
        "_ahead_host",
        "_behind",
        "_head_max_bytes",
        "_local_host",
        "_local_port",
        "_mode",
        "_peer_ip",
        "is_trusted",
    )

    def __init__(
        self,
        mode: str,
        via: bytes,
        *,
        peer_ip: bytes,
        is_trusted: bool,
        local_host: bytes,
        local_port: bytes,
        head_max_bytes: int,
    ) -> None:
        self._mode = ("auto" if is_trusted else "replace") if mode == "auto" else mode
        # What ends a head of HTTP/1.0, and one of 1.1.
        self._behind = tuple(
            b"\r\nVia: 1.%d %b\r\n\r\n" % (minor, via) if via else b"\r\n\r\n" for minor in (0, 1)
        )
        self._peer_ip = peer_ip
        self._local_host = local_host
        self._local_port = local_port
        self._head_max_bytes = head_max_bytes
        self.is_trusted = is_trusted
        # Where no forwarding field came: what is added, and for which host.
        self._ahead = b""
        self._ahead_host: bytes | None = None

    def request(self, head: RequestHead, extra: list[bytes] | None = None) -> bytes:
        """The head for the app, with its final empty line.

        Args:
            head: as parsed; not changed.
            extra: field lines to add.
        """
        fields = head.fields
        host = head.host
        if head.minor == 0 and not host:
            # RFC 9112 section 3.3: without a name, the one that reaches this server.
            host = self._local_host
        if head.forwarding is None:
            if host != self._ahead_host:
                self._ahead = _ahead([] if self._mode in ("keep", "off") else self._all(host))
                self._ahead_host = host
            ahead = self._ahead
        else:
            verdict = head.verdict
            plan = verdict.plans.get(self) if verdict is not None else None
            if plan is None:
                plan = self._plan(head, host)
                # In the other modes the client's line is edited, and no two clients have one plan.
                if verdict is not None and (head.client is None or self._mode in ("auto", "keep")):
                    if len(verdict.plans) >= _PLANS_MAX:
                        verdict.plans.clear()
                    verdict.plans[self] = plan
            ahead, edits, behind_client = plan
            if behind_client is not None and head.client is not None:
                client = head.client
                ahead += (b'"[%b]"' % client if b":" in client else client) + behind_client
            if edits is not None:
                fields = edits.apply(fields)
        if head.minor == 0:
            fields = _with_host(host, fields, is_named=bool(head.host))
        if head.upgrade is not None:
            fields += b"\r\nConnection: Upgrade\r\nUpgrade: " + head.upgrade
        behind = self._behind[head.minor]
        if extra:
            behind = b"\r\n".join([behind[:-4], *extra, b"", b""])
        # Ours stand first: of very many fields Node drops the last without a word (server.maxHeadersCount),
        # and an app that misses X-Forwarded-For takes the client for us.
        raw = b"".join((head.method, b" ", head.target, ahead, fields, behind))
        if len(raw) >= self._head_max_bytes and _counted(head.target, raw) >= self._head_max_bytes:
            # RFC 9110 section 7.6.3 wants a Via from a gateway: left out here, as a request that the app refuses
            # has no use of one. It could let a loop through for as long as its heads are that large.
            added = ahead.split(b"\r\n")[1:]
            start = b"%b %b HTTP/1.1" % (head.method, head.target)
            raw = b"\r\n".join([start, *self._needed(added)]) + fields + b"\r\n\r\n"
        return raw

    def client(self, head: RequestHead | None) -> str:
        """The client's address, for the log: of the last hop that is believed to tell it; empty for a unix socket."""
        told = b""
        if head is not None and head.forwarding is not None and self.is_trusted:
            told = _last(head.forwarding, b"x-forwarded-for")[:_ADDRESS_MAX]
        return (told or self._peer_ip).decode("latin-1")

    def _plan(self, head: RequestHead, host: bytes) -> Plan:
        assert head.forwarding is not None  # noqa: S101  asked by who calls
        edits = _Edits()
        ahead = _ahead(self._beside(head.forwarding, edits, host))
        behind_client = None
        if head.client is not None and self._mode == "auto":
            ahead, found, behind = ahead.partition(b"\r\nForwarded: for=" + _node(head.client))
            if found:
                ahead += b"\r\nForwarded: for="
                behind_client = behind
        return ahead, edits if edits.removed or edits.replaced else None, behind_client

    def _needed(self, added: list[bytes]) -> list[bytes]:
        """Of what is added, that which an app must not miss: the address that only we know.

        Where a trusted peer's X-Forwarded-For passes there is none: the app has read all it needs from that before.
        """
        ours = [line for line in added if line.startswith(b"X-Forwarded-For:")]
        is_told = any(line.startswith(b"Forwarded:") for line in added)
        if is_told and self._peer_ip and (ours or self._mode == "append"):
            ours.append(b"Forwarded: " + _element(self._peer_ip, b"", b""))
        return ours

    def _all(self, host: bytes) -> list[bytes]:
        """All fields, where none came."""
        lines = []
        if self._peer_ip:
            lines.append(b"X-Forwarded-For: " + self._peer_ip)
        lines.append(b"X-Forwarded-Proto: http")
        if host and b"," not in host:  # apps cut that field at a comma, as a list, and Host not
            lines.append(b"X-Forwarded-Host: " + host)
        if self._local_port:
            lines.append(b"X-Forwarded-Port: " + self._local_port)
        lines.append(b"Forwarded: " + _element(self._peer_ip, host, b"http"))
        return lines

    def _beside(self, came: dict[bytes, list[bytes]], edits: _Edits, host: bytes) -> list[bytes]:
        """What is added where some came; notes in ``edits`` what must not pass as it is."""
        if self._mode == "keep":
            return []
        if self._mode in ("auto", "append"):
            came = _without_empty(came, edits)
        if self._mode in ("replace", "off"):
            for group in came.values():
                edits.removed += group
            return self._all(host) if self._mode == "replace" else []
        if self._mode == "append":
            return self._append(came, edits, host)
        return self._absent(came, host)

    def _absent(self, came: dict[bytes, list[bytes]], host: bytes) -> list[bytes]:
        """The missing ones, in accord with those that came."""
        proto = _last(came, b"x-forwarded-proto").lower() or b"http"
        seen_host = _last(came, b"x-forwarded-host") or host
        clients = [ip for line in came.get(b"x-forwarded-for", ()) for ip in _values(line)]
        added = []
        if b"x-forwarded-for" not in came and self._peer_ip:
            added.append(b"X-Forwarded-For: " + self._peer_ip)
        if b"x-forwarded-proto" not in came:
            added.append(b"X-Forwarded-Proto: " + proto)
        if b"x-forwarded-host" not in came and host and b"," not in host:
            added.append(b"X-Forwarded-Host: " + host)
        if b"x-forwarded-port" not in came and (port := self._port_beside(came, seen_host, proto)):
            added.append(b"X-Forwarded-Port: " + port)
        if b"forwarded" not in came:
            elements = [_element(ip, b"", b"") for ip in clients[:-1]]
            elements.append(_element(clients[-1] if clients else self._peer_ip, seen_host, proto))
            added.append(b"Forwarded: " + b", ".join(elements))
        return added

    def _port_beside(self, came: dict[bytes, list[bytes]], host: bytes, proto: bytes) -> bytes:
        name, colon, port = host.rpartition(b":")
        if colon and port.isdigit() and not name.endswith(b":"):
            return port
        if b"x-forwarded-proto" in came:
            return {b"https": b"443", b"http": b"80"}.get(proto, b"")
        return self._local_port

    def _append(self, came: dict[bytes, list[bytes]], edits: _Edits, host: bytes) -> list[bytes]:
        added = self._absent({name: group for name, group in came.items() if name != b"forwarded"}, host)
        added = [line for line in added if not line.startswith(b"Forwarded:")]
        for name, mine in (
            (b"x-forwarded-for", self._peer_ip),
            (b"forwarded", _element(self._peer_ip, host, b"http")),
        ):
            if name in came and mine:
                last = came[name][-1]
                edits.replaced[last] = last.rstrip(b" \t") + b", " + mine
        if b"forwarded" not in came:
            added.append(b"Forwarded: " + _element(self._peer_ip, host, b"http"))
        return added

    def __repr__(self) -> str:
        return f"Forwarder({self._mode}, peer={self._peer_ip!r})"


def kept_end(idle_timeout_s: float) -> bytes:
    """What ends the head of each response whose connection is kept: the client is told for how long.

    A request that meets our close on its way is lost, so a client has to let go of an idle connection before we do.
    Node's Agent, fetch and undici, Apache HttpClient and .NET read this field; Node behind no proxy sends the same
    two lines (with its 5 s). A second less than it is, for the way; Node takes off one more and undici two. Too little
    for that is left unsaid: 0 means "do not keep it" to some.

    Args:
        idle_timeout_s: after which we close.
    """
    seconds = int(idle_timeout_s) - 1
    if seconds < 1:
        return END
    # RFC 9110 section 7.6.1: named in Connection, as it is for the next hop alone.
    return b"\r\nConnection: keep-alive\r\nKeep-Alive: timeout=%d\r\n\r\n" % seconds


def response(
    head: ResponseHead,
    *,
    close: bool,
    client_minor: int,
    date_line: bytes,
    kept_end: bytes = END,
) -> bytes:
    """A response head for the client, with its final empty line.

    Args:
        head: the app's; not changed.
        close: whether we close the connection after this response.
        client_minor: 0 has to be told that the connection is kept, and gets no chunked framing.
        date_line: ``Date: ...``, added where the app sent none (RFC 9110 section 6.6.1).
        kept_end: from ``kept_end``.
    """
    wire = head.wire
    if not client_minor and head.is_chunked:
        lines = wire.split(b"\r\n")
        wire = b"\r\n".join([line for line in lines if line[:18].lower() != b"transfer-encoding:"])
    if not head.has_date:
        wire += b"\r\n" + date_line
    if close:
        return wire + CLOSING_END
    if kept_end == END and not client_minor:
        return wire + b"\r\nConnection: keep-alive\r\n\r\n"
    return wire + kept_end


def interim(head: ResponseHead) -> bytes:
    """A 1xx head for the client; a 101 names what it switches to (RFC 9110 section 15.2.2)."""
    if head.status == 101:
        return b"%b\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % (head.wire, head.upgrade or b"")
    return head.wire + END


def _element(ip: bytes, host: bytes, proto: bytes) -> bytes:
    """One element of Forwarded (RFC 7239 section 4); an IPv6 address is bracketed and quoted (section 6)."""
    parts = [b"for=" + _node(ip)]
    if host:
        parts.append(b"host=" + (host if TOKEN.fullmatch(host) else _quoted(host)))
    if proto:
        parts.append(b"proto=" + (proto if TOKEN.fullmatch(proto) else _quoted(proto)))
    return b";".join(parts)


def _node(ip: bytes) -> bytes:
    if not ip:
        return b"unknown"  # section 6.2
    if IPV6.fullmatch(ip):
        return b'"[%b]"' % ip
    return ip if TOKEN.fullmatch(ip) else _quoted(ip)  # whatever X-Forwarded-For held, it ends here


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _ahead(added: list[bytes]) -> bytes:
    """What goes between the target and the fields."""
    return b"\r\n".join([b" HTTP/1.1", *added])


def _with_host(host: bytes, fields: bytes, *, is_named: bool) -> bytes:
    """With the Host that HTTP/1.1 asks for, where HTTP/1.0 did not."""
    lines = fields.split(b"\r\n")[1:]
    if not is_named:
        lines = [line for line in lines if line[:5].lower() != b"host:"]
    if not any(line[:5].lower() == b"host:" for line in lines):
        lines.insert(0, b"Host: " + host)
    return b"\r\n".join([b"", *lines])


def _counted(target: bytes, raw: bytes) -> int:
    """The size of a head as Node counts it: the target, and names and values without what separates them."""
    fields = [line.partition(b":") for line in raw.split(b"\r\n")[1:-2]]
    return len(target) + sum(len(name) + len(value.lstrip(b" \t")) for name, _, value in fields)


def _without_empty(came: dict[bytes, list[bytes]], edits: _Edits) -> dict[bytes, list[bytes]]:
    """Those that say something; the others are to be removed."""
    said = {}
    for name, group in came.items():
        # No generator before it is known to be needed: every request of a load balancer's new client comes by here.
        if len(group[0].rstrip(b" \t,")) > len(name) + 1 or any(any(_values(line)) for line in group):
            said[name] = group
        else:
            edits.removed += group
    return said


def _values(line: bytes) -> list[bytes]:
    return [value.strip(b" \t") for value in line.partition(b":")[2].split(b",")]


def _last(came: dict[bytes, list[bytes]], name: bytes) -> bytes:
    """The value that the nearest proxy set: the last; nothing where the field is absent."""
    group = came.get(name)
    return _values(group[-1])[-1] if group else b""

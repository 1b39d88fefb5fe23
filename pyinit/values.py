"""Option values: text in, typed value out, or a ValueError that says what is accepted.

Imported before the child exists, so nothing that is slow to import: ``ipaddress``, ``socket`` and ``typing``
each cost more milliseconds than all of this (``benchmarks/start_imports.py``).
"""

from __future__ import annotations

from pyinit.init import signals

DURATION = "seconds, as 10, 1.5, 500ms or 2m"
SIZE = "bytes, as 65536, 64K, 10M or 1G"
PORT_RANGE = "a port is 0 to 65535"
_WORKERS_MAX = 256  # each is an interpreter of its own: more is a slip of the finger


class Address:
    """Where to listen or connect.

    Attributes:
        host: a name or a numeric address without brackets; None for all (listening) or loopback (upstream).
        port: 0 to 65535; None for a unix socket.
        path: of a unix socket; None otherwise. With ``@`` in front an abstract name (unix(7)).
        raw: a ``tcp:`` listener, which relays bytes and reads no HTTP.
    """

    __slots__ = ("host", "path", "port", "raw")

    def __init__(
        self, host: str | None = None, port: int | None = None, path: str | None = None, *, raw: bool = False
    ) -> None:
        self.host = host
        self.port = port
        self.path = path
        self.raw = raw

    def __str__(self) -> str:
        """The address as a user writes it."""
        if self.path is not None:
            text = self.path if self.path.startswith("@") else f"unix:{self.path}"
        elif self.host is None:
            text = str(self.port)
        else:
            text = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"tcp:{text}" if self.raw else text

    def __repr__(self) -> str:
        return f"Address({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Network:
    """A CIDR block; holds a peer or not.

    IPv4-mapped IPv6 peers (a dual-stack listener shows IPv4 clients so) are to be unmapped by the caller.
    """

    __slots__ = ("_mask", "_network", "_size_bytes", "text")

    def __init__(self, text: str) -> None:
        import _socket  # noqa: PLC0415  front mode alone: 0.5 ms of a start, and 0.4 MiB for as long as it runs

        address, slash, length = text.partition("/")
        self.text = text
        try:
            packed = _socket.inet_pton(_socket.AF_INET6 if ":" in address else _socket.AF_INET, address)
        except OSError:
            raise ValueError("an address or network, as 10.0.0.0/8 or fd00::/8") from None
        self._size_bytes = len(packed)
        bits = 8 * len(packed)
        if slash and not (length.isascii() and length.isdigit() and int(length) <= bits):
            raise ValueError(f"a prefix length of 0 to {bits} after the slash")
        prefix = int(length) if slash else bits
        self._mask = ((1 << prefix) - 1) << (bits - prefix)
        self._network = int.from_bytes(packed, "big") & self._mask

    def __contains__(self, packed: bytes) -> bool:
        """Whether a packed address (4 or 16 bytes, as inet_pton gives it) lies in the network."""
        if len(packed) != self._size_bytes:
            return False
        return int.from_bytes(packed, "big") & self._mask == self._network

    def __repr__(self) -> str:
        return f"Network({self.text})"


def seconds(text: str) -> float:
    """A duration of zero or more."""
    number, scale = text, 1.0
    for suffix, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0)):
        if text.endswith(suffix):
            number, scale = text[: -len(suffix)], factor
            break
    value = _decimal(number, DURATION) * scale
    if value > 10 * 365 * 86400:
        raise ValueError(DURATION)
    return value


def positive_seconds(text: str) -> float:
    """A duration above zero."""
    value = seconds(text)
    if value <= 0:
        raise ValueError(f"more than 0 {DURATION}")
    return value


def unlimited_seconds(text: str) -> float | None:
    """A duration above zero, or none at all: 0, off or unlimited."""
    return None if text in ("0", "off", "unlimited") else positive_seconds(text)


def seconds_or_never(text: str) -> float | None:
    """A duration of zero or more, or -1 for never."""
    if text == "-1":
        return None
    try:
        return seconds(text)
    except ValueError:
        raise ValueError(f"{DURATION}, or -1 for never") from None


def size_bytes(text: str) -> int:
    """A size above zero."""
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:].upper(), 0)
    number = text[:-1] if factor else text
    if not (number.isascii() and number.isdigit()) or not int(number):
        raise ValueError(SIZE)
    return int(number) * (factor or 1)


def unlimited_bytes(text: str) -> int | None:
    """A size above zero, or none at all: 0, off or unlimited."""
    return None if text in ("0", "off", "unlimited") else size_bytes(text)


def count(text: str) -> int:
    """A whole number above zero."""
    if not (text.isascii() and text.isdigit()) or not int(text):
        raise ValueError("a whole number above 0")
    return int(text)


def exit_code(text: str) -> int:
    """0 to 255; nothing counts as 0, as for tini."""
    if text and not (text.isascii() and text.isdigit() and int(text) <= 255):
        raise ValueError("an exit code of 0 to 255")
    return int(text or "0")


def flag(text: str) -> bool:
    """A switch given in a variable."""
    lowered = text.lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("1 or 0, true or false, on or off")


def signal_number(text: str) -> int:
    """A signal by name (TERM, SIGTERM, RTMIN+3) or number."""
    number = signals.number(text)
    if number is None:
        raise ValueError(f"a signal name or number of 1 to {signals.HIGHEST}")
    return number


def signal_numbers(text: str) -> list[int]:
    """Several signals, with commas; ones that can be received."""
    numbers = [signal_number(part.strip()) for part in text.split(",")]
    if not signals.WAITED - {signals.SIGCHLD} >= set(numbers):
        raise ValueError("signals that a process can catch, and not CHLD, which is ours")
    return numbers


def caught_signal(text: str) -> int:
    """One signal that can be received."""
    return signal_numbers(text)[0]


def rewrite(text: str) -> tuple[int, int]:
    """``A:B``: where A comes, B is passed on; 0 drops it."""
    before, _, after = text.partition(":")
    try:
        return caught_signal(before), 0 if after == "0" else signal_number(after)
    except ValueError:
        raise ValueError("A:B, each a signal name or number, B may be 0") from None


def listen_address(text: str, environment: dict[str, str]) -> Address:
    """PORT, HOST:PORT, [V6]:PORT, unix:/path, env:NAME; ``tcp:`` in front for bytes without HTTP."""
    rest = text.removeprefix("tcp:")
    raw = rest != text
    if rest.startswith("env:"):
        name = rest[4:]
        port = environment.get(name)
        if port is None:
            raise ValueError(f"a variable that is set: {name} is not")
        return Address(port=_port(port, f"a port in the variable {name}, which holds {port!r}"), raw=raw)
    return _address(rest, raw=raw)


def upstream_address(text: str) -> Address | None:
    """PORT, HOST:PORT, [V6]:PORT, unix:/path; None for ``auto``."""
    if text == "auto":
        return None
    if not text:
        raise ValueError("PORT, HOST:PORT, [V6]:PORT, unix:/path or auto")
    address = _address(text, raw=False)
    if address.port == 0:
        raise ValueError("a port of 1 to 65535, unix:/path or auto")
    return address


def control_address(text: str) -> Address | None:
    """Where the operator's sockets are; None for off."""
    if text == "off":
        return None
    if text.startswith("@"):
        # sun_path is 108 bytes; ours begin with a NUL, and a suffix follows.
        if not 1 < len(text.encode(errors="surrogateescape")) <= 90 or "/" in text or not text.isprintable():
            raise ValueError("@ and a name of at most 89 bytes")
        return Address(path=text)
    try:
        address = _address(f"unix:{text}" if text.startswith("/") else text, raw=False)
    except ValueError:
        raise ValueError(f"@NAME, unix:/path, HOST:PORT or off ({PORT_RANGE})") from None
    # The health socket beside it is this and seven more: .health
    if address.path is not None and len(address.path.encode(errors="surrogateescape")) > 100:
        raise ValueError("unix: and an absolute path of at most 100 bytes")
    return address


def tcp_address(text: str) -> Address:
    """HOST:PORT, or a port of the loopback address."""
    address = _address(text, raw=False)
    if address.path is not None:
        raise ValueError(f"HOST:PORT ({PORT_RANGE})")
    return address


def networks(text: str) -> list[Network]:
    """CIDR blocks, with commas; ``none`` for no network at all."""
    if text.strip() in ("", "none"):
        return []
    return [Network(part.strip()) for part in text.split(",")]


def via_name(text: str) -> str:
    """A pseudonym for Via (a token, RFC 9110 section 7.6.3), or off."""
    allowed = "!#$%&'*+-.^_`|~:[]"
    if not text or not text.isascii() or not all(c.isalnum() or c in allowed for c in text):
        raise ValueError("a name of letters, digits and -._ or off")
    return text


def variable_name(text: str) -> str:
    """A variable for the child, or nothing for none."""
    if "=" in text or "\0" in text:
        raise ValueError("a variable name, or nothing for none")
    return text


def origin_path(text: str) -> str:
    """A path with an optional query, as it stands in a request line."""
    if not text.startswith("/") or not all("!" <= c <= "~" and c != "#" for c in text):
        raise ValueError("a path that begins with / and has no spaces, as /healthz")
    return text


def plain_path(text: str) -> str:
    """A path alone."""
    path = origin_path(text)
    if "?" in path:
        raise ValueError("a path that begins with / and has no query, as /healthz")
    return path


def workers(text: str) -> int | None:
    """A number of proxy processes; None for auto."""
    number = None if text == "auto" else count(text)
    if number is not None and number > _WORKERS_MAX:
        raise ValueError(f"auto, or a whole number of 1 to {_WORKERS_MAX}")
    return number


def _decimal(text: str, accepted: str) -> float:
    whole, dot, part = text.partition(".")
    digits = whole + part
    if not digits or not digits.isascii() or not digits.isdigit() or (dot and not part):
        raise ValueError(accepted)
    return float(text)


def _port(text: str, accepted: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError(accepted)
    return int(text)


def _address(text: str, *, raw: bool) -> Address:
    accepted = f"PORT, HOST:PORT, [V6]:PORT, unix:/path or env:NAME ({PORT_RANGE})"
    if text.startswith("unix:"):
        path = text[5:]
        # sun_path is 108 bytes with its NUL (unix(7)).
        if not path.startswith("/") or len(path.encode(errors="surrogateescape")) > 107:
            raise ValueError("unix: and an absolute path of at most 107 bytes")
        return Address(path=path, raw=raw)
    if text.isdigit():
        return Address(port=_port(text, PORT_RANGE), raw=raw)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise ValueError(accepted)
    elif ":" in host:
        raise ValueError(f"an IPv6 address in brackets, as [{host}]:{port}")
    if not colon or not host:
        raise ValueError(accepted)
    return Address(host=host, port=_port(port, accepted), raw=raw)

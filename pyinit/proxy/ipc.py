"""What PID 1 and a worker say to each other: messages, and their form on the socketpair.

One line of JSON each: a stream of them can be cut anywhere, a person can read it in strace, and a worker is told
something a few times in its life, not for each request. pickle would be shorter and execute whatever comes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from pyinit.drain.outcomes import InFlight, Kind, Outcomes
from pyinit.proxy.config import ProxyConfig, UpstreamAddress
from pyinit.proxy.stats import Levels, Stats

if TYPE_CHECKING:
    from collections.abc import Iterable

# The longest is a report of CUT_LISTED_MAX cut exchanges and the oldest; beyond this the other end is broken.
MESSAGE_MAX_BYTES = 4 << 20
# --head-max can be megabytes; nobody reads a target of more than this in a report.
_TARGET_MAX = 2000
# JSON has no bytes; the only ones in a ProxyConfig are a token and a path, of ASCII.
_BYTES_FIELDS = ("via", "health_path")


@dataclass(frozen=True, slots=True)
class Configure:
    """The first message to a worker.

    Attributes:
        worker: its number, from 0; in each of its log lines.
        proxy: without its trusted networks, which are objects of the caller's.
        trusted: those, as text.
        listeners: descriptors that it inherited, each with whether it is a ``tcp:`` address.
        log_format: as --log-format.
        log_level: as --log-level.
    """

    worker: int
    proxy: ProxyConfig
    trusted: tuple[str, ...]
    listeners: tuple[tuple[int, bool], ...]
    log_format: str
    log_level: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Accept: the sockets are listening."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What --health-path answers: why not ready; None for ready."""

    not_ready: str | None


@dataclass(frozen=True, slots=True)
class AnnounceStop:
    """Close each connection after its response."""


@dataclass(frozen=True, slots=True)
class StopAccepting:
    """Take what is queued, close the listeners; handshakes are waited for ``limit_s`` at most."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class CloseIdle:
    """Idle connections go, after their grace."""


@dataclass(frozen=True, slots=True)
class CloseStreams:
    """Streams and tunnels are asked to leave, each after its part of ``close_spread_s``."""


@dataclass(frozen=True, slots=True)
class Cut:
    """End what is left; who waits for a response is told this."""

    reason: str
    status: int


@dataclass(frozen=True, slots=True)
class ClosePool:
    """Close the connections to the app, then say UpstreamsGone."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer with a Report of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class SetLogLevel:
    """Log this and what is above from here on."""

    level: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Close everything, send a last Report, exit."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """No listener and no client connection is left."""


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """During a stop: a new client, which is no health probe, has sent its first request."""


@dataclass(frozen=True, slots=True)
class AppUnreachable:
    """A connection to the app could not be made."""


@dataclass(frozen=True, slots=True)
class UpstreamsGone:
    """After ClosePool: no connection to the app is left."""


@dataclass(frozen=True, slots=True)
class Report:
    """How things stand with a worker.

    Attributes:
        number: of the Ask that this answers; 0 for none.
        census: client connections by state.
        stats: since its start.
        outcomes: since the stop's beginning.
        levels: of this moment.
        in_flight: exchanges and tunnels by kind.
        oldest: of those, the oldest first.
    """

    number: int = 0
    census: dict[str, int] = field(default_factory=dict)
    stats: Stats = field(default_factory=Stats)
    outcomes: Outcomes = field(default_factory=Outcomes)
    levels: Levels = field(default_factory=Levels)
    in_flight: dict[str, int] = field(default_factory=dict)
    oldest: tuple[InFlight, ...] = ()


Order = (
    Configure
    | Listen
    | Readiness
    | AnnounceStop
    | StopAccepting
    | CloseIdle
    | CloseStreams
    | Cut
    | ClosePool
    | Ask
    | SetLogLevel
    | Abort
)
Notice = Quiet | ConnectionOpened | AppUnreachable | UpstreamsGone | Report
Message = Order | Notice

_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        Configure,
        Listen,
        Readiness,
        AnnounceStop,
        StopAccepting,
        CloseIdle,
        CloseStreams,
        Cut,
        ClosePool,
        Ask,
        SetLogLevel,
        Abort,
        Quiet,
        ConnectionOpened,
        AppUnreachable,
        UpstreamsGone,
        Report,
    )
}


def encode(message: Message) -> bytes:
    """A message as its line, the line break included."""
    if isinstance(message, Configure):
        message = replace(message, proxy=replace(message.proxy, trusted=()))
    value: dict[str, object] = asdict(message)
    if isinstance(message, Report):
        outcomes = message.outcomes
        value["outcomes"] = asdict(replace(outcomes, cut=_shortened(outcomes.cut)))
        value["oldest"] = [asdict(it) for it in _shortened(message.oldest)]
    value["kind"] = type(message).__name__
    return json.dumps(value, separators=(",", ":"), default=_from_bytes).encode() + b"\n"


class Decoder:
    """Lines to messages, however the bytes were split.

    Args:
        limit_bytes: of one message.
    """

    __slots__ = ("_limit_bytes", "_rest")

    def __init__(self, limit_bytes: int = MESSAGE_MAX_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with these bytes.

        Raises:
            ValueError: no message of ours, or too long a one; the other end is of no use any more.
        """
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        if max(map(len, (*lines, rest))) > self._limit_bytes:
            raise ValueError(f"a message of more than {self._limit_bytes} bytes")
        return [decode(bytes(line)) for line in lines]

    def __repr__(self) -> str:
        return f"Decoder({len(self._rest)} bytes pending)"


def decode(line: bytes) -> Message:
    """The message of a line, without its line break. Raises ValueError for anything else."""
    try:
        value = json.loads(line)
        kind = _KINDS[value.pop("kind")]
        if kind is Configure:
            value["proxy"] = _proxy_config(value["proxy"])
            value["trusted"] = tuple(value["trusted"])
            value["listeners"] = tuple((fd, is_raw) for fd, is_raw in value["listeners"])
        elif kind is Report:
            cut = _in_flight(value["outcomes"].pop("cut"))
            value["outcomes"] = Outcomes(**value["outcomes"], cut=cut)
            value["stats"] = Stats(**value["stats"])
            value["levels"] = Levels(**value["levels"])
            value["oldest"] = tuple(_in_flight(value["oldest"]))
        return kind(**value)
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"no message: {line[:80]!r}: {problem!r}") from problem


def _proxy_config(value: dict[str, object]) -> ProxyConfig:
    names = {it.name for it in fields(ProxyConfig)}
    given = {
        # A frozen configuration holds no list: what looks like one here was a tuple.
        name: it.encode("latin-1") if name in _BYTES_FIELDS and isinstance(it, str) else _tuples(it)
        for name, it in value.items()
        if name in names
    }
    address = value["upstream"]
    if not isinstance(address, dict):
        raise TypeError("an address is an object")
    # The types are what they were: both ends are the same version of the same program.
    upstream = UpstreamAddress(**{name: _tuples(it) for name, it in address.items()})  # type: ignore[arg-type]
    return ProxyConfig(**{**given, "upstream": upstream})  # type: ignore[arg-type]


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _from_bytes(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(f"{value!r} has no form in JSON")


def _in_flight(values: list[dict[str, Any]]) -> list[InFlight]:
    return [InFlight(**{**value, "kind": Kind(value["kind"])}) for value in values]


def _shortened(listed: Iterable[InFlight]) -> list[InFlight]:
    return [
        replace(it, target=it.target[:_TARGET_MAX] + "...") if len(it.target) > _TARGET_MAX else it
        for it in listed
    ]

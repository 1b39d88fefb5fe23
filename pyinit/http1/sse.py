r"""Event streams: which responses are one, and where one can be ended so that no event is torn.

An event ends at an empty line (HTML standard, "Interpreting an event stream"). Ended there, and as a whole message, a
stream is to the client what an app's own end is: EventSource connects again, with the id of the last event it got.
The standard has an incomplete event thrown away at the end, so a stream that is cut tears nothing in a browser
either; but other clients take a cut for a fault, and an app that sends no ids sends what it thinks was got only once.

**What following costs.** Where the last event ended has to be known when the drain begins, and cannot be found out
then: what was read is gone. Kept of it is the smallest state that answers the question, one of four (``_State``),
and as a rule one search from a read's end finds the empty line that most reads end with. Considered: the last four
bytes of each read, judged in the drain alone. They cannot tell a comment (a heartbeat ``:\n`` with no empty line
behind it, as Mercure sends) from the middle of an event, and such a stream may be silent for hours.

**Chunks.** They go through unchanged until the stream is to end, so that it can be ended only between two of them;
and an event need not end where a chunk does. So from the first moment between two chunks on, the chunks are ours:
the app's framing is taken off (its positions are known, nothing is decoded), what came in one read goes on as one
chunk, and an event's end is an end wherever it lies. RFC 9112 section 7.1 lets any recipient do so; extensions and
trailers, which it lets go too, are lost then. What is left has no such moment: a chunk whose announced size never
comes, or a stream that never has an empty line. That one is cut at the deadline.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from pyinit.http1.body import ChunkedBody, UntilCloseBody
from pyinit.http1.fields import name_and_value

if TYPE_CHECKING:
    from pyinit.http1.message import ResponseHead

EVENT_STREAM = b"text/event-stream"

# One that does not end runs to the end: to look for another behind each of its quotes would take the square of its
# length, a second for 16 KiB.
_QUOTED_STRING = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)')
# RFC 9110 section 12.4.2: a weight of zero is "not acceptable". What is no weight at all is left to the app.
_ZERO_WEIGHT = re.compile(rb"0(?:\.0{0,3})?")

_BOM = b"\xef\xbb\xbf"
# Whole lines that add nothing to an event: empty ones, and comments.
_IDLE_LINES = re.compile(rb"(?:(?::[^\r\n]*)?(?:\r\n?|\n))*")
_LINE_END = re.compile(rb"\r\n?|\n")


def accepts_event_stream(lines: list[bytes]) -> bool:
    """Whether a request's Accept holds text/event-stream itself: what EventSource sends, and ``*/*`` does not.

    Source: RFC 9110 section 12.5.1; of several lines each counts.

    Args:
        lines: field lines that passed every check.
    """
    for line in lines:
        if line[:7].lower() != b"accept:":
            continue
        # A quoted string may hold commas, and whatever else.
        for member in _QUOTED_STRING.sub(b'""', line[7:]).split(b","):
            media_type, *parameters = (part.strip(b" \t").lower() for part in member.split(b";"))
            if media_type == EVENT_STREAM and not any(map(_is_refusal, parameters)):
                return True
    return False


def _is_refusal(parameter: bytes) -> bool:
    return parameter.startswith(b"q=") and _ZERO_WEIGHT.fullmatch(parameter[2:]) is not None


def is_event_stream(head: ResponseHead) -> bool:
    """Whether a response's fields are those of an event stream that can be followed: in no content coding.

    Args:
        head: of which only ``wire`` is looked at.
    """
    if EVENT_STREAM not in head.wire.lower():
        return False
    found = []
    for line in head.lines:
        if line[:8].lower() != b"content-":
            continue
        name, value = name_and_value(line)
        if name == b"content-encoding":
            return False
        if name == b"content-type":
            found.append(value.partition(b";")[0].strip(b" \t").lower())
    return found == [EVENT_STREAM]


class _State(Enum):
    """Where in the stream the last byte was."""

    BETWEEN = "at a line's beginning, with nothing of an event since the last one's end"
    COMMENT = "in a comment, likewise"
    EVENT = "in an event's line"
    EVENT_LINE = "in an event, at a line's beginning"


# What nearly each read asks for: by its name a member of an Enum takes ten times as long as a global.
_BETWEEN = _State.BETWEEN


class EventFollower:
    r"""Says where events end, in the stream's own bytes.

    The stream's beginning is such a place, and so is the end of a comment between events. A CR that ends what there
    is counts as a line end only after another CR: who uses CRLF has its LF still to come, and clients that wait for
    it would not take the event for ended.
    """

    __slots__ = ("_held", "_is_after_cr", "_is_first", "_state")

    def __init__(self) -> None:
        self._state = _State.BETWEEN
        self._held = b""  # what cannot be judged before the next byte: a CR, or part of a byte order mark
        self._is_first = True
        self._is_after_cr = False

    @property
    def is_between(self) -> bool:
        """Whether no event is under way."""
        return self._state is _State.BETWEEN and not self._held

    def feed(self, data: bytes) -> int:
        """Take the next bytes.

        Args:
            data: of the stream, its framing removed, in any split.

        Returns:
            Up to where of ``data`` no event is under way, at the last such place; 0 where there is none.
        """
        if data.endswith(b"\n\n"):
            # As most reads do: behind it an event has ended, whatever was before.
            self._held = b""
            self._is_first = self._is_after_cr = False
            self._state = _BETWEEN
            return len(data)
        held_bytes = len(self._held)
        if held_bytes:
            data = self._held + data
            self._held = b""
        at = self._begin(data)
        if at < 0:
            self._held = data
            return 0
        if data.endswith(b"\r") and not (data.endswith(b"\r\r") or (len(data) == 1 and self._is_after_cr)):
            self._held = b"\r"
            data = data[:-1]
        if not data:
            return 0
        if self._is_after_cr and data.startswith(b"\n"):
            at = 1  # the rest of a CRLF
        self._is_after_cr = data.endswith(b"\r")
        return max(0, self._follow(data, at) - held_bytes)

    def _begin(self, data: bytes) -> int:
        """Where the stream's own bytes begin, after a byte order mark; -1 while that cannot be told."""
        if not self._is_first:
            return 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            return -1
        self._is_first = False
        return len(_BOM) if data.startswith(_BOM) else 0

    def _follow(self, data: bytes, at: int) -> int:
        """The last place from ``at`` on where no event is under way; 0 for none."""
        ended = at if self._state is _State.BETWEEN else 0
        # Behind either of these an event has ended, whatever was before.
        found, found_crlf = data.rfind(b"\n\n"), data.rfind(b"\r\n\r\n")
        skip = max(found + 2 if found >= 0 else 0, found_crlf + 4 if found_crlf >= 0 else 0)
        pairs = _Pairs(data)
        if skip:
            at = ended = skip
            self._state = _State.BETWEEN
        while at < len(data):
            match self._state:
                case _State.BETWEEN:
                    idle = _IDLE_LINES.match(data, at)
                    if idle is not None and idle.end() > at:
                        at = ended = idle.end()
                    else:
                        self._state = _State.COMMENT if data.startswith(b":", at) else _State.EVENT
                    continue
                case _State.COMMENT:
                    line_end = _LINE_END.search(data, at)
                case _State.EVENT_LINE:
                    line_end = _LINE_END.match(data, at) or pairs.empty_line(at)
                case _:
                    line_end = pairs.empty_line(at)
            if line_end is not None:
                at = ended = line_end.end()
                self._state = _State.BETWEEN
                continue
            if self._state is not _State.COMMENT:
                self._state = _State.EVENT_LINE if data.endswith((b"\r", b"\n")) else _State.EVENT
            break
        return ended

    def __repr__(self) -> str:
        return f"EventFollower({self._state.name}, held={self._held!r})"


class _Pairs:
    r"""The empty lines of one read, behind the last \n\n and \r\n\r\n of it: those that are a CR.

    By two plain searches: the pattern alone took 0.4 ms for an event of 60 kB, and they take 0.02. Each goes on from
    where it was: begun anew for every event, many events in one read took the square of its length.
    """

    __slots__ = ("_ahead", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ahead: dict[bytes, int | None] = {b"\n\r": None, b"\r\r": None}

    def empty_line(self, at: int) -> re.Match[bytes] | None:
        """The first at or behind a place that never goes back."""
        found = []
        for pair, place in self._ahead.items():
            if place is None or 0 <= place < at:
                place = self._ahead[pair] = self._data.find(pair, at)  # noqa: PLW2901  the newer one
            if place >= 0:
                found.append(place)
        return _LINE_END.match(self._data, min(found) + 1) if found else None


class EventStream:
    """The body of an event stream, followed to where it can be ended.

    Args:
        body: its framer; noting spans from here on, where it is chunked.
        is_chunked: as the client gets it.

    Attributes:
        is_ended: whether it was ended here; what the app sends after that is not the client's.
    """

    __slots__ = ("_body", "_follower", "_is_chunked", "_is_leaving", "_owed", "is_ended")

    def __init__(self, body: ChunkedBody | UntilCloseBody, *, is_chunked: bool) -> None:
        if isinstance(body, ChunkedBody):
            body.spans = []
        self._body = body
        self._follower = EventFollower()
        self._is_chunked = is_chunked
        self._is_leaving = False
        # What goes before our next chunk; None while the chunks are the app's.
        self._owed: bytes | None = None
        self.is_ended = False

    def leave(self) -> bytes:
        """End it as soon as no event is under way: now, or in one of the reads to come.

        Returns:
            What the client is to be sent; nothing where only a FIN ends the message.
        """
        self._is_leaving = True
        if isinstance(self._body, ChunkedBody) and self._is_chunked:
            self._owed = self._body.before_next_chunk()
            if self._owed is None:
                return b""
        self.is_ended = self._follower.is_between
        return self._last_chunk() if self.is_ended else b""

    def pass_on(self, data: bytes, end: int) -> bytes:
        """What the client is to be sent of a read that the framer has taken.

        Args:
            data: the read.
            end: up to where it belongs to the body.
        """
        body = self._body
        spans = [(0, end)]
        if isinstance(body, ChunkedBody):
            spans, body.spans = body.spans or [], []
        pieces = [data[start:stop] for start, stop in spans]
        stream = b"".join(pieces)  # no copy of a sole one
        ended = self._follower.feed(stream)
        # What the app has ended by itself goes on whole.
        self.is_ended = self._is_leaving and ended > 0 and not body.complete
        if not self._is_chunked:
            return stream[:ended] if self.is_ended else stream
        if self._owed is not None:
            return self._own_chunk(stream, ended)
        if not self._is_leaving or body.complete or not isinstance(body, ChunkedBody):
            return data[:end]
        if len(spans) > 1:
            # The app's chunk that was under way is over, and behind it the chunks are ours.
            first = pieces[0]
            self.is_ended = ended >= len(first)
            self._owed = b"\r\n"
            return data[: spans[0][1]] + self._own_chunk(stream[len(first) :], ended - len(first))
        self._owed = body.before_next_chunk()
        self.is_ended = self._owed is not None and self._follower.is_between
        return data[:end] + self._last_chunk()

    def _own_chunk(self, stream: bytes, ended: int) -> bytes:
        """What was read as a chunk of ours, the last one behind it where this is the end."""
        if self.is_ended:
            stream = stream[:ended]
        chunk = b""
        if stream:
            chunk = b"%b%x\r\n%b" % (self._owed or b"", len(stream), stream)
            self._owed = b"\r\n"
        return chunk + self._last_chunk()

    def _last_chunk(self) -> bytes:
        if self._is_chunked and (self.is_ended or self._body.complete) and self._owed is not None:
            return self._owed + b"0\r\n\r\n"
        return b""

    def __repr__(self) -> str:
        return f"EventStream({self._follower!r}, leaving={self._is_leaving}, ended={self.is_ended})"

"""The last request head of a connection, by which a next one is known that differs in a few values alone.

A client's heads on one connection are mostly the same but for the request line and the value of one line or two (a
trace id, a Referer). What does not change is compared by memcmp, what does is judged by one pattern, and everything
else that was found out of the last one holds: the lines with a meaning of their own are among those that are the same.

Where heads have nothing in common (a load balancer sends many clients' requests over one connection) each attempt to
learn one is wasted: after each that was of no use, twice as many heads go by before the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinit.http1 import abnf
from pyinit.http1.request import changing_value

if TYPE_CHECKING:
    from collections.abc import Callable
    from re import Match, Pattern

    from pyinit.http1.message import RequestHead, Verdict

# It is kept for each connection.
_HEAD_BYTES = 4096
# Beyond that many, judging them line by line is no slower.
_CHANGING_MAX = 4
_PASSED_MAX = 63


class LastHead:
    """What is remembered of one connection's last head.

    Args:
        limit_bytes: of a HeadReader; what is longer is left to it.
    """

    __slots__ = (
        "_begins",
        "_block",
        "_changes",
        "_client",
        "_client_line",
        "_content_length",
        "_limit_bytes",
        "_passing",
        "_verdict",
        "_wasted",
    )

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = min(limit_bytes, 2 * _HEAD_BYTES)
        self.forget()

    def forget(self) -> None:
        """Take no memory."""
        self._verdict: Verdict | None = None  # None: no head is known by the last
        self._content_length: int | None = None
        self._client: bytes | None = None
        self._client_line = b""
        self._block = b""  # the last one, while there is no verdict
        self._begins = b""  # up to the first value that changes
        # The values that change: what finds the end of one, the pattern that is of, what follows it.
        self._changes: tuple[
            tuple[Callable[[bytes, int], Match[bytes] | None], Pattern[bytes], bytes], ...
        ] = ()
        self._passing = 0  # heads that are yet to go by unlearnt
        self._wasted = 0

    def again(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        """A whole head that is the last one but for its request line and what changes.

        Args:
            data: what was read where a head is expected.

        Returns:
            The head and the bytes after it; None where it is none such: it is to be read and judged as ever.
        """
        verdict = self._verdict
        if verdict is None:
            return None
        begins = self._begins
        start = data.find(b"\r\n")
        if not data.startswith(begins, start):
            return None
        at = start + len(begins)
        length, client, client_line = self._content_length, self._client, self._client_line
        for value, pattern, follows in self._changes:
            match = value(data, at)
            if match is None:
                return None
            if pattern is abnf.LENGTH_LINE_VALUE:
                length = int(match[1])
            elif pattern is abnf.ADDRESS_LINE_VALUE:
                client = match[1]
                client_line = data[data.rindex(b"\n", 0, at) + 1 : match.end()]
            at = match.end()
            if not data.startswith(follows, at):
                return None
            at += len(follows)
        common = abnf.COMMON_REQUEST_LINE.match(data)
        if common is None or at > self._limit_bytes:
            return None
        self._passing = self._wasted = 0
        method, target = common.groups()
        head = verdict.head(method, target, data[start : at - 4])
        head.content_length = length
        if client is not None:
            verdict.put_client(head, client, client_line)
        return head, data[at:] if len(data) > at else b""

    def learn(self, block: bytes, head: RequestHead) -> None:
        """Remember a head that was judged, and where it differs from the one before.

        Args:
            block: without its final empty line.
            head: what it says.
        """
        if self._passing:
            self._passing -= 1
            return
        verdict = head.verdict
        if verdict is None or len(block) > _HEAD_BYTES:
            return
        last, self._block = self._block, block
        if self._verdict is not None:
            # Its changing values are left out: so they differ from the new ones.
            last = b"".join([self._begins, *(follows for _, _, follows in self._changes)])[:-4]
            self._verdict = None
        if not last:
            return
        if self._compare(last.split(b"\r\n"), block.split(b"\r\n"), head):
            self._block = b""
            self._content_length = head.content_length
            self._client = head.client
            if head.client is not None and head.forwarding is not None:
                (self._client_line,) = head.forwarding[b"x-forwarded-for"]
            self._verdict = verdict
        self._passing = self._wasted
        if self._passing:
            self._block = b""
        self._wasted = min(2 * self._wasted + 1, _PASSED_MAX)

    def _compare(self, last: list[bytes], lines: list[bytes], head: RequestHead) -> bool:
        """Note where the head of these lines differs from the last; False where it is too much, or means something."""
        if len(last) != len(lines):
            return False
        same = b""
        pieces = []  # what does not change, around each value that does
        patterns: list[Pattern[bytes]] = []
        for before, line in zip(last[1:], lines[1:], strict=True):
            if before == line:
                same += b"\r\n" + line
                continue
            name = line[: line.index(b":") + 1]
            pattern = changing_value(line, head)
            if pattern is None or len(patterns) == _CHANGING_MAX:
                return False
            patterns.append(pattern)
            pieces.append(b"%b\r\n%b" % (same, name))
            same = b""
        pieces.append(same + b"\r\n\r\n")
        self._begins = pieces[0]
        self._changes = tuple(
            (pattern.match, pattern, follows) for pattern, follows in zip(patterns, pieces[1:], strict=True)
        )
        return True

    def __repr__(self) -> str:
        return f"LastHead(known={self._verdict is not None}, changes={len(self._changes)}, passing={self._passing})"

"""WebSocket frames as a relay sees them: where each ends, whether a Close has passed, and a Close of our own.

A follower judges nothing that it does not need: it relays what two ends agree on, reserved bits and opcodes,
fragments in any order and payloads (permessage-deflate's among them) included, and who gets a frame that breaks the
rules closes by itself. In two cases the bytes cannot be trusted to be frames at all, and a Close put between them
might stand within one: a mask where the direction has none, or none where it has one (RFC 6455 section 5.1), and a
length of 2^63 or more (section 5.2). From then on there is no boundary any more, to the end of the connection:
the tunnel is like one of an unknown protocol.
"""

# RFC 6455 section 7.4.1: "going away", such as a server going down.
GOING_AWAY = 1001

_CLOSE = 0x8
_MASKED = 0x80
_LENGTH_16 = 126
_KEY_BYTES = 4
# More than any connection will carry.
_NEVER_BYTES = 1 << 63


class FrameFollower:
    """Where the frames of one direction end (RFC 6455 section 5.2). Payloads are skipped by their length.

    Args:
        masked: whether this is the direction from client to server.

    Attributes:
        is_lost: what came are no frames, so that nothing is known any more.
    """

    __slots__ = ("_head", "_is_close", "_key_bytes", "_left_bytes", "_mask", "is_lost")

    def __init__(self, *, masked: bool) -> None:
        self.is_lost = False
        self._mask = _MASKED if masked else 0
        self._key_bytes = _KEY_BYTES if masked else 0
        self._left_bytes = 0  # of the frame under way, its masking key included
        self._head = b""  # what there is of a frame's first bytes, up to its length
        self._is_close = False  # the frame under way, or the last one

    @property
    def is_at_boundary(self) -> bool:
        """Whether another frame may stand here: between two, or two fragments, and before any Close."""
        return not self._left_bytes and not self._head and not self._is_close

    @property
    def has_closed(self) -> bool:
        """Whether a Close has passed whole: nothing that follows it means anything (section 5.5.1)."""
        return self._is_close and not self._left_bytes

    def follow(self, data: bytes) -> None:
        """Go on by what was read, in any split."""
        left, size = self._left_bytes, len(data)
        if size <= left:
            self._left_bytes = left - size
            return
        if self._is_close:
            self._left_bytes = 0
            return
        if self._head:
            data = self._head + data
            size = len(data)
        at = left
        while size - at >= 2:
            second = data[at + 1]
            if second & _MASKED != self._mask:
                self._lose()
                return
            length = second & 0x7F
            start = at + 2
            if length >= _LENGTH_16:
                start = at + (4 if length == _LENGTH_16 else 10)
                if start > size:
                    break
                length = int.from_bytes(data[at + 2 : start])
                if length >= _NEVER_BYTES:
                    self._lose()
                    return
            end = start + self._key_bytes + length
            if data[at] & 0x0F == _CLOSE:
                self._is_close = True
                self._head = b""
                self._left_bytes = max(0, end - size)
                return
            at = end
        if at >= size:
            self._head = b""
            self._left_bytes = at - size
        else:
            self._head = data[at:]
            self._left_bytes = 0

    def follow_to_boundary(self, data: bytes) -> int:
        """Go on by what was read, to the end of the frame under way at most.

        Returns:
            How many of the bytes belong to that frame: 0 at a boundary, all of them where it does not end with them.
        """
        at, size = 0, len(data)
        while at < size and not (self.is_at_boundary or self.has_closed):
            step = size if self.is_lost else self._left_bytes or 1
            self.follow(data[at : at + step])
            at += step
        return min(at, size)

    def _lose(self) -> None:
        self.is_lost = True
        self._head = b""
        self._left_bytes = _NEVER_BYTES

    def __repr__(self) -> str:
        where = "lost" if self.is_lost else f"left={self._left_bytes}, head={len(self._head)}"
        return f"FrameFollower({where}, closed={self.has_closed})"


def close_frame(code: int, key: bytes | None = None) -> bytes:
    """A Close without a reason: a text of ours would be shown as the app's.

    Args:
        code: of RFC 6455 section 7.4.
        key: four bytes that nobody can foresee, where we are the client (section 5.3); None as the server.
    """
    payload = code.to_bytes(2)
    if key is None:
        return bytes((0x80 | _CLOSE, len(payload))) + payload
    masked = bytes(byte ^ mask for byte, mask in zip(payload, key, strict=False))
    return bytes((0x80 | _CLOSE, _MASKED | len(payload))) + key + masked

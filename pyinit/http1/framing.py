"""Which body follows a head: RFC 9112 section 6.3, in its order."""

from pyinit.http1.body import BodyFramer, ChunkedBody, LengthBody, UntilCloseBody
from pyinit.http1.message import RequestHead, ResponseHead

# Of a response only what would change its framing is refused: the rest is between app and client.
_FORBIDDEN_IN_RESPONSES = frozenset((b"transfer-encoding", b"content-length", b"trailer"))


def request_body(head: RequestHead) -> BodyFramer | None:
    """The framer for a request's body; None where there is none.

    Source: RFC 9112 section 6.3, rules 4 to 7. Both lengths at once, and any coding but chunked, never get
    here: RequestParser refuses them instead of choosing.
    """
    if head.is_chunked:
        return ChunkedBody()
    if head.content_length:
        return LengthBody(head.content_length)
    return None


def response_body(head: ResponseHead, method: bytes) -> BodyFramer | None:
    """The framer for a response's body; None where there is none.

    Source: RFC 9112 section 6.3, rules 1 and 4 to 8; rule 2 (CONNECT) does not arise.

    Args:
        head: of a final response.
        method: of the request it answers: HEAD has no body whatever the fields say.
    """
    if method == b"HEAD" or head.status in (204, 304):
        return None
    if head.is_chunked:
        return ChunkedBody(_FORBIDDEN_IN_RESPONSES)
    if head.content_length is None:
        return UntilCloseBody()
    return LengthBody(head.content_length) if head.content_length else None

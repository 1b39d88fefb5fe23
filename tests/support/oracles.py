"""What others read in the same bytes: llhttp (Node's parser, by httptools) and h11."""

from typing import NamedTuple

import h11
import httptools

# llhttp refuses methods it does not know: a verdict on the method and not on the framing.
LLHTTP_METHODS = frozenset(
    b"DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND"
    b" REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE"
    b" MKCALENDAR LINK UNLINK SOURCE".split()
)

Fields = list[tuple[bytes, bytes]]


class Llhttp:
    """What llhttp makes of a request.

    Attributes:
        ends: how many messages were whole.
        is_upgrade: whether what follows the head is another protocol's.
        fields: lower-case name and value, of heads and trailers.
    """

    def __init__(self) -> None:
        self.target = self.payload = b""
        self.fields: Fields = []
        self.ends = 0
        self.is_upgrade = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.strip(b" \t")
        self.fields.append((name, value.lower() if name == b"transfer-encoding" else value))

    def on_body(self, data: bytes) -> None:
        self.payload += data

    def on_message_complete(self) -> None:
        self.ends += 1

    def read(self, raw: bytes) -> bytes | None:
        """The method; None where it is refused."""
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(raw)
        except httptools.HttpParserUpgrade:
            self.is_upgrade = True
        except httptools.HttpParserError:
            return None
        return bytes(parser.get_method())

    def read_response(self, raw: bytes) -> int | None:
        """The status of the last response; None where one is refused."""
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(raw)
        except httptools.HttpParserError:
            return None
        return int(parser.get_status_code())


class H11Message(NamedTuple):
    """A message as h11 reads it.

    Attributes:
        start: method and target, or the status.
        fields: lower-case name and value, of the head; the transfer coding in lower case.
        payload: the body without its framing.
        is_whole: whether its end was read.
        rest: what follows it.
    """

    start: tuple[bytes, bytes] | int
    fields: Fields
    payload: bytes
    is_whole: bool
    rest: bytes


def read_by_h11(raw: bytes) -> H11Message:
    """A request. Raises h11.RemoteProtocolError where it is refused."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    return _h11_message(connection)


def response_by_h11(raw: bytes, method: bytes, *, is_closed: bool) -> H11Message:
    """A final response, and its interim ones before it. Raises h11.RemoteProtocolError where it is refused.

    Args:
        raw: all that the server sent.
        method: of the request it answers.
        is_closed: whether the connection has ended behind it; where that cuts the message, it is not whole.
    """
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    if is_closed:
        connection.receive_data(b"")
    return _h11_message(connection)


def _h11_message(connection: h11.Connection) -> H11Message:
    start: tuple[bytes, bytes] | int = 0
    fields: Fields = []
    payload = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            if connection.trailing_data[1] and start:
                return H11Message(start, fields, payload, False, b"")  # noqa: FBT003  a field
            raise
        if event in (h11.NEED_DATA, h11.PAUSED):
            return H11Message(start, fields, payload, False, b"")  # noqa: FBT003  a field
        if isinstance(event, h11.Request):
            start, fields = (event.method, event.target), list(event.headers)
        elif isinstance(event, h11.Response):
            start, fields = event.status_code, list(event.headers)
        elif isinstance(event, h11.Data):
            payload += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return H11Message(start, fields, payload, True, connection.trailing_data[0])  # noqa: FBT003  a field

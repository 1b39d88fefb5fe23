"""Field lines, judged one by one: what requests and responses have in common."""

from pyinit.errors import ProtocolError
from pyinit.http1 import abnf

# RFC 9110 section 7.6.1. Transfer-Encoding stays, as framing is passed on unchanged; Upgrade is apart.
HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"http2-settings"))
FORWARDING = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
)


def name_and_value(line: bytes) -> tuple[bytes, bytes]:
    """Lower-case name and stripped value of one line. Raises ProtocolError, naming the fault."""
    match = abnf.FIELD_LINE.fullmatch(line)
    if match is not None:
        return match[1].lower(), match[2].strip(b" \t")
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        reason = "a folded field line (RFC 9112 section 5.2)"
    elif not colon:
        reason = "a field line without a colon (RFC 9112 section 5)"
    elif name != name.rstrip(b" \t"):
        reason = "a space before the colon (RFC 9112 section 5.1)"
    elif not abnf.TOKEN.fullmatch(name):
        reason = "a field name that is no token (RFC 9110 section 5.1)"
    elif b"\r" in value or b"\n" in value:
        reason = "a bare CR or LF in a field value (RFC 9112 section 2.2)"
    else:
        reason = "a control byte in a field value (RFC 9110 section 5.5)"
    raise ProtocolError(reason)


def options_of(value: bytes) -> list[bytes]:
    """The lower-case tokens of Connection (RFC 9110 section 5.6.1: empty elements count for nothing)."""
    options = [option.strip(b" \t").lower() for option in value.split(b",")]
    for option in options:
        if option and not abnf.TOKEN.fullmatch(option):
            raise ProtocolError("a Connection option that is no token (RFC 9110 section 7.6.1)")
    return [option for option in options if option]


def content_length(value: bytes) -> int:
    """The value of Content-Length. Raises ProtocolError for whatever is not 1 to 18 digits."""
    if not abnf.CONTENT_LENGTH.fullmatch(value):
        raise ProtocolError("a malformed Content-Length (RFC 9110 section 8.6)")
    return int(value)


def check_chunked(value: bytes) -> None:
    """Raise ProtocolError for a Transfer-Encoding that is anything but a sole ``chunked``."""
    if value.lower() != b"chunked":
        raise ProtocolError("a transfer coding that is not a sole chunked (RFC 9112 section 6.1)")


def without_ows_behind(line: bytes) -> bytes:
    """A line that says where a body ends, as it goes on: RFC 9110 section 5.5 lets whitespace stand behind a value.

    llhttp takes ``chunked`` and a tab for another coding, and digits and a tab for no number: Node answers the request
    with 400, and reads the body of such a response up to the close.
    """
    return line.rstrip(b" \t")

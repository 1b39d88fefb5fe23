"""Field lines: names, values, whitespace, folds, sizes; and names that another layer may take for others."""

from tests.corpus.case import Case, case, forwarded, get, message, pieces, post, refused

_BAD = refused(400)
_ANY = refused()
_ANY_OPEN = refused(closes=False)


def _dropped(name: bytes) -> object:
    return forwarded(message(lacks=(name,)))


# A line that is none may be left out, unless it has a space before its colon (RFC 9112 section 5.1).
_LEFT_OUT = forwarded()
_NOT_TCHAR = b'"(),/;<=>?@[\\]{}'
NAMES: list[Case] = [
    *(
        case(
            f"byte {byte:#04x} in a name",
            "RFC 9110 5.1",
            get(b"X" + bytes([byte]) + b"Y: 1"),
            _BAD,
            _ANY,
            *([_LEFT_OUT] if byte not in b"\t " else []),
        )
        for byte in [*range(0x20), *_NOT_TCHAR, 0x7F, 0x80, 0xC3, 0xFF]
        if byte not in (0x0A, 0x0D)
    ),
    case("every byte of a token", "RFC 9110 5.6.2", get(b"!#$%&'*+-.^_`|~09Az: 1"), forwarded(), _ANY_OPEN),
    case("a space before the colon", "RFC 9112 5.1", get(b"X : 1"), _BAD, _ANY),
    case("a tab before the colon", "RFC 9112 5.1", get(b"X\t: 1"), _BAD, _ANY),
    case("a space inside a name", "RFC 9112 5.1", get(b"X Y: 1"), _BAD, _ANY, _LEFT_OUT),
    case("an empty name", "RFC 9110 5.1", get(b": 1"), _BAD, _ANY, _LEFT_OUT),
    case("a colon alone", "RFC 9110 5.1", get(b":"), _BAD, _ANY, _LEFT_OUT),
    case("a line without a colon", "RFC 9112 5", get(b"X"), _BAD, _ANY, _LEFT_OUT),
    case("a line of one space", "RFC 9112 5.2", get(b"X: 1", b" "), _BAD, _ANY, forwarded()),
    case(
        "a second request line among the fields",
        "RFC 9112 5",
        get(b"GET /smuggled HTTP/1.1"),
        _BAD,
        _ANY,
        _LEFT_OUT,
    ),
    case(
        "a name of 1,000 bytes",
        "RFC 9110 5.4",
        get(b"X" * 1000 + b": 1"),
        forwarded(message(has={b"x" * 1000: [b"1"]})),
        _ANY_OPEN,
    ),
]

VALUES: list[Case] = [
    *(
        case(
            f"byte {byte:#04x} in a value",
            "RFC 9110 5.5",
            get(b"X: a" + bytes([byte]) + b"b"),
            _BAD,
            _ANY,
            *(
                ()
                if not byte
                else (
                    forwarded(message(has={b"x": [b"a%cb" % byte]})),
                    forwarded(message(has={b"x": [b"a b"]})),
                )
            ),
        )
        for byte in [*range(0x20), 0x7F]
        if byte not in (0x09, 0x0A, 0x0D)
    ),
    # Such a byte may be replaced by a space or, but for CR, LF and NUL, be kept; not by us.
    *(
        case(
            f"byte {byte:#04x} in a value is text",
            "RFC 9110 5.5",
            get(b"X: a" + bytes([byte]) + b"b"),
            forwarded(message(has={b"x": [b"a" + bytes([byte]) + b"b"]})),
        )
        for byte in (0x09, 0x80, 0x85, 0xA0, 0xC3, 0xFF)
    ),
    case(
        "a bare CR in a value",
        "RFC 9112 2.2",
        get(b"X: a\rb"),
        _BAD,
        _ANY,
        forwarded(message(has={b"x": [b"a b"]})),
    ),
    case(
        "a bare CR at a value's end",
        "RFC 9112 2.2",
        get(b"X: a\r"),
        _BAD,
        _ANY,
        forwarded(message(has={b"x": [b"a"]})),
    ),
    case(
        "a bare CR and a field behind it",
        "RFC 9112 2.2",
        get(b"X: a\rContent-Length: 5"),
        _BAD,
        _ANY,
        forwarded(message(lacks=(b"content-length",))),
    ),
    case(
        "a bare LF in a value",
        "RFC 9112 2.2",
        get(b"X: a\nY: b"),
        _BAD,
        _ANY,
        forwarded(message(has={b"x": [b"a"], b"y": [b"b"]})),
    ),
    case(
        "a bare LF and framing behind it",
        "RFC 9112 2.2",
        post(b"X: a\nContent-Length: 5", body=b"hello"),
        _BAD,
        _ANY,
        forwarded(message(b"POST", body=b"hello")),
    ),
    case("LF CR between fields", "RFC 9112 2.2", get(b"X: a\n\rY: b"), _BAD, _ANY),
    case("CR CR LF between fields", "RFC 9112 2.2", get(b"X: a\r\r\nY: b"), _BAD, _ANY, forwarded()),
    case(
        "an empty value",
        "RFC 9110 5.5",
        get(b"X:"),
        forwarded(message(has={b"x": [b""]})),
        forwarded(message(lacks=(b"x",))),
    ),
    case(
        "whitespace around a value",
        "RFC 9112 5.1",
        get(b"X:\t  a b \t"),
        forwarded(message(has={b"x": [b"a b"]})),
    ),
    case("no whitespace before a value", "RFC 9112 5", get(b"X:a"), forwarded(message(has={b"x": [b"a"]}))),
    case(
        "a value with colons",
        "RFC 9110 5.5",
        get(b"X: a: b: c"),
        forwarded(message(has={b"x": [b"a: b: c"]})),
    ),
    case(
        "a value of 7,000 bytes",
        "RFC 9110 5.4",
        get(b"X: " + b"a" * 7000),
        forwarded(message(has={b"x": [b"a" * 7000]})),
        _ANY_OPEN,
    ),
    case(
        "a folded value",
        "RFC 9112 5.2",
        get(b"X: a", b" b"),
        _BAD,
        _ANY,
        forwarded(),
    ),
    case("a value folded with a tab", "RFC 9112 5.2", get(b"X: a", b"\tb"), _BAD, _ANY, forwarded()),
    case(
        "a fold that looks like framing",
        "RFC 9112 5.2",
        get(b"X: a", b" Content-Length: 5"),
        _BAD,
        _ANY,
        forwarded(message(lacks=(b"content-length",))),
    ),
    case(
        "a folded length",
        "RFC 9112 5.2",
        post(b"Content-Length:", b" 5", body=b"hello"),
        _BAD,
        _ANY,
        forwarded(message(b"POST", body=b"hello")),
    ),
    case(
        "a folded coding",
        "RFC 9112 5.2",
        post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"),
        _BAD,
        _ANY,
        forwarded(message(b"POST")),
    ),
    case(
        "order and case of fields stay",
        "RFC 9110 5.3",
        get(b"X-b: 1", b"x-A: 2", b"X-B: 3"),
        forwarded(message(has={b"x-b": [b"1", b"3"], b"x-a": [b"2"]})),
        forwarded(message(has={b"x-b": [b"1, 3"], b"x-a": [b"2"]})),
    ),
    case(
        "split inside a name and a value",
        "RFC 9112 5",
        pieces(get(b"X-Long: a value"), 20, 40, 46),
        forwarded(message(has={b"x-long": [b"a value"]})),
    ),
]

SIZES: list[Case] = [
    case(
        "100 fields",
        "RFC 9110 5.4",
        get(*(b"X-%d: 1" % turn for turn in range(100))),
        forwarded(message(has={b"x-99": [b"1"]})),
        _ANY_OPEN,
    ),
    case(
        "a value of 100,000 bytes",
        "RFC 6585 5",
        get(b"X: " + b"a" * 100_000),
        refused(431),
        _ANY,
        forwarded(),
    ),
    case("3,000 fields", "RFC 6585 5", get(*(b"X: 1" for _ in range(3000))), refused(431), _ANY, forwarded()),
    case(
        "a head that never ends",
        "RFC 6585 5",
        b"GET / HTTP/1.1\r\nHost: a.example\r\n" + b"X: 1\r\n" * 20_000,
        refused(431),
        _ANY,
    ),
    case(
        "a name that never ends",
        "RFC 6585 5",
        b"GET / HTTP/1.1\r\nHost: a.example\r\n" + b"X" * 100_000,
        refused(431),
        _ANY,
    ),
    case(
        "a HEAD request refused has no content",
        "RFC 9110 9.3.2",
        get(b"X : 1", method=b"HEAD"),
        _BAD,
        _ANY,
    ),
]

# Node tells "_" from "-", what stands behind it may not: CGI's HTTP_X_FORWARDED_FOR (RFC 3875 section 4.1.18) is both.
_LOOK_ALIKE = (
    b"X_Forwarded_For",
    b"X-Forwarded_For",
    b"X_Forwarded-Proto",
    b"X_Forwarded_Host",
    b"x_forwarded_port",
    b"X_Real_IP",
    b"Content_Length",
    b"Transfer_Encoding",
    b"X_Request_Id",
)
UNDERSCORES: list[Case] = [
    *(
        case(
            f"{name.decode()} is not passed on",
            "RFC 3875 4.1.18",
            get(name + b": 5"),
            forwarded(message(lacks=(name.lower(),))),
            _ANY_OPEN,
            # No RFC says that it must not be: an app that maps names so is at fault, too.
            forwarded(),
        )
        for name in _LOOK_ALIKE
    ),
    case(
        "Content_Length frames nothing",
        "RFC 9112 6",
        post(b"Content_Length: 5", b"Content-Length: 2", body=b"hi"),
        forwarded(message(b"POST", body=b"hi")),
        _ANY_OPEN,
    ),
    case(
        "Transfer_Encoding frames nothing",
        "RFC 9112 6",
        post(b"Transfer_Encoding: chunked", b"Content-Length: 2", body=b"hi"),
        forwarded(message(b"POST", body=b"hi")),
        _ANY_OPEN,
    ),
    case(
        "Connection names X_Forwarded_For",
        "RFC 9110 7.6.1",
        get(b"Connection: X_Forwarded_For", b"X_Forwarded_For: 1.2.3.4"),
        forwarded(message(lacks=(b"x_forwarded_for",))),
        _ANY_OPEN,
    ),
    case(
        "any other name with an underscore is passed on",
        "RFC 9110 5.1",
        get(b"X_Api_Key: 1", b"user_id: 2"),
        forwarded(message(has={b"x_api_key": [b"1"], b"user_id": [b"2"]})),
        forwarded(),
        _ANY_OPEN,
    ),
]

CASES = {"field name": NAMES, "field value": VALUES, "head size": SIZES, "underscores": UNDERSCORES}

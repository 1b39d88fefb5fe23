"""What one client says, head after head: much alike, as clients are, with every change that could be overlooked."""

from collections.abc import Iterator
from random import Random

from tests.support.strategies import TRICKS

# Of a parser that reads these: some have more.
FIELDS_MAX = 12

PLAIN = [b"Accept: %b", b"T: %b", b"Cookie:%b", b"x-t:  %b", b"Referer: /%b"]
SPECIAL = [
    b"Host: a",
    b"host: b:80",
    b"Host:",
    b"Connection: close",
    b"Connection: keep-alive",
    b"connection: t, keep-alive",
    b"Connection: x-request-id",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
    b"Keep-Alive: timeout=5",
    b"TE: trailers",
    b"Content-Length: 0",
    b"Content-Length: 3",
    b"Content-Length: 12\t",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding: chunked ",
    b"Expect: 100-continue",
    b"Max-Forwards: 3",
    b"X-Request-Id: 1",
    b"X-Request-Id: 2",
    b"X-Request-Id:",
    b"X-Forwarded-For: 198.51.100.1",
    b"X-Forwarded-For: 198.51.100.2, ::1",
    b"x-forwarded-for:2001:db8::1",
    b"X-Forwarded-For: ,",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: c:8443",
    b"X-Forwarded-Port: 443",
    b"Forwarded: for=198.51.100.3 ",
    b"X_Forwarded_For: 6",
]
BAD = [b"Accept", b"Acceptx", b"T : 1", b" T: 1", b"", b":", b"T: \x00", b"T\x80: 1"]
STARTS = [
    *(b"GET /%d HTTP/1.1" % number for number in range(9)),
    b"POST / HTTP/1.1",
    b"HEAD / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"OPTIONS * HTTP/1.1",
    b"TRACE / HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
    b"GET http://a/ HTTP/1.1",
    b"GET http://b:80 HTTP/1.0",
    b"GET / HTTP/2.0",
    b"get / HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"Accept: a",
]

VALUES = [b"", b"a", b"b", b"c \t", b"t" * 40, b"\xe9"]
ADDRESSES = [
    *(b"198.51.100.7", b"198.51.100.77", b"2001:db8::2", b"::ffff:198.51.100.7", b"198.51.100.7 "),
    *(b"198.51.100.7:80", b"198.51.100.7, 198.51.100.8", b"198.51.100", b"unknown", b"::", b"", b"for=1"),
]
LENGTHS = [b"3", b"12", b"007", b"0", b"12 ", b"9" * 19, b""]


def head_of(*lines: bytes, start: bytes = b"GET / HTTP/1.1") -> bytes:
    """A head of these field lines."""
    return b"\r\n".join([start, *lines, b"", b""])


def a_line(random: Random) -> bytes:
    match random.randrange(9):
        case 0 | 1 | 2:
            return random.choice(PLAIN) % random.choice(VALUES)
        case 3:
            return random.choice((b"Content-Length: ", b"content-length:")) + random.choice(LENGTHS)
        case 4:
            return b"X-Forwarded-For: " + random.choice(ADDRESSES)
        case _:
            return random.choice(SPECIAL)


def another_value(random: Random, line: bytes) -> bytes:
    """The same field with another value, where it is one that has many."""
    name = line.partition(b":")[0]
    if name.lower() == b"content-length":
        return name + b": " + random.choice(LENGTHS)
    if name.lower() == b"x-forwarded-for":
        return name + b":" + random.choice(ADDRESSES)
    if name == b"X-Request-Id" or any(form.startswith(name) for form in PLAIN):
        return name + b":" + random.choice(VALUES)
    return line


def conversation(random: Random) -> Iterator[bytes]:
    """Heads of one client: each a change of the one before, and now and then one of those before that."""
    start, fields = STARTS[0], [b"Host: a", *(a_line(random) for _ in range(random.randrange(7)))]
    known = [fields]
    for _ in range(60):
        before, fields = fields, fields.copy()
        data = b""
        match random.randrange(48):
            case 0:
                data = head_of(*fields, start=random.choice(STARTS))
            case 1:
                random.shuffle(fields)
            case 2 | 3 if fields:
                del fields[random.randrange(len(fields))]
            case 4 | 5:
                fields.insert(random.randrange(len(fields) + 1), a_line(random))
            case 6 if fields:
                fields.append(random.choice(fields))
            case 7 | 8 if fields:
                fields[random.randrange(len(fields))] = a_line(random)
            case 9:
                data = head_of(*fields, start=start)
                at = random.randrange(len(data))
                data = data[:at] + random.choice((*TRICKS, *BAD)) + data[at + random.randrange(2) :]
            case 10:
                data = head_of(*fields, random.choice(BAD), start=start)
            case 11:
                data = head_of(*fields, start=start) + random.choice(
                    (b"abc", b"\r\n", b"GET / HTTP/1.1\r\n\r\n")
                )
            case 12:
                at = random.randrange(len(fields) + 1)
                fields[at:at] = [b"Connection: Upgrade", b"Upgrade: x"]
            case 13 | 14 | 15 | 16:
                fields = random.choice(known)
            case _:
                start = random.choice(STARTS[:9])
                fields = [line if random.randrange(3) else another_value(random, line) for line in fields]
        yield data or head_of(*fields, start=start)
        if len(fields) > FIELDS_MAX or random.randrange(4) == 0:
            fields = before
        known = [*known[-9:], fields]

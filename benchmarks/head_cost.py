"""What does a request's head cost: to find its end, to judge it, and to make of it what the app is sent?

Method: heads of a browser, as a load balancer passes them on (X-Forwarded-*, and an X-Amzn-Trace-Id that is another in
each) or as it sends them itself, one after the other through HeadReader, RequestParser, LastHead and Forwarder as
Downstream and Exchange call them, with no socket and no loop. Processor time; the cases take turns, and of each the
least and the median run is told, as whatever else the machine does only adds.

Finding (Python 3.11.7, two shared cores; us a head, the least of seven runs): before anything but single lines was
remembered, and now

  one client, an id that changes              13.4    2.2    (7 without the connection's last head)
  200 clients in turn                         13.6    7.3
  a new client each time                      15.9   18.8
  one client's POSTs, of any length           15.5    2.7   (11)
  a browser without a load balancer            8.9    2.5    (6)

Whose lines were never seen pays for the memory that serves the others.

What did not help, of such a head of 21 lines:
  - itertools.filterfalse(known.__contains__, lines) for the list comprehension over them: 5.3 us for 4.7, on a busy
    machine.
  - b"%b %b%b%b%b" % (...) for what goes out: 0.7 us, and b"".join(...) of the same 0.2.
  - Plans kept with each Forwarder: as quick as with the verdict, but each connection of a stranger could hold hundreds.
  - Verdicts kept at once instead of at the second time: "a new client each time" paid 24.6.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import NamedTuple

from measuring import machine, say, table

from pyinit.http1.forward import Forwarder
from pyinit.http1.head import HeadReader
from pyinit.http1.last_head import LastHead
from pyinit.http1.request import RequestParser

_HEADS = 10_000
_LIMIT_BYTES = 16 * 1024
_BROWSER = (
    b"Host: shop.example.com",
    b"User-Agent: Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    b"Accept-Encoding: gzip, deflate, br, zstd",
    b"Accept-Language: en-US,en;q=0.9,de;q=0.8",
    b"Cache-Control: max-age=0",
    b"Cookie: session=%032x; theme=dark; _ga=GA1.2.1234567890.1700000000",
    b'Sec-Ch-Ua: "Chromium";v="126", "Not.A/Brand";v="24"',
    b"Sec-Ch-Ua-Mobile: ?0",
    b'Sec-Ch-Ua-Platform: "Windows"',
    b"Sec-Fetch-Dest: document",
    b"Sec-Fetch-Mode: navigate",
    b"Sec-Fetch-Site: same-origin",
    b"Sec-Fetch-User: ?1",
    b"Upgrade-Insecure-Requests: 1",
)


class Case(NamedTuple):
    """One connection's heads.

    Attributes:
        name: what they are.
        heads: whole, one after the other.
        is_trusted: whether a load balancer sends them.
    """

    name: str
    heads: list[bytes]
    is_trusted: bool


def balanced(number: int, client: int, *, method: bytes = b"GET", more: tuple[bytes, ...] = ()) -> bytes:
    """A client's head as a load balancer passes it on."""
    return _head(
        b"%b /api/items?page=%d HTTP/1.1" % (method, number % 50),
        b"X-Forwarded-For: 198.51.%d.%d" % divmod(client, 256),
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Port: 443",
        *_browser(client),
        b"X-Amzn-Trace-Id: Root=1-67891233-%024x" % number,
        *more,
    )


def direct(number: int) -> bytes:
    """A browser's head as it sends it."""
    return _head(
        b"GET /static/%d.js HTTP/1.1" % (number % 50),
        b"Connection: keep-alive",
        *_browser(1),
        b"Referer: /%d" % number,
    )


def _browser(client: int) -> list[bytes]:
    return [line % client if line.startswith(b"Cookie") else line for line in _BROWSER]


def _head(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


def cases() -> list[Case]:
    """What is measured."""
    numbers = range(_HEADS)
    return [
        Case("one client, an id that changes", [balanced(n, 1) for n in numbers], is_trusted=True),
        Case("200 clients in turn", [balanced(n, n * 7 % 200) for n in numbers], is_trusted=True),
        Case("a new client each time", [balanced(n, n) for n in numbers], is_trusted=True),
        Case(
            "one client's POSTs, of any length",
            [balanced(n, 1, method=b"POST", more=(b"Content-Length: %d" % (n + 1),)) for n in numbers],
            is_trusted=True,
        ),
        Case("a browser without a load balancer", [direct(n) for n in numbers], is_trusted=False),
    ]


def run(case: Case, *, with_last: bool) -> float:
    """Microseconds a head, with or without the memory of the connection's last."""
    parser, reader, last = RequestParser(2000), HeadReader(_LIMIT_BYTES), LastHead(_LIMIT_BYTES)
    forwarder = Forwarder(
        "auto",
        b"pyinit",
        peer_ip=b"10.0.0.1",
        is_trusted=case.is_trusted,
        local_host=b"10.0.0.2:8080",
        local_port=b"8080",
        head_max_bytes=_LIMIT_BYTES,
    )
    began_s = time.process_time()
    for data in case.heads:
        again = last.again(data) if with_last and not reader.has_begun else None
        if again is not None:
            head, _ = again
        else:
            taken = reader.feed(data)
            if taken is None:
                raise ValueError(data)
            head = parser.parse(taken[0])
            if with_last:
                last.learn(taken[0], head)
        forwarder.request(head)
    return (time.process_time() - began_s) * 1e6 / len(case.heads)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--runs", type=int, default=15, help="of each case (default: %(default)s)")
    runs = arguments.parse_args().runs
    measured: dict[tuple[str, bool], list[float]] = {}
    every = cases()
    for number in range(runs):
        say(f"run {number + 1} of {runs}")
        for case in every:
            for with_last in (True, False):
                measured.setdefault((case.name, with_last), []).append(run(case, with_last=with_last))
    rows = [
        [case.name, *(_told(measured[case.name, with_last]) for with_last in (True, False))] for case in every
    ]
    print(machine())
    print()
    print(table(["us a head, least (median)", "as it is", "without the connection's last head"], rows))


def _told(values: list[float]) -> str:
    return f"{min(values):.1f} ({statistics.median(values):.1f})"


if __name__ == "__main__":
    main()

"""Words that HTTP and tracing have a form for, made without the libraries that take milliseconds to import."""

from __future__ import annotations

import os
import time

# RFC 9110 section 5.6.7: in English, whatever the locale is.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(second: int) -> bytes:
    """An IMF-fixdate: ``Sun, 06 Nov 1994 08:49:37 GMT``.

    Args:
        second: of the epoch.
    """
    year, month, day, hour, minute, rest, weekday, _, _ = time.gmtime(second)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        _DAYS[weekday].encode(),
        day,
        _MONTHS[month - 1].encode(),
        year,
        hour,
        minute,
        rest,
    )


def random_id() -> bytes:
    """A random UUID (RFC 9562 section 5.4)."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()

"""The page for people: one file, and the policy under which a browser runs nothing but what is in it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

_PAGE_PATH = Path(__file__).with_name("page.html")


class Page(NamedTuple):
    """What is sent.

    Attributes:
        body: the file.
        fields: header fields that belong to it.
    """

    body: bytes
    fields: dict[str, str]


def load() -> Page:
    """Read it; done when somebody first asks. Raises OSError."""
    body = _PAGE_PATH.read_bytes()
    return Page(
        body,
        {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": policy(body),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )


def policy(html: bytes) -> str:
    """A Content-Security-Policy that allows the page's own script and style, as they stand, and asking us.

    Hashes and no 'unsafe-inline': what a client could get into the page would not run.
    """
    # The icon is in the page too, and has no other way to be allowed than by its scheme.
    directives = ["default-src 'none'", "connect-src 'self'", "img-src data:"]
    for kind in ("script", "style"):
        sources = " ".join(_hashes(html, kind.encode())) or "'none'"
        directives.append(f"{kind}-src {sources}")
    return "; ".join([*directives, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"])


def _hashes(html: bytes, tag: bytes) -> list[str]:
    """CSP3 section 6.7.3.3: of what is between the tags, to the byte."""
    found = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), html, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in found]

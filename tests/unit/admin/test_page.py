"""The page's file and its policy."""

import base64
import hashlib
import re

from pyinit.admin import page


def test_the_policy_allows_the_files_own_script_and_style_alone() -> None:
    loaded = page.load()
    policy = loaded.fields["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; connect-src 'self'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rb"<%b[^>]*>(.*?)</%b>" % (tag.encode(), tag.encode()), loaded.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
        assert f"; {tag}-src 'sha256-{digest}';" in policy


def test_what_is_not_in_a_page_is_not_allowed() -> None:
    assert "script-src 'none'; style-src 'none'" in page.policy(b"<p>text")


def test_nothing_is_fetched_from_elsewhere() -> None:
    """No address but the icon's own namespace name, and the SVG one that createElementNS takes."""
    addresses = set(re.findall(rb"(?:https?:)?//[\w.]+", page.load().body))
    assert addresses <= {b"http://www.w3.org"}


def test_text_goes_in_as_text() -> None:
    body = page.load().body
    for way in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval(", b" style="):
        assert way not in body

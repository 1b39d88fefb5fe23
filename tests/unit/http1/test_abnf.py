"""The patterns as grammar: what each takes whole, and that a line's beginning is never taken for a fault."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.http1 import abnf
from tests.support.strategies import chunk_extensions, field_values, law, tokens


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        pytest.param(abnf.TOKEN, b"!#$%&'*+-.^_`|~09azAZ", True, id="a token may hold every tchar"),
        pytest.param(abnf.TOKEN, b"", False, id="a token is not empty"),
        pytest.param(abnf.TOKEN, b"a/b", False, id="a token holds no delimiter"),
        pytest.param(abnf.TOKEN, b"\xe9", False, id="a token is ASCII"),
        pytest.param(abnf.TOKEN, b"a\n", False, id="a token does not end before a line feed"),
        pytest.param(abnf.FIELD_LINE, b"a:", True, id="a value may be empty"),
        pytest.param(abnf.FIELD_LINE, b"a:b:c", True, id="a value may hold colons"),
        pytest.param(abnf.FIELD_LINE, b"a: \t\x80\xff", True, id="a value may hold obs-text"),
        pytest.param(abnf.FIELD_LINE, b"a: \x7f", False, id="a value holds no DEL"),
        pytest.param(abnf.FIELD_LINE, b"a :b", False, id="no space before the colon"),
        pytest.param(abnf.STATUS_LINE, b"HTTP/1.1 200", True, id="a reason may be missing with its space"),
        pytest.param(abnf.STATUS_LINE, b"HTTP/1.1 200 ", True, id="a reason may be empty"),
        pytest.param(abnf.STATUS_LINE, b"HTTP/1.1 600 Odd", False, id="a status has five classes"),
        pytest.param(abnf.PROTOCOL, b"websocket", True, id="a protocol"),
        pytest.param(abnf.PROTOCOL, b"HTTP/2.0", True, id="a protocol with its version"),
        pytest.param(abnf.PROTOCOL, b"a/", False, id="a version is not empty"),
        pytest.param(abnf.IPV6, b"::", True, id="the unspecified address"),
        pytest.param(abnf.IPV6, b"::ffff:1.2.3.4", True, id="an IPv4-mapped address"),
        pytest.param(abnf.IPV6, b"1:2:3:4:5:6:7:8", True, id="eight groups"),
        pytest.param(abnf.IPV6, b"1.2.3.4:80", False, id="IPv4 with a port is no IPv6 address"),
        pytest.param(abnf.IPV6, b'1::2";for=x', False, id="nothing behind an address"),
        pytest.param(abnf.CONTENT_LENGTH, b"9" * 18, True, id="18 digits"),
        pytest.param(abnf.CONTENT_LENGTH, b"9" * 19, False, id="19 digits"),
    ],
)
def test_pattern(pattern: re.Pattern[bytes], text: bytes, *, matches: bool) -> None:
    assert bool(pattern.fullmatch(text)) is matches


@law
@given(size=st.integers(0, 16**15 - 1), extensions=chunk_extensions())
def test_the_beginning_of_a_chunk_line_is_no_fault(size: int, extensions: bytes) -> None:
    line = b"%x%b\r\n" % (size, extensions)
    assert abnf.FIRST_CHUNK.fullmatch(line)
    assert abnf.NEXT_CHUNK.fullmatch(b"\r\n" + line)
    assert all(abnf.FIRST_CHUNK_PART.fullmatch(line[:end]) for end in range(len(line)))
    assert all(abnf.NEXT_CHUNK_PART.fullmatch((b"\r\n" + line)[:end]) for end in range(len(line) + 2))


@law
@given(name=tokens, value=field_values)
def test_the_beginning_of_a_trailer_is_no_fault(name: bytes, value: bytes) -> None:
    line = b"%b: %b\r\n" % (name, value)
    assert abnf.FIELD_LINE.fullmatch(line[:-2])
    assert all(abnf.TRAILER_PART.fullmatch(line[:end]) for end in range(len(line)))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param(b"a\r\nb\r\n", None, id="CRLF alone"),
        pytest.param(b"a\r", None, id="a CR whose LF may follow"),
        pytest.param(b"a\nb", 1, id="a bare LF"),
        pytest.param(b"\na", 0, id="a bare LF first"),
        pytest.param(b"a\rb", 1, id="a bare CR"),
        pytest.param(b"a\r\r\n", 1, id="a CR before CRLF"),
        pytest.param(b"a\r\n\n", 3, id="a LF after CRLF"),
    ],
)
def test_a_line_end_that_is_not_crlf_is_found(text: bytes, at: int | None) -> None:
    match = abnf.BARE_LINE_END.search(text)
    assert (match and match.start()) == at

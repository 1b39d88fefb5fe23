"""What a Host may hold, with names and with IP literals."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.http1.host import is_host
from tests.support.strategies import law

# Groups, some of them left out or an IPv4 address: right about as often as wrong.
_near_ipv6 = st.lists(
    st.sampled_from(("", "0", "1", "ffff", "12345", "1.2.3.4", "255.0.0.256", "g")), min_size=1, max_size=10
).map(":".join)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        pytest.param(b"", True, id="Host may be empty"),
        pytest.param(b"a_b!$&'()*+,;=%41", True, id="a registered name holds sub-delims and escapes"),
        pytest.param(b"a:", True, id="a port may be empty"),
        pytest.param(b"a:123456", False, id="a port has five digits"),
        pytest.param(b"a%4", False, id="an escape is whole"),
        pytest.param(b"u@a", False, id="no userinfo"),
        pytest.param(b"[::1]:80", True, id="an IPv6 literal with a port"),
        pytest.param(b"::1", False, id="an IPv6 address is bracketed"),
        pytest.param(b"a/b", False, id="no path in Host"),
        pytest.param(b"[fe80::1%25eth0]", False, id="no zone in an IPv6 literal"),
        pytest.param(b"[v1.a]", False, id="no address of the future"),
    ],
)
def test_a_host(text: bytes, *, matches: bool) -> None:
    assert is_host(text) is matches


@law
@given(
    text=st.from_regex(r"[0-9a-fA-F:.]{0,45}", fullmatch=True) | st.ip_addresses(v=6).map(str) | _near_ipv6
)
def test_an_ipv6_literal_is_what_the_standard_library_takes_for_an_address(text: str) -> None:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        expected = False
    else:
        expected = True
    assert is_host(b"[%b]" % text.encode()) is expected

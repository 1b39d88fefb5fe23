"""Which Host is an operator's own, where the read-only part is on TCP."""

import pytest

from pyinit.admin.server import is_host_expected


@pytest.mark.parametrize(
    ("host", "bound", "is_expected"),
    [
        ("127.0.0.1:9000", "127.0.0.1", True),
        ("localhost:9000", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("pyinit.localhost:9000", "::1", True),
        ("[::1]:9000", "::1", True),
        ("10.0.0.1", "127.0.0.1", True),
        ("evil.example:9000", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("[evil.example]", "::1", False),
        ("", "127.0.0.1", False),
        ("app.default.svc:9000", "0.0.0.0", True),
        ("metrics:9000", "10.1.2.3", True),
    ],
)
def test_a_loopback_address_is_asked_for_by_address(host: str, bound: str, *, is_expected: bool) -> None:
    assert is_host_expected(host, bound) is is_expected

"""Whether a value is a host with or without a port: RFC 9110 section 7.2."""

from pyinit.http1.abnf import HOST_NAME


def is_host(value: bytes) -> bool:
    """Whether it is ``uri-host [":" port]``; empty is one too, userinfo none."""
    if value.startswith(b"["):
        from pyinit.http1.ip_literal import HOST_LITERAL  # noqa: PLC0415  2 ms of every start, and rare

        return HOST_LITERAL.fullmatch(value) is not None
    return HOST_NAME.fullmatch(value) is not None

"""Health checks are told by their User-Agent, and nothing else is taken for one."""

import pytest

from pyinit.http1.probes import is_health_probe
from pyinit.http1.request import RequestParser


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([b"User-Agent: ELB-HealthChecker/2.0"], True, id="AWS"),
        pytest.param([b"user-agent:kube-probe/1.30"], True, id="the kubelet"),
        pytest.param([b"User-Agent: GoogleHC/1.0"], True, id="Google"),
        pytest.param([b"Accept: */*", b"User-Agent: Consul Health Check"], True, id="Consul"),
        pytest.param([b"User-Agent: Fly-HealthCheck/1.0"], True, id="Fly"),
        pytest.param([b"User-Agent: curl/8.0 kube-probe/1.30"], False, id="a product further on"),
        pytest.param(
            [b"User-Agent: curl/8.0", b"User-Agent: kube-probe/1.30"], False, id="the first field decides"
        ),
        pytest.param([b"X: kube-probe/1.30"], False, id="another field"),
        pytest.param([b"User-Agent:"], False, id="an empty User-Agent"),
        pytest.param([], False, id="no User-Agent"),
    ],
)
def test_a_health_check_is_told_by_its_user_agent(lines: list[bytes], *, expected: bool) -> None:
    head = RequestParser(9).parse(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines]))
    assert is_health_probe(head) is expected

"""Which requests are a load balancer's health checks: they keep coming until the end of a lame duck.

The products' documentation names their User-Agent: AWS ELB (ELB-HealthChecker/2.0), the kubelet
(kube-probe/1.30), Google (GoogleHC/1.0), Fly and Consul.
"""

from pyinit.http1.message import RequestHead

_PROBES = (b"elb-healthchecker", b"kube-probe", b"googlehc", b"consul health check", b"fly-healthcheck")


def is_health_probe(head: RequestHead) -> bool:
    """Whether a request is a health check, by its User-Agent."""
    for line in head.lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"user-agent":
            return value.strip().lower().startswith(_PROBES)
    return False

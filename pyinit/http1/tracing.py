"""What a request brings to be found by: trace ids, its own id; bounded, for the log.

The fields themselves pass to the app as they came, well-formed or not.
"""

from pyinit.http1.message import RequestHead

_HEX = b"0123456789abcdef"
# 1-67891233-abcdef012345678912345678 is what AWS makes; a UUID has 36.
_ID_MAX = 128


def trace_ids(head: RequestHead, added_id: bytes = b"") -> dict[str, str]:
    """``trace_id`` of traceparent, ``amzn_trace_id`` (its Root) and ``request_id``; those that are there.

    Args:
        head: as parsed.
        added_id: the X-Request-Id that we have given it.
    """
    found = {}
    parent = head.first(b"traceparent")
    if parent:
        # W3C Trace Context section 3.2.2: version-traceid-parentid-flags; more may follow in later versions.
        trace_id = parent[3:35]
        if parent[2:3] == b"-" and parent[35:36] == b"-" and len(trace_id) == 32 and not trace_id.strip(_HEX):
            found["trace_id"] = trace_id.decode()
    if amzn := head.first(b"x-amzn-trace-id"):
        for part in amzn.split(b";"):
            name, _, value = part.strip().partition(b"=")
            if name == b"Root" and value:
                found["amzn_trace_id"] = value[:_ID_MAX].decode("latin-1")
                break
    if request_id := added_id or head.first(b"x-request-id"):
        found["request_id"] = request_id[:_ID_MAX].decode("latin-1")
    return found

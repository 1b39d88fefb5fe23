"""What one proxy counts from its start, and what it has at a moment: plain numbers, so that they cost little."""

from bisect import bisect_left
from dataclasses import dataclass, field

# Upper bounds of a histogram's buckets; a last one has no bound. From a cache's answer to a long poll, each twice to
# three times the one before: Prometheus' own begin at 5 ms, which hides what a proxy adds, and end at 10 s, where
# load balancers have not given up yet.
DURATION_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def _buckets() -> list[int]:
    return [0] * (len(DURATION_BOUNDS_S) + 1)


@dataclass(slots=True)
class Stats:
    """Counters; each only grows.

    Attributes:
        connections: client connections accepted.
        requests: request heads that passed every check.
        responses: by class of status, 1xx at index 1; ours included.
        refused: requests answered by us because of what they were.
        clients_lost: requests whose client left before it had the whole response, event streams aside.
        bytes_in: of request bodies, chunk sizes included, and of what clients sent through tunnels; no heads.
        bytes_out: of response bodies and of what clients were sent through tunnels; as bytes_in.
        durations: exchanges by their duration, in the buckets of DURATION_BOUNDS_S: from the request's head to the end
            of both messages, or to whatever ended it. Event streams and upgrades are not among them.
        durations_sum_s: of all those.
        app_waits: what the app took to begin a response, in the same buckets: from the last byte of the request that
            had come to the response's head, or until nobody waited for it any more.
        app_waits_sum_s: of all those.
        upstream_connects: connections made to the app.
        upstream_failures: connects that failed, responses that broke off, broke HTTP or did not come in time.
        upstream_connect_failures: of those, the connects.
        replays: requests sent a second time because a reused connection had died.
        callback_faults: exceptions of ours; each cost one connection.
        log_lines_dropped: of a worker's; the process with the operator's surface knows of its own.
    """

    connections: int = 0
    requests: int = 0
    responses: list[int] = field(default_factory=lambda: [0] * 6)
    refused: int = 0
    clients_lost: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    durations: list[int] = field(default_factory=_buckets)
    durations_sum_s: float = 0.0
    app_waits: list[int] = field(default_factory=_buckets)
    app_waits_sum_s: float = 0.0
    upstream_connects: int = 0
    upstream_failures: int = 0
    upstream_connect_failures: int = 0
    replays: int = 0
    callback_faults: int = 0
    log_lines_dropped: int = 0

    def answered_at_once(self, status: int, wait_s: float, duration_s: float) -> None:
        """Count a final response that came whole with its head: its status, and both of the times below."""
        self.responses[status // 100] += 1
        at = bisect_left(DURATION_BOUNDS_S, wait_s)
        self.app_waits[at] += 1
        self.app_waits_sum_s += wait_s
        if duration_s != wait_s:  # the same where no connection was made and no body waited for
            at = bisect_left(DURATION_BOUNDS_S, duration_s)
        self.durations[at] += 1
        self.durations_sum_s += duration_s

    def exchange_ended(self, duration_s: float) -> None:
        """Count an exchange's duration."""
        self.durations[bisect_left(DURATION_BOUNDS_S, duration_s)] += 1
        self.durations_sum_s += duration_s

    def app_was_awaited(self, wait_s: float) -> None:
        """Count what the app took for a response head, or did not get done."""
        self.app_waits[bisect_left(DURATION_BOUNDS_S, wait_s)] += 1
        self.app_waits_sum_s += wait_s


@dataclass(slots=True)
class Levels:
    """What a proxy has at a moment.

    Attributes:
        max_connections: client connections at which it stops accepting.
        upstreams: connections to the app.
        upstreams_idle: of those, the ones in the pool.
        clients_not_reading: connections that hold what their client has not taken.
        app_not_reading: connections that hold what the app has not taken.
        buffered_bytes: held in all buffers together.
        buffer_max_bytes: at which reads pause.
    """

    max_connections: int = 0
    upstreams: int = 0
    upstreams_idle: int = 0
    clients_not_reading: int = 0
    app_not_reading: int = 0
    buffered_bytes: int = 0
    buffer_max_bytes: int = 0

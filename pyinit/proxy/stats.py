"""Plain integer counters of one proxy, from its start."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counters; each only grows.

    Attributes:
        connections: client connections accepted.
        requests: request heads that passed every check.
        responses: by class of status, 1xx at index 1; ours included.
        refused: requests answered by us because of what they were.
        upstream_connects: connections made to the app.
        upstream_failures: connects that failed, responses that broke off or broke HTTP.
        replays: requests sent a second time because a reused connection had died.
        callback_faults: exceptions of ours; each cost one connection.
    """

    connections: int = 0
    requests: int = 0
    responses: list[int] = field(default_factory=lambda: [0] * 6)
    refused: int = 0
    upstream_connects: int = 0
    upstream_failures: int = 0
    replays: int = 0
    callback_faults: int = 0

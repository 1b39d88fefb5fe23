"""What a run's state is as Prometheus metrics: their names, and the exposition of ``/metrics``.

METRICS is all of it as data: the exposition is made from it, and so is the README's table. Nothing is kept from one
scrape to the next; the counters are the proxy's own. prometheus-client's registry of the process is not used, as it
tells of Python's collector, which nobody who runs this asks about; its figures of the process are.
"""

from __future__ import annotations

import platform
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from pyinit.drain.outcomes import Kind
from pyinit.drain.phases import Phase
from pyinit.drain.tracker import State
from pyinit.proxy.stats import DURATION_BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.metrics_core import Metric as Family

    from pyinit.admin.state import RunState

    Samples = Mapping[tuple[str, ...], float]


class Type(Enum):
    """What kind of a metric it is."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: as it is exposed.
        type: of it.
        text: its help.
        labels: names.
        samples: label values -> value, of a state; for a histogram its buckets' own counts by their upper bounds, and
            the sum under no label; for an info the labels of its one sample.
    """

    name: str
    type: Type
    text: str
    labels: tuple[str, ...]
    samples: Callable[[RunState], Samples]


def _gauge(name: str, text: str, value: Callable[[RunState], float]) -> Metric:
    return Metric(name, Type.GAUGE, text, (), lambda state: {(): value(state)})


def _counter(name: str, text: str, value: Callable[[RunState], float]) -> Metric:
    return Metric(name, Type.COUNTER, text, (), lambda state: {(): value(state)})


def _labelled(
    name: str, kind: Type, text: str, label: str, values: Callable[[RunState], Mapping[str, float]]
) -> Metric:
    return Metric(
        name, kind, text, (label,), lambda state: {(key,): value for key, value in values(state).items()}
    )


def _histogram(name: str, text: str, parts: Callable[[RunState], tuple[list[int], float]]) -> Metric:
    def samples(state: RunState) -> Samples:
        counts, total = parts(state)
        bounds = [*map(repr, DURATION_BOUNDS_S), "+Inf"]
        return {(): total} | {(bound,): n for bound, n in zip(bounds, accumulate(counts), strict=True)}

    return Metric(name, Type.HISTOGRAM, text, (), samples)


# A state that is nobody's is 0 and not absent, or its first connection would be no increase.
_STATES = [state.value for state in State if state is not State.CLOSED]


def _budget_left_s(state: RunState) -> float:
    spent_s = 0.0 if state.stop is None else state.stop.began_ago_s
    return max(0.0, state.budget.total_s - spent_s)


def _outcomes(state: RunState) -> dict[str, float]:
    it = state.outcomes
    return {
        "finished": it.exchanges_finished,
        "closed_idle": it.connections_closed_idle,
        "tunnel_finished": it.tunnels_finished,
        "websocket_closed": it.websockets_closed,
        "stream_ended": it.streams_ended,
        "cut": it.cut_count,
    }


METRICS = (
    _gauge("pyinit_ready", "1 while ready, else 0.", lambda it: it.not_ready is None),
    _labelled(
        "pyinit_phase",
        Type.GAUGE,
        "1 for the phase of its life that pyinit is in, 0 for the others.",
        "phase",
        lambda it: {phase.value: it.phase == phase.value for phase in Phase},
    ),
    _labelled(
        "pyinit_connections",
        Type.GAUGE,
        "Client connections by what they are doing.",
        "state",
        lambda it: {state: it.census.get(state, 0) for state in _STATES},
    ),
    _gauge(
        "pyinit_connections_max",
        "--max-connections: with so many it stops accepting.",
        lambda it: it.levels.max_connections,
    ),
    _counter(
        "pyinit_connections_accepted_total", "Client connections accepted.", lambda it: it.stats.connections
    ),
    _labelled(
        "pyinit_in_flight",
        Type.GAUGE,
        "Exchanges and tunnels in flight by kind; a stream is an exchange whose response is an event stream.",
        "kind",
        lambda it: {kind.value: it.in_flight.get(kind.value, 0) for kind in Kind},
    ),
    _gauge(
        "pyinit_oldest_in_flight_seconds",
        "Age of the oldest exchange or tunnel in flight, 0 without one.",
        lambda it: it.oldest[0].age_s if it.oldest else 0.0,
    ),
    _counter("pyinit_requests_total", "Requests that passed every check.", lambda it: it.stats.requests),
    _counter(
        "pyinit_requests_refused_total",
        "Requests that pyinit answered itself because of what they were.",
        lambda it: it.stats.refused,
    ),
    _counter(
        "pyinit_requests_abandoned_total",
        "Requests whose client left before it had the whole response, event streams aside.",
        lambda it: it.stats.clients_lost,
    ),
    _labelled(
        "pyinit_responses_total",
        Type.COUNTER,
        "Responses sent by class of status, pyinit's own included; 1xx are upgrades.",
        "status",
        lambda it: {f"{digit}xx": it.stats.responses[digit] for digit in range(1, 6)},
    ),
    _histogram(
        "pyinit_request_duration_seconds",
        "From a request's head to the end of its exchange; without event streams and upgrades.",
        lambda it: (it.stats.durations, it.stats.durations_sum_s),
    ),
    _histogram(
        "pyinit_app_wait_seconds",
        "From a request's last byte to the head of the app's response, or until nobody waited for it any more.",
        lambda it: (it.stats.app_waits, it.stats.app_waits_sum_s),
    ),
    _counter(
        "pyinit_received_bytes_total",
        "Bytes of request bodies with their chunk sizes, and sent by clients through tunnels; no heads.",
        lambda it: it.stats.bytes_in,
    ),
    _counter(
        "pyinit_sent_bytes_total",
        "Bytes of the app's response bodies with their chunk sizes, and sent to clients through tunnels; no heads.",
        lambda it: it.stats.bytes_out,
    ),
    _labelled(
        "pyinit_upstream_connections",
        Type.GAUGE,
        "Connections to the app.",
        "state",
        lambda it: {
            "active": it.levels.upstreams - it.levels.upstreams_idle,
            "idle": it.levels.upstreams_idle,
        },
    ),
    _counter(
        "pyinit_upstream_connects_total",
        "Connections made to the app.",
        lambda it: it.stats.upstream_connects,
    ),
    _labelled(
        "pyinit_upstream_failures_total",
        Type.COUNTER,
        "Connects to the app that failed, and responses that broke off, broke HTTP or came too late.",
        "at",
        lambda it: {
            "connect": it.stats.upstream_connect_failures,
            "response": it.stats.upstream_failures - it.stats.upstream_connect_failures,
        },
    ),
    _counter(
        "pyinit_upstream_retries_total",
        "Requests sent a second time because a kept connection to the app had died.",
        lambda it: it.stats.replays,
    ),
    _labelled(
        "pyinit_connections_not_reading",
        Type.GAUGE,
        "Connections that hold what their other end has not taken.",
        "side",
        lambda it: {"client": it.levels.clients_not_reading, "app": it.levels.app_not_reading},
    ),
    _gauge(
        "pyinit_buffer_bytes", "Held in buffers for all connections.", lambda it: it.levels.buffered_bytes
    ),
    _gauge(
        "pyinit_buffer_max_bytes",
        "--buffer-memory: with so many, reads pause.",
        lambda it: it.levels.buffer_max_bytes,
    ),
    _labelled(
        "pyinit_drain_outcomes_total",
        Type.COUNTER,
        "What became of what the stop found: exchanges finished or cut, idle connections, tunnels, event streams.",
        "outcome",
        _outcomes,
    ),
    _gauge(
        "pyinit_budget_seconds",
        "The time that a stop has, pyinit's own exit included.",
        lambda it: it.budget.total_s,
    ),
    _gauge(
        "pyinit_budget_left_seconds",
        "What is left of the time that a stop has; all of it before one.",
        _budget_left_s,
    ),
    _labelled(
        "pyinit_signals_received_total",
        Type.COUNTER,
        "Signals that came, by name; SIGTERM, and those that came at least once.",
        "signal",
        lambda it: {"SIGTERM": 0} | it.signals,
    ),
    _counter(
        "pyinit_processes_reaped_total",
        "Orphans reaped: processes that were neither the app's first nor workers.",
        lambda it: it.reaped_count,
    ),
    _gauge(
        "pyinit_workers", "Proxy processes that there are to be, as --workers says.", lambda it: it.workers
    ),
    _gauge(
        "pyinit_workers_serving",
        "Proxy processes that serve: those that do not answer pyinit, and that it does not count, are left out.",
        lambda it: it.workers_serving,
    ),
    _counter(
        "pyinit_worker_exits_total",
        "Workers that ended before their time; each is replaced.",
        lambda it: it.worker_exits,
    ),
    _counter(
        "pyinit_callback_faults_total",
        "Exceptions of pyinit's own; each cost one connection.",
        lambda it: it.stats.callback_faults,
    ),
    _counter(
        "pyinit_log_lines_dropped_total",
        "Lines of the log that nobody took.",
        lambda it: it.log_dropped_count,
    ),
    Metric(
        "pyinit_build_info",
        Type.INFO,
        "1, with what runs here.",
        ("version", "form", "python", "mode", "platform"),
        lambda it: {(it.version, it.form, platform.python_version(), it.mode, it.platform): 1},
    ),
)


class _Run(Collector):
    """One state, as what prometheus-client takes for a registry."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    def collect(self) -> Iterable[Family]:
        """See Collector."""
        for metric in METRICS:
            yield _family(metric, metric.samples(self._state))
        yield from ProcessCollector(registry=None).collect()


def _family(metric: Metric, samples: Samples) -> Family:
    if metric.type is Type.HISTOGRAM:
        buckets = [(key[0], value) for key, value in samples.items() if key]
        return HistogramMetricFamily(metric.name, metric.text, buckets=buckets, sum_value=samples[()])
    if metric.type is Type.INFO:
        ((values, _),) = samples.items()
        name = metric.name.removesuffix("_info")
        return InfoMetricFamily(name, metric.text, value=dict(zip(metric.labels, values, strict=True)))
    make = CounterMetricFamily if metric.type is Type.COUNTER else GaugeMetricFamily
    family = make(metric.name.removesuffix("_total"), metric.text, labels=metric.labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family


def exposition(state: RunState, accept: str) -> tuple[bytes, str]:
    """A state as a scraper that sends this Accept takes it.

    Returns:
        the text, and its media type.
    """
    encode, media_type = choose_encoder(accept)
    return encode(_Run(state)), media_type

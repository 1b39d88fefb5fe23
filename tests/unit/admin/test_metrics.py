"""The exposition of a state: every figure under its name, in both formats, and what the README's queries ask it."""

from __future__ import annotations

import platform
import re
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from pyinit.admin.metrics import METRICS, Type, exposition
from pyinit.admin.state import BudgetState, ChildState, RunState, StopState
from pyinit.drain.outcomes import InFlight, Outcomes
from pyinit.proxy.stats import DURATION_BOUNDS_S, Levels, Stats
from tests.support import promtool

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
BUCKETS = len(DURATION_BOUNDS_S) + 1

IDLE = RunState(
    pid=1,
    version="1.2.3",
    mode="front",
    started_at_s=1000.0,
    uptime_s=5.0,
    phase="serving",
    not_ready=None,
    platform="docker",
    listeners=("[::]:8080",),
    upstream="127.0.0.1:3000",
    budget=BudgetState(9.5, 0.0, 4.75, 6.5, 9.0),
    stop=None,
    child=ChildState(7, "node", None),
    workers=2,
    census={},
    stats=Stats(),
    outcomes=Outcomes(),
)
# A figure of its own for each, so that two that are mixed up show.
BUSY = replace(
    IDLE,
    phase="draining",
    not_ready="stopping",
    stop=StopState(2.5, "SIGTERM", {"draining": 2.5}),
    census={"active": 101, "idle": 102},
    stats=Stats(
        connections=103,
        requests=104,
        responses=[0, 105, 106, 107, 108, 109],
        refused=110,
        clients_lost=111,
        bytes_in=112,
        bytes_out=113,
        durations=[1, 2, *[0] * (BUCKETS - 3), 3],
        durations_sum_s=114.5,
        app_waits=[4, *[0] * (BUCKETS - 2), 5],
        app_waits_sum_s=115.5,
        upstream_connects=116,
        upstream_failures=130,
        upstream_connect_failures=12,
        replays=119,
        callback_faults=120,
    ),
    outcomes=Outcomes(121, 122, 123, 124, 125, 126),
    levels=Levels(
        max_connections=127,
        upstreams=150,
        upstreams_idle=22,
        clients_not_reading=129,
        app_not_reading=131,
        buffered_bytes=132,
        buffer_max_bytes=133,
    ),
    in_flight={"exchange": 134, "websocket": 135},
    oldest=(InFlight("GET", "/a", 136.5, "peer"), InFlight("GET", "/b", 1.0, "peer")),
    signals={"SIGTERM": 137, "SIGHUP": 138},
    reaped_count=139,
    log_dropped_count=140,
    workers_serving=1,
    worker_exits=141,
)

EXPECTED = {
    "pyinit_ready": 0,
    'pyinit_phase{phase="serving"}': 0,
    'pyinit_phase{phase="draining"}': 1,
    'pyinit_connections{state="active"}': 101,
    'pyinit_connections{state="idle"}': 102,
    'pyinit_connections{state="new"}': 0,
    "pyinit_connections_max": 127,
    "pyinit_connections_accepted_total": 103,
    'pyinit_in_flight{kind="exchange"}': 134,
    'pyinit_in_flight{kind="websocket"}': 135,
    'pyinit_in_flight{kind="stream"}': 0,
    "pyinit_oldest_in_flight_seconds": 136.5,
    "pyinit_requests_total": 104,
    "pyinit_requests_refused_total": 110,
    "pyinit_requests_abandoned_total": 111,
    'pyinit_responses_total{status="1xx"}': 105,
    'pyinit_responses_total{status="5xx"}': 109,
    'pyinit_request_duration_seconds_bucket{le="0.001"}': 1,
    'pyinit_request_duration_seconds_bucket{le="0.0025"}': 3,
    'pyinit_request_duration_seconds_bucket{le="60.0"}': 3,
    'pyinit_request_duration_seconds_bucket{le="+Inf"}': 6,
    "pyinit_request_duration_seconds_count": 6,
    "pyinit_request_duration_seconds_sum": 114.5,
    'pyinit_app_wait_seconds_bucket{le="0.001"}': 4,
    "pyinit_app_wait_seconds_count": 9,
    "pyinit_app_wait_seconds_sum": 115.5,
    "pyinit_received_bytes_total": 112,
    "pyinit_sent_bytes_total": 113,
    'pyinit_upstream_connections{state="active"}': 128,
    'pyinit_upstream_connections{state="idle"}': 22,
    "pyinit_upstream_connects_total": 116,
    'pyinit_upstream_failures_total{at="connect"}': 12,
    'pyinit_upstream_failures_total{at="response"}': 118,
    "pyinit_upstream_retries_total": 119,
    'pyinit_connections_not_reading{side="client"}': 129,
    'pyinit_connections_not_reading{side="app"}': 131,
    "pyinit_buffer_bytes": 132,
    "pyinit_buffer_max_bytes": 133,
    'pyinit_drain_outcomes_total{outcome="finished"}': 121,
    'pyinit_drain_outcomes_total{outcome="closed_idle"}': 122,
    'pyinit_drain_outcomes_total{outcome="tunnel_finished"}': 123,
    'pyinit_drain_outcomes_total{outcome="websocket_closed"}': 124,
    'pyinit_drain_outcomes_total{outcome="stream_ended"}': 125,
    'pyinit_drain_outcomes_total{outcome="cut"}': 126,
    "pyinit_budget_seconds": 9.5,
    "pyinit_budget_left_seconds": 7.0,
    'pyinit_signals_received_total{signal="SIGTERM"}': 137,
    'pyinit_signals_received_total{signal="SIGHUP"}': 138,
    "pyinit_processes_reaped_total": 139,
    "pyinit_workers": 2,
    "pyinit_workers_serving": 1,
    "pyinit_worker_exits_total": 141,
    "pyinit_callback_faults_total": 120,
    "pyinit_log_lines_dropped_total": 140,
    f'pyinit_build_info{{form="pure",mode="front",platform="docker",python="{platform.python_version()}",'
    'version="1.2.3"}': 1,
}  # fmt: skip


def samples(state: RunState, accept: str = "") -> dict[str, float]:
    """What a scraper reads."""
    body, media_type = exposition(state, accept)
    parse = openmetrics if media_type.startswith("application/openmetrics-text") else text
    found = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", OPENMETRICS], ids=str)
def test_every_figure_is_under_its_name_in_both_formats(accept: str) -> None:
    found = samples(BUSY, accept)
    assert {name: found.get(name) for name in EXPECTED} == EXPECTED


def test_no_metric_is_without_an_expectation() -> None:
    expected = {name.partition("{")[0] for name in EXPECTED}
    for metric in METRICS:
        names = {metric.name}
        if metric.type is Type.HISTOGRAM:
            names = {metric.name + part for part in ("_bucket", "_sum", "_count")}
        assert names <= expected


def test_the_format_is_what_the_scraper_asks_for() -> None:
    assert exposition(IDLE, "")[1] == "text/plain; version=0.0.4; charset=utf-8"
    body, media_type = exposition(IDLE, OPENMETRICS)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


def test_what_there_is_none_of_is_zero_and_not_absent() -> None:
    """A series that begins at 1 has had no increase."""
    assert samples(IDLE).keys() == samples(replace(BUSY, signals={})).keys()


def test_what_is_left_of_the_budget_is_never_less_than_nothing() -> None:
    late = replace(BUSY, stop=StopState(100.0, "SIGTERM", {}))
    assert samples(IDLE)["pyinit_budget_left_seconds"] == IDLE.budget.total_s
    assert samples(late)["pyinit_budget_left_seconds"] == 0


def test_the_process_is_told_of_and_python_is_not() -> None:
    found = samples(IDLE)
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert not [name for name in found if name.startswith("python_")]


@pytest.mark.parametrize(("question", "query"), promtool.readme_queries().items(), ids=lambda it: it[:40])
def test_what_a_query_asks_for_is_there(question: str, query: str) -> None:
    """Promtool takes any name; a query for one that is none answers nothing, for ever."""
    assert question.endswith((".", "?"))
    found = samples(BUSY)
    names = {name.partition("{")[0] for name in found}
    asked = re.findall(r"(pyinit_\w+)(?:\{(\w+)=(\"\w+\")\})?", query)
    assert asked
    for name, label, value in asked:
        assert name in names
        if label:
            assert f"{name}{{{label}={value}}}" in found


needs_promtool = pytest.mark.skipif(promtool.refusal() is not None, reason=str(promtool.refusal()))


@needs_promtool
@pytest.mark.parametrize("state", [IDLE, BUSY], ids=["idle", "busy"])
def test_promtool_finds_nothing_to_say(state: RunState) -> None:
    assert promtool.lint(exposition(state, "")[0]) == ""


@needs_promtool
def test_promtool_would_say_so() -> None:
    """Or the test above would pass on anything."""
    assert "_total" in promtool.lint(b"# HELP a_count Help.\n# TYPE a_count counter\na_count 1\n")


# Two instances for ten minutes: a has nothing to tell of, b has all of it.
A, B = 'instance="a"', 'instance="b"'
SERIES = {
    f'pyinit_drain_outcomes_total{{outcome="cut",{A}}}': "0x10",
    f'pyinit_drain_outcomes_total{{outcome="cut",{B}}}': "0x8 3 _",
    f'pyinit_in_flight{{kind="exchange",{A}}}': "5x10",
    f'pyinit_in_flight{{kind="exchange",{B}}}': "5x10",
    f'pyinit_in_flight{{kind="stream",{B}}}': "2x10",
    f'pyinit_phase{{phase="draining",{A}}}': "0x10",
    f'pyinit_phase{{phase="draining",{B}}}': "1x10",
    f'pyinit_phase{{phase="serving",{A}}}': "1x10",
    f'pyinit_phase{{phase="serving",{B}}}': "0x10",
    f"pyinit_budget_seconds{{{A}}}": "30x10",
    f"pyinit_budget_seconds{{{B}}}": "30x10",
    f"pyinit_budget_left_seconds{{{A}}}": "30x10",
    f"pyinit_budget_left_seconds{{{B}}}": "12x10",
    f"pyinit_ready{{{A}}}": "0x10",
    f"pyinit_ready{{{B}}}": "0x10",
    f'pyinit_responses_total{{status="2xx",{A}}}': "0+60x10",
    f'pyinit_responses_total{{status="5xx",{A}}}': "0+20x10",
    f'pyinit_responses_total{{status="5xx",{B}}}': "0x10",
    f'pyinit_request_duration_seconds_bucket{{le="0.1",{A}}}': "0+60x10",
    f'pyinit_request_duration_seconds_bucket{{le="0.25",{A}}}': "0+120x10",
    f'pyinit_request_duration_seconds_bucket{{le="+Inf",{A}}}': "0+120x10",
    f"pyinit_request_duration_seconds_sum{{{A}}}": "0+120x10",
    f"pyinit_app_wait_seconds_sum{{{A}}}": "0+60x10",
    f"pyinit_requests_abandoned_total{{{A}}}": "0+1x10",
    f"pyinit_requests_total{{{A}}}": "0+4x10",
    f'pyinit_connections_not_reading{{side="client",{A}}}': "0x10",
    f'pyinit_connections_not_reading{{side="client",{B}}}': "2x10",
    f'pyinit_connections_not_reading{{side="app",{B}}}': "0x10",
    f'pyinit_connections{{state="idle",{A}}}': "10x10",
    f'pyinit_connections{{state="idle",{B}}}': "60x10",
    f'pyinit_connections{{state="active",{B}}}': "30x10",
    f"pyinit_connections_max{{{A}}}": "100x10",
    f"pyinit_connections_max{{{B}}}": "100x10",
    f'pyinit_upstream_failures_total{{at="connect",{A}}}': "0+60x10",
    f'pyinit_upstream_failures_total{{at="response",{A}}}': "0x10",
    f"pyinit_worker_exits_total{{{A}}}": "0x10",
    f"pyinit_worker_exits_total{{{B}}}": "0x4 1x5",
    f"pyinit_callback_faults_total{{{A}}}": "0x10",
    f"pyinit_callback_faults_total{{{B}}}": "0x10",
    f"pyinit_log_lines_dropped_total{{{A}}}": "0x10",
    f"pyinit_log_lines_dropped_total{{{B}}}": "0x4 1x5",
}
ANSWERS: dict[str, list[promtool.Sample]] = {
    "Is a drain losing anything?": [(f'{{outcome="cut",{B}}}', 3)],
    "Is a drain about to run out of time": [(f"{{{B}}}", 7)],
    "What share of responses are errors?": [("{}", 0.25)],
    "The p99": [("{}", 0.247)],
    "Who is slow?": [("{}", 0.5)],
    "Do clients give up?": [("{}", 0.25)],
    "Who does not read": [('{side="client"}', 2)],
    "Am I near max-connections?": [(f"{{{B}}}", 0.9)],
    "Does the app fail": [('{at="connect"}', 1)],
    "Does an instance serve": [(f"pyinit_ready{{{A}}}", 0)],
    "Did a worker crash?": [(f"{{{B}}}", 1)],
    "Is something wrong with pyinit itself?": [(f"{{{B}}}", 1)],
}


@needs_promtool
def test_each_query_of_the_readme_answers_its_question() -> None:
    queries = promtool.readme_queries()
    asked = {}
    for question, query in queries.items():
        (beginning,) = [it for it in ANSWERS if question.startswith(it)]
        asked[query] = ANSWERS[beginning]
    assert len(asked) == len(ANSWERS)
    assert promtool.answers(SERIES, asked, at="10m") == ""


@needs_promtool
def test_a_wrong_answer_is_found() -> None:
    """Or the test above would pass on anything."""
    query = promtool.readme_queries()["Is a drain losing anything?"]
    assert "FAILED" in promtool.answers(SERIES, {query: []}, at="10m")

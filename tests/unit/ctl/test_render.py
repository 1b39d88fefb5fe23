"""The table for people, to the character: pure functions of what /status says."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from pyinit.ctl import render
from pyinit.ctl.view import View, printable


def serving() -> dict[str, Any]:
    return {
        "status_version": 1,
        "pid": 1,
        "version": "0.1.0",
        "mode": "front",
        "uptime_s": 3725.4,
        "phase": "serving",
        "ready": True,
        "not_ready": None,
        "platform": "ecs",
        "listeners": ["0.0.0.0:8080", "unix:/run/app.sock"],
        "upstream": "127.0.0.1:40001",
        "budget": {
            "total_s": 29.5,
            "lame_duck_s": 5.0,
            "lame_duck_max_s": 14.75,
            "drain_s": 20.5,
            "kill_s": 29.4,
            "spent_s": 0.0,
            "left_s": 29.5,
        },
        "stop": None,
        "child": {"pid": 7, "program": "node", "exit_code": None},
        "workers": 1,
        "connections": {"new": 1, "active": 2, "idle": 30, "tunnel": 0, "lingering": 0, "closed": 0},
        "oldest": [],
        "totals": {
            "connections": 1200,
            "requests": 12345,
            "responses": [0, 0, 12000, 300, 44, 1],
            "refused": 0,
            "upstream_connects": 4,
            "upstream_failures": 0,
            "replays": 0,
            "callback_faults": 0,
        },
        "outcomes": {"exchanges_finished": 0, "cut_count": 0, "cut": []},
        "log_level": "info",
        "log_lines_dropped": 0,
    }


def draining() -> dict[str, Any]:
    return {
        **serving(),
        "phase": "draining",
        "ready": False,
        "not_ready": "stopping",
        "budget": {**serving()["budget"], "spent_s": 9.5, "left_s": 20.0},
        "stop": {"began_ago_s": 9.5, "signal": "SIGTERM", "phases_s": {"lame_duck": 7.1, "draining": 2.4}},
        "workers": 2,
        "connections": {"active": 2, "tunnel": 1},
        "oldest": [
            {"method": "POST", "target": "/chat/with/a/long/name", "age_s": 72.0, "peer": "203.0.113.7:4711"},
            {"method": "", "target": "", "age_s": 4.25, "peer": "10.0.0.1:99"},
        ],
        "outcomes": {
            "exchanges_finished": 12,
            "connections_closed_idle": 30,
            "tunnels_finished": 0,
            "websockets_closed": 3,
            "streams_ended": 1,
            "cut_count": 0,
            "cut": [],
        },
        "log_lines_dropped": 7,
    }


def drained_with_cuts() -> dict[str, Any]:
    cut = {"method": "GET", "target": "/slow", "age_s": 21.0, "peer": "10.0.0.1:5"}
    return {
        **draining(),
        "phase": "drained",
        "budget": {**serving()["budget"], "spent_s": 27.0, "left_s": 2.5},
        "stop": {"began_ago_s": 27.0, "signal": None, "phases_s": {"draining": 20.5, "drained": 6.5}},
        "mode": "sidecar",
        "child": None,
        "oldest": [],
        "workers": 1,
        "connections": {},
        "outcomes": {"exchanges_finished": 3, "cut_count": 3, "cut": [cut, {**cut, "age_s": 0.5}]},
    }


def text(lines: list[str]) -> str:
    return "".join(line + "\n" for line in lines)


def page(fields: dict[str, Any], width: int = 80) -> str:
    return text(render.status(fields, address="@pyinit", width=width, is_coloured=False))


def test_serving() -> None:
    assert page(serving()) == textwrap.dedent("""\
        pyinit 0.1.0 at @pyinit: front mode, pid 1, up 1 h 2 min
          phase       serving
          ready       yes
          budget      29.5 s to stop in (ecs)
          listening   0.0.0.0:8080, unix:/run/app.sock
          app         node, pid 7, at 127.0.0.1:40001
          connections 33 open: 1 new, 2 active, 30 idle
                      1,200 since the start
          requests    12,345; answered 12,000 2xx, 300 3xx, 44 4xx, 1 5xx
          log         level info
        """)


def test_draining() -> None:
    assert page(draining()) == textwrap.dedent("""\
        pyinit 0.1.0 at @pyinit: front mode, pid 1, up 1 h 2 min
          phase       draining, by SIGTERM
                      lame duck 7.1 s, draining 2.4 s
          ready       no: stopping
          budget      [################--------] 20.0 of 29.5 s left; what is left is
                      cut in 11.0 s at the latest
          listening   0.0.0.0:8080, unix:/run/app.sock
          app         node, pid 7, at 127.0.0.1:40001
          connections 3 open: 2 active, 1 tunnel; 2 workers
                      1,200 since the start
          requests    12,345; answered 12,000 2xx, 300 3xx, 44 4xx, 1 5xx
          drain       12 finished, 30 closed idle, 3 WebSockets closed, 1 event streams
                      ended, 0 cut
          log         level info, 7 lines dropped

        Oldest in flight
          1 min 12 s  POST  203.0.113.7:4711  /chat/with/a/long/name
               4.2 s  tcp   10.0.0.1:99
        """)


def test_drained_in_sidecar_mode_with_something_cut() -> None:
    assert page(drained_with_cuts()) == textwrap.dedent("""\
        pyinit 0.1.0 at @pyinit: sidecar mode, pid 1, up 1 h 2 min
          phase       drained, waiting for the stop
                      draining 20.5 s, drained 6.5 s
          ready       no: stopping
          budget      [##----------------------] 2.5 of 29.5 s left
          listening   0.0.0.0:8080, unix:/run/app.sock
          app         at 127.0.0.1:40001
          connections 0 open
                      1,200 since the start
          requests    12,345; answered 12,000 2xx, 300 3xx, 44 4xx, 1 5xx
          drain       3 finished, 3 cut
          log         level info, 7 lines dropped

        Cut
              21.0 s  GET  10.0.0.1:5  /slow
               0.5 s  GET  10.0.0.1:5  /slow
          and 1 more
        """)


def test_a_narrow_terminal() -> None:
    assert page(draining(), 40) == textwrap.dedent("""\
        pyinit 0.1.0 at @pyinit: front mode, pid
        1, up 1 h 2 min
          phase       draining, by SIGTERM
                      lame duck 7.1 s, draining
                      2.4 s
          ready       no: stopping
          budget      [################--------]
                      20.0 of 29.5 s left; what
                      is left is cut in 11.0 s
                      at the latest
          listening   0.0.0.0:8080,
                      unix:/run/app.sock
          app         node, pid 7, at
                      127.0.0.1:40001
          connections 3 open: 2 active, 1
                      tunnel; 2 workers
                      1,200 since the start
          requests    12,345; answered 12,000
                      2xx, 300 3xx, 44 4xx, 1
                      5xx
          drain       12 finished, 30 closed
                      idle, 3 WebSockets closed,
                      1 event streams ended, 0
                      cut
          log         level info, 7 lines
                      dropped

        Oldest in flight
          1 min 12 s  POST  203.0.113.7:4711 ...
               4.2 s  tcp   10.0.0.1:99
        """)


@pytest.mark.parametrize("width", [1, 30, 41, 80, 200])
@pytest.mark.parametrize(
    "fields", [serving(), draining(), drained_with_cuts()], ids=["serving", "draining", "cut"]
)
def test_no_line_is_wider_than_the_terminal(fields: dict[str, Any], width: int) -> None:
    lines = render.status(fields, address="@pyinit", width=width, is_coloured=False)
    assert max(map(len, lines)) <= max(30, width)


def test_a_child_that_has_exited() -> None:
    fields = {**serving(), "child": {"pid": 7, "program": "node", "exit_code": 0}}
    assert "  app         node, exited with 0\n" in page(fields)


def test_troubles_are_shown_where_there_are_any() -> None:
    totals = {**serving()["totals"], "refused": 2, "callback_faults": 1}
    assert "\n              2 refused, 1 faults of pyinit\n" in page({**serving(), "totals": totals})


def test_a_worker_that_does_not_answer_is_missing_from_the_counts() -> None:
    assert "of which 1 do not answer and are not counted" in " ".join(
        page(draining() | {"workers_silent": 1}).split()
    )


def test_colours_change_nothing_but_colours() -> None:
    plain = page(draining())
    coloured = text(render.status(draining(), address="@pyinit", width=80, is_coloured=True))
    assert "\x1b[33mdraining, by SIGTERM\x1b[0m" in coloured
    assert "\x1b[31mno: stopping\x1b[0m" in coloured
    for code in ("0", "1", "31", "32", "33"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == plain


def test_nothing_that_is_shown_can_steer_the_terminal() -> None:
    hostile = "\x1b]0;x\x07\n\r\x9b2J"
    fields = draining()
    fields["oldest"][0]["target"] = hostile
    fields |= {"phase": hostile, "not_ready": hostile, "upstream": hostile, "listeners": [hostile]}
    fields["stop"]["phases_s"] = {hostile: 1.0}
    assert all(line.isprintable() for line in page(fields).splitlines())


def test_fields_that_are_missing_or_of_another_type_are_no_error() -> None:
    """A later pyinit may leave nothing out, but this one may be older than it."""
    assert "phase" in page({"status_version": 1})
    assert "phase" in page(dict.fromkeys(serving(), "x"))
    assert "phase" in page(dict.fromkeys(serving(), 3))
    assert "phase" in page({name: [3] for name in serving()})


def test_several() -> None:
    seen = [
        render.Seen("@pyinit", "ready", 1),
        render.Seen("@pyinit-2", "not ready: starting", 0),
        render.Seen("unix:/run/p", "no answer", None),
    ]
    assert text(render.several(seen, width=80, is_coloured=False)) == textwrap.dedent("""\
        3 pyinits in this network namespace
          @pyinit      ready                pid 1
          @pyinit-2    not ready: starting  in another PID namespace
          unix:/run/p  no answer

        One of them: pyinitctl --control unix:/run/p status
        """)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86400 * 3 + 7300, "3 d 2 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert render.duration(seconds) == shown


@pytest.mark.parametrize(
    ("left", "total", "full"), [(0, 10, 0), (10, 10, 24), (5, 10, 12), (-1, 10, 0), (99, 10, 24), (1, 0, 0)]
)
def test_the_bar_empties(left: float, total: float, full: int) -> None:
    assert render.bar(left, total) == f"[{'#' * full}{'-' * (24 - full)}]"


def test_a_view_of_json() -> None:
    view = View({"n": 1.5, "b": True, "t": "a\x00b", "o": {"x": 1}, "l": [{"y": 2}, 3, "z"]})
    assert (view.number("n"), view.number("b"), view.number("none"), view.count("n")) == (1.5, 0, 0, 1)
    assert (view.text("t"), view.text("n"), view.is_true("b"), view.is_true("n")) == ("a?b", "", True, False)
    assert (view.view("o").number("x"), view.view("l").has("x")) == (1, False)
    assert ([one.number("y") for one in view.views("l")], view.texts("l"), view.counts("l")) == (
        [2],
        ["z"],
        [3],
    )
    assert printable("\u00e9\u202e") == "\u00e9?"

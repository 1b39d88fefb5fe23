"""The health check's command line and what it takes for an answer."""

from __future__ import annotations

import pytest

from pyinit.ctl import health


@pytest.mark.parametrize(
    ("words", "parsed"),
    [
        ("health", (None, 2.0)),
        ("health --timeout 5", (None, 5.0)),
        ("--control @a health", ("@a", 2.0)),
        ("--control=@a health --timeout=9", ("@a", 9.0)),
        ("health --control health", ("health", 2.0)),
    ],
)
def test_a_plain_health_goes_the_short_way(words: str, parsed: tuple[str | None, float]) -> None:
    assert health.parse(words.split()) == parsed


@pytest.mark.parametrize(
    "words",
    [
        "",
        "status",
        "health -h",
        "health --help",
        "health health",
        "health more",
        "health --timeout",
        "health --timeout 0",
        "health --timeout 500ms",
        "health --timeout ²",
        "health --control",
        "health --control=",
        "--control health",
        "status --control health",
        "health --contro @a",
    ],
)
def test_anything_else_is_argparses_to_judge(words: str) -> None:
    assert health.parse(words.split()) is None


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (b"ready\n", "ready"),
        (b"not ready: starting\n", "not ready: starting"),
        (b"not ready: \xc3\xa9\n", "not ready: \u00e9"),
        (b"", None),
        (b"readyish\n", None),
        (b"ready\nand more\n", None),
        (b"not ready: \x1b[2J\n", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None),
        (b"HTTP/1.1 200 OK\r\n\r\nready\n", None),
    ],
)
def test_the_health_sockets_line(answer: bytes, line: str | None) -> None:
    assert health.line_of(answer, is_http=False) == line


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n", "ready"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: stopping\n", "not ready: stopping"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>\n", None),
        (b"HTTP/1.1 404 Not Found\r\n\r\nready\n", None),
        (b"ready\n", None),
        (b"HTTP/1.1 200 OK\r\n", None),
    ],
)
def test_readyz_over_tcp(answer: bytes, line: str | None) -> None:
    assert health.line_of(answer, is_http=True) == line


@pytest.mark.parametrize("control", [None, "@nobody-listens-here"])
def test_a_proxy_that_is_switched_off_makes_no_container_unhealthy(
    control: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYINIT_FRONT", "off")
    assert health.run(control, 1.0) == 0
    assert capfd.readouterr() == ("not asked: PYINIT_FRONT is off, and the app alone there\n", "")
    monkeypatch.setenv("PYINIT_FRONT", "on")
    assert health.run("@nobody-listens-here", 1.0) == 1

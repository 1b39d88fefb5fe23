"""Values with their lines, from YAML and JSON as people write them."""

from __future__ import annotations

import pytest

from pyinit.check.located import Malformed, Open, read_json, read_yaml


def test_every_value_has_its_line() -> None:
    document = read_yaml("services:\n  web:\n    image: x\n    ports:\n      - 80\n      - 443\n")
    assert document.value == {"services": {"web": {"image": "x", "ports": [80, 443]}}}
    assert document.line("services", "web", "ports", 1) == 6
    assert document.line("services", "web", "build", "context") == 2  # not there: the nearest that is


def test_anchors_and_merges_are_followed() -> None:
    document = read_yaml("x-base: &base\n  init: true\n  a: 1\nweb:\n  <<: *base\n  a: 2\n")
    assert isinstance(document.value, dict)
    assert document.value["web"] == {"init": True, "a": 2}
    assert document.line("web", "init") == 2


def test_tags_are_what_their_file_means_by_them() -> None:
    document = read_yaml("a: !Sub '${X}'\nb: !GetAtt [x, y]\nc: !reset null\nd: !override [1]\ne: !Ref Z\n")
    assert document.value == {"a": Open("!Sub"), "b": Open("!GetAtt"), "c": None, "d": [1], "e": Open("!Ref")}


def test_json_may_have_tabs_and_escapes() -> None:
    document = read_json('{\n\t"a": "\\ud83d\\ude00\\/",\n\t"b": [\n\t\t1\n\t]\n}\n')
    assert document.value == {"a": "\U0001f600/", "b": [1]}
    assert document.line("b", 0) == 4


def test_json_that_is_no_yaml_has_no_lines() -> None:
    document = read_json('{\n"a": "\x7f"}')
    assert document.value == {"a": "\x7f"}
    assert document.line("a") == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_nothing_is_nothing(text: str) -> None:
    assert read_yaml(text).value is None


def test_what_only_looks_like_a_date_is_text() -> None:
    assert read_yaml("a: 2026-99-99\n").value == {"a": "2026-99-99"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\nb: 2\n", 2),
        ("a:\n\t- 1\n", 2),
        ("a: &x [*x]\n", 1),
        ("a: *gone\n", 1),
        ("<<: 1\n", 1),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Malformed) as refusal:
        read_yaml(text)
    assert refusal.value.line == line


def test_aliases_cannot_make_it_endless() -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(Malformed, match="endless"):
        read_yaml("l0: &l0 [x]\n" + levels)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 5_000 + "1" + "}" * 5_000])
def test_depth_cannot_end_the_interpreter(text: str) -> None:
    with pytest.raises(Malformed):
        read_json(text)


def test_json_errors_have_their_line() -> None:
    with pytest.raises(Malformed) as refusal:
        read_json('{\n"a": 1,\n}')
    assert refusal.value.line == 3


def test_what_would_take_a_minute_is_refused() -> None:
    """Of JSON only the lines are not known then."""
    long = "[" + "1," * 300_000 + "1]"
    with pytest.raises(Malformed, match="larger than 512 KiB"):
        read_yaml(long)
    document = read_json(long)
    assert (document.value, document.line(0)) == ([1] * 300_001, 1)

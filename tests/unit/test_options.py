"""The table of options: no doubles, and a help that holds them all."""

from __future__ import annotations

import pytest

from pyinit import options


def test_no_name_and_no_attribute_stands_twice() -> None:
    every = [option for _, section in options.SECTIONS for option in section]
    assert len(options.ALL) == len(every)
    assert len({option.attribute for option in every}) == len(every)


def test_a_variable_is_the_name_in_capitals() -> None:
    assert options.ALL["stop-timeout"].variable == "PYINIT_STOP_TIMEOUT"


def test_help_names_every_option_with_its_default() -> None:
    lines = options.help_text().splitlines()
    for option in options.ALL.values():
        (line,) = [line for line in lines if line.startswith(f"  --{option.name} ")]
        assert line.endswith(f"[{option.default}]")
        assert option.text in line


@pytest.mark.parametrize("name", options.ALL)
def test_an_option_takes_a_value_or_is_a_switch(name: str) -> None:
    option = options.ALL[name]
    assert bool(option.metavar) == (option.parse is not None)
    assert option.text


def test_a_choice_takes_its_words_alone() -> None:
    parse = options.choice("a", "b", "c")
    assert parse("b") == "b"
    with pytest.raises(ValueError, match=r"^a, b or c$"):
        parse("d")

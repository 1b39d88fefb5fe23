"""What the README says of options and defaults is what the code does."""

from pathlib import Path

import pytest

from pyinit import options
from pyinit.settings import Settings, load
from tests.support.metric_table import metric_table
from tests.support.option_table import option_tables
from tests.support.rule_table import rule_table

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_the_option_tables_are_the_generated_ones() -> None:
    begin, end = "<!-- options -->\n", "<!-- /options -->"
    assert README.partition(begin)[2].partition(end)[0].strip() == option_tables().strip()


def test_the_metric_table_is_the_generated_one() -> None:
    begin, end = "<!-- metrics -->\n", "<!-- /metrics -->"
    assert README.partition(begin)[2].partition(end)[0].strip() == metric_table().strip()


def test_the_rule_table_is_the_generated_one() -> None:
    begin, end = "<!-- rules -->\n", "<!-- /rules -->"
    assert README.partition(begin)[2].partition(end)[0].strip() == rule_table().strip()


@pytest.mark.parametrize("option", options.ALL.values(), ids=lambda option: option.name)
def test_a_default_that_the_help_gives_is_the_settings_own(option: options.Option) -> None:
    """A default written as a value is parsed as the option's value would be, and compared."""
    default = option.default
    if option.parse is None:
        assert default == "off"
        assert getattr(Settings, option.attribute) is False
        return
    if default == "unlimited":
        assert getattr(Settings, option.attribute) is None
    elif default[0].isdigit() and " " not in default:
        assert getattr(Settings, option.attribute) == option.parse(default)
    elif default in ("auto", "lifo", "info", "PORT", "pyinit"):
        assert getattr(load(["pyinit", "true"], {}), option.attribute) in (default, None)
    else:
        assert getattr(Settings, option.attribute, None) in (None, 0)


def test_the_two_commands_are_there_as_ci_reads_them() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert lines[0].endswith("pyinit --listen 8080 -- node docker/example/server.js")
    assert lines[1].endswith(".venv/bin/pytest -n 4 --dist loadfile")

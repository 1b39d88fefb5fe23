"""The stop's time as flags, variables and the platform make it: whose word holds, and what gives way."""

from __future__ import annotations

import pytest

from pyinit.drain.budget import Budget
from pyinit.errors import SettingsError
from pyinit.front import plan_budget
from pyinit.platform import PLATFORMS
from pyinit.settings import load


def planned(platform: str, *flags: str, sidecar: bool = False, **environment: str) -> Budget:
    words = ("--upstream", "3000") if sidecar else ("--", "true")
    settings = load(["pyinit", "--listen", "8080", *flags, *words], environment)
    return plan_budget(settings, PLATFORMS[platform])


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_what_is_not_given_is_the_platforms(name: str) -> None:
    budget, platform = planned(name), PLATFORMS[name]
    assert budget.total_s == platform.stop_timeout_s - 0.5
    assert budget.lame_duck_s == platform.drain_delay_s
    assert budget.child_s == pytest.approx(0.3 * budget.total_s)
    assert (budget.close_spread_s > 0) == (name != "docker")


def test_what_is_given_holds() -> None:
    flags = ("--stop-timeout", "20", "--drain-delay", "2", "--child-timeout", "4", "--close-spread", "1")
    budget = planned("kubernetes", *flags)
    assert (budget.total_s, budget.lame_duck_s, budget.child_s, budget.close_spread_s) == (19.5, 2, 4, 1)
    assert planned("fly", PYINIT_STOP_TIMEOUT="120").total_s == 119.5


def test_a_shorter_grace_shortens_the_platforms_lame_duck_too() -> None:
    """Nobody asked for that one, so that it is no reason to refuse the grace."""
    assert planned("ecs", "--stop-timeout", "8").lame_duck_s == 2
    assert planned("ecs", "--stop-timeout", "60").lame_duck_s == 5
    with pytest.raises(SettingsError, match="--drain-delay 5 "):
        planned("ecs", "--stop-timeout", "8", "--drain-delay", "5")


def test_a_sidecar_has_all_of_it_for_the_drain() -> None:
    assert planned("docker", sidecar=True).child_s == 0


def test_a_refusal_says_whose_grace_it_was() -> None:
    with pytest.raises(SettingsError) as assumed:
        planned("fly", "--child-timeout", "5")
    assert str(assumed.value).endswith("(--stop-timeout is that of --platform fly)")
    with pytest.raises(SettingsError) as given:
        planned("fly", "--child-timeout", "5", "--stop-timeout", "5")
    assert "--platform" not in str(given.value)

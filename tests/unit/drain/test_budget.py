"""The budget: parts that never exceed the whole, and splits that cannot fit refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.drain.budget import CHILD_SHARE, KILL_RESERVE_S, RESERVE_S, Budget
from pyinit.errors import SettingsError
from pyinit.platform import PLATFORMS
from tests.support.strategies import law


def platform_budget(name: str) -> Budget:
    """What a platform's defaults make."""
    platform = PLATFORMS[name]
    return Budget(
        stop_timeout_s=platform.stop_timeout_s, drain_delay_s=platform.drain_delay_s, child_timeout_s=None
    )


@law
@given(
    stop_timeout_s=st.floats(0, 4000),
    drain_delay_s=st.floats(0, 4000),
    child_timeout_s=st.none() | st.floats(0, 4000),
    has_child=st.booleans(),
)
def test_the_parts_never_exceed_the_total(
    *, stop_timeout_s: float, drain_delay_s: float, child_timeout_s: float | None, has_child: bool
) -> None:
    """Whatever is accepted ends before the platform's own SIGKILL; else the options to change are named."""
    try:
        budget = Budget(
            stop_timeout_s=stop_timeout_s,
            drain_delay_s=drain_delay_s,
            child_timeout_s=child_timeout_s,
            has_child=has_child,
        )
    except SettingsError as problem:
        refused = str(problem)
    else:
        refused = ""
    if refused:
        assert refused.startswith(("--stop-timeout ", "--drain-delay "))
        assert "\n" not in refused
        return
    assert 0 <= budget.lame_duck_s == drain_delay_s
    assert budget.lame_duck_s <= budget.lame_duck_max_s <= budget.drain_s <= budget.kill_s < budget.total_s
    assert budget.lame_duck_s < budget.drain_s
    assert budget.lame_duck_max_s <= budget.total_s / 2
    assert budget.total_s == stop_timeout_s - RESERVE_S
    assert budget.drain_s + budget.child_s + KILL_RESERVE_S <= budget.total_s * (1 + 1e-12)
    if not has_child:
        assert budget.child_s == 0


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_every_platforms_defaults_fit(name: str) -> None:
    budget = platform_budget(name)
    assert budget.child_s == pytest.approx(CHILD_SHARE * budget.total_s)


@pytest.mark.parametrize(
    ("name", "total_s", "lame_duck_s", "lame_duck_max_s", "drain_s"),
    [("fly", 4.5, 0, 2.25, 3.05), ("docker", 9.5, 0, 4.75, 6.55), ("ecs", 29.5, 5, 14.75, 20.55)],
)
def test_the_split_of_a_platforms_grace(
    name: str, total_s: float, lame_duck_s: float, lame_duck_max_s: float, drain_s: float
) -> None:
    budget = platform_budget(name)
    assert budget.total_s == pytest.approx(total_s)
    assert budget.lame_duck_s == lame_duck_s
    assert budget.lame_duck_max_s == pytest.approx(lame_duck_max_s)
    assert budget.drain_s == pytest.approx(drain_s)
    assert budget.kill_s == pytest.approx(total_s - 0.1)


def test_a_sidecar_keeps_nothing_for_a_child() -> None:
    budget = Budget(stop_timeout_s=10, drain_delay_s=0, child_timeout_s=None, has_child=False)
    assert budget.drain_s == budget.kill_s == pytest.approx(9.4)


def test_a_sidecar_is_not_refused_for_a_child_timeout() -> None:
    assert Budget(stop_timeout_s=10, drain_delay_s=0, child_timeout_s=60, has_child=False).child_s == 0


def test_a_long_child_timeout_shortens_the_lame_duck() -> None:
    """Else a lame duck that newcomers keep alive would eat what was kept for the app."""
    budget = Budget(stop_timeout_s=10.5, drain_delay_s=1, child_timeout_s=7)
    assert budget.lame_duck_max_s == budget.drain_s == pytest.approx(2.9)


REFUSED = [
    ("a grace below the reserve", 0.4, 0, None, ["--stop-timeout 0.4", "at least 1"]),
    ("a grace that leaves nothing", 0.9, 0, None, ["--stop-timeout 0.9", "at least 1"]),
    (
        "a delay above half",
        10,
        5,
        None,
        ["--drain-delay 5", "--stop-timeout 10", "at most 4.75 fits"],
    ),
    (
        "a child timeout above all",
        10,
        0,
        20,
        ["--drain-delay 0", "--child-timeout 20", "--stop-timeout 10"],
    ),
    (
        "a delay and a child timeout that fill it",
        10.5,
        5,
        5,
        ["--drain-delay 5", "--child-timeout 5", "--stop-timeout 10.5"],
    ),
]


@pytest.mark.parametrize(
    ("stop_timeout_s", "drain_delay_s", "child_timeout_s", "words"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_a_split_that_cannot_fit_is_refused_by_name(
    stop_timeout_s: float, drain_delay_s: float, child_timeout_s: float | None, words: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        Budget(stop_timeout_s=stop_timeout_s, drain_delay_s=drain_delay_s, child_timeout_s=child_timeout_s)
    for word in words:
        assert word in str(refused.value)


def test_one_second_is_the_least_that_fits() -> None:
    assert Budget(stop_timeout_s=1, drain_delay_s=0, child_timeout_s=None).drain_s > 0


def test_its_parts_are_in_its_repr() -> None:
    budget = Budget(stop_timeout_s=10.5, drain_delay_s=1, child_timeout_s=3)
    assert repr(budget) == "Budget(total=10, lame_duck=1..5, drain=6.9, kill=9.9)"

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
        stop_timeout_s=platform.stop_timeout_s,
        drain_delay_s=platform.drain_delay_s,
        child_timeout_s=None,
        close_spread_share=platform.close_spread_share,
    )


@law
@given(
    stop_timeout_s=st.floats(0, 4000),
    drain_delay_s=st.floats(0, 4000),
    child_timeout_s=st.none() | st.floats(0, 4000),
    close_spread_s=st.none() | st.floats(0, 4000),
    stream_grace_s=st.none() | st.just(0.0) | st.floats(0, 4000),
    has_child=st.booleans(),
)
def test_the_parts_never_exceed_the_total(
    *,
    stop_timeout_s: float,
    drain_delay_s: float,
    child_timeout_s: float | None,
    close_spread_s: float | None,
    stream_grace_s: float | None,
    has_child: bool,
) -> None:
    """Whatever is accepted ends before the platform's own SIGKILL; else the options to change are named."""
    try:
        budget = Budget(
            stop_timeout_s=stop_timeout_s,
            drain_delay_s=drain_delay_s,
            child_timeout_s=child_timeout_s,
            close_spread_s=close_spread_s,
            close_spread_share=0.2,
            stream_grace_s=stream_grace_s,
            has_child=has_child,
        )
    except SettingsError as problem:
        refused = str(problem)
    else:
        refused = ""
    if refused:
        assert refused.startswith(("--stop-timeout ", "--drain-delay ", "--close-spread ", "--stream-grace "))
        assert "\n" not in refused
        return
    assert 0 <= budget.lame_duck_s == drain_delay_s
    assert budget.lame_duck_s <= budget.lame_duck_max_s <= budget.drain_s <= budget.kill_s < budget.total_s
    assert budget.lame_duck_s < budget.drain_s
    assert budget.lame_duck_max_s <= budget.total_s / 2
    assert budget.total_s == stop_timeout_s - RESERVE_S
    assert budget.drain_s + budget.child_s + KILL_RESERVE_S <= budget.total_s * (1 + 1e-12)
    lame_duck_s = budget.lame_duck_max_s if drain_delay_s else 0
    assert 0 <= budget.close_spread_s <= budget.drain_s - lame_duck_s - (stream_grace_s or 0) + 1e-9
    if close_spread_s is not None:
        assert budget.close_spread_s == close_spread_s
    if not has_child:
        assert budget.child_s == 0


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_every_platforms_defaults_fit(name: str) -> None:
    budget = platform_budget(name)
    assert budget.child_s == pytest.approx(CHILD_SHARE * budget.total_s)


@pytest.mark.parametrize(
    ("name", "total_s", "lame_duck_s", "lame_duck_max_s", "drain_s", "close_spread_s"),
    [
        ("fly", 4.5, 0, 2.25, 3.05, 0.61),
        ("docker", 9.5, 0, 4.75, 6.55, 0),
        ("cloudrun", 9.5, 0, 4.75, 6.55, 1.31),
        ("ecs", 29.5, 5, 14.75, 20.55, 2.9),
        ("kubernetes", 29.5, 5, 14.75, 20.55, 2.9),
        ("heroku", 29.5, 0, 14.75, 20.55, 4.11),
    ],
)
def test_the_split_of_a_platforms_grace(
    name: str,
    total_s: float,
    lame_duck_s: float,
    lame_duck_max_s: float,
    drain_s: float,
    close_spread_s: float,
) -> None:
    budget = platform_budget(name)
    assert budget.total_s == pytest.approx(total_s)
    assert budget.lame_duck_s == lame_duck_s
    assert budget.lame_duck_max_s == pytest.approx(lame_duck_max_s)
    assert budget.drain_s == pytest.approx(drain_s)
    assert budget.kill_s == pytest.approx(total_s - 0.1)
    assert budget.close_spread_s == pytest.approx(close_spread_s)


def test_a_sidecar_keeps_nothing_for_a_child() -> None:
    budget = Budget(stop_timeout_s=10, drain_delay_s=0, child_timeout_s=None, has_child=False)
    assert budget.drain_s == budget.kill_s == pytest.approx(9.4)


def test_a_sidecar_is_not_refused_for_a_child_timeout() -> None:
    assert Budget(stop_timeout_s=10, drain_delay_s=0, child_timeout_s=60, has_child=False).child_s == 0


def test_a_long_child_timeout_shortens_the_lame_duck() -> None:
    """Else a lame duck that newcomers keep alive would eat what was kept for the app."""
    budget = Budget(stop_timeout_s=10.5, drain_delay_s=1, child_timeout_s=7)
    assert budget.lame_duck_max_s == budget.drain_s == pytest.approx(2.9)


def test_a_platforms_spread_gives_way_to_a_long_lame_duck_and_child_timeout() -> None:
    """Nobody asked for it, so that it is no reason to refuse what fitted without."""
    budget = Budget(stop_timeout_s=10.5, drain_delay_s=1, child_timeout_s=7, close_spread_share=0.2)
    assert budget.close_spread_s == 0


@pytest.mark.parametrize(("drain_delay_s", "fits"), [(0, 6.9), (1, 1.9)])
def test_a_spread_has_to_end_within_the_shortest_drain(drain_delay_s: float, fits: float) -> None:
    """Whoever is asked later than the deadline is cut instead."""
    for spread_s in (0.0, fits - 0.01):
        budget = Budget(
            stop_timeout_s=10.5, drain_delay_s=drain_delay_s, child_timeout_s=3, close_spread_s=spread_s
        )
        assert budget.close_spread_s == spread_s
    with pytest.raises(SettingsError, match=f"--close-spread 7 .* --stop-timeout 10.5 .* {fits:g} s"):
        Budget(stop_timeout_s=10.5, drain_delay_s=drain_delay_s, child_timeout_s=3, close_spread_s=7)


@pytest.mark.parametrize(("drain_delay_s", "fits"), [(0, 6.9), (1, 1.9)])
def test_a_stream_grace_too(drain_delay_s: float, fits: float) -> None:
    """And the spread after it; a platform's own gives way."""

    def budget(stream_grace_s: float | None, close_spread_s: float | None = None) -> Budget:
        return Budget(
            stop_timeout_s=10.5,
            drain_delay_s=drain_delay_s,
            child_timeout_s=3,
            close_spread_s=close_spread_s,
            close_spread_share=0.2,
            stream_grace_s=stream_grace_s,
        )

    assert budget(None).close_spread_s == budget(0).close_spread_s
    assert budget(fits - 0.5).close_spread_s == pytest.approx(0.25)
    assert budget(fits - 0.5, 0.4).close_spread_s == 0.4
    with pytest.raises(SettingsError, match=f"--stream-grace 7 .* --stop-timeout 10.5 .* {fits:g} s .* -1"):
        budget(7)
    with pytest.raises(
        SettingsError, match=f"--close-spread 1 after --stream-grace {fits - 0.5:g} does not fit"
    ):
        budget(fits - 0.5, 1)


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

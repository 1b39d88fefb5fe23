"""Which platform: told from the environment, and never against --platform."""

from __future__ import annotations

import pytest

from pyinit import options
from pyinit.platform import PLATFORMS, detect


@pytest.mark.parametrize(
    ("environment", "name", "found_by"),
    [
        ({}, "docker", "default"),
        (
            {"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/x"},
            "ecs",
            "ECS_CONTAINER_METADATA_URI_V4",
        ),
        ({"K_SERVICE": "web"}, "cloudrun", "K_SERVICE"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes", "KUBERNETES_SERVICE_HOST"),
        ({"DYNO": "web.1"}, "heroku", "DYNO"),
        ({"FLY_MACHINE_ID": "x"}, "fly", "FLY_MACHINE_ID"),
        ({"K_SERVICE": "", "DYNO": "web.1"}, "heroku", "DYNO"),
        ({"K_SERVICE": "web", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "cloudrun", "K_SERVICE"),
    ],
)
def test_the_environment_tells(environment: dict[str, str], name: str, found_by: str) -> None:
    platform, told_from = detect("auto", environment)
    assert (platform.name, told_from) == (name, found_by)


def test_a_choice_is_not_argued_with() -> None:
    platform, told_from = detect("fly", {"K_SERVICE": "web"})
    assert (platform.name, platform.stop_timeout_s, told_from) == ("fly", 5.0, "--platform")


def test_every_platform_can_be_chosen() -> None:
    parse = options.ALL["platform"].parse
    assert parse is not None
    assert [parse(name) for name in PLATFORMS] == list(PLATFORMS)


@pytest.mark.parametrize(
    ("name", "stop_timeout_s", "drain_delay_s"),
    [
        ("docker", 10, 0),
        ("ecs", 30, 5),
        ("kubernetes", 30, 5),
        ("cloudrun", 10, 0),
        ("heroku", 30, 0),
        ("fly", 5, 0),
    ],
)
def test_a_platforms_grace_and_its_load_balancers_time_to_notice(
    name: str, stop_timeout_s: float, drain_delay_s: float
) -> None:
    platform = PLATFORMS[name]
    assert (platform.stop_timeout_s, platform.drain_delay_s) == (stop_timeout_s, drain_delay_s)


def test_idle_connections_outlive_the_load_balancers_own_time() -> None:
    """Else it reuses one that is just being closed, and its client sees a 502: AWS 60 s, Google 600 s."""
    assert all(platform.idle_timeout_s > 60 for platform in PLATFORMS.values())
    assert PLATFORMS["cloudrun"].idle_timeout_s > 600


def test_closes_are_spread_where_other_instances_take_over() -> None:
    spread = {name for name, platform in PLATFORMS.items() if platform.close_spread_share}
    assert spread == set(PLATFORMS) - {"docker"}

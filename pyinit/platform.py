"""Which platform this is, and the grace it gives: variables in, values out.

The grace cannot be asked for anywhere (an ECS task's stopTimeout is in no metadata), so it is assumed from the
platform's default and said so in one line at start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Platform:
    """A platform's defaults.

    Attributes:
        name: as --platform takes it.
        stop_timeout_s: between its stop signal and its SIGKILL.
        drain_delay_s: how long its load balancer goes on sending traffic, at least.
        idle_timeout_s: for client keep-alives: above the load balancer's own (AWS 60 s, Google 600 s), or it
            reuses a connection that we are just closing, and answers 502.
        close_spread_share: over how much of the drain WebSockets are closed: where other instances take over, all
            of their clients would come to them at once.
        note: for the line at start.
    """

    __slots__ = ("close_spread_share", "drain_delay_s", "idle_timeout_s", "name", "note", "stop_timeout_s")

    def __init__(
        self, name: str, stop_timeout_s: float, drain_delay_s: float, idle_timeout_s: float, note: str = ""
    ) -> None:
        self.name = name
        self.stop_timeout_s = stop_timeout_s
        self.drain_delay_s = drain_delay_s
        self.idle_timeout_s = idle_timeout_s
        self.close_spread_share = 0.0 if name == "docker" else _CLOSE_SPREAD_SHARE
        self.note = note


# On docker there is no other instance to come to, and 10 s are short.
_CLOSE_SPREAD_SHARE = 0.2
_KEEP_ALIVE_S = 75.0
_GOOGLE_KEEP_ALIVE_S = 620.0

PLATFORMS = {
    platform.name: platform
    for platform in (
        Platform("docker", 10.0, 0.0, _KEEP_ALIVE_S),
        Platform("ecs", 30.0, 5.0, _KEEP_ALIVE_S),
        Platform("kubernetes", 30.0, 5.0, _GOOGLE_KEEP_ALIVE_S),
        Platform("cloudrun", 10.0, 0.0, _GOOGLE_KEEP_ALIVE_S),
        Platform(
            "heroku", 30.0, 0.0, _KEEP_ALIVE_S, "every process gets SIGTERM here, so the app hears it too"
        ),
        Platform("fly", 5.0, 0.0, _KEEP_ALIVE_S),
    )
}

# The first that is set decides. Fargate and Cloud Run set nothing of Kubernetes'; a pod on either of the first
# two does not exist.
_SIGNS = (
    ("ECS_CONTAINER_METADATA_URI_V4", "ecs"),
    ("K_SERVICE", "cloudrun"),
    ("KUBERNETES_SERVICE_HOST", "kubernetes"),
    ("DYNO", "heroku"),
    ("FLY_MACHINE_ID", "fly"),
)


def detect(choice: str, environment: Mapping[str, str]) -> tuple[Platform, str]:
    """The platform, and what it was told from.

    Args:
        choice: of --platform; ``auto`` looks at the environment.
        environment: as os.environ.

    Returns:
        The platform; and the variable that shows it, ``--platform``, or ``default``.
    """
    if choice != "auto":
        return PLATFORMS[choice], "--platform"
    for variable, name in _SIGNS:
        if environment.get(variable):
            return PLATFORMS[name], variable
    return PLATFORMS["docker"], "default"

"""Front and sidecar mode's start, in its order: decide, bind, spawn, and only then import what is heavy.

The address is bound before the fork, so that a taken port fails before a child exists; the app boots while we
load. Signals have been blocked since the first statement, and are received once the loop is there.
"""

from __future__ import annotations

import gc
import os
import resource
from time import monotonic

from pyinit import sockets
from pyinit.drain.budget import Budget
from pyinit.errors import SettingsError, SpawnError
from pyinit.init import prctl, run, spawn
from pyinit.init.spawn import Launch
from pyinit.log import Sink, printable
from pyinit.platform import Platform, detect
from pyinit.settings import node_head_max

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from pyinit.init.npm import Found
    from pyinit.init.signals import Dispositions
    from pyinit.settings import Settings
    from pyinit.values import Address

# Where a bare port or auto is looked for: Node's "localhost" is ::1 on some machines.
LOOPBACK = ("127.0.0.1", "::1")
# The loop, the signals, a probe and one connection: with 13 free ones all that has worked, with fewer not.
_DESCRIPTORS_LEAST = 32


class Start:
    """What was decided and done before the loop: handed to app.

    Attributes:
        settings: as given.
        platform: what they run on, and ``found_by`` which it was told.
        budget: of a stop.
        bound: sockets, each with whether it is a ``tcp:`` address.
        upstream: the app's address; its port filled in for ``auto``.
        hosts: where to look for it; empty for a unix socket.
        child_pid: None in sidecar mode.
        program: the child's; empty in sidecar mode.
        npm: what its command has npm, yarn or pnpm run, where it does.
        began_s: monotonic, when all this began.
    """

    __slots__ = (
        "began_s",
        "bound",
        "budget",
        "child_pid",
        "found_by",
        "hosts",
        "is_auto",
        "npm",
        "platform",
        "program",
        "settings",
        "upstream",
    )

    settings: Settings
    platform: Platform
    found_by: str
    budget: Budget
    bound: list[tuple[_socket.socket, bool]]
    upstream: Address
    hosts: tuple[str, ...]
    is_auto: bool
    child_pid: int | None
    program: bytes
    npm: Found | None
    began_s: float


def start(settings: Settings, *, mask_at_start: frozenset[int], dispositions: Dispositions) -> int:
    """Run in front or sidecar mode; returns the exit code.

    Raises:
        SettingsError: a split of the stop's time that cannot fit.
        ListenError: an address that cannot be had.
        SpawnError: fork was refused, or there are too few descriptors.
    """
    begun = Start()
    begun.began_s = monotonic()
    begun.settings = settings
    begun.platform, begun.found_by = detect(settings.platform, os.environ)
    begun.budget = plan_budget(settings, begun.platform)
    begun.bound = [(sock, address.raw) for address in settings.listens for sock in sockets.bind(address)]
    _check_descriptors()
    begun.is_auto = settings.upstream is None
    begun.upstream, begun.hosts = _upstream(settings)
    if settings.parent_death_signal:
        prctl.set_parent_death_signal(settings.parent_death_signal)
    begun.child_pid, begun.program, begun.npm = None, b"", None

    def failed(problem: SpawnError) -> int:
        _report(settings, str(problem))
        return problem.exit_code

    if settings.command:
        port = begun.upstream.port if begun.is_auto else None
        environment = spawn.child_environment(spawn.read_environment(), os.fsencode(settings.port_env), port)
        launch = Launch(
            settings.command,
            environment,
            mask=mask_at_start,
            dispositions=dispositions,
            terminal=spawn.leave_terminal,
        )
        if settings.may_run_scripts:
            from pyinit.init import npm  # noqa: PLC0415  for such a command alone

            begun.npm = npm.look(settings.command, environment, is_wanted=settings.exec_npm)
            if begun.npm is not None:
                begun.npm.replace(launch)
                _follow_node(settings, begun.npm)
        begun.program = launch.command[0]
        if settings.subreaper or os.getpid() != 1:
            # Orphans of the app are ours to reap wherever we are. Before the fork: an app that daemonises at once
            # would lose its first ones to another init.
            prctl.become_subreaper()
        begun.child_pid = spawn.spawn(launch, failed)
    try:
        # What is imported stays, 200 objects aside; looking for those is a twentieth of the time.
        # collector.settle has it on again.
        gc.disable()
        from pyinit import without_tls  # noqa: PLC0415  heavy, all that follows: the child is exec'd by now

        without_tls.load_loop()
        from pyinit import app  # noqa: PLC0415  with that loop

        return app.run(begun)
    except BaseException as problem:  # noqa: BLE001  nor by a SystemExit that some module brings along
        import traceback  # noqa: PLC0415  for a fault alone

        trace = traceback.format_exc().strip().replace("\n", " | ")
        _report(settings, f"internal error: {problem!r}; stopping the child: {trace}")
        if begun.child_pid is not None:
            run.give_up(begun.child_pid, begun.budget.total_s)
        return run.OWN_FAILURE


def _check_descriptors() -> None:
    """Find out before there is a child whether the proxy can open what it needs: libuv aborts where it cannot.

    Under the hard limit, to which the soft one will be raised once the child has it. Raises SpawnError.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for _ in range(_DESCRIPTORS_LEAST):
            opened.append(os.open("/", os.O_PATH | os.O_CLOEXEC))  # noqa: PERF401  those up to an error are to be closed
    except OSError as problem:
        step = f"opening the {_DESCRIPTORS_LEAST} descriptors that the proxy needs at least (RLIMIT_NOFILE is {hard})"
        raise SpawnError(step, os.strerror(problem.errno or 0)) from problem
    finally:
        for fd in opened:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _follow_node(settings: Settings, found: Found) -> None:
    """The head's limit from what a script starts, as settings takes it from a command; replaced or not."""
    if found.plan is not None and "head-max" not in settings.given:
        entries = found.plan.environment
        node_options = next((entry[13:] for entry in entries if entry.startswith(b"NODE_OPTIONS=")), b"")
        settings.head_max_bytes = node_head_max(
            found.plan.command, os.fsdecode(node_options), settings.head_max_bytes
        )


def plan_budget(settings: Settings, platform: Platform) -> Budget:
    """The stop's time, split as the settings and the platform say. Raises SettingsError."""
    stop_timeout_s = settings.stop_timeout_s
    if stop_timeout_s is None:
        stop_timeout_s = platform.stop_timeout_s
    delay_s = settings.drain_delay_s
    if delay_s is None:
        # A shorter grace than the platform's own shortens its lame duck too, rather than being refused for it.
        delay_s = min(platform.drain_delay_s, stop_timeout_s / 4)
    try:
        return Budget(
            stop_timeout_s=stop_timeout_s,
            drain_delay_s=delay_s,
            child_timeout_s=settings.child_timeout_s,
            close_spread_s=settings.close_spread_s,
            close_spread_share=platform.close_spread_share,
            stream_grace_s=settings.stream_grace_s,
            has_child=bool(settings.command),
        )
    except SettingsError as problem:
        if "stop-timeout" in settings.given:
            raise
        raise SettingsError(f"{problem} (--stop-timeout is that of --platform {platform.name})") from None


def _upstream(settings: Settings) -> tuple[Address, tuple[str, ...]]:
    upstream = settings.upstream
    if upstream is None:
        from pyinit.values import Address  # noqa: PLC0415  loaded already; named here alone

        return Address(host=LOOPBACK[0], port=sockets.free_port()), LOOPBACK
    if upstream.path is not None:
        return upstream, ()
    return upstream, (upstream.host,) if upstream.host is not None else LOOPBACK


def _report(settings: Settings, text: str) -> None:
    """One line before structlog is there, in the form that the rest of the log will have."""
    if settings.log_format == "json" or (settings.log_format == "auto" and not os.isatty(2)):
        import json  # noqa: PLC0415  for a fault alone

        line = json.dumps({"event": "start.failed", "level": "error", "reason": text, "pid": os.getpid()})
    else:
        line = f"pyinit: {printable(text)}"
    Sink(2).write(line.encode("utf-8", "backslashreplace") + b"\n")

"""The composition of a run: argv to settings, then init mode or the front, then the exit code.

Nothing heavy is imported before the child exists: in front mode the app boots while the proxy's libraries load.
"""

from __future__ import annotations

import os

from pyinit.errors import ListenError, SettingsError, Shown, SpawnError
from pyinit.init import signals, spawn
from pyinit.init.spawn import Launch
from pyinit.log import InitLog, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyinit.settings import Settings

# Names that people have in their images, and what each is to behave as.
_DROPINS = {
    "tini": "tini",
    "tini-static": "tini",
    "docker-init": "tini",
    "dumb-init": "dumb-init",
    "catatonit": "catatonit",
    "podman-init": "catatonit",
}
USAGE = 2
OWN_FAILURE = 125  # the coreutils convention (env, timeout): the command was not at fault


def run(argv: list[str], *, mask_at_start: frozenset[int]) -> int:
    """Run pyinit, or what it is called as; returns the exit code.

    Args:
        argv: with the program's name first.
        mask_at_start: the signals that were blocked before __main__ blocked the rest.
    """
    _hold_standard_descriptors()
    try:
        called_as = _DROPINS.get(os.path.basename(argv[0]))
        if called_as is not None:
            return _run_dropin(called_as, argv, mask_at_start)
        dispositions = signals.settle()
        from pyinit.settings import load  # noqa: PLC0415  no drop-in needs it

        settings = load(argv, os.environ)
        for text in settings.warnings:
            _say(f"warning: {text}")
        if settings.is_front:
            try:
                from pyinit.front import start  # noqa: PLC0415  front mode alone
            except ModuleNotFoundError as problem:
                if problem.name != "pyinit.front":
                    raise
                raise SettingsError(
                    "--listen: this is the bundle for init mode alone, which holds no proxy; take the full one"
                ) from None

            return start(settings, mask_at_start=mask_at_start, dispositions=dispositions)
        return _run_init(settings, mask_at_start, dispositions)
    except Shown as shown:
        Sink(1).write(str(shown).encode())
        return 0
    except SettingsError as problem:
        _say(str(problem))
        return USAGE
    except ListenError as problem:
        _say(str(problem))
        return problem.exit_code
    except SpawnError as problem:
        _say(str(problem))
        return OWN_FAILURE
    except Exception as problem:  # noqa: BLE001  before a child exists; PID 1 must not die with a traceback alone
        _say(f"internal error: {problem!r}")
        return OWN_FAILURE


def _run_dropin(called_as: str, argv: list[str], mask_at_start: frozenset[int]) -> int:
    if called_as == "tini":
        from pyinit.dropin import tini  # noqa: PLC0415  one of three

        return tini.run(argv, mask_at_start=mask_at_start)
    if called_as == "dumb-init":
        from pyinit.dropin import dumb_init  # noqa: PLC0415  the same

        return dumb_init.run(argv, mask_at_start=mask_at_start)
    from pyinit.dropin import catatonit  # noqa: PLC0415  the same

    return catatonit.run(argv, mask_at_start=mask_at_start)


def _run_init(settings: Settings, mask: frozenset[int], dispositions: signals.Dispositions) -> int:
    from pyinit.init import run as init_run  # noqa: PLC0415  init mode alone

    delay_s, timeout_s = settings.drain_delay_s or 0.0, settings.stop_timeout_s
    if timeout_s is not None and timeout_s <= init_run.RESERVE_S:
        raise SettingsError(
            f"--stop-timeout {timeout_s:g} leaves the child no time: {init_run.RESERVE_S:g} s of it are kept"
            " for our exit; give more"
        )
    if timeout_s is not None and delay_s > timeout_s - init_run.RESERVE_S:
        raise SettingsError(
            f"--drain-delay {delay_s:g} does not fit into --stop-timeout {timeout_s:g} less {init_run.RESERVE_S:g} s"
        )
    port = settings.listens[0].port if settings.front_off and settings.listens else None
    environment = spawn.child_environment(spawn.read_environment(), os.fsencode(settings.port_env), port)
    log = InitLog("pyinit", settings.verbosity)
    launch = Launch(
        settings.command, environment, mask=mask, dispositions=dispositions, terminal=spawn.take_foreground
    )
    if settings.may_run_scripts:
        from pyinit.init import npm  # noqa: PLC0415  for such a command alone

        found = npm.look(settings.command, environment, is_wanted=settings.exec_npm)
        if found is not None:
            found.replace(launch)
            log.warning(found.sentence())
    plan = init_run.InitPlan(
        launch,
        forwarding=signals.Forwarding(dict(settings.rewrites)),
        stop_signals=frozenset((signals.SIGTERM, signals.SIGINT, *settings.stop_signals)),
        to_group=settings.kill_process_group,
        # What --wait-all waits for has to become our child.
        subreaper=settings.subreaper or (settings.wait_all and os.getpid() != 1),
        parent_death_signal=settings.parent_death_signal,
        warn_on_reap=settings.warn_on_reap,
        expect_exits=frozenset(settings.expect_exits),
        drain_delay_s=delay_s,
        stop_timeout_s=timeout_s,
        wait_all=settings.wait_all,
        explains_kills=True,
    )
    return init_run.run_init(plan, log)


def _hold_standard_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 came closed, or a client's connection could become our stderr.

    Close-on-exec, as all that Python opens: the child finds them closed, as we did.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # Either takes the lowest free number, which is this one. A bare O_PATH answers EBADF, as a closed one does.
            try:
                os.open(os.devnull, os.O_RDWR)
            except OSError:
                os.open("/", os.O_PATH)  # an image without /dev/null; with its loop at 0 libuv crashes


def _say(text: str) -> None:
    Sink(2).write(f"pyinit: {text}\n".encode("utf-8", "backslashreplace"))

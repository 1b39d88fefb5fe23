"""Rules about the image that a Dockerfile makes: what it starts, as whom, and how it is stopped and watched."""

from __future__ import annotations

import json
import posixpath
import signal
from typing import TYPE_CHECKING

from pyinit.check import package, rules, shell
from pyinit.check.finding import Finding, Level, found
from pyinit.check.start import MANAGERS, SHELLS, TOOLS, runner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyinit.check.context import Build
    from pyinit.check.start import Start

_UNSTOPPABLE = ("SIGKILL", "SIGSTOP")
_GRACEFUL = ("SIGTERM", "SIGINT")


class Place:
    """Where a start is written, and for whom a finding about it is.

    Args:
        path: of the file.
        line: of CMD, command or the like.
        end_line: the same; 0 for one line.
        what: how the text begins: ``CMD``.
        form: how words are written there, %s being them as JSON; empty where they stand in more than one place.
    """

    def __init__(self, path: str, line: int, end_line: int, what: str, form: str) -> None:
        self.path, self.line, self.end_line, self.what, self.form = path, line, end_line, what, form

    def mend(self, words: Sequence[str] | None) -> str | None:
        """How a start is written there; None for the rule's own mend."""
        return self.form % json.dumps(list(words)) if words and self.form else None


def check(build: Build) -> Iterator[Finding]:
    """All of them, for what is shipped."""
    yield from _stop_signal(build)
    if not (build.is_node or build.is_sidecar):
        return
    place = _place(build)
    if place is None:
        if not build.outside.has_command and build.base.is_node:
            yield found(
                rules.START_NONE, build.file.path, build.stage.line, "There is neither CMD nor ENTRYPOINT."
            )
    elif not build.outside.has_command:
        yield from start_findings(build.start, place, build.package)
        yield from option_findings(build.start, place, None)
        yield from _init(build, place)
        yield from _sigterm(build, place)
    yield from _user(build)
    yield from _health(build)
    yield from _expose(build)
    if not build.is_sidecar:
        yield from _node_env(build)


def _place(build: Build) -> Place | None:
    cmd, entrypoint = build.stage.cmd, build.stage.entrypoint
    command = cmd or entrypoint
    if command is None or (cmd is None and command.is_inherited):
        return None
    what = "CMD" if command is cmd else "ENTRYPOINT"
    form = f"{what} %s"
    if (
        cmd is not None
        and entrypoint is not None
        and len(build.start.words) > len(cmd.words)
        and not cmd.is_shell
    ):
        form = ""  # ENTRYPOINT ["npm"], CMD ["start"]
    return Place(build.file.path, command.line, command.end_line, what, form)


def start_findings(start: Start, place: Place, of: package.Package | None) -> Iterator[Finding]:
    """About what is started, wherever it is written: a Dockerfile, compose, a task definition."""
    path, line, end = place.path, place.line, place.end_line
    if start.bad_script:
        what = f"{start.bad_script} does not end in exec."
        yield found(rules.SCRIPT_EXEC, path, line, what, end_line=end)
    if start.shell:
        is_list = start.shell.lstrip().startswith("[")
        why = "is no JSON, so that a shell runs it" if is_list else "runs a shell"
        what = f"{place.what} {why}: {_short(start.shell)}"
        yield found(rules.START_SHELL, path, line, what, mend=_exec_form(start, place), end_line=end)
    text = None
    if of is not None and start.node_run:
        text = of.scripts.get(start.node_run)
    elif of is not None and start.program in TOOLS:
        text = of.script_of(start.words)
    tool = runner(shell.split(text)) if text else start.runner
    if start.program in ("npx", "pnpx"):
        tool = tool or runner([word for word in start.words[1:] if not word.startswith("-")])
    is_replaced = start.settings is not None and start.settings.exec_npm
    if (start.program in TOOLS or start.node_run) and not is_replaced:
        runs = f", which runs {_short(text)}" if text else ""
        what = f"{place.what} starts {_short(' '.join(start.words))}{runs}."
        words = package.plain_words(text) if text and not tool else None
        yield found(rules.START_NPM, path, line, what, mend=place.mend(words), end_line=end)
    if tool:
        yield found(rules.START_DEV, path, line, f"{place.what} starts {tool}.", end_line=end)
    manager = start.program if start.program in MANAGERS else ""
    if text and not manager:
        manager = next((word for word in shell.split(text)[:1] if word in MANAGERS), "")
    if manager:
        yield found(rules.START_MANAGER, path, line, f"{place.what} starts {manager}.", end_line=end)


def option_findings(start: Start, place: Place, below: Start | None) -> Iterator[Finding]:
    """What pyinit itself would say to its options and variables.

    Args:
        start: what is started.
        place: where it is written.
        below: of a deployment, the image's own start: what that says already is told of there.
    """
    known = {below.problem, *_warnings(below)} if below is not None else set()
    path, line, end = place.path, place.line, place.end_line
    if start.problem and start.problem not in known:
        yield found(rules.OPTIONS, path, line, f"pyinit refuses to start: {start.problem}.", end_line=end)
    for text in _warnings(start):
        if text not in known:
            what = f"pyinit warns: {text}."
            yield found(rules.OPTIONS, path, line, what, level=Level.WARNING, end_line=end)


def _warnings(start: Start) -> list[str]:
    return [] if start.settings is None else start.settings.warnings


def _exec_form(start: Start, place: Place) -> str | None:
    if start.shell.lstrip().startswith("["):
        return place.mend(_meant(start.shell))
    words = package.plain_words(start.shell)
    return None if start.program in TOOLS or start.runner else place.mend(words)


def _meant(text: str) -> list[str] | None:
    """The words of what was to be JSON: with quotes of the other kind, a comma at the end, or a comment behind it."""
    inner = text.lstrip().removeprefix("[").rpartition("]")[0].replace("'", '"').rstrip(", \t\n")
    try:
        words = json.loads(f"[{inner}]")
    except ValueError:
        return None
    return words if all(isinstance(word, str) for word in words) else None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _init(build: Build, place: Place) -> Iterator[Finding]:
    start = build.start
    if start.inits or start.bad_script or build.outside.has_init or not start.words:
        return
    if not (start.is_node or start.shell):
        return  # a program that may be anything, an init among it
    yield found(rules.INIT_MISSING, place.path, place.line, "No init is PID 1.", end_line=place.end_line)


def _sigterm(build: Build, place: Place) -> Iterator[Finding]:
    start = build.start
    if start.is_front or not start.is_node or (build.package is not None and build.package.is_graceful):
        return
    handled = package.signals_handled(build.tree, build.context)
    if handled is None or "SIGTERM" in handled:
        return
    then = "ends it at once" if start.inits or build.outside.has_init else "does nothing until SIGKILL"
    what = f"No source has a handler for SIGTERM, so that it {then}."
    yield found(rules.SIGTERM, place.path, place.line, what, end_line=place.end_line)


def _user(build: Build) -> Iterator[Finding]:
    user, path = build.stage.user, build.file.path
    if user is not None:
        if is_root(user.value):
            level = Level.INFO if build.start.changes_user or build.outside.has_user else None
            what = f"USER {user.value} is the last one."
            yield found(rules.USER_ROOT, path, user.line, what, level=level, end_line=user.end_line)
        return
    is_root_by_itself = build.base.is_root
    if is_root_by_itself is False or build.outside.has_user:
        return
    mend = "Take the tag nonroot, or add USER 65532." if build.base.is_distroless else None
    if build.start.changes_user or _has_changer(build):
        what, level = "It starts as root, and a script changes the user.", Level.INFO
    elif is_root_by_itself:
        what, level = f"There is no USER, and {build.base.repository} runs as root.", None
    else:
        what, level = f"There is no USER; who runs is {build.stage.image}'s to say.", Level.WARNING
    yield found(rules.USER_ROOT, path, build.stage.line, what, level=level, mend=mend)


def is_root(user: str) -> bool:
    """Of USER, ``user:`` and the like."""
    return user.partition(":")[0].strip() in ("root", "0")


def _has_changer(build: Build) -> bool:
    """It has a tool for that installed, and a script that is not here."""
    if build.start.words and build.start.is_node:
        return False
    return any(
        {"gosu", "su-exec"} & {posixpath.basename(word) for word in it.words[1:]}
        for run in build.stage.runs
        for it in shell.commands(run.script)
    )


def _health(build: Build) -> Iterator[Finding]:
    health, path = build.stage.healthcheck, build.file.path
    if health is None or not health.words:
        if build.outside.has_health_check:
            return
        line = build.stage.line if health is None else health.line
        what = "There is no HEALTHCHECK." if health is None else "HEALTHCHECK NONE."
        yield found(rules.HEALTHCHECK, path, line, what)
        return
    words = ("CMD-SHELL" if health.is_shell else "CMD", *health.words)
    yield from health_findings(build, words, Place(path, health.line, health.end_line, "HEALTHCHECK", ""))


def health_findings(build: Build, test: object, place: Place) -> Iterator[Finding]:
    """Whether what a health check runs is in the image, wherever the check is written.

    Args:
        build: the image it runs in.
        test: ``CMD`` and words, or ``CMD-SHELL`` and a line; anything else says nothing.
        place: where it stands.
    """
    if not isinstance(test, list | tuple) or len(test) < 2 or not all(isinstance(word, str) for word in test):
        return
    is_shell = test[0] == "CMD-SHELL" or (posixpath.basename(test[1]) in SHELLS and "-c" in test[2:3])
    programs = {it.program for it in shell.commands(test[-1])} if is_shell else {posixpath.basename(test[1])}
    lacking = [
        f"runs {tool}, and {build.stage.image} has none"
        for tool in sorted(programs & {"curl", "wget"})
        if build.base.has_tool(tool) is False and not _is_installed(build, tool)
    ]
    if is_shell and build.base.is_distroless:
        lacking.append(f"is in shell form, and {build.stage.image} has no shell")
    for text in lacking:
        what = f"{place.what} {text}."
        yield found(rules.HEALTHCHECK_TOOL, place.path, place.line, what, end_line=place.end_line)


def _is_installed(build: Build, tool: str) -> bool:
    is_copied = any(posixpath.basename(copy.target) == tool for copy in build.stage.copies)
    return is_copied or any(
        tool in it.words[1:] for run in build.stage.runs for it in shell.commands(run.script)
    )


def _stop_signal(build: Build) -> Iterator[Finding]:
    given = build.stage.stop_signal
    if given is not None and "$" not in given.value:
        handled = package.signals_handled(build.tree, build.context) or frozenset()
        place = Place(build.file.path, given.line, given.end_line, "STOPSIGNAL", "")
        is_ours = build.is_node or build.is_sidecar
        yield from stop_signal_findings(build.start, given.value, handled if is_ours else None, place)


def stop_signal_findings(
    start: Start, text: str, handled: frozenset[str] | None, place: Place
) -> Iterator[Finding]:
    """About a stop signal, wherever it is written.

    Args:
        start: what gets it.
        text: the signal, by name or number.
        handled: signals that the app has handlers for; None where it is no app of ours, and only SIGKILL is wrong.
        place: where it stands.
    """
    name = _signal_name(text)
    level: Level | None = None
    if name is None:
        what, level = f"{place.what} {text} is no signal.", Level.ERROR
    elif name in _UNSTOPPABLE:
        what, level = f"{place.what} is {name}, which nothing can handle.", Level.ERROR
    elif handled is None or name in handled or (name in _GRACEFUL and not start.is_front):
        return
    elif start.settings is not None and start.is_front:
        stops = {signal.Signals(number).name for number in start.settings.stop_signals}
        if name in stops or name in _GRACEFUL:
            return
        what = f"{place.what} is {name}, which begins no drain: pyinit passes it on."
    else:
        what = f"{place.what} is {name}, for which the app has no handler."
    yield found(rules.STOP_SIGNAL, place.path, place.line, what, level=level, end_line=place.end_line)


def _signal_name(text: str) -> str | None:
    text = text.strip().strip("\"'").upper()
    if text.isascii() and text.isdigit():
        try:
            return signal.Signals(int(text)).name
        except ValueError:
            return f"signal {int(text)}" if 0 < int(text) <= signal.NSIG else None
    name = text if text.startswith("SIG") else f"SIG{text}"
    if name in signal.Signals.__members__:
        return name
    return name if name.startswith("SIGRTM") else None


def _expose(build: Build) -> Iterator[Finding]:
    ports = listen_ports(build.start)
    exposed = [one for one in build.stage.exposed if one.value.isascii() and one.value.isdigit()]
    if not ports or not exposed or ports & {int(one.value) for one in exposed}:
        return
    first = exposed[0]
    what = f"EXPOSE {first.value}, and pyinit listens on {', '.join(map(str, sorted(ports)))}."
    yield found(rules.EXPOSE, build.file.path, first.line, what, end_line=first.end_line)


def listen_ports(start: Start) -> set[int]:
    """Of --listen; none where one is the platform's to say."""
    if start.settings is None or not start.is_front:
        return set()
    if any("env:" in text for text in start.settings.listen_texts):
        return set()
    return {listen.port for listen in start.settings.listens if listen.port is not None}


def _node_env(build: Build) -> Iterator[Finding]:
    value = dict(build.start.environment).get("NODE_ENV", build.stage.environment.get("NODE_ENV", ""))
    if value == "production" or value.startswith("$") or build.outside.has_node_env:
        return
    what = f"NODE_ENV is {value}." if value else "NODE_ENV is not set."
    line = next(
        (one.line for one in reversed(build.stage.variables) if one.name == "NODE_ENV" and not one.is_arg),
        build.stage.line,
    )
    yield found(rules.NODE_ENV, build.file.path, line, what)

"""Rules about the services of compose files that run a Node app or pyinit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyinit import values
from pyinit.check import building, image, images, package, rules, schemas, shell, start
from pyinit.check.dockerfile import Command
from pyinit.check.finding import Finding, Level, found
from pyinit.check.services import Service, environment, is_open, listed, text_of, variables
from pyinit.platform import PLATFORMS
from pyinit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyinit.check.context import Build
    from pyinit.check.files import Tree
    from pyinit.check.located import Document
    from pyinit.check.start import Start

# Docker's, where stop_grace_period says nothing.
_GRACE_S = 10.0
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_s(text: str) -> float | None:
    """Of ``1m30s``; None for no such."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(us|ms|h|m|s)", text)
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts) if parts else None


def started(tree: Tree, service: Service, build: Build | None) -> Start:
    """What it starts, by its own entrypoint and command over the image's."""
    stage = None if build is None else build.stage
    entrypoint = _command(service, "entrypoint")
    cmd = _command(service, "command")
    if stage is not None and entrypoint is None:
        entrypoint, cmd = stage.entrypoint, cmd or stage.cmd
    variables_known = {**({} if stage is None else stage.environment), **environment(tree, service)}
    script_text = (lambda _: None) if build is None else build.script_text
    return start.read(entrypoint, cmd, variables_known, script_text)


def _command(service: Service, key: str) -> Command | None:
    value = service.value.get(key)
    if isinstance(value, str):
        words = shell.split(value.replace("$$", "$"))  # compose splits it itself: there is no shell
    elif isinstance(value, list) and all(isinstance(word, str) for word in value):
        words = tuple(word.replace("$$", "$") for word in value)
    else:
        return None
    line = service.line(key)
    return Command(words, is_shell=False, line=line, end_line=line)


def check_form(path: str, document: Document) -> list[Finding]:
    """Of the whole file, also of one for development."""
    faults = schemas.faults(document.value, schemas.COMPOSE)
    return [found(rules.SCHEMA, path, document.line(*fault.at), str(fault)) for fault in faults]


def check(
    tree: Tree, service: Service, build: Build | None, checked: Mapping[str, bool | None]
) -> Iterator[Finding]:
    """The rules about one service.

    Args:
        tree: all files.
        service: the one.
        build: the image, where it is built from these files.
        checked: whether each service has a health check; None where that is not known.
    """
    path, value = service.path, service.value
    name = value.get("image")
    # With a variable in it, it is for who starts compose to say.
    if build is None and isinstance(name, str) and "$" not in name and images.parse(name).moves:
        what = f"{service.name}: {name} moves with every release."
        yield found(rules.BASE_UNPINNED, path, service.line("image"), what)
    yield from _depends(service, checked)
    of = started(tree, service, build)
    is_app = of.is_node or of.settings is not None or (build is not None and build.is_node)
    is_app = is_app or any(name.startswith("PYINIT_") for name in variables(service))
    if not is_app or of.is_job or service.for_development:
        return
    yield from _start(tree, service, build, of)
    known = environment(tree, service) if build is None else {}
    if not is_open(tree, service, "PYINIT_STOP_TIMEOUT"):
        yield from _grace(service, of, known)
    yield from _inits(service, build, of)
    yield from _health(service, build)
    yield from _hardening(service)
    yield from _ports(service, of)
    for name, text in variables(service).items():
        if isinstance(text, str) and "$" not in text and building.is_secret_value(name, text):
            line = service.line("environment", name)
            what = f"{service.name}: {name} has its value in the file."
            mend = "secrets:, or ${" + name + "} from the environment of who starts it."
            yield found(rules.SECRET, path, line, what, level=Level.WARNING, mend=mend)


def _start(tree: Tree, service: Service, build: Build | None, of: Start) -> Iterator[Finding]:
    key = next((key for key in ("command", "entrypoint") if key in service.value), None)
    form = "" if key == "entrypoint" else "command: %s"  # what stands behind an entrypoint goes with it
    place = image.Place(service.path, service.line(key or "environment"), 0, f"{service.name}: {key}", form)
    if key is not None:
        yield from image.start_findings(of, place, None if build is None else build.package)
    yield from image.option_findings(of, place, None if build is None else build.start)
    signal = service.value.get("stop_signal")
    if signal is not None and text_of(signal) is not None:
        handled = package.signals_handled(tree, service.context) or frozenset()
        place = image.Place(service.path, service.line("stop_signal"), 0, f"{service.name}: stop_signal", "")
        yield from image.stop_signal_findings(of, str(text_of(signal)), handled, place)
    if image.is_root(text_of(service.value.get("user")) or ""):
        what = f"{service.name}: it runs as root."
        yield found(rules.USER_ROOT, service.path, service.line("user"), what)


def _grace(service: Service, of: Start, known: dict[str, str]) -> Iterator[Finding]:
    settings = of.settings
    if settings is None:
        settings = _told(known)  # of an image that is not here
    if settings is None or (of.settings is not None and not of.is_front):
        return
    given = service.value.get("stop_grace_period")
    grace_s = _GRACE_S if given is None else duration_s(text_of(given) or "")
    if grace_s is None:
        return
    platform = PLATFORMS.get(settings.platform, PLATFORMS["docker"])
    timeout_s = platform.stop_timeout_s if settings.stop_timeout_s is None else settings.stop_timeout_s
    line = service.line("stop_grace_period")
    of_grace = "stop_grace_period" if given is not None else "docker's"
    mend = f'PYINIT_STOP_TIMEOUT: "{grace_s:g}", or stop_grace_period: {timeout_s:g}s.'
    if timeout_s > grace_s:
        what = f"{service.name}: pyinit plans with {timeout_s:g} s, and is killed after {of_grace} {grace_s:g} s."
        yield found(rules.STOP_TIMEOUT, service.path, line, what, mend=mend)
    elif timeout_s < grace_s and settings.stop_timeout_s is None:
        of_grace = f"stop_grace_period is {grace_s:g} s"
        what = f"{service.name}: {of_grace}, and pyinit, which cannot see it, plans with {timeout_s:g}."
        yield found(rules.STOP_TIMEOUT, service.path, line, what, level=Level.WARNING, mend=mend)


def _told(known: dict[str, str]) -> Settings | None:
    """What the variables of a pyinit say by themselves; None where they do not say the stop timeout."""
    settings = Settings()
    try:
        settings.stop_timeout_s = values.seconds(known["PYINIT_STOP_TIMEOUT"])
    except (KeyError, ValueError):
        return None
    return settings


def _inits(service: Service, build: Build | None, of: Start) -> Iterator[Finding]:
    is_asked = service.value.get("init") is True
    if is_asked and of.inits:
        what = f"{service.name}: init: true, and the image has {of.inits[0]}."
        yield found(rules.INIT_TWICE, service.path, service.line("init"), what)
    has_own = build is None or "entrypoint" in service.value or "command" in service.value
    if has_own and not is_asked and not of.inits and of.is_node and not of.bad_script:
        what = f"{service.name}: no init is PID 1."
        yield found(rules.INIT_MISSING, service.path, service.line(), what)


def _health(service: Service, build: Build | None) -> Iterator[Finding]:
    check = service.value.get("healthcheck")
    test = check.get("test") if isinstance(check, dict) and service.has_health_check else None
    if build is not None:
        place = image.Place(
            service.path, service.line("healthcheck", "test"), 0, f"{service.name}: healthcheck", ""
        )
        yield from image.health_findings(build, ["CMD-SHELL", test] if isinstance(test, str) else test, place)
    if service.has_health_check is False:
        what = f"{service.name}: the health check is disabled."
        yield found(rules.HEALTH_OFF, service.path, service.line("healthcheck"), what)


def _hardening(service: Service) -> Iterator[Finding]:
    value, path = service.value, service.path
    if value.get("privileged") is True:
        yield found(rules.PRIVILEGED, path, service.line("privileged"), f"{service.name}: privileged: true.")
    if value.get("read_only") in (None, False):
        yield found(
            rules.READ_ONLY, path, service.line("read_only"), f"{service.name}: it can write everywhere."
        )
    deploy = value.get("deploy")
    is_swarm = isinstance(deploy, dict) and "restart_policy" in deploy
    if value.get("restart") in (None, "no", False) and not is_swarm:
        yield found(rules.RESTART, path, service.line("restart"), f"{service.name}: it is not restarted.")
    for at, volume in enumerate(listed(value.get("volumes"))):
        source = volume.partition(":")[0] if isinstance(volume, str) else ""
        if isinstance(volume, dict) and volume.get("type") == "bind":
            source = str(volume.get("source", ""))
        if service.dockerfile and source in (".", "./", "./src", "./app", "${PWD}", "$PWD"):
            what = f"{service.name}: {source} is mounted into the container."
            yield found(rules.SOURCE_MOUNT, path, service.line("volumes", at), what)


def _ports(service: Service, of: Start) -> Iterator[Finding]:
    listening = image.listen_ports(of)
    targets: dict[int, int] = {}
    for at, port in enumerate(listed(service.value.get("ports"))):
        text = str(port.get("target", "")) if isinstance(port, dict) else str(port)
        target = text.rpartition(":")[2].partition("/")[0]
        if target.isascii() and target.isdigit():
            targets.setdefault(int(target), at)
    if listening and targets and not listening & set(targets):
        published, at = next(iter(targets.items()))
        ports = ", ".join(map(str, sorted(listening)))
        what = f"{service.name}: port {published} is published, and pyinit listens on {ports}."
        yield found(rules.EXPOSE, service.path, service.line("ports", at), what)


def _depends(service: Service, checked: Mapping[str, bool | None]) -> Iterator[Finding]:
    given = service.value.get("depends_on")
    names = given if isinstance(given, list | dict) else []
    content = service.document.value
    has_others = isinstance(content, dict) and "include" in content
    for at, name in enumerate(names):
        line = service.line("depends_on", at if isinstance(given, list) else name)
        how = given[name] if isinstance(given, dict) else {}
        if name not in service.names:
            if not has_others and how.get("required") is not False:
                what = f"{service.name} depends on {name}, which is no service of this file."
                yield found(rules.DEPENDS, service.path, line, what)
        elif how.get("condition") == "service_healthy" and checked.get(name) is False:
            what = f"{service.name} waits for {name} to be healthy, which has no health check."
            yield found(rules.DEPENDS, service.path, line, what)

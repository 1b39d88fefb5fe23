"""ECS task definitions, as JSON for the API or in a CloudFormation template, and the rules about their containers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pyinit import values
from pyinit.check import building, image, images, rules, schemas, start, template
from pyinit.check.dockerfile import Command
from pyinit.check.finding import Finding, Level, found
from pyinit.check.located import Malformed, Open
from pyinit.platform import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyinit.check.context import Build
    from pyinit.check.located import Document
    from pyinit.check.start import Start

# ECS's, of a task definition.
_CONTAINERS_MAX = 10
# ECS's, where stopTimeout says nothing; and the most that Fargate gives.
_STOP_TIMEOUT_S = 30.0
_FARGATE_MAX_S = 120.0
_KEY = re.compile(
    r"""^\s*[{,]?\s*(["']?)containerDefinitions\1\s*:|["']containerDefinitions["']\s*:""", re.MULTILINE
)
_TYPE = "AWS::ECS::TaskDefinition"
# What stands beside an app in many tasks.
_BESIDE = re.compile(
    r"(xray|datadog|dd-agent|fluent|firelens|log[-_]?router|envoy|otel|collector|newrelic|cloudwatch|nginx|redis|"
    r"memcached|postgres|mysql|statsd|vector|consul|vault|promtail)",
    re.IGNORECASE,
)


class Container(NamedTuple):
    """A container definition.

    Attributes:
        task: whose it is.
        at: which.
        value: all keys, as the API spells them.
    """

    task: Task
    at: int
    value: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        name = self.value.get("name")
        return name if isinstance(name, str) else f"container {self.at}"

    def line(self, *keys: str | int) -> int:
        """Where a key of it stands."""
        return self.task.line("containerDefinitions", self.at, *keys)

    @property
    def environment(self) -> dict[str, object]:
        """``environment`` by name; Open where a value comes at deployment."""
        entries = self.value.get("environment")
        listed = entries if isinstance(entries, list) else []
        return {
            str(entry["name"]): entry.get("value", "")
            for entry in listed
            if isinstance(entry, dict) and isinstance(entry.get("name"), str)
        }

    @property
    def depends_on(self) -> list[tuple[str, str]]:
        """Names and conditions."""
        entries = self.value.get("dependsOn")
        listed = entries if isinstance(entries, list) else []
        return [
            (str(entry.get("containerName")), str(entry.get("condition")))
            for entry in listed
            if isinstance(entry, dict)
        ]

    @property
    def has_init(self) -> bool:
        """Whether ECS puts an init in front."""
        parameters = self.value.get("linuxParameters")
        return isinstance(parameters, dict) and parameters.get("initProcessEnabled") is True


class Task:
    """A task definition.

    Attributes:
        path: of the file.
        document: with lines.
        below: where in it.
        value: all keys, as the API spells them.
        is_template: of CloudFormation.

    Raises:
        Malformed: it has more containers than ECS takes.
    """

    def __init__(
        self, path: str, document: Document, below: tuple[str | int, ...], *, is_template: bool
    ) -> None:
        self.path, self.document, self.below, self.is_template = path, document, below, is_template
        value: Any = document.value
        for name in below:
            value = value[name]
        self.value: dict[str, Any] = template.as_api(value) if is_template else template.opened(value)
        listed = self.value.get("containerDefinitions")
        if isinstance(listed, list) and len(listed) > _CONTAINERS_MAX:
            raise Malformed(
                f"a task definition has {_CONTAINERS_MAX} containers at most, and this one {len(listed)}",
                self.line("containerDefinitions"),
            )
        self.containers = [
            Container(self, at, one)
            for at, one in enumerate(listed if isinstance(listed, list) else [])
            if isinstance(one, dict)
        ]

    def line(self, *keys: str | int) -> int:
        """Where a key stands, by the API's name."""
        spelled = [_upper(key) if self.is_template and isinstance(key, str) else key for key in keys]
        return self.document.line(*self.below, *spelled)

    def __repr__(self) -> str:
        return f"Task({self.path!r}, {self.below!r})"


def tasks(path: str, document: Document) -> list[Task]:
    """The task definitions in a file; none in most."""
    value = document.value
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("containerDefinitions"), list):
        return [Task(path, document, (), is_template=False)]
    described = value.get("taskDefinition")
    if isinstance(described, dict) and isinstance(described.get("containerDefinitions"), list):
        return [Task(path, document, ("taskDefinition",), is_template=False)]
    resources = value.get("Resources")
    if not isinstance(resources, dict):
        return []
    return [
        Task(path, document, ("Resources", name, "Properties"), is_template=True)
        for name, one in resources.items()
        if isinstance(one, dict) and one.get("Type") == _TYPE and isinstance(one.get("Properties"), dict)
    ]


def may_hold(text: str) -> bool:
    """Whether a file is worth reading for them: as a key, so that a comment that names it makes nothing of it."""
    return _KEY.search(text) is not None or _TYPE in text


def _upper(name: str) -> str:
    return name[:1].upper() + name[1:]


def check_form(task: Task) -> list[Finding]:
    """Of the whole task definition."""
    faults = schemas.faults(task.value, schemas.TASK)
    return [found(rules.SCHEMA, task.path, task.line(*fault.at), str(fault)) for fault in faults]


def started(container: Container, build: Build | None) -> Start:
    """What it starts, by its own entryPoint and command over the image's."""
    stage = None if build is None else build.stage
    entrypoint, cmd = _command(container, "entryPoint"), _command(container, "command")
    if stage is not None and entrypoint is None:
        entrypoint, cmd = stage.entrypoint, cmd or stage.cmd
    known = {} if stage is None else dict(stage.environment)
    known |= {name: text for name, text in container.environment.items() if isinstance(text, str)}
    return start.read(entrypoint, cmd, known, (lambda _: None) if build is None else build.script_text)


def _command(container: Container, key: str) -> Command | None:
    value = container.value.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        return None
    line = container.line(key)
    return Command(tuple(value), is_shell=False, line=line, end_line=line)


def app_of(task: Task) -> Container | None:
    """The container that an image among these files is for, where only one can be it."""
    left = [
        one
        for one in task.containers
        if not _BESIDE.search(f"{one.name} {one.value.get('image', '')}") and not _is_sidecar(one)
    ]
    return left[0] if len(left) == 1 else None


def _is_sidecar(container: Container) -> bool:
    """Whether it is pyinit alone, by what it starts or by its image's name."""
    of = started(container, None)
    if of.settings is not None:
        return not of.settings.command
    reference = container.value.get("image")
    is_named = isinstance(reference, str) and "pyinit" in images.parse(reference).repository
    return is_named or "PYINIT_UPSTREAM" in container.environment


def check(task: Task, build: Build | None) -> Iterator[Finding]:
    """The rules about all its containers.

    Args:
        task: the one.
        build: the image of its app, where that is built from these files.
    """
    app = app_of(task)
    for container in task.containers:
        own = build if container is app else None
        of = started(container, own)
        is_sidecar = _is_sidecar(container)
        is_ours = container is app or is_sidecar or of.is_node or of.settings is not None
        yield from _depends(container)
        yield from _image(container, is_ours=is_ours)
        if not is_ours:
            continue
        has_pyinit = is_sidecar or "pyinit" in of.inits
        yield from _start(container, of, own)
        yield from _stop_timeout(container, of, has_pyinit=has_pyinit)
        yield from _health(container, own, is_sidecar=is_sidecar)
        yield from _hardening(container)
        if is_sidecar:
            yield from _order(container, app)


def _image(container: Container, *, is_ours: bool) -> Iterator[Finding]:
    task, reference = container.task, container.value.get("image")
    # ${TAG}, or <IMAGE1_NAME> as CodeDeploy and CodePipeline fill it in.
    is_known = isinstance(reference, str) and not set("$<") & set(reference)
    if is_known and images.parse(str(reference)).moves:
        what = f"{container.name}: {reference} moves with every release."
        yield found(rules.BASE_UNPINNED, task.path, container.line("image"), what)
    if container.value.get("privileged") is True:
        what = f"{container.name}: privileged."
        yield found(rules.PRIVILEGED, task.path, container.line("privileged"), what)
    if not is_ours:
        return
    if container.value.get("essential") is False:
        what = f"{container.name}: essential is false."
        yield found(rules.ESSENTIAL, task.path, container.line("essential"), what)
    for at, (name, value) in enumerate(container.environment.items()):
        is_text = isinstance(value, str) and not value.startswith("{{resolve:")
        if is_text and building.is_secret_value(name, str(value)):
            what = f"{container.name}: {name} has its value in the file."
            mend = "Put it under secrets, with valueFrom of Secrets Manager or the Parameter Store."
            line = container.line("environment", at, "name")
            yield found(rules.SECRET, task.path, line, what, mend=mend)


def _start(container: Container, of: Start, build: Build | None) -> Iterator[Finding]:
    path = container.task.path
    key = next((key for key in ("command", "entryPoint") if key in container.value), None)
    form = "Command: %s" if container.task.is_template else '"command": %s'
    if key == "entryPoint":
        form = ""  # what stands behind it goes with it
    place = image.Place(path, container.line(key or "environment"), 0, f"{container.name}: {key}", form)
    if key is not None:
        yield from image.start_findings(of, place, None if build is None else build.package)
    yield from image.option_findings(of, place, None if build is None else build.start)
    if container.has_init and of.inits:
        what = f"{container.name}: initProcessEnabled, and the image has {of.inits[0]}."
        yield found(rules.INIT_TWICE, path, container.line("linuxParameters", "initProcessEnabled"), what)
    elif key is not None and not container.has_init and not of.inits and of.is_node and not of.bad_script:
        yield found(rules.INIT_MISSING, path, container.line(key), f"{container.name}: no init is PID 1.")


def _stop_timeout(container: Container, of: Start, *, has_pyinit: bool) -> Iterator[Finding]:
    path = container.task.path
    given = container.value.get("stopTimeout")
    if isinstance(given, Open):
        return
    grace_s = float(given) if isinstance(given, int) and not isinstance(given, bool) else _STOP_TIMEOUT_S
    line = container.line("stopTimeout")
    compatible = container.task.value.get("requiresCompatibilities")
    if isinstance(compatible, list) and "FARGATE" in compatible and grace_s > _FARGATE_MAX_S:
        what = f"{container.name}: stopTimeout is {grace_s:g} s, and Fargate takes 120 at most."
        yield found(rules.STOP_TIMEOUT, path, line, what, mend='"stopTimeout": 120 at most.')
    if not has_pyinit or (of.settings is not None and not of.is_front):
        return
    is_told, timeout_s = _planned_s(container, of)
    if timeout_s is None:
        return
    mend = f'PYINIT_STOP_TIMEOUT "{grace_s:g}", or "stopTimeout": {timeout_s:g}.'
    if timeout_s > grace_s:
        what = f"{container.name}: pyinit plans with {timeout_s:g} s, and is killed after {grace_s:g} s."
        yield found(rules.STOP_TIMEOUT, path, line, what, mend=mend)
    elif timeout_s < grace_s and not is_told:
        what = f"{container.name}: stopTimeout is {grace_s:g} s, and pyinit, which cannot see it, takes {timeout_s:g}."
        yield found(rules.STOP_TIMEOUT, path, line, what, level=Level.WARNING, mend=mend)


def _planned_s(container: Container, of: Start) -> tuple[bool, float | None]:
    """Whether pyinit was told a time, and which it takes; None where that comes at deployment."""
    if of.settings is not None and of.settings.stop_timeout_s is not None:
        return True, of.settings.stop_timeout_s
    told = container.environment.get("PYINIT_STOP_TIMEOUT")
    if isinstance(told, Open):
        return True, None
    if told is not None:
        try:
            return True, values.seconds(str(told))
        except ValueError:
            return True, None  # pyinit itself refuses it, and option_findings says so where that can be seen
    name = "auto" if of.settings is None else of.settings.platform
    return False, PLATFORMS.get(name, PLATFORMS["ecs"]).stop_timeout_s


def _health(container: Container, build: Build | None, *, is_sidecar: bool) -> Iterator[Finding]:
    check = container.value.get("healthCheck")
    if build is not None and isinstance(check, dict):
        line = container.line("healthCheck", "command")
        place = image.Place(container.task.path, line, 0, f"{container.name}: healthCheck", "")
        yield from image.health_findings(build, check.get("command"), place)
    # A proxy beside it is as ready as the app, and both are essential.
    is_watched = not is_sidecar and any(
        _is_sidecar(one) and "healthCheck" in one.value for one in container.task.containers
    )
    if not is_watched and not isinstance(container.value.get("healthCheck"), dict | Open):
        what = f"{container.name}: there is no healthCheck, and ECS does not read the image's."
        yield found(rules.HEALTH_OFF, container.task.path, container.line(), what)


def _hardening(container: Container) -> Iterator[Finding]:
    path = container.task.path
    user = container.value.get("user")
    if isinstance(user, str) and image.is_root(user):
        what = f"{container.name}: it runs as root."
        yield found(rules.USER_ROOT, path, container.line("user"), what)
    if container.value.get("readonlyRootFilesystem") in (None, False):
        what = f"{container.name}: it can write everywhere."
        yield found(rules.READ_ONLY, path, container.line("readonlyRootFilesystem"), what)


def _order(container: Container, app: Container | None) -> Iterator[Finding]:
    path = container.task.path
    named = {name for name, _ in container.depends_on}
    if not named or (app is not None and app.name not in named):
        of = (
            "no container"
            if not named
            else f"{', '.join(sorted(named))} and not on {'' if app is None else app.name}"
        )
        what = f"{container.name} depends on {of}: it and the app are stopped at once."
        line = container.line("dependsOn") if named else container.line()
        yield found(rules.SIDECAR_ORDER, path, line, what)
    if app is not None and container.name in {name for name, _ in app.depends_on}:
        what = f"{app.name} depends on {container.name}: the app is stopped first."
        yield found(rules.SIDECAR_ORDER, path, app.line("dependsOn"), what)


def _depends(container: Container) -> Iterator[Finding]:
    by_name = {one.name: one for one in container.task.containers}
    for at, (name, condition) in enumerate(container.depends_on):
        line = container.line("dependsOn", at)
        other = by_name.get(name)
        if other is container:
            what = f"{name} depends on itself."
            yield found(rules.DEPENDS, container.task.path, line, what)
        elif other is None:
            what = f"{container.name} depends on {name}, which is no container of this task."
            yield found(rules.DEPENDS, container.task.path, line, what)
        elif condition == "HEALTHY" and "healthCheck" not in other.value:
            what = f"{container.name} waits for {name} to be HEALTHY, which has no healthCheck."
            yield found(rules.DEPENDS, container.task.path, line, what)

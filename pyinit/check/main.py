"""The whole check of a directory: which files there are, what belongs to what, every rule, in a fixed order."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pyinit.check import (
    building,
    compose,
    context,
    dockerfile,
    dockerignore,
    files,
    ignoring,
    image,
    located,
    package,
    rules,
    task,
)
from pyinit.check.context import Build, Outside
from pyinit.check.finding import Finding, found
from pyinit.check.report import Report
from pyinit.check.services import Service, environment, services_of, variables

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pyinit.check.located import Document

_FOR_DEVELOPMENT = "it is for development, by its name"
_NOT_NODE = "what it ships is no Node app: what it is built from and holds was checked, not how it runs"


def check(root: Path, *, target: str = "", ignored_ids: Iterable[str] = ()) -> Report:
    """Check a directory.

    Args:
        root: the directory.
        target: the stage that is shipped, where that is not the last and no compose file says it.
        ignored_ids: rules that are left out.
    """
    return _Check(root, target, frozenset(ignored_ids)).run()


class _Check:
    """One run."""

    def __init__(self, root: Path, target: str, ignored_ids: frozenset[str]) -> None:
        self._tree = files.Tree(root)
        self._target = target
        self._ignored_ids = ignored_ids
        self._paths: set[str] = set()
        self._not_judged: dict[str, str] = {}
        self._findings: list[Finding] = []
        self._dockerfiles: dict[str, dockerfile.Dockerfile] = {}
        self._builds: dict[tuple[str, str], Build] = {}

    def run(self) -> Report:
        composes, tasks = self._composes(), self._tasks()
        self._read_dockerfiles()
        services = self._services(composes)
        shipped = [one for one in services if not self._is_for_development(one)]
        self._compose_dockerfiles(services)
        self._make_builds(shipped)
        self._outside(shipped, tasks)
        checked: dict[str, dict[str, bool | None]] = {}
        for service in services:
            checked.setdefault(files.parent(service.path), {})[service.name] = self._is_checked(service)
        for service in services:
            beside = checked[files.parent(service.path)]
            self._add(compose.check(self._tree, service, self._build_of(service), beside))
        for one in tasks:
            self._add(task.check_form(one))
            self._add(task.check(one, self._only_build()))
        packages: dict[str, package.Package] = {}
        for build in self._builds.values():
            self._image(build)
            if build.package is not None:
                packages[build.package.path] = build.package
        self._packages(packages)
        return self._report()

    def _report(self) -> Report:
        kept = set()
        for path in sorted({finding.path for finding in self._findings} | self._paths):
            lines = (self._tree.text(path) or "").splitlines()
            if path.endswith((".json", ".lock")):
                lines = []
            self._findings += list(ignoring.unknown(path, lines))
            kept |= {
                finding
                for finding in self._findings
                if finding.path == path
                and finding.rule.id not in self._ignored_ids
                and not ignoring.ignored(lines, finding)
            }
        ordered = sorted(kept, key=lambda finding: finding.order)
        targets = frozenset(
            name
            for file in self._dockerfiles.values()
            for one in file.stages
            for name in {one.name, str(one.index)} - {""}
        )
        return Report(
            self._tree.root, sorted(self._paths), sorted(self._not_judged.items()), ordered, targets
        )

    def _add(self, findings: Iterable[Finding]) -> None:
        self._findings += findings

    def _unreadable(self, path: str, problem: located.Malformed | dockerfile.Unreadable | OSError) -> None:
        if isinstance(problem, OSError):
            self._add(
                [
                    found(
                        rules.UNREADABLE,
                        path,
                        1,
                        f"{problem.strerror}.",
                        mend="Make it a file that can be read.",
                    )
                ]
            )
        else:
            self._add([found(rules.UNREADABLE, path, problem.line, f"{problem}.")])

    # -- reading -----------------------------------------------------------------------------------------------------

    def _composes(self) -> dict[str, Document]:
        documents: dict[str, Document] = {}
        for path in filter(files.is_compose, self._tree.paths):
            self._paths.add(path)
            try:
                documents[path] = located.read_yaml(self._tree.read(path))
            except OSError as problem:
                self._unreadable(path, problem)
                continue
            except located.Malformed as problem:
                self._unreadable(path, problem)
                continue
            self._add(compose.check_form(path, documents[path]))
        return documents

    def _services(self, composes: dict[str, Document]) -> list[Service]:
        services = []
        for path, document in composes.items():
            if files.is_for_development(path):
                self._not_judged[path] = _FOR_DEVELOPMENT
                continue
            base = next(
                (composes[one] for one in composes if one != path and _is_base(one, path)),
                None,
            )
            services += services_of(self._tree, path, document, base)
        return services

    def _is_for_development(self, service: Service) -> bool:
        why = service.for_development
        if why:
            told = f"service {service.name} is for development, by {why}"
            before = self._not_judged.get(service.path)
            self._not_judged[service.path] = told if before is None else f"{before}; {told}"
        return why != ""

    def _compose_dockerfiles(self, services: list[Service]) -> None:
        """Those that only compose knows of: of another name, in a hidden directory, or in the compose file itself."""
        for service in services:
            path, line = service.dockerfile, service.line("build", "dockerfile")
            if service.inline is not None and path is not None:
                above = "\n" * service.line(
                    "build", "dockerfile_inline"
                )  # so that lines are the compose file's
                try:
                    self._dockerfiles[path] = dockerfile.read(service.path, above + service.inline)
                except dockerfile.Unreadable as problem:
                    self._unreadable(service.path, problem)
            elif path is None or path in self._paths or path.startswith(".."):
                continue
            elif (self._tree.root / path).exists():
                self._read_dockerfile(path)
            else:
                what = f"{service.name} is built from {path}, which is not there."
                self._add(
                    [found(rules.UNREADABLE, service.path, line, what, mend="Name a file that is there.")]
                )

    def _tasks(self) -> list[task.Task]:
        tasks = []
        for path in self._tree.paths:
            if files.is_compose(path) or not path.endswith((".json", ".yaml", ".yml", ".template")):
                continue
            text = self._tree.text(path)
            if text is None or not task.may_hold(text):
                continue
            try:
                document = located.read_json(text) if path.endswith(".json") else located.read_yaml(text)
                of_file = task.tasks(path, document)
            except located.Malformed as problem:
                self._paths.add(path)
                self._unreadable(path, problem)
                continue
            if of_file:
                self._paths.add(path)
                tasks += of_file
        return tasks

    def _read_dockerfiles(self) -> None:
        for path in filter(files.is_dockerfile, self._tree.paths):
            self._read_dockerfile(path)

    def _read_dockerfile(self, path: str) -> None:
        self._paths.add(path)
        try:
            self._dockerfiles[path] = dockerfile.read(path, self._tree.read(path))
        except (OSError, dockerfile.Unreadable) as problem:
            self._unreadable(path, problem)

    def _make_builds(self, services: list[Service]) -> None:
        for service in services:
            if service.dockerfile in self._dockerfiles:
                place = service.path, service.line("build", "target")
                self._build(service.dockerfile, service.context, service.target, place)
        asked = {path for path, _ in self._builds}
        for path, file in self._dockerfiles.items():
            if path in asked:
                continue
            if files.is_for_development(path):
                self._not_judged[path] = _FOR_DEVELOPMENT
                continue
            self._build(path, context.likely_context(self._tree, file), self._target)

    def _build(self, path: str, directory: str, target: str, place: tuple[str, int] = ("", 1)) -> None:
        file = self._dockerfiles[path]
        stage = file.stage(target)
        if stage is None and target == self._target:
            stage = file.stages[-1]  # one of several Dockerfiles has it
        if stage is None:
            what = f"There is no stage {target!r} in {path}."
            self._add([found(rules.UNREADABLE, *place, what, mend="Name a stage that is there.")])
            return
        self._builds.setdefault(
            (path, stage.name or str(stage.index)), Build(self._tree, file, stage, directory)
        )

    # -- what belongs together ---------------------------------------------------------------------------------------

    def _build_of(self, service: Service) -> Build | None:
        if service.dockerfile not in self._dockerfiles:
            return None
        stage = self._dockerfiles[service.dockerfile].stage(service.target)
        return (
            None if stage is None else self._builds.get((service.dockerfile, stage.name or str(stage.index)))
        )

    def _is_checked(self, service: Service) -> bool | None:
        """Whether it has a health check, its own or its image's; None where that is not known."""
        build, own = self._build_of(service), service.has_health_check
        if own is not None or build is None:
            return own
        return build.stage.healthcheck is not None and bool(build.stage.healthcheck.words)

    def _only_build(self) -> Build | None:
        """The one that a task's app is, as its image's name tells nothing of these files."""
        apps = [build for build in self._builds.values() if build.is_node and not build.is_sidecar]
        return apps[0] if len(apps) == 1 else None

    def _outside(self, services: list[Service], tasks: list[task.Task]) -> None:
        for build in self._builds.values():
            deployments = [
                Outside(
                    has_init=service.value.get("init") is True,
                    has_command="command" in service.value or "entrypoint" in service.value,
                    has_health_check=service.has_health_check is True,
                    has_node_env="NODE_ENV" in environment(self._tree, service)
                    or "NODE_ENV" in variables(service),
                    has_user="user" in service.value,
                )
                for service in services
                if self._build_of(service) is build
            ]
            if build is self._only_build():
                deployments += [
                    Outside(
                        has_init=app.has_init,
                        has_command="command" in app.value or "entryPoint" in app.value,
                        has_health_check="healthCheck" in app.value,
                        has_node_env="NODE_ENV" in app.environment,
                        has_user="user" in app.value,
                    )
                    for one in tasks
                    if (app := task.app_of(one)) is not None
                ]
            if deployments:
                build.outside = Outside(*(all(values) for values in zip(*deployments, strict=True)))

    # -- rules -------------------------------------------------------------------------------------------------------

    def _image(self, build: Build) -> None:
        if build.ignore_path is not None:
            self._paths.add(build.ignore_path)
        self._add(image.check(build))
        self._add(building.check(build))
        self._add(dockerignore.check(build))
        if not build.is_node and not build.is_sidecar:
            self._not_judged[build.file.path] = _NOT_NODE

    def _packages(self, read: dict[str, package.Package]) -> None:
        for path in self._tree.paths:
            is_one = PurePosixPath(path).name == "package.json" and not files.is_for_development(path)
            if path in read or not is_one:
                continue
            try:
                read[path] = package.read(self._tree, path)
            except located.Malformed as problem:
                self._paths.add(path)
                self._unreadable(path, problem)
        for path, one in read.items():
            self._paths.add(path)
            self._add(package.check(self._tree, one))


def _is_base(base: str, variant: str) -> bool:
    """compose.yaml is what compose.prod.yaml is laid over."""
    if files.parent(base) != files.parent(variant) or files.is_for_development(base):
        return False
    stem = PurePosixPath(base).name.rpartition(".")[0]
    return stem in ("compose", "docker-compose") and PurePosixPath(variant).name.startswith(stem + ".")

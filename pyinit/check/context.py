"""What a Dockerfile is built with: its context, ignore file and package; and what a deployment adds to the image."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from pyinit.check import images, package, shell, start
from pyinit.check.files import Tree, joined, parent
from pyinit.check.located import Malformed

if TYPE_CHECKING:
    from pyinit.check.dockerfile import Dockerfile, Stage
    from pyinit.check.start import Start


class Outside(NamedTuple):
    """What every deployment of an image that is among the files says, so that the image need not.

    Attributes:
        has_init: it puts an init in front.
        has_command: it says what is started.
        has_health_check: it has one.
        has_node_env: it sets NODE_ENV.
        has_user: it says who it runs as.
    """

    has_init: bool = False
    has_command: bool = False
    has_health_check: bool = False
    has_node_env: bool = False
    has_user: bool = False


class Build:
    """One image that is built.

    Attributes:
        tree: all files.
        file: the Dockerfile.
        stage: what is shipped.
        context: the directory that is sent along.
        ignore_path: of its .dockerignore; None for none.
        base: the image below all.
        start: what it starts.
        package: its package.json; None for none.
        outside: what its deployments add.
    """

    def __init__(self, tree: Tree, file: Dockerfile, stage: Stage, context: str) -> None:
        self.tree, self.file, self.stage, self.context = tree, file, stage, context
        self.outside = Outside()
        self.base = images.parse(stage.image)
        self.ignore_path = _ignore_path(tree, file.path, context)
        self.package = _package(tree, file.path, context)
        self.start: Start = start.read(stage.entrypoint, stage.cmd, stage.environment, self.script_text)
        self.reachable = _reachable(file, stage)
        self.chain = [one for one in self.reachable if _is_below(one, stage)]

    @property
    def is_node(self) -> bool:
        """Whether it is a Node app at all: else most of the checklist is not about it."""
        if self.start.is_node or self.base.is_node or "NODE_ENV" in self.stage.environment:
            return True
        programs = (it.program for run in self.stage.runs for it in shell.commands(run.script))
        return any(program in start.TOOLS or program == "node" for program in programs)

    @property
    def is_sidecar(self) -> bool:
        """Pyinit alone."""
        return self.start.settings is not None and not self.start.settings.command

    @property
    def has_stages(self) -> bool:
        """Whether anything is copied out of another stage."""
        return any(copy.source_stage is not None for one in self.reachable for copy in one.copies)

    def script_text(self, word: str) -> str | None:
        """A script's text by the name it is started by: what COPY puts there, or the only one of that name."""
        name = posixpath.basename(word)
        for copy in reversed(self.stage.copies):
            if copy.target == self.stage.absolute(word) and copy.text is not None:
                return copy.text
        named = [
            joined(self.context, source.lstrip("/"))
            for copy in self.stage.copies
            if copy.is_context
            for source in copy.sources
            if posixpath.basename(source) == name or copy.target == self.stage.absolute(word)
        ]
        direct = joined(self.context, word.removeprefix(self.stage.directory).lstrip("/"))
        for path in (*named, direct):
            if self.tree.has(path):
                return self.tree.text(path)
        alike = [path for path in self.tree.under(self.context) if posixpath.basename(path) == name]
        return self.tree.text(alike[0]) if len(alike) == 1 else None

    def __repr__(self) -> str:
        return f"Build({self.file.path!r}, {self.stage!r}, {self.context!r})"


def likely_context(tree: Tree, file: Dockerfile) -> str:
    """Where nobody says it: its own directory, or the top, in which more of what it copies is there."""
    own = parent(file.path)
    sources = {
        source.lstrip("/").removeprefix("./")
        for stage in file.stages
        for copy in stage.copies
        if copy.is_context
        for source in copy.sources
        if source not in (".", "./", "/") and "://" not in source
    }

    def fits(directory: str) -> int:
        return sum(tree.matches(joined(directory, source)) for source in sources)

    if own == "." or fits(own) > fits("."):
        return own
    if fits(".") > fits(own):
        return "."
    return own if tree.has(joined(own, ".dockerignore")) or not tree.has(".dockerignore") else "."


def _ignore_path(tree: Tree, dockerfile: str, context: str) -> str | None:
    for path in (f"{dockerfile}.dockerignore", joined(context, ".dockerignore")):
        if tree.has(path):
            return path
    return None


def _package(tree: Tree, dockerfile: str, context: str) -> package.Package | None:
    for directory in (parent(dockerfile), context):
        path = joined(directory, "package.json")
        if tree.has(path):
            try:
                return package.read(tree, path)
            except Malformed:
                return None  # told of where package.json is checked
    return None


def _reachable(file: Dockerfile, stage: Stage) -> list[Stage]:
    """The stages that a build of one runs, in order."""
    seen: set[int] = set()
    left = [stage]
    while left:
        one = left.pop()
        if one.index in seen:
            continue
        seen.add(one.index)
        if one.parent is not None:
            left.append(one.parent)
        left += [file.stages[copy.source_stage] for copy in one.copies if copy.source_stage is not None]
    return [file.stages[index] for index in sorted(seen)]


def _is_below(one: Stage, stage: Stage | None) -> bool:
    while stage is not None:
        if stage is one:
            return True
        stage = stage.parent
    return False

"""A Dockerfile as the image it makes: stages, who inherits what from whom, and the configuration at the end.

Parsed with e2b-dockerfile-utils, a port of BuildKit's own parser to Python, with its lexer and .dockerignore matcher
and no dependencies. Refused: dockerfile-parse (last released in 2023; it takes the lines of a heredoc for
instructions), and dockerfile, BuildKit's parser itself by cgo (archived in January 2025; wheels for amd64 alone, else
Go is needed).
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from e2b_dockerfile_utils import DockerfileInstruction, DockerfileSyntaxError, ShellLex, parse_dockerfile_ast

from pyinit.check import images

# As BuildKit predefines them; the platform's own are not known here.
_UNSET = re.compile(r"\$\{?[A-Za-z_]")
# What the lexer leaves as it stands where the variable is not set, as every other reference to such a one.
_DEFAULTED = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*:?-([^${}]*)\}")
# Far above what people write. ENV B=$A$A doubles with every line, and a stage has all that the ones below it have.
_EXPANDED_BYTES_MAX = 64 << 10
_STAGES_MAX = 200
_INSTRUCTIONS_MAX = 5_000
# Programs that read a heredoc as their script.
_SHELLS = frozenset(("sh", "bash", "ash", "dash", "zsh"))


class Unreadable(Exception):
    """It is no Dockerfile.

    Args:
        text: why.
        line: from 1.
    """

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


class Command(NamedTuple):
    """A CMD, ENTRYPOINT or HEALTHCHECK.

    Attributes:
        words: of exec form; of shell form the one line.
        is_shell: shell form.
        line: of the instruction.
        end_line: the same.
        is_inherited: it is the base image's, of which we know by its name.
    """

    words: tuple[str, ...]
    is_shell: bool
    line: int
    end_line: int
    is_inherited: bool = False


class Run(NamedTuple):
    """A RUN, with what was in force when it ran.

    Attributes:
        script: what the shell reads, heredocs included.
        directory: WORKDIR; empty where it is the base image's.
        environment: ENV and ARG by then.
        line: of the instruction.
        end_line: the same.
    """

    script: str
    directory: str
    environment: dict[str, str]
    line: int
    end_line: int


class Copy(NamedTuple):
    """A COPY or ADD.

    Attributes:
        sources: expanded; without heredocs.
        target: absolute where WORKDIR is known.
        source_stage: the stage's index; None for the context or another image.
        is_context: it takes files of the build context.
        is_add: ADD.
        text: of the heredoc that it is; None for files.
        flags: as they stand.
        line: of the instruction.
        end_line: the same.
    """

    sources: tuple[str, ...]
    target: str
    source_stage: int | None
    is_context: bool
    is_add: bool
    text: str | None
    flags: tuple[str, ...]
    line: int
    end_line: int


class Setting(NamedTuple):
    """A value with the lines it stands on."""

    value: str
    line: int
    end_line: int


class Variable(NamedTuple):
    """An ENV or ARG with what it was written as.

    Attributes:
        name: its name.
        raw: as it stands, before expansion; None for an ARG without a default.
        is_arg: ARG.
        line: of the instruction.
        end_line: the same.
    """

    name: str
    raw: str | None
    is_arg: bool
    line: int
    end_line: int


class Stage:
    """One FROM and what follows it; what it inherits from an earlier stage is in it already.

    Attributes:
        index: from 0.
        name: after AS; empty for none.
        image: what FROM names, expanded: of the first stage below, where this one is built on a stage.
        parent: the stage it is built on; None for an image.
        line: of FROM.
        user: USER.
        entrypoint: ENTRYPOINT.
        cmd: CMD, None as well where a later ENTRYPOINT has reset the base's.
        healthcheck: HEALTHCHECK; its words are empty for NONE.
        stop_signal: STOPSIGNAL.
        exposed: EXPOSE, ports without the protocol; expanded.
        environment: ENV.
        directory: WORKDIR.
        runs: every RUN, inherited ones first.
        copies: every COPY and ADD, the same.
        variables: every ENV and ARG, the same.
    """

    def __init__(self, index: int, name: str, image: str, parent: Stage | None, line: int) -> None:
        self.index, self.name, self.image, self.parent, self.line = index, name, image, parent, line
        self.user: Setting | None = None if parent is None else parent.user
        self.entrypoint: Command | None = None if parent is None else parent.entrypoint
        self.cmd: Command | None = None if parent is None else parent.cmd
        self.healthcheck: Command | None = None if parent is None else parent.healthcheck
        self.stop_signal: Setting | None = None if parent is None else parent.stop_signal
        self.exposed: list[Setting] = [] if parent is None else list(parent.exposed)
        self.environment: dict[str, str] = {} if parent is None else dict(parent.environment)
        self.arguments: dict[str, str] = {}
        self.directory: str = "" if parent is None else parent.directory
        self.runs: list[Run] = [] if parent is None else list(parent.runs)
        self.copies: list[Copy] = [] if parent is None else list(parent.copies)
        self.variables: list[Variable] = [] if parent is None else list(parent.variables)
        self.has_own_cmd = False

    @property
    def known(self) -> dict[str, str]:
        """What a reference is expanded with: ENV wins over ARG."""
        return {**self.arguments, **self.environment}

    def absolute(self, path: str) -> str:
        """A path in the image; relative ones where WORKDIR is not known stay so."""
        return posixpath.normpath(posixpath.join(self.directory, path)) if path else self.directory

    def __repr__(self) -> str:
        return f"Stage({self.index}, {self.name!r}, {self.image!r})"


class Dockerfile:
    """A Dockerfile that was read.

    Attributes:
        path: relative to the directory that is checked.
        stages: in order, at least one.
        escape: its escape character.
    """

    def __init__(self, path: str, stages: list[Stage], escape: str) -> None:
        self.path, self.stages, self.escape = path, stages, escape

    def stage(self, name: str | None) -> Stage | None:
        """The one a build makes: the last, or ``target``; None where there is no such."""
        if not name:
            return self.stages[-1]
        return _named(self.stages, name)

    def __repr__(self) -> str:
        return f"Dockerfile({self.path!r}, {self.stages!r})"


def read(path: str, text: str) -> Dockerfile:
    """Read a Dockerfile.

    Args:
        path: for findings.
        text: all of it.

    Raises:
        Unreadable: BuildKit would refuse it, too.
    """
    try:
        ast = parse_dockerfile_ast(text)
    except DockerfileSyntaxError as problem:
        raise Unreadable(str(problem).partition(": ")[2], problem.line or 1) from None
    if len(ast.instructions) > _INSTRUCTIONS_MAX:
        line = ast.instructions[_INSTRUCTIONS_MAX].start_line
        raise Unreadable(f"there are more than {_INSTRUCTIONS_MAX:,} instructions", line)
    reader = _Reader(ast.escape_token)
    for instruction in ast.instructions:
        try:
            reader.take(instruction)
        except (IndexError, ValueError) as problem:
            text = f"{instruction.name}: {problem}" if isinstance(problem, ValueError) else ""
            raise Unreadable(
                text or f"{instruction.name} lacks an argument", instruction.start_line
            ) from None
    if not reader.stages:
        raise Unreadable("there is no FROM", 1)
    return Dockerfile(path, reader.stages, ast.escape_token)


def is_known(text: str) -> bool:
    """Whether nothing in an expanded text is left open: an ARG without a default, say."""
    return _UNSET.search(text) is None


def _named(stages: list[Stage], name: str) -> Stage | None:
    for stage in reversed(stages):
        if stage.name.lower() == name.lower():
            return stage
    if name.isascii() and name.isdigit() and int(name) < len(stages):
        return stages[int(name)]
    return None


class _Reader:
    """Carries out instructions, one after the other."""

    def __init__(self, escape: str) -> None:
        self.stages: list[Stage] = []
        self._escape = escape
        self._global: dict[str, str] = {}

    def take(self, it: DockerfileInstruction) -> None:
        if it.name == "ARG" and not self.stages:
            for word in it.args:
                name, equals, value = word.partition("=")
                if equals:
                    self._global[name] = self._expand(value, self._global)
            return
        if it.name == "FROM":
            self._from(it)
            return
        if not self.stages:
            raise ValueError("stands before the first FROM")
        # ONBUILD is for images built on this one; what else is not here changes nothing that is checked.
        handle = getattr(self, f"_{it.name.lower()}", None)
        if handle is not None and it.name != "ONBUILD":
            handle(self.stages[-1], it)

    def _expand(self, text: str, known: dict[str, str]) -> str:
        longest = max(map(len, known.values()), default=0)
        if "$" in text and len(text) + text.count("$") * longest > _EXPANDED_BYTES_MAX:
            raise ValueError("its variables make it longer than 64 KiB")
        return _DEFAULTED.sub(
            lambda default: default[1], ShellLex(self._escape, env=known).process_word(text)
        )

    def _from(self, it: DockerfileInstruction) -> None:
        if len(self.stages) == _STAGES_MAX:
            raise ValueError(f"there are more than {_STAGES_MAX} stages")
        image = self._expand(it.args[0], self._global)
        name = it.args[2] if len(it.args) == 3 and it.args[1].lower() == "as" else ""
        parent = next((one for one in reversed(self.stages) if one.name and one.name == image.lower()), None)
        base = image if parent is None else parent.image
        stage = Stage(len(self.stages), name.lower(), base, parent, it.start_line)
        words = images.parse(image).entrypoint
        if parent is None and words:
            stage.entrypoint = Command(
                words, is_shell=False, line=it.start_line, end_line=0, is_inherited=True
            )
        self.stages.append(stage)

    def _arg(self, stage: Stage, it: DockerfileInstruction) -> None:
        for word in it.args:
            name, equals, value = word.partition("=")
            raw = value if equals else None
            stage.variables.append(Variable(name, raw, is_arg=True, line=it.start_line, end_line=it.end_line))
            if equals:
                stage.arguments[name] = self._expand(value, stage.known)
            elif name in self._global:
                stage.arguments[name] = self._global[name]

    def _env(self, stage: Stage, it: DockerfileInstruction) -> None:
        known = stage.known  # of the instruction's begin: ENV a=1 b=$a takes the a before
        for name, raw, _ in zip(it.args[::3], it.args[1::3], it.args[2::3], strict=True):
            stage.variables.append(
                Variable(name, raw, is_arg=False, line=it.start_line, end_line=it.end_line)
            )
            stage.environment[name] = self._expand(raw, known)

    def _workdir(self, stage: Stage, it: DockerfileInstruction) -> None:
        path = self._expand(it.args[0], stage.known)
        stage.directory = posixpath.normpath(posixpath.join(stage.directory or "/", path))

    def _user(self, stage: Stage, it: DockerfileInstruction) -> None:
        stage.user = Setting(self._expand(it.args[0], stage.known), it.start_line, it.end_line)

    def _stopsignal(self, stage: Stage, it: DockerfileInstruction) -> None:
        stage.stop_signal = Setting(self._expand(it.args[0], stage.known), it.start_line, it.end_line)

    def _expose(self, stage: Stage, it: DockerfileInstruction) -> None:
        for word in it.args:
            port = self._expand(word, stage.known).partition("/")[0]
            stage.exposed.append(Setting(port, it.start_line, it.end_line))

    def _cmd(self, stage: Stage, it: DockerfileInstruction) -> None:
        stage.cmd = _command(it)
        stage.has_own_cmd = True

    def _entrypoint(self, stage: Stage, it: DockerfileInstruction) -> None:
        stage.entrypoint = _command(it)
        if not stage.has_own_cmd:
            stage.cmd = None  # so does BuildKit with the base's

    def _healthcheck(self, stage: Stage, it: DockerfileInstruction) -> None:
        words = () if it.args[0].upper() == "NONE" else tuple(it.args[1:])
        stage.healthcheck = Command(words, not it.json, it.start_line, it.end_line)

    def _run(self, stage: Stage, it: DockerfileInstruction) -> None:
        script = "\n".join(heredoc.content for heredoc in it.heredocs if heredoc.file_descriptor == 0)
        line = " ".join(it.args)
        # RUN <<EOF is the script itself, RUN bash -e <<EOF the shell's; RUN cat <<EOF > x is a command that reads one.
        words = [word for word in line.split() if not word.startswith(("<<", "-"))]
        is_script = bool(it.heredocs) and (not words or posixpath.basename(" ".join(words)) in _SHELLS)
        text = script if is_script else line
        stage.runs.append(Run(text, stage.directory, stage.known, it.start_line, it.end_line))

    def _copy(self, stage: Stage, it: DockerfileInstruction) -> None:
        origin = next(
            (flag.partition("=")[2] for flag in it.flags if flag.startswith("--from=")),
            "",
        )
        of = _named(self.stages[:-1], self._expand(origin, stage.known)) if origin else None
        words = [self._expand(word, stage.known) for word in it.args]
        if len(words) < 2:
            raise IndexError
        sources = tuple(word for word in words[:-1] if not word.startswith("<<"))
        stage.copies.append(
            Copy(
                sources=sources,
                target=stage.absolute(words[-1]),
                source_stage=None if of is None else of.index,
                is_context=not origin,
                is_add=it.name == "ADD",
                text=None if sources or not it.heredocs else it.heredocs[0].content,
                flags=tuple(it.flags),
                line=it.start_line,
                end_line=it.end_line,
            )
        )

    _add = _copy


def _command(it: DockerfileInstruction) -> Command:
    return Command(tuple(it.args), not it.json, it.start_line, it.end_line)

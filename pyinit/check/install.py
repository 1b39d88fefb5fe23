"""What npm, yarn and pnpm are told to install in a build, and whose modules end up in which stage."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from pyinit.check import shell
from pyinit.check.dockerfile import Copy, Run

if TYPE_CHECKING:
    from pyinit.check.dockerfile import Dockerfile, Stage

_VALUES = {
    "npm": frozenset(("--omit", "--only", "--include", "--prefix", "--registry", "--loglevel", "--cache", "-w")),
    "yarn": frozenset(("--cwd", "--network-timeout", "--cache-folder", "--registry", "--mutex")),
    "pnpm": frozenset(("--filter", "-F", "-C", "--dir", "--store-dir", "--registry", "--filter-prod", "--reporter")),
}  # fmt: skip
_DIRECTORY = frozenset(("--prefix", "--cwd", "-C", "--dir"))
_CI = frozenset(("ci", "clean-install", "ic", "install-clean"))
_INSTALL = frozenset(("install", "i", "in", "add"))
_FROZEN = ("--frozen-lockfile", "--immutable", "--pure-lockfile")
_PRODUCTION = (
    "--omit=dev",
    "--production",
    "--production=true",
    "--prod",
    "-P",
    "--only=production",
    "--only=prod",
)
_BRANCHING = re.compile(r"(?:^|[;&|\s])(?:else|elif|case)\s")
_DEVELOPMENT = ("--include=dev", "--production=false", "--prod=false", "--no-production")


class Install(NamedTuple):
    """One call that changes node_modules.

    Attributes:
        tool: npm, yarn or pnpm.
        verb: ``ci`` (from the lock file), ``install`` (resolves anew), ``add`` (names packages), ``prune``.
        is_production: without dev dependencies.
        directory: where node_modules are.
        text: as a person writes it.
    """

    tool: str
    verb: str
    is_production: bool
    directory: str
    text: str


class Modules(NamedTuple):
    """A node_modules directory in a stage.

    Attributes:
        has_dev: with dev dependencies.
        line: of the instruction that put it there.
        end_line: the same.
        text: the call that made it.
    """

    has_dev: bool
    line: int
    end_line: int
    text: str


def calls(run: Run) -> list[Install]:
    """Every installing call of a RUN."""
    simple = shell.commands(run.script, run.directory or "/")
    return [call for it in simple if (call := read(it, run.environment)) is not None]


def read(it: shell.Simple, environment: dict[str, str]) -> Install | None:
    """What a command installs; None where it is no such call, or a global one."""
    tool = {"yarnpkg": "yarn"}.get(it.program, it.program)
    if tool not in _VALUES:
        return None
    flags, words, directory = _arguments(tool, it)
    verb = _verb(tool, flags, words)
    if verb is None:
        return None
    inherited = {**environment, **it.assignments}
    is_production = _is_production(tool, flags, inherited)
    if tool == "pnpm" and words[:1] == ["deploy"]:
        directory = posixpath.normpath(posixpath.join(it.directory, words[-1]))
    is_frozen = verb == "install" and (
        any(flag.startswith(_FROZEN) and not flag.endswith("=false") for flag in flags)
        or (
            tool == "pnpm"
            and inherited.get("CI", "") not in ("", "false")
            and "--no-frozen-lockfile" not in flags
        )
    )
    text = " ".join([tool, *words[:1], *(flag for flag in flags if flag in _PRODUCTION)])
    return Install(tool, "ci" if is_frozen else verb, is_production, directory, text)


def _arguments(tool: str, it: shell.Simple) -> tuple[list[str], list[str], str]:
    """Flags, other words, and the directory that is worked on."""
    flags: list[str] = []
    words: list[str] = []
    directory = it.directory
    left = iter(it.words[1:])
    for word in left:
        if not word.startswith("-"):
            words.append(word)
            continue
        name, equals, value = word.partition("=")
        if name in _VALUES[tool] and not equals:
            value = next(left, "")
        flags.append(f"{name}={value}" if value else word)
        if name in _DIRECTORY:
            directory = posixpath.normpath(posixpath.join(it.directory, value))
    return flags, words, directory


def _verb(tool: str, flags: list[str], words: list[str]) -> str | None:
    if "-g" in flags or "--global" in flags or words[:1] == ["global"]:
        return None
    first = words[0] if words else ""
    if tool == "yarn" and not words:
        return None if {"--version", "-v", "--help"} & set(flags) else "install"
    if tool == "npm" and first in _CI:
        return "ci"
    if first == "prune":
        return "prune"
    if tool == "pnpm" and first == "deploy":
        return "ci"
    if tool == "yarn" and words[:2] == ["workspaces", "focus"]:
        return "ci"
    if first in _INSTALL:
        return "add" if len(words) > 1 else "install"
    return None


def _is_production(tool: str, flags: list[str], environment: dict[str, str]) -> bool:
    if any(flag in _DEVELOPMENT for flag in flags):
        return False
    if any(flag in _PRODUCTION for flag in flags):
        return True
    # All three skip them then; Yarn 2 and later, which alone know --immutable, do not.
    is_asked = environment.get("NODE_ENV") == "production" and not any(
        flag.startswith("--immutable") for flag in flags
    )
    # npm reads its variables in either case.
    omitted = {value for name, value in environment.items() if name.lower() == "npm_config_omit"}
    return is_asked or (tool == "npm" and omitted == {"dev"})


def modules(of: Dockerfile, stage: Stage) -> dict[str, Modules]:
    """The node_modules of a stage by path, from its installs and from what it copies of other stages."""
    return _modules(of, stage, {})


def _modules(of: Dockerfile, stage: Stage, known: dict[int, dict[str, Modules]]) -> dict[str, Modules]:
    if stage.index in known:
        return known[stage.index]
    found = known[stage.index] = {}
    # An inherited instruction stands further up, so that lines are the order.
    both: list[Run | Copy] = [*stage.runs, *stage.copies]
    for it in sorted(both, key=lambda one: one.line):
        if isinstance(it, Run):
            _take_run(found, it)
        elif it.source_stage is not None:
            _take_copy(found, it, _modules(of, of.stages[it.source_stage], known))
    return found


def _take_run(found: dict[str, Modules], run: Run) -> None:
    is_branching = _BRANCHING.search(run.script) is not None
    spared: set[str] = set()
    for it in shell.commands(run.script, run.directory or "/"):
        call = read(it, run.environment)
        if call is not None:
            path = posixpath.join(call.directory, "node_modules")
            has_dev = not call.is_production
            if call.verb in ("add", "prune") and path in found:
                has_dev = found[path].has_dev and not (call.verb == "prune" and call.is_production)
            elif call.verb == "add":
                has_dev = False  # what it names, and no devDependencies of its own
            # if test "$NODE_ENV" = production; then npm ci --omit=dev; else npm ci; fi
            if is_branching and path in spared:
                continue
            found[path] = Modules(has_dev, run.line, run.end_line, call.text)
            if not has_dev:
                spared.add(path)
            continue
        paths = [_path(it, word) for word in it.words[1:] if not word.startswith("-")]
        if it.program == "rm":
            for path in [one for one in found for gone in paths if _is_within(one, gone)]:
                found.pop(path, None)
        elif it.program in ("cp", "mv") and len(paths) == 2:
            for path in [one for one in found if _is_within(one, paths[0])]:
                target = paths[1] + path[len(paths[0]) :]
                found[target] = found.pop(path) if it.program == "mv" else found[path]


def _path(it: shell.Simple, word: str) -> str:
    return posixpath.normpath(posixpath.join(it.directory, word))


def _take_copy(found: dict[str, Modules], it: Copy, theirs: dict[str, Modules]) -> None:
    for source in it.sources:
        # Sources are relative to the root of the other stage.
        whole = posixpath.normpath(posixpath.join("/", source))
        for path, one in theirs.items():
            if _is_within(path, whole):
                target = posixpath.normpath(it.target + "/" + path[len(whole) :])
                found[target] = Modules(one.has_dev, it.line, it.end_line, one.text)


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")

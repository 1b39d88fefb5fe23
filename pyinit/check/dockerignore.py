""".dockerignore: whether it keeps out of the image what has no business there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2b_dockerfile_utils import PatternMatcher

from pyinit.check import rules
from pyinit.check.finding import Finding, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyinit.check.context import Build
    from pyinit.check.dockerfile import Copy

_WHOLE = frozenset((".", "./", "/", "*", "./*", ".//", "./."))
_PROBES = (
    (rules.IGNORE_MODULES, "node_modules", ("node_modules/express/index.js",)),
    (rules.IGNORE_GIT, ".git", (".git/HEAD",)),
    (rules.IGNORE_ENV, ".env", (".env",)),
)


def check(build: Build) -> Iterator[Finding]:
    """Only where a stage takes the whole context: what is copied by name is not filtered by hand."""
    whole = _whole_copy(build)
    if whole is None:
        return
    if build.ignore_path is None:
        what = "The whole context is copied, and there is no .dockerignore."
        yield found(rules.IGNORE_MISSING, build.file.path, whole.line, what, end_line=whole.end_line)
        return
    text = build.tree.text(build.ignore_path) or ""
    patterns = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        matcher = PatternMatcher([_cleaned(pattern) for pattern in patterns])
    except ValueError as problem:
        yield found(rules.UNREADABLE, build.ignore_path, 1, f"A pattern is not accepted: {problem}.")
        return
    for rule, name, paths in _PROBES:
        if rule is rules.IGNORE_MODULES and not build.is_node and build.package is None:
            continue
        if not all(matcher.matches(path) for path in paths):
            what = f"{name} is copied by {build.file.path}, line {whole.line}."
            yield found(rule, build.ignore_path, 1, what)


def _cleaned(pattern: str) -> str:
    """Relative to the context, as the engine has it."""
    negation = "!" if pattern.startswith("!") else ""
    rest = pattern.removeprefix("!").strip().lstrip("/").removeprefix("./")
    return negation + (rest.rstrip("/") or ".")


def _whole_copy(build: Build) -> Copy | None:
    for stage in build.reachable:
        for copy in stage.copies:
            excludes = [flag for flag in copy.flags if flag.startswith("--exclude=")]
            if copy.is_context and not _keeps_out(excludes) and _WHOLE & set(copy.sources):
                return copy
    return None


def _keeps_out(excludes: list[str]) -> bool:
    names = {flag.partition("=")[2].strip("/") for flag in excludes}
    return {"node_modules", ".git"} <= names and any(name.startswith(".env") for name in names)

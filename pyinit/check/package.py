"""package.json and the sources beside it: scripts, dependencies, which signals are handled, and rules about them."""

from __future__ import annotations

import functools
import posixpath
import re
from typing import TYPE_CHECKING

from pyinit.check import located, rules, shell
from pyinit.check.files import joined, parent
from pyinit.check.finding import Finding, found

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyinit.check.files import Tree

LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
_DEV_TOOLS = frozenset(
    ("nodemon", "ts-node", "ts-node-dev", "tsx", "jest", "mocha", "vitest", "ava", "eslint", "prettier", "husky",
     "lint-staged", "ts-jest", "supertest", "nyc", "c8", "concurrently", "webpack-dev-server")
)  # fmt: skip
# They handle SIGTERM themselves, or exist for it.
_GRACEFUL = frozenset(
    ("next", "@godaddy/terminus", "lightship", "http-graceful-shutdown", "close-with-grace", "fastify-cli",
     "http-terminator", "fastify-graceful-shutdown", "graceful-shutdown", "@fastify/graceful-shutdown")
)  # fmt: skip
_ON = r"\.\s*(?:on|once|addListener|prependListener|prependOnceListener)\s*\(\s*"
# Of whatever: nothing else has events of these names, and process's calls are chained.
_HANDLED = re.compile(_ON + r"['\"`](SIG[A-Z0-9]+)")
_BY_NAME = re.compile(r"\bprocess\s*" + _ON + r"[A-Za-z_$]")
# As far as a list of signals goes on either side: a bundle is one line of megabytes.
_LIST_CHARS = 300
_SIGNAL = re.compile(r"['\"`](SIG[A-Z0-9]+)['\"`]")
# Options of npm, yarn and pnpm with a value in the next word.
_VALUED = frozenset(("--prefix", "-C", "--dir", "--cwd", "-w", "--workspace", "--filter", "-F", "--loglevel"))
_SPECIAL = re.compile(r"[$&|;<>(){}*?`\n~]")


class Package:
    """A package.json.

    Attributes:
        path: of it.
        scripts: by name.
        dependencies: names of those that are needed at run time.
        dev_dependencies: of the others.
        document: with lines.
    """

    def __init__(self, path: str, document: located.Document) -> None:
        self.path, self.document = path, document
        content = document.value if isinstance(document.value, dict) else {}
        self.scripts = {
            name: text for name, text in _mapping(content, "scripts").items() if isinstance(text, str)
        }
        self.dependencies = frozenset(_mapping(content, "dependencies"))
        self.dev_dependencies = frozenset(_mapping(content, "devDependencies"))
        self.workspaces = bool(content.get("workspaces"))

    @property
    def is_graceful(self) -> bool:
        """Whether a dependency is there that handles SIGTERM."""
        return bool(self.dependencies & _GRACEFUL)

    def script_of(self, words: Sequence[str]) -> str | None:
        """The text of the script that a call of npm, yarn or pnpm runs; None for none of them."""
        tool = posixpath.basename(words[0])
        rest = _without_options(words[1:])
        if not rest:
            return None
        if rest[0] in ("run", "run-script") and len(rest) > 1:
            return self.scripts.get(rest[1])
        if tool == "npm" and rest[0] not in ("start", "test", "restart", "stop"):
            return None
        return self.scripts.get(rest[0])

    def __repr__(self) -> str:
        return f"Package({self.path!r})"


def _without_options(words: Sequence[str]) -> list[str]:
    rest = []
    left = iter(words)
    for word in left:
        if word in _VALUED:
            next(left, None)
        elif not word.startswith("-"):
            rest.append(word)
    return rest


def _mapping(content: dict[str, object], name: str) -> dict[str, object]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def plain_words(text: str) -> tuple[str, ...] | None:
    """A script's words where no shell is needed for it; None where one is."""
    if _SPECIAL.search(text):
        return None
    words = shell.split(text)
    return words if words and "=" not in words[0] else None


@functools.lru_cache(maxsize=64)  # asked for by each build and each service
def signals_handled(tree: Tree, directory: str) -> frozenset[str] | None:
    """Signals that the sources below a directory have handlers for; None where there are no sources."""
    sources = tree.sources(directory)
    handled: set[str] = set()
    is_any = False
    for path in sources:
        text = tree.text(path)
        if text is None:
            continue
        is_any = True
        handled.update(_HANDLED.findall(text))
        if "enableShutdownHooks(" in text:
            handled.update(("SIGTERM", "SIGINT"))
        if _BY_NAME.search(text):  # ['SIGTERM', 'SIGINT'].forEach((signal) => process.on(signal, ...))
            handled.update(found[1] for found in _SIGNAL.finditer(text) if _is_listed(text, found))
    return frozenset(handled) if is_any else None


def _is_listed(text: str, signal: re.Match[str]) -> bool:
    before = text[max(signal.start() - _LIST_CHARS, 0) : signal.start()]
    return before.rfind("[") > before.rfind("]") and "]" in text[signal.end() : signal.end() + _LIST_CHARS]


def read(tree: Tree, path: str) -> Package:
    """Read one. Raises located.Malformed."""
    try:
        document = located.read_json(tree.read(path))
    except OSError as problem:
        raise located.Malformed(str(problem.strerror), 1) from None
    if not isinstance(document.value, dict):
        raise located.Malformed("it is no object", 1)
    return Package(path, document)


def check(tree: Tree, package: Package) -> Iterator[Finding]:
    """The rules about one that an image is built from."""
    directory = parent(package.path)
    locks = [name for name in LOCKS if tree.has(joined(directory, name))]
    if not locks and package.dependencies | package.dev_dependencies and not _has_lock_above(tree, directory):
        yield found(rules.LOCK_MISSING, package.path, 1, "There is no lock file beside it.")
    if len(locks) > 1:
        what = f"There are {len(locks)} lock files: {', '.join(locks)}."
        yield found(
            rules.LOCK_MISSING, package.path, 1, what, mend="Keep the one of the tool that the build uses."
        )
    for name in sorted(package.dependencies & _DEV_TOOLS):
        line = package.document.line("dependencies", name)
        yield found(rules.DEV_PACKAGE, package.path, line, f"{name} stands under dependencies.")


def _has_lock_above(tree: Tree, directory: str) -> bool:
    """A workspace's lock file is at its root."""
    while directory != ".":
        directory = parent(directory)
        if any(tree.has(joined(directory, name)) for name in LOCKS):
            return True
    return False

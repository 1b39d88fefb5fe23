"""Compose files: the services in them, with what a file below and ``extends`` add, and the variables they set."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pyinit.check.files import Tree, is_for_development, joined, parent
from pyinit.check.located import Malformed, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyinit.check.located import Document

_DEFAULTED = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*:?-([^}]*)\}")

# One after the other; people write two or three.
_EXTENDS_MAX = 50


class Service(NamedTuple):
    """A service of a compose file.

    Attributes:
        path: of the file.
        name: its own.
        value: all keys; of a variant file those of the base file below them, and below both what ``extends`` names.
        document: with lines.
        dockerfile: the path of the one it is built from, or a name of its own for one that stands in the compose file;
            None for none, and where it is not known.
        inline: that one's text; None for a file.
        context: of the build.
        target: its stage; empty for the last.
        names: every service of the file.
    """

    path: str
    name: str
    value: dict[str, Any]
    document: Document
    dockerfile: str | None
    inline: str | None
    context: str
    target: str
    names: dict[str, dict[str, Any]]

    def line(self, *keys: str | int) -> int:
        """Where a key of it stands."""
        return self.document.line("services", self.name, *keys)

    @property
    def for_development(self) -> str:
        """What says by its name that it is for development; empty where nothing does."""
        profiles = self.value.get("profiles")
        names = {"its name": [self.name], "its stage": [self.target], "its profiles": listed(profiles)}
        return next(
            (
                what
                for what, given in names.items()
                if given and all(is_for_development(str(one)) for one in given)
            ),
            "",
        )

    @property
    def has_health_check(self) -> bool | None:
        """None where it is the image's to say."""
        check = self.value.get("healthcheck")
        if not isinstance(check, dict):
            return None
        test = check.get("test")
        if check.get("disable") is True or test in (["NONE"], "NONE"):
            return False
        return True if test else None


def services_of(tree: Tree, path: str, document: Document, base: Document | None) -> list[Service]:
    """The services of a file.

    Args:
        tree: all files.
        path: of it.
        document: what was read.
        base: of a variant (compose.prod.yaml) the file that it is laid over.
    """
    own, below = _services(document), _services(base)
    extended = {
        name: _extended(tree, path, _merged(below.get(name, {}), value), {**below, **own}, ())
        for name, value in own.items()
    }
    names = {**below, **extended}
    found_services = []
    for name, value in extended.items():
        build = value.get("build")
        inline = text_of(build.get("dockerfile_inline")) if isinstance(build, dict) else None
        dockerfile, context, target = _build(path, build)
        if isinstance(build, dict) and "dockerfile_inline" in build:
            dockerfile = None if inline is None else f"{path}#{name}"
        found_services.append(
            Service(path, name, value, document, dockerfile, inline, context, target, names)
        )
    return found_services


def _extended(
    tree: Tree,
    path: str,
    value: dict[str, Any],
    beside: dict[str, dict[str, Any]],
    seen: tuple[tuple[str, str], ...],
) -> dict[str, Any]:
    """A service over the one that it extends, of its own file or of another."""
    of = value.get("extends")
    of = {"service": of} if isinstance(of, str) else of
    if not isinstance(of, dict) or not isinstance(of.get("service"), str):
        return value
    name, file = of["service"], of.get("file")
    other = path
    if isinstance(file, str):
        other = joined(parent(path), file)
        try:
            beside = _services(read_yaml(tree.text(other) or ""))
        except Malformed:
            return value
    if name not in beside or (other, name) in seen or len(seen) == _EXTENDS_MAX:
        return value
    below = _extended(tree, other, beside[name], beside, (*seen, (other, name)))
    build = below.get("build")
    if isinstance(build, str | dict) and parent(other) != parent(path):
        given = {"context": build} if isinstance(build, str) else build
        context = joined(parent(other), str(given.get("context", ".")))
        below = {**below, "build": {**given, "context": os.path.relpath(context, parent(path))}}
    return _merged({key: one for key, one in below.items() if key != "extends"}, value)


# A list that is one value, and not a set of them.
_REPLACED = frozenset(("command", "entrypoint", "test"))


def _merged(below: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """As compose lays files and services over one another: mappings by key, lists one behind the other."""
    merged = dict(below)
    for key, value in over.items():
        first, second = _mapped(key, merged.get(key)), _mapped(key, value)
        if isinstance(first, dict) and isinstance(second, dict):
            merged[key] = _merged(first, second)
        elif isinstance(first, list) and isinstance(second, list) and key not in _REPLACED:
            merged[key] = [*second, *first]  # its own first: they have their lines in this file
        else:
            merged[key] = value
    return merged


def _mapped(key: str, value: object) -> object:
    """The mapping that a short form stands for."""
    if key == "build" and isinstance(value, str):
        return {"context": value}
    if isinstance(value, list) and key == "environment":
        return dict(_pairs(value))
    if isinstance(value, list) and key == "depends_on":
        return {name: {"condition": "service_started"} for name in value if isinstance(name, str)}
    return value


def _pairs(entries: list[object]) -> Iterator[tuple[str, str | None]]:
    """Of ``NAME=VALUE``; None for a name alone, whose value is that of who starts compose."""
    for entry in entries:
        if isinstance(entry, str):
            name, equals, value = entry.partition("=")
            yield name, value if equals else None


def _services(document: Document | None) -> dict[str, dict[str, Any]]:
    value = None if document is None else document.value
    named = value.get("services") if isinstance(value, dict) else None
    if not isinstance(named, dict):
        return {}
    return {name: one for name, one in named.items() if isinstance(one, dict)}


def _build(path: str, value: object) -> tuple[str | None, str, str]:
    if isinstance(value, str):
        value = {"context": value}
    if not isinstance(value, dict):
        return None, ".", ""
    place, name = text_of(value.get("context", ".")), text_of(value.get("dockerfile", "Dockerfile"))
    target = text_of(value.get("target")) or ""
    if (
        place is None
        or name is None
        or "://" in place
        or place.startswith(("git@", "/"))
        or name.startswith("/")
    ):
        return None, ".", target
    context = joined(parent(path), place or ".")
    return joined(context, name or "Dockerfile"), context, target


def text_of(value: object) -> str | None:
    """A value as it is without variables of the shell that starts it; None where that is not known."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = _DEFAULTED.sub(lambda match: match[1], str(value)).replace("$$", "\0")
    return None if "$" in text else text.replace("\0", "$")


def environment(tree: Tree, service: Service) -> dict[str, str]:
    """What is known of a service's own variables."""
    known: dict[str, str] = {}
    files = service.value.get("env_file", [])
    for one in files if isinstance(files, list) else [files]:
        name = text_of(one.get("path") if isinstance(one, dict) else one)
        text = tree.text(joined(parent(service.path), name)) if name else None
        for line in (text or "").splitlines():
            variable, equals, value = line.strip().partition("=")
            if equals and not variable.startswith("#"):
                known[variable] = value.strip("\"'")
    for variable, given in variables(service).items():
        value_known = text_of(given)
        if value_known is not None:
            known[variable] = value_known
    return known


def is_open(tree: Tree, service: Service, name: str) -> bool:
    """Whether a variable's value comes with who starts compose, or may be in a file that is not here."""
    given = variables(service)
    if name in given:
        return text_of(given[name]) is None
    files = service.value.get("env_file", [])
    paths = [
        text_of(one.get("path") if isinstance(one, dict) else one) for one in listed(files) or [files] if one
    ]
    return any(path is None or not tree.has(joined(parent(service.path), path)) for path in paths)


def variables(service: Service) -> dict[str, object]:
    """``environment`` as it stands, in either of its forms."""
    given = service.value.get("environment")
    if isinstance(given, dict):
        return given
    return dict(_pairs(given)) if isinstance(given, list) else {}


def listed(value: object) -> list[Any]:
    """A list, empty for anything else."""
    return value if isinstance(value, list) else []

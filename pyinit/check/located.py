"""YAML and JSON with the line of every value: compose files, task definitions, package.json."""

from __future__ import annotations

import json
from typing import NamedTuple

import yaml

# Of values; aliases can make a small file endless.
_VALUES_MAX = 200_000
# It is parsed in Python, at some 250 KiB a second. The longest compose files and templates have a fifth of that.
_YAML_CHARS_MAX = 512 << 10
_DEPTH_MAX = 60
Path = tuple[str | int, ...]


class Malformed(Exception):
    """It cannot be read.

    Args:
        text: why, a clause.
        line: from 1.
    """

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


class Open(NamedTuple):
    """A value that is known at deployment only: an intrinsic function of CloudFormation, a ${VARIABLE}."""

    text: str


class Document:
    """What was read.

    Attributes:
        value: plain dicts, lists and scalars, and Open.
        lines: of each value by its path, of a mapping's entry its key's.
    """

    def __init__(self, value: object, lines: dict[Path, int]) -> None:
        self.value = value
        self.lines = lines

    def line(self, *path: str | int) -> int:
        """Where a value stands, or the nearest above it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_json(text: str) -> Document:
    """Read JSON. Raises Malformed."""
    try:
        value = json.loads(text)
    except ValueError as problem:
        line = getattr(problem, "lineno", 1)
        raise Malformed(f"it is no JSON: {getattr(problem, 'msg', problem)}", line) from None
    except RecursionError:
        raise Malformed("it is nested too deeply", 1) from None
    if len(text) > _YAML_CHARS_MAX:
        return Document(value, {})
    # JSON is YAML but for tabs between the values; inside strings it has none.
    try:
        return Document(value, read_yaml(text.replace("\t", " ")).lines)
    except Malformed:
        return Document(value, {})  # the odd character that YAML does not have: everything on line 1


def read_yaml(text: str) -> Document:
    """Read the first document of a YAML file. Raises Malformed."""
    if len(text) > _YAML_CHARS_MAX:
        raise Malformed(f"it is larger than {_YAML_CHARS_MAX >> 10} KiB", 1)
    try:
        loader = _Loader(text)
    except yaml.YAMLError as problem:
        raise Malformed(f"it is no YAML: {problem}".partition("\n")[0], 1) from None
    try:
        root = loader.get_node() if loader.check_node() else None
        return Document(None, {}) if root is None else _Builder(loader).build(root)
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark is not None else 1
        raise Malformed(f"it is no YAML: {problem.problem or problem.context}", line) from None
    except yaml.YAMLError as problem:
        raise Malformed(f"it is no YAML: {problem}".partition("\n")[0], 1) from None
    except RecursionError:
        raise Malformed("it is nested too deeply", 1) from None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """As compose and CloudFormation read it; only what is composed is used."""


class _Builder:
    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._lines: dict[Path, int] = {}
        self._left = _VALUES_MAX

    def build(self, root: yaml.Node) -> Document:
        self._lines[()] = root.start_mark.line + 1
        return Document(self._value(root, ()), self._lines)

    def _value(self, node: yaml.Node, path: Path) -> object:
        self._left -= 1
        if self._left < 0 or len(path) > _DEPTH_MAX:
            raise Malformed("it is nested too deeply, or aliases make it endless", node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            value: object = self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            items: list[object] = []
            for at, item in enumerate(node.value):
                self._lines[*path, at] = item.start_mark.line + 1
                items.append(self._value(item, (*path, at)))
            value = items
        elif node.tag.startswith("!"):
            value = None
        else:
            value = self._scalar(node)
        return _tagged(node, value)

    def _scalar(self, node: yaml.Node) -> object:
        try:
            return self._loader.construct_object(node)
        except ValueError:  # 2026-99-99 looks like a date
            return str(node.value)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        self._loader.flatten_mapping(node)
        found: dict[str, object] = {}
        for key, item in node.value:
            name = str(key.value)
            self._lines[*path, name] = key.start_mark.line + 1
            found[name] = self._value(item, (*path, name))
        return found


def _tagged(node: yaml.Node, value: object) -> object:
    """What a tag of the file's own makes of a value: compose has two, CloudFormation its functions."""
    if not node.tag.startswith("!") or node.tag == "!":
        return value
    if node.tag == "!reset":
        return None
    if node.tag == "!override":
        return value
    return Open(node.tag)

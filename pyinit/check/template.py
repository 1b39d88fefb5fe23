"""CloudFormation's templates: what of a value is known before it is deployed, in the form that the API has."""

from __future__ import annotations

import json
from typing import Any

from pyinit.check.located import Open

_KEPT = frozenset(("DockerLabels", "Options", "SystemControls"))
_NUMBERS = frozenset(("stopTimeout", "startTimeout"))


def opened(value: Any) -> Any:  # noqa: ANN401  a JSON value
    """Intrinsic functions become Open."""
    if isinstance(value, dict):
        if len(value) == 1 and (name := next(iter(value))) and (name == "Ref" or name.startswith("Fn::")):
            return Open(name)
        return {name: opened(one) for name, one in value.items()}
    return [opened(one) for one in value] if isinstance(value, list) else value


def as_api(value: Any, key: str = "") -> Any:  # noqa: ANN401  a JSON value
    """Of a template: names begin small; numbers and booleans may be text, and text may be either."""
    value = opened(value) if key == "" else value
    if isinstance(value, dict):
        if key in _KEPT:
            return value
        lowered = {}
        for name, one in value.items():
            lower = name[:1].lower() + name[1:]
            lowered[lower] = _plain(lower, as_api(one, name))
        return lowered
    return [as_api(one, key) for one in value] if isinstance(value, list) else value


def _plain(name: str, value: object) -> object:
    if isinstance(value, str):
        if name in _NUMBERS and value.isascii() and value.isdigit():
            return int(value)
        if value.lower() in ("true", "false") and name not in ("value", "name"):
            return value.lower() == "true"
    elif name == "value" and isinstance(value, bool | int | float):
        return json.dumps(value)
    return value

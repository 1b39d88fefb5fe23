"""Holds a JSON value against a schema: as much of JSON Schema as tests/unit/admin/status.schema.json uses."""

from __future__ import annotations

from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN = {
    *("$schema", "title", "description", "type", "properties", "required", "additionalProperties", "items"),
    *("enum", "minimum", "minItems", "maxItems"),
}


def breaches(value: object, schema: dict[str, Any], where: str = "$") -> list[str]:
    """Each place where a value is not what the schema says, as a line for a person."""
    unknown = set(schema) - _KNOWN
    assert not unknown, f"{where}: this validator does not know {unknown}"
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(_is(value, name) for name in types):
            return [f"{where}: {value!r} is no {' or '.join(types)}"]
    found = []
    if "minimum" in schema and isinstance(value, int | float) and value < schema["minimum"]:
        found.append(f"{where}: {value!r} is less than {schema['minimum']}")
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, part in value.items():
            if name in properties:
                found += breaches(part, properties[name], f"{where}.{name}")
            elif others is False:
                found.append(f"{where}: {name} is not described")
            elif isinstance(others, dict):
                found += breaches(part, others, f"{where}.{name}")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{where}: {len(value)} items")
        for at, item in enumerate(value):
            found += breaches(item, schema.get("items", {}), f"{where}[{at}]")
    return found


def _is(value: object, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))

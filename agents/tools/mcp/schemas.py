"""Schemas that a server wrote, and what of them our validator may be given."""

from typing import Any

DEPTH_MAX = 50

_SCHEMAS_BY_NAME = ("properties", "$defs", "definitions", "dependentSchemas")


def require_plain(schema: Any, depth: int = 0) -> None:
    """Raise ValueError for a schema that points elsewhere, since it would be fetched, or is nested too deep."""
    if depth > DEPTH_MAX:
        raise ValueError("it is nested too deep")
    if isinstance(schema, dict):
        for name in ("$ref", "$dynamicRef"):
            if isinstance(schema.get(name), str) and not schema[name].startswith("#"):
                raise ValueError(f"it points to {schema[name]!r}")
    for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        require_plain(each, depth + 1)


def without_patterns(schema: Any) -> Any:
    """The schema without its regular expressions: one that a server chose could keep this process busy for hours."""
    match schema:
        case dict():
            dropped = {"pattern", "patternProperties"}
            if "patternProperties" in schema:
                dropped |= {"additionalProperties", "unevaluatedProperties"}  # they mean: all others
            return {
                key: {name: without_patterns(each) for name, each in value.items()}
                if key in _SCHEMAS_BY_NAME and isinstance(value, dict)
                else without_patterns(value)
                for key, value in schema.items()
                if key not in dropped
            }
        case list():
            return [without_patterns(item) for item in schema]
    return schema

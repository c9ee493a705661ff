"""Dotted names of arguments: what they lead to in a tool's schema, and in a call."""

from collections.abc import Iterator
from typing import Any

from agents.nearest import hint

DEEP = 20  # steps through references, beyond which a schema leads in a circle


def each_at(value: Any, name: str) -> Iterator[tuple[list[str | int], Any]]:
    """Path and value of all that stands at a dotted name; in lists, of each item. What is left out or null is not."""
    yield from _each(value, name.split("."), [])


def _each(value: Any, names: list[str], path: list[str | int]) -> Iterator[tuple[list[str | int], Any]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _each(item, names, [*path, index])
    elif not names:
        if value is not None:
            yield path, value
    elif isinstance(value, dict) and names[0] in value:
        yield from _each(value[names[0]], names[1:], [*path, names[0]])


def unknown_at(parameters: dict[str, Any], name: str, *, what: str = "argument") -> str:
    """What is wrong with a dotted name of an argument, with the nearest that is known; empty where nothing is.

    `what` the schema is of, where it is not of arguments.
    """
    places, before = [parameters], ""
    for part in name.split("."):
        objects = [each for place in places for each in _objects(place, parameters, DEEP)]
        known = {inner: schema for each in objects for inner, schema in each.get("properties", {}).items()}
        if part not in known:
            if any(_takes_any(each) for each in objects):
                return ""
            where = f" of {before}" if before else ""
            return f"there is no {what} {part!r}{where}; {hint(part, known)}"
        places = [known[part]]
        before = f"{before}.{part}" if before else part
    return ""


def required_by(parameters: dict[str, Any]) -> list[str]:
    """The arguments that a call must have."""
    return list(parameters.get("required", ()))


def _takes_any(schema: dict[str, Any]) -> bool:
    return "patternProperties" in schema or bool(
        schema.get("additionalProperties", "properties" not in schema)
    )


def _objects(schema: Any, root: dict[str, Any], deep: int) -> Iterator[dict[str, Any]]:
    """The schemas of objects that a value of `schema` may be, those of a list's items included."""
    if not isinstance(schema, dict) or not deep:
        return
    inner = [each for name in ("anyOf", "oneOf", "allOf") for each in schema.get(name, ())]
    if isinstance(reference := schema.get("$ref"), str):
        inner.append(_referred(reference, root))
    if "items" in schema:
        inner.append(schema["items"])
    for each in inner:
        yield from _objects(each, root, deep - 1)
    kinds = schema.get("type", "object")
    if "properties" in schema or (not inner and "object" in ([kinds] if isinstance(kinds, str) else kinds)):
        yield schema


def _referred(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
    return found

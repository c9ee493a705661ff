"""JSON Schemas of arguments that come from configuration or from outside: sound, and whole in themselves."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agents.exceptions import BadConfig
from approvals.digest import digest_of
from approvals.exceptions import Invalid

DATA = frozenset({"default", "const", "enum", "example", "examples"})  # what stands there is no schema

NAMED = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
)  # schemas by name


def require_sound(schema: dict[str, Any], *, what: str) -> None:
    """Raise BadConfig unless this is a JSON Schema whose every $ref leads to a place within it."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise BadConfig(f"{what}: this is no JSON Schema: {where}: {error.message[:300]}.") from error
    try:
        digest_of(schema)
    except Invalid as error:
        raise BadConfig(f"{what}: {error}") from error
    for reference in references(schema):
        try:
            at(schema, reference)
        except LookupError as error:
            raise BadConfig(f"{what}: it has {error}.") from error


def references(schema: Any) -> Iterator[str]:
    """Every $ref in a schema."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            elif key in NAMED and isinstance(value, dict):
                for item in value.values():
                    yield from references(item)
            elif key not in DATA:
                yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def at(document: Any, reference: str) -> Any:
    """What a reference within a document (#/a/b) leads to. Raises LookupError."""
    found = document
    try:
        first, *parts = reference.split("/")
        for part in parts if first == "#" else ["", first]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found[key]
    except (LookupError, TypeError, ValueError) as error:
        raise LookupError(f"the reference {reference[:100]!r}, which leads to nothing") from error
    return found

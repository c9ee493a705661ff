"""Schemas of an OpenAPI document as JSON Schemas that stand for themselves."""

import re
from collections.abc import Iterator
from typing import Any

from agents.tools.openapi.document import Document
from agents.tools.soundness import at

Schema = dict[str, Any] | bool

BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SINGLE = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
    | {"unevaluatedProperties", "unevaluatedItems"}
)
# What a model needs not, and what would change where references lead.
DROPPED = frozenset(
    {
        "example",
        "examples",
        "xml",
        "externalDocs",
        "discriminator",
        "nullable",
        "readOnly",
        "writeOnly",
        "deprecated",
    }
    | {
        "$id",
        "$schema",
        "$anchor",
        "$dynamicRef",
        "$dynamicAnchor",
        "$vocabulary",
        "$comment",
        "$defs",
        "definitions",
    }
)


MAX_NESTED = 20  # allOf within allOf


class Schemas:
    """The schemas of one operation; what they refer to is gathered in `definitions`, cycles and all."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._names: dict[str, str] = {}
        self._waiting: list[str] = []
        self._converted: dict[str, Schema] = {}

    def convert(self, schema: Any) -> Schema:
        """A schema in JSON Schema 2020-12. Raises LookupError for a reference out of the document, or to nothing."""
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else {}
        if isinstance(schema.get("$ref"), str):
            siblings = {} if self._document.is_3_0 else {k: v for k, v in schema.items() if k != "$ref"}
            return {"$ref": f"#/$defs/{self._name(schema['$ref'])}", **self._keywords(siblings)}
        converted = self._keywords(schema)
        return self._of_3_0(schema, converted) if self._document.is_3_0 else converted

    def definitions(self) -> dict[str, Schema]:
        """All that was referred to, by name."""
        while self._waiting:
            reference = self._waiting.pop()
            target = at(self._document.data, reference)
            self._converted[self._names[reference]] = self.convert(target)
        return dict(sorted(self._converted.items()))

    def flat(self, schema: Any, depth: int = 0) -> tuple[dict[str, Any], set[str]] | None:
        """The properties of an object, not yet converted, and which are required; None where it is no plain object."""
        schema = self._document.resolved(schema)
        if {"oneOf", "anyOf", "not", "if", "additionalProperties", "patternProperties"} & {
            key for key, value in schema.items() if value is not False
        }:
            return None
        properties: dict[str, Any] = {}
        required: set[str] = set()
        for part in _dicts(schema.get("allOf")):
            found = self.flat(part, depth + 1) if depth < MAX_NESTED else None
            if found is None:
                return None
            properties |= found[0]
            required |= found[1]
        properties |= {
            name: item for name, item in _items(schema.get("properties")) if not _is_read_only(item)
        }
        required |= set(_strings(schema.get("required"))) & properties.keys()
        return (properties, required) if properties else None

    def _name(self, reference: str) -> str:
        if reference not in self._names:
            if not reference.startswith("#/"):
                raise LookupError(f"the reference {reference[:100]!r}, which leads out of the document")
            at(self._document.data, reference)
            wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rpartition("/")[2])[:60] or "schema"
            name, number = wanted, 2
            while name in self._names.values():
                name, number = f"{wanted}_{number}", number + 1
            self._names[reference] = name
            self._waiting.append(reference)
        return self._names[reference]

    def _keywords(self, schema: dict[str, Any]) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for key, value in schema.items():
            if key in DROPPED or str(key).startswith("x-"):
                continue
            if key in BY_NAME:
                converted[key] = {
                    str(name): self.convert(item) for name, item in _items(value) if not _is_read_only(item)
                }
            elif key in LISTS and isinstance(value, list):
                converted[key] = [self.convert(item) for item in value]
            elif key in SINGLE:
                converted[key] = self.convert(value)
            else:
                converted[key] = value
        if "required" in converted and "properties" in schema:
            hidden = {name for name, item in _items(schema["properties"]) if _is_read_only(item)}
            converted["required"] = [name for name in _strings(converted["required"]) if name not in hidden]
        return converted

    @staticmethod
    def _of_3_0(schema: dict[str, Any], converted: dict[str, Any]) -> dict[str, Any]:
        for bound in ("Minimum", "Maximum"):
            exclusive = converted.pop(f"exclusive{bound}", False)
            if exclusive is True and bound.lower() in converted:
                converted[f"exclusive{bound}"] = converted.pop(bound.lower())
        if schema.get("nullable") is not True:
            return converted
        if isinstance(converted.get("type"), str):
            converted["type"] = [converted["type"], "null"]
            if isinstance(converted.get("enum"), list) and None not in converted["enum"]:
                converted["enum"] = [*converted["enum"], None]
            return converted
        return {"anyOf": [converted, {"type": "null"}]}


def _is_read_only(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("readOnly") is True


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

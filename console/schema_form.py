"""A form made from a JSON Schema: what a person edits as fields comes back as JSON of the same types."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from console.characters import has_hidden

PREFIX = "field."
LONG = 80  # characters; from here on a field has several lines
ROOMY = 2000  # a text that may be so long gets several lines even while it is short


@dataclass(slots=True)
class Field:
    """One argument as a form shows it. `kind`: string, text, number, integer, boolean, choice or json."""

    name: str
    kind: str
    label: str
    description: str = ""
    required: bool = False
    value: str = ""  # as it stands in the form
    choices: Sequence[tuple[str, str]] = ()
    errors: list[str] = field(default_factory=list)

    @property
    def input_name(self) -> str:
        return PREFIX + self.name

    @property
    def has_hidden(self) -> bool:
        """Whether an input would show less than the value holds."""
        return has_hidden(self.value)


def argument_names(schema: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """The names in the order in which a person should meet them: required ones first, as the tool's author put them.

    Only lists keep their order in the database, so that of the properties is lost.
    """
    return list(dict.fromkeys([*schema.get("required", []), *schema.get("properties", {}), *values]))


class SchemaForm:
    """The fields for `schema`, filled with `values`, or with what was posted.

    A field that wasn't touched gives back exactly the value it came with. What the schema doesn't name but `values`
    hold is shown too, with the type that it has. `errors` is false once everything could be read; whether it fits
    the schema is for the gate to say.
    """

    def __init__(
        self, schema: Mapping[str, Any], values: Mapping[str, Any], posted: Mapping[str, str] | None = None
    ) -> None:
        self.schema = schema
        self.values = values
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        self.general: list[str] = []
        self.fields = [
            self._field(name, properties.get(name), name in required)
            for name in argument_names(schema, values)
        ]
        self.data: dict[str, Any] = {}
        if posted is not None:
            for item in self.fields:
                self._read(item, posted)

    @property
    def errors(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.general) or any(item.errors for item in self.fields)

    def add_errors(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Put the gate's errors beside their fields; "amount: too much" without a path is about amount."""
        by_name = {item.name: item for item in self.fields}
        for error in errors:
            path, message = list(error.get("path") or []), str(error["message"])
            start, colon, rest = message.partition(": ")
            if not path and colon and start in by_name:
                path, message = [start], rest
            if path and str(path[0]) in by_name:
                where = ".".join(str(part) for part in path[1:])
                by_name[str(path[0])].errors.append(f"{where}: {message}" if where else message)
            else:
                self.general.append(message)

    def _field(self, name: str, schema: Any, required: bool) -> Field:
        found = self._resolve(schema) if isinstance(schema, Mapping) else {}
        value = self.values.get(name)
        kind = _kind(found, value)
        item = Field(
            name=name,
            kind=kind,
            label=name.replace("_", " "),
            description=str(found.get("description", "")),
            required=required,
            value=_as_text(kind, value) if name in self.values else _as_text(kind, found.get("default")),
        )
        if kind == "choice":
            options = found["enum"] if "enum" in found else [found["const"]]
            item.choices = [(json.dumps(option), _option_words(option)) for option in options]
            if not required:
                item.choices = [("", "none"), *item.choices]
        return item

    def _resolve(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The schema behind references, and of "this or null" the first."""
        found = dict(schema)
        if isinstance(reference := found.pop("$ref", None), str) and reference.startswith("#/$defs/"):
            found = {**self.schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {}), **found}
        for key in ("anyOf", "oneOf"):
            options = [option for option in found.get(key, []) if option.get("type") != "null"]
            if len(options) == 1:
                found.pop(key)
                found = {**self._resolve(options[0]), **found}
        if isinstance(found.get("type"), list):
            types = [name for name in found["type"] if name != "null"]
            found["type"] = types[0] if len(types) == 1 else ""
        return found

    def _read(self, item: Field, posted: Mapping[str, str]) -> None:
        before, text = item.value, posted.get(item.input_name, "").replace("\r\n", "\n")
        item.value = text
        if item.name in self.values and text == before.replace("\r\n", "\n"):
            self.data[item.name] = self.values[item.name]
            return
        if text == "" and (item.kind != "string" and item.kind != "text"):
            if item.required:
                item.errors.append("Give a value.")
            return
        if text == "" and item.name not in self.values and not item.required:
            return
        try:
            self.data[item.name] = _parse(item.kind, text)
        except ValueError as error:
            item.errors.append(str(error))


def _kind(schema: Mapping[str, Any], value: Any) -> str:
    if "enum" in schema or "const" in schema:
        return "choice"
    declared = schema.get("type")
    # What a value is counts more than what it should be, so that nothing is shown in a field that can't hold it.
    if isinstance(value, dict | list) or declared in ("object", "array"):
        return "json"
    if isinstance(value, str) or (value is None and declared == "string"):
        text = value or ""
        is_long = len(text) > LONG or "\n" in text or "\r" in text or schema.get("maxLength", 0) >= ROOMY
        return "text" if is_long else "string"
    if isinstance(value, bool) or (value is None and declared == "boolean"):
        return "boolean"
    if declared == "integer":
        return "integer"
    if isinstance(value, int | float) or declared == "number":
        return "number"
    return "json"


def _as_text(kind: str, value: Any) -> str:
    if value is None and kind != "json":
        return ""
    if kind in ("string", "text"):
        return str(value)
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, indent=2 if kind == "json" else None)


def _option_words(option: Any) -> str:
    return option.replace("_", " ") if isinstance(option, str) else json.dumps(option)


def _parse(kind: str, text: str) -> Any:
    if kind in ("string", "text"):
        return text
    if kind == "number" and "," in text:
        raise ValueError("Write the number with a point and without separators, as in 1240.50.")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        value = _UNREADABLE
    if kind == "number" and not _is_number(value):
        raise ValueError("Write a number, as in 40 or 12.50.")
    if kind == "integer" and not (_is_number(value) and isinstance(value, int)):
        raise ValueError("Write a whole number.")
    if kind == "json" and value is _UNREADABLE:
        raise ValueError("This is not JSON: mind quotes and commas.")
    if kind in ("boolean", "choice") and value is _UNREADABLE:
        raise ValueError("Choose one of the values.")
    return value


_UNREADABLE = object()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)

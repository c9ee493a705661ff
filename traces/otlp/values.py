"""OTLP's values, as JSON has them."""

import base64
import math
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

MAX_DEPTH = 30  # of what is kept
MAX_INT = 2**63


def from_attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """By key; of a key that is there twice, the first."""
    found: dict[str, Any] = {}
    for item in attributes:
        found.setdefault(item.key, from_value(item.value))
    return found


def from_value(value: AnyValue, depth: int = 0) -> Any:
    """A JSON value; bytes as base64, what is nested deeper than MAX_DEPTH as None."""
    kind = value.WhichOneof("value")
    if kind is None or depth > MAX_DEPTH:
        return None
    match kind:
        case "array_value":
            return [from_value(item, depth + 1) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: from_value(item.value, depth + 1) for item in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case _:
            return getattr(value, kind)


def to_attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    """Those that hold anything."""
    return [
        KeyValue(key=key, value=to_value(value)) for key, value in values.items() if value not in (None, "")
    ]


def to_value(value: Any) -> AnyValue:
    """A JSON value as OTLP has it."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int() if -MAX_INT <= value < MAX_INT:
            return AnyValue(int_value=value)
        case float() if math.isfinite(value):
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[to_value(item) for item in value]))
        case dict():
            pairs = [KeyValue(key=key, value=to_value(item)) for key, item in value.items()]
            return AnyValue(kvlist_value=KeyValueList(values=pairs))
        case None:
            return AnyValue()
        case _:
            return AnyValue(string_value=str(value))

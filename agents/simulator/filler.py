"""An object that fits a JSON Schema, for structured answers that no script foresees."""

from typing import Any

FILLER = "simulated"
DEPTH_MAX = 8  # of a schema which refers to itself
# Where a choice is free, the word that lets a run go on.
CHEERFUL = ("complete", "completed", "done", "ok", "pass", "yes", "approve", "safe", "allow")
FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "simulated@example.com",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fill(schema: dict[str, Any]) -> Any:
    """The smallest sensible value of `schema`: required keys only, one item per list, "simulated" for text.

    It covers what tools and answers use: types, enums, bounds, lengths, formats, `$ref`, `anyOf`, `oneOf` and
    `allOf`; patterns and conditions are not looked at.
    """
    return _fill(schema, schema, 0)


def _fill(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict):
        return FILLER
    if "const" in schema:
        return schema["const"]
    if "default" in schema:
        return schema["default"]
    if options := schema.get("enum"):
        return next((word for word in CHEERFUL if word in options), options[0])
    if examples := schema.get("examples"):
        return examples[0]
    if "$ref" in schema:
        return _fill(_referred(schema["$ref"], root), root, depth + 1) if depth < DEPTH_MAX else None
    for key in ("anyOf", "oneOf"):
        if options := schema.get(key):
            return _fill(_choice(options, deep=depth >= DEPTH_MAX), root, depth + 1)
    if parts := schema.get("allOf"):
        return _fill(
            _merged([{k: v for k, v in schema.items() if k != "allOf"}, *parts], root), root, depth + 1
        )
    return _typed(schema, root, depth)


def _typed(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    match kind:
        case "object":
            known = schema.get("properties", {})
            return {name: _fill(known.get(name, {}), root, depth + 1) for name in schema.get("required", [])}
        case "array":
            wanted = 1 if depth < DEPTH_MAX else 0
            amount = min(max(wanted, schema.get("minItems", 0)), schema.get("maxItems", max(wanted, 1_000)))
            return [_fill(schema.get("items", {}), root, depth + 1) for _ in range(amount)]
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    text = FILLER.ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]


def _number(schema: dict[str, Any], *, whole: bool) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    step = 1 if whole else 0.01
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - step
    if not whole and low is not None and high is not None:
        return float(low + 0.9 * (high - low))  # of a share or a confidence: rather sure
    if low is not None:
        return int(-(-low // 1)) if whole else float(low)
    return min(1, int(high // 1) if whole else float(high)) if high is not None else 1


def _choice(options: list[Any], *, deep: bool) -> Any:
    plain = [option for option in options if not (isinstance(option, dict) and option.get("type") == "null")]
    if deep and len(plain) < len(options):
        return {"type": "null"}
    return (plain or options)[0]


def _merged(parts: list[Any], root: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        whole = _referred(part["$ref"], root) if isinstance(part, dict) and "$ref" in part else part
        for key, value in whole.items():
            if key == "properties":
                merged[key] = merged.get(key, {}) | value
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    return merged


def _referred(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step, {}) if isinstance(found, dict) else {}
    return found

"""What a task must yield, where whoever starts a run says so by a JSON Schema."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agents.exceptions import BadInput

MAX_CHARS = 20_000  # of a schema


def check_success(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema, if it is one of an object. Raises BadInput, which says what is wrong with it."""
    if schema is None:
        return None
    if len(json.dumps(schema)) > MAX_CHARS:
        raise _bad(f"has more than {MAX_CHARS:,} characters")
    if schema.get("type") != "object":
        raise _bad('must be of an object: give it "type": "object"')
    if '"$ref": "http' in json.dumps(schema):
        raise _bad("may not refer to other documents")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise _bad(f"is no JSON Schema: {error.message[:200]}") from error
    return schema


def _bad(what: str) -> BadInput:
    message = f"The schema of success {what}."
    return BadInput(message, errors=[{"path": ["success"], "message": message}])

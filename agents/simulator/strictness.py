"""What the real APIs refuse in tools and calls, so that a request which works here works there."""

import re
from typing import Any

from agents.simulator.conversation import BadRequest

NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def check_tool(name: Any, schema: Any, *, place: str, name_max: int, refused: tuple[str, ...]) -> None:
    """Raise BadRequest for a tool with a name or a schema that the API does not take."""
    if not isinstance(name, str) or not NAME.match(name) or len(name) > name_max:
        raise BadRequest(f"{place}.name: {name!r} should match '^[a-zA-Z0-9_-]{{1,{name_max}}}$'")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise BadRequest(f"{place}: the schema must be of type 'object'")
    for keyword in refused:
        if keyword in schema:
            raise BadRequest(f"{place}: the schema must not have '{keyword}' at the top level")


def check_id(call_id: Any, *, place: str, id_max: int) -> None:
    """Raise BadRequest for the id of a call that the API does not take."""
    if not isinstance(call_id, str) or not NAME.match(call_id) or len(call_id) > id_max:
        raise BadRequest(f"{place}: {call_id!r} is no id of at most {id_max} letters, digits, _ and -")

"""Reading what providers send: nothing in it is trusted to have the promised shape."""

import hashlib
import json
import math
import re
from typing import Any, NoReturn

from agents.providers.base import FailureKind, ModelFailure, ProposedCall, ToolSchema

ALTERNATIVES = ("allOf", "anyOf", "oneOf")
REFUSED_AT_TOP = (*ALTERNATIVES, "enum", "not")
# No database column takes a NUL, and no UTF-8 text half of a surrogate pair; models send both.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def malformed(provider: str, what: str) -> NoReturn:
    """Raise the failure for an answer which is not what the wire format promises."""
    raise ModelFailure(FailureKind.MALFORMED, f"{provider} sent an answer that can't be used: {what}.")


def storable(text: object) -> str:
    """`text` with characters that can't be stored replaced by U+FFFD; "" for anything but a string."""
    return UNSTORABLE.sub("\ufffd", text) if isinstance(text, str) else ""


def count(number: object) -> int:
    """A number of tokens; 0 where the provider gave none, or nonsense."""
    return max(number, 0) if isinstance(number, int) and not isinstance(number, bool) else 0


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is, or None: also for NaN, infinities and strings that can't be stored."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and not _holds_unstorable(value) else None


def proposed_call(
    call_id: object, name: object, written: object, *, tools: tuple[ToolSchema, ...] = ()
) -> ProposedCall:
    """A call of one of `tools` from the arguments as they came: a string, or what the SDK has made of one."""
    raw = written if isinstance(written, str) else json.dumps(written, default=str)
    return ProposedCall(
        id=storable(call_id),
        name=known_name(storable(name), tools),
        arguments=json_object(raw),
        raw=storable(raw),
    )


def sendable_name(name: str) -> str:
    """A tool's name as APIs accept it, since the history holds whatever a model once wrote."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"


def sendable_id(call_id: str) -> str:
    """The id of a call as every API accepts it: another provider may have made it, with characters of its own."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", call_id):
        return call_id
    return f"call_{hashlib.sha256(call_id.encode(errors='replace')).hexdigest()[:32]}"


def sendable_schema(parameters: dict[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments as every API accepts it: an object, without alternatives at its top level.

    What the alternatives would allow is shown together; arguments are checked against the whole schema anyway.
    """
    plain = {name: value for name, value in parameters.items() if name not in REFUSED_AT_TOP}
    properties: dict[str, Any] = {}
    for keyword in ALTERNATIVES:
        for part in parameters.get(keyword, ()):
            properties |= part.get("properties", {}) if isinstance(part, dict) else {}
    return plain | {"type": "object", "properties": properties | plain.get("properties", {})}


def known_name(name: str, tools: tuple[ToolSchema, ...]) -> str:
    """The tool's own name for the one under which it was sent; a name that no tool has stays as it is."""
    return next((tool.name for tool in tools if sendable_name(tool.name) == name), name)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large")
    return number


def _holds_unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return UNSTORABLE.search(value) is not None
    if isinstance(value, dict):
        return any(_holds_unstorable(part) for item in value.items() for part in item)
    return isinstance(value, list) and any(_holds_unstorable(item) for item in value)

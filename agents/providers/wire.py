"""Reading what providers send: nothing in it is trusted to have the promised shape."""

import json
import math
import re
from typing import Any, NoReturn

from agents.providers.base import FailureKind, ModelFailure, ProposedCall

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


def proposed_call(call_id: object, name: object, written: object) -> ProposedCall:
    """A call from the arguments as they came: a string, or what the SDK has already made of one."""
    raw = written if isinstance(written, str) else json.dumps(written, default=str)
    return ProposedCall(
        id=storable(call_id), name=storable(name), arguments=json_object(raw), raw=storable(raw)
    )


def sendable_name(name: str) -> str:
    """A tool's name as APIs accept it, since the history holds whatever a model once wrote."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"


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

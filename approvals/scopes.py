"""The scope of a grant: what each argument of a call may be. Pure.

A scope names every argument that a call may have; a call with another argument, or without one that the scope limits,
is outside. Values are compared as JSON compares them: 40 is 40.0, true is not 1.
"""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeGuard

from approvals.digest import digest_of
from approvals.exceptions import Invalid

EQUAL, AT_MOST, ONE_OF, ANY = "equal", "at_most", "one_of", "any"
OPERATORS = (EQUAL, AT_MOST, ONE_OF, ANY)
MAX_CHOICES = 50
LARGEST = 10**13  # of an amount: what the database's column holds

Scope = Mapping[str, Mapping[str, Any]]  # by argument: {"is": operator, "value": ...}


def check_scope(scope: Scope) -> None:
    """Raise Invalid where a scope says what can't be."""
    for name, limit in scope.items():
        kind, value = limit.get("is"), limit.get("value")
        if kind not in OPERATORS:
            raise Invalid(f"{name}: {kind!r} is no limit; use one of {', '.join(OPERATORS)}.")
        if kind == AT_MOST and (not is_number(value) or value < 0):
            raise Invalid(f"{name}: a limit of 'at most' needs a number from 0 on.")
        if kind == ONE_OF and (not isinstance(value, list) or not 0 < len(value) <= MAX_CHOICES):
            raise Invalid(f"{name}: 'one of' needs 1 to {MAX_CHOICES} values.")


def covers(scope: Scope, arguments: Mapping[str, Any]) -> bool:
    """Whether a call with these arguments is within the scope."""
    if any(name not in scope for name in arguments):
        return False
    return all(_within(limit, name in arguments, arguments.get(name)) for name, limit in scope.items())


def amount_of(argument: str, arguments: Mapping[str, Any]) -> Decimal | None:
    """What the call takes from a budget over `argument`; None where that can't be told, so that it is not covered."""
    value = arguments.get(argument)
    if not is_number(value) or value < 0 or value > LARGEST:
        return None
    return round_up(Decimal(str(value)))


def round_up(value: Decimal) -> Decimal:
    """To the places that are stored, never to less than it is."""
    return value.quantize(Decimal("0.000001"), rounding="ROUND_CEILING")


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether it is a number that can be compared."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def same(first: Any, second: Any) -> bool:
    """Whether two values are one in JSON."""
    try:
        return digest_of(first) == digest_of(second)
    except Invalid:
        return False


def in_words(scope: Scope) -> list[str]:
    """One phrase for each argument, such as "amount at most 50"."""
    return [f"{name} {_phrase(limit)}" for name, limit in scope.items()]


def _phrase(limit: Mapping[str, Any]) -> str:
    match limit["is"]:
        case "equal":
            return f"is {_shown(limit['value'])}"
        case "at_most":
            return f"at most {_shown(limit['value'])}"
        case "one_of":
            return f"is one of {', '.join(_shown(value) for value in limit['value'])}"
    return "is anything"


def as_text(value: Any) -> str:
    """A value as a person writes it in a form."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    text = as_text(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _within(limit: Mapping[str, Any], given: bool, value: Any) -> bool:
    if limit["is"] == ANY:
        return True
    if not given:
        return False
    match limit["is"]:
        case "equal":
            return same(value, limit["value"])
        case "at_most":
            return is_number(value) and bool(0 <= value <= limit["value"])
        case "one_of":
            choices: Sequence[Any] = limit["value"]
            return any(same(value, choice) for choice in choices)
    return False

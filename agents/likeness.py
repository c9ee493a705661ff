"""How like two actions are, by their arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from approvals.risk import amounts
from traces.redaction import redact

TIMES = 2.0  # by which a number may differ in either direction and still be like another
CHARS = 4000  # of one value; what comes after makes no difference
DEPTH = 6

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One argument that was another then; None where there was none."""

    name: str
    then: Any
    now: Any


def words_of(arguments: Arguments) -> str:
    """The values without secrets, a line for each: what is embedded. Names are the same for all calls of a tool."""
    return "\n".join(_flat(redact(dict(arguments)), DEPTH))


def is_alike(now: Arguments, then: Arguments) -> bool:
    """Whether each amount of either has its like in the other, within half to double of it; words have their vectors."""
    one, other = amounts(now), amounts(then)
    return one.keys() == other.keys() and all(_is_near(value, other[name]) for name, value in one.items())


def differences(now: Arguments, then: Arguments) -> list[Difference]:
    """What is not the same, by name, without secrets."""
    now, then = redact(dict(now)), redact(dict(then))
    return [
        Difference(name, then.get(name), now.get(name))
        for name in sorted(now.keys() | then.keys())
        if now.get(name) != then.get(name)
    ]


def _is_near(one: float, other: float) -> bool:
    low, high = sorted((abs(one), abs(other)))
    return one == other or ((one > 0) == (other > 0) and high <= TIMES * low)


def _flat(value: Any, depth: int) -> list[str]:
    if isinstance(value, Mapping) and depth:
        return [line for each in value.values() for line in _flat(each, depth - 1)]
    if isinstance(value, list) and depth:
        return [line for each in value for line in _flat(each, depth - 1)]
    return [str(value)[:CHARS]]

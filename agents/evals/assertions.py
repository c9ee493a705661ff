"""Whether a run did what its case expects. Pure: it is told all that it judges."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agents.evals.config import Expect, ExpectedCall
from agents.shorthand import in_line

SHOWN = 300  # characters of an output, and of arguments, in a finding


@dataclass(frozen=True, slots=True)
class Made:
    """A call that the agent made or tried to make."""

    tool: str
    arguments: Any = None
    refused: bool = False  # by a check or by the policy: it came to nothing
    asks: bool = False  # people would be asked about it


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run came to."""

    status: str
    reason: str = ""
    output: str = ""
    turns: int = 0
    cost_usd: Decimal = Decimal(0)
    calls: tuple[Made, ...] = ()


def findings(expect: Expect, facts: Facts) -> list[str]:
    """What is otherwise than expected, a sentence each; empty where all is as it should be."""
    return [
        *_of_status(expect, facts),
        *(words for call in expect.calls for words in _of_call(call, facts)),
        *_of_no_calls(expect, facts),
        *_of_asks(expect, facts),
        *_of_output(expect, facts),
        *_of_limits(expect, facts),
    ]


def fits(expected: Any, given: Any) -> bool:
    """Whether a value is the expected one; an object may have more keys than are expected."""
    if isinstance(expected, dict):
        return isinstance(given, dict) and all(
            key in given and fits(value, given[key]) for key, value in expected.items()
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(given, list | tuple)
            and len(expected) == len(given)
            and all(map(fits, expected, given))
        )
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    return bool(expected == given)


def _of_status(expect: Expect, facts: Facts) -> Iterator[str]:
    if expect.status is not None and facts.status != expect.status:
        why = f": {facts.reason}" if facts.reason else "."
        yield f"The run is {facts.status}, not {expect.status}{why}"


def _of_call(expected: ExpectedCall, facts: Facts) -> Iterator[str]:
    of_tool = [call for call in facts.calls if call.tool == expected.tool]
    made = [call for call in of_tool if not call.refused]
    fitting = [call for call in made if fits(expected.arguments, call.arguments)]
    if len(fitting) in expected.count:
        return
    which = f" with {_shown(expected.arguments)}" if expected.arguments else ""
    times = f"called {_times(len(fitting))}" if fitting else "not called"
    told = f"{expected.tool} was {times}{which}; expected: {expected.count}"
    others = [call for call in made if call not in fitting]
    if others and len(fitting) < expected.count.min:
        told += f"; it was called with {' and '.join(_shown(call.arguments) for call in others[:3])}"
    if len(made) < len(of_tool):
        told += f"; {_times(len(of_tool) - len(made))} it was proposed and refused"
    yield f"{told}."


def _of_no_calls(expect: Expect, facts: Facts) -> Iterator[str]:
    for tool in dict.fromkeys(expect.no_calls):
        made = [call for call in facts.calls if call.tool == tool and not call.refused]
        if made:
            yield f"{tool} was called {_times(len(made))}, with {_shown(made[0].arguments)}; it should not be."


def _of_asks(expect: Expect, facts: Facts) -> Iterator[str]:
    if expect.asks is None:
        return
    asked = {call.tool for call in facts.calls if call.asks and not call.refused}
    called = {call.tool for call in facts.calls if not call.refused}
    for tool in sorted(set(expect.asks) - asked):
        why = "the policy lets it pass" if tool in called else "it was not called"
        yield f"Nobody would be asked about {tool}: {why}."
    for tool in sorted(asked - set(expect.asks)):
        yield f"People would be asked about {tool}, which is not expected."


def _of_output(expect: Expect, facts: Facts) -> Iterator[str]:
    output = facts.output.casefold()
    shown = _short(facts.output) if facts.output else "nothing"
    for words in expect.contains:
        if words.casefold() not in output:
            yield f"The answer does not say {words!r}; it says: {shown}"
    for words in expect.not_contains:
        if words.casefold() in output:
            yield f"The answer says {words!r}, which it should not: {shown}"


def _of_limits(expect: Expect, facts: Facts) -> Iterator[str]:
    if expect.max_cost_usd is not None and facts.cost_usd > Decimal(str(expect.max_cost_usd)):
        yield f"It cost USD {facts.cost_usd:.4f}, more than USD {expect.max_cost_usd}."
    if expect.max_turns is not None and facts.turns > expect.max_turns:
        yield f"It took {facts.turns} turns, more than {expect.max_turns}."


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _shown(arguments: Any) -> str:
    return _short(in_line(arguments) if isinstance(arguments, dict) else repr(arguments))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"

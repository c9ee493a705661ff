"""What arguments must be beyond their types: within bounds, one of few values, known to a lookup."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agents.config.tools import Check, Exists
from agents.config.wording import plain_number
from agents.nearest import nearest
from agents.tools.arguments import each_at
from agents.tools.asking import NotMade, Purpose, Why
from agents.tools.results import Denied, NotFound, ToolFailure
from agents.tools.spec import Tool, ToolContext
from agents.tools.validation import BadArguments
from traces.redaction import redact_text

_LISTED = re.compile(r"\s*(?:[,;]|\bor\b|\band\b)\s*")
_QUOTES = " '\"`.?!"


def with_checks(tool: Tool, granted: dict[str, Tool]) -> Tool:
    """The tool with the checks of single arguments before its own. `granted`: the agent's tools, for lookups."""
    if not tool.checks:
        return tool
    checks, own = tool.checks, tool.check

    def check(context: ToolContext, arguments: dict[str, Any]) -> None:
        errors = list(_objections(checks, granted, context, arguments))
        if errors:
            raise BadArguments(errors)
        if own is not None:
            own(context, arguments)

    return replace(tool, check=check)


def without_lookups(tool: Tool) -> Tool:
    """The tool with those of its checks that ask no other tool."""
    return replace(tool, checks={name: check for name, check in tool.checks.items() if not check.exists})


def _objections(
    checks: Mapping[str, Check], granted: dict[str, Tool], context: ToolContext, arguments: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """{path, message} of each value that won't do. Lookups are asked last, of values that are good so far."""
    asked: list[tuple[list[str | int], Any, Exists, str]] = []
    for name, check in checks.items():
        for path, value in each_at(arguments, name):
            if message := _bounds(check, value) or _choice(check, value):
                yield {"path": path, "message": message}
            elif check.exists:
                asked.append((path, value, check.exists, check.exists.argument or name.rpartition(".")[2]))
    for path, value, exists, argument in asked:
        if message := _missing(exists.tool, argument, value, granted, context):
            yield {"path": path, "message": message}


def _bounds(check: Check, value: Any) -> str:
    low, high = check.minimum, check.maximum
    if low is None and high is None:
        return ""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (low is None or value >= low) and (high is None or value <= high):
        return ""
    bounds = [f"at least {plain_number(low)}"] if low is not None else []
    bounds += [f"at most {plain_number(high)}"] if high is not None else []
    wrong = (
        "is no number" if not number else "is too low" if low is not None and value < low else "is too high"
    )
    return f"{value!r} {wrong}; write a number of {' and '.join(bounds)}."


def _choice(check: Check, value: Any) -> str:
    if not check.one_of or any(each == value and type(each) is type(value) for each in check.one_of):
        return ""
    near = nearest(str(value), [str(each) for each in check.one_of])
    meant = f" Did you mean {near!r}?" if near else ""
    return f"{value!r} is not allowed.{meant} Valid: {', '.join(str(each) for each in check.one_of)}."


def _missing(name: str, argument: str, value: Any, granted: dict[str, Tool], context: ToolContext) -> str:
    """Why the lookup does not bear the value out; empty where it does. Raises Denied as the lookup does."""
    lookup = granted.get(name)
    if lookup is None:
        return f"{value!r} can't be checked: the lookup {name!r} is gone. Ask a person."
    try:
        found = context.ask(lookup, {argument: value}, Purpose.CHECK)
    except NotMade as error:
        if error.why is Why.NO_RIGHT:
            raise Denied(f"{value!r} can't be checked: {error}") from error
        return f"{value!r} can't be checked: {error}"
    except Denied:
        raise
    except NotFound as error:
        return _unknown(value, name, redact_text(str(error)))
    except ToolFailure as error:
        return f"{value!r} can't be checked: {name} says: {_sentence(redact_text(str(error)))}"
    return "" if found not in (None, "", [], {}) else _unknown(value, name, "it finds nothing")


def _unknown(value: Any, lookup: str, told: str) -> str:
    near = nearest(str(value), _known_values(told)) if "did you mean" not in told.lower() else ""
    meant = f" Did you mean {near!r}?" if near else ""
    return f"{value!r} does not exist; {lookup} says: {_sentence(told)}{meant}"


def _known_values(message: str) -> list[str]:
    """The values that a lookup lists behind the last colon of its message, as in "there is no X; valid: A, B"."""
    _, colon, listed = message.rpartition(": ")
    return [item for each in _LISTED.split(listed) if (item := each.strip(_QUOTES))] if colon else []


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."

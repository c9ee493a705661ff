"""What pydantic finds wrong with a configuration, in words for whoever wrote it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from agents.nearest import hint

_WORDS: Mapping[str, str] = {
    "missing": "this key is missing.",
    "int": "write a whole number, such as 25.",
    "float": "write a number, such as 0.5.",
    "bool": "write true or false.",
    "string": "write a text; put it into quotes where YAML takes it for something else.",
    "tuple": "write a list: each item on a line that begins with a dash, or all in brackets.",
    "list": "write a list: each item on a line that begins with a dash, or all in brackets.",
    "dict": "write keys with values, as in `name: value`.",
    "model": "write keys with values, as in `name: value`.",
    "finite": "write a number, such as 0.5.",
}
_BOUNDS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "greater_than_equal": lambda context: f"write at least {plain_number(context['ge'])}.",
    "greater_than": lambda context: f"write more than {plain_number(context['gt'])}.",
    "less_than_equal": lambda context: f"write at most {plain_number(context['le'])}.",
    "less_than": lambda context: f"write less than {plain_number(context['lt'])}.",
    "string_too_short": lambda context: "write something here: it is empty.",
    "string_too_long": lambda context: f"write at most {context['max_length']:,} characters.",
    "too_short": lambda context: f"name at least {context['min_length']}.",
    "too_long": lambda context: f"{context['actual_length']} are too many: at most {context['max_length']}.",
}
_CHOICE = re.compile(r"'([^']*)'")


def plain_number(number: float) -> str:
    """As people write it: 1,000,000 or 0.5."""
    return f"{int(number) if float(number).is_integer() else number:,}"


def mistakes(error: ValidationError) -> list[dict[str, Any]]:
    """{path, message} of each place."""
    return [
        {
            "path": list(item["loc"]),
            "message": _plain(item["type"], str(item["msg"]), item.get("ctx", {}), item["input"]),
        }
        for item in error.errors(include_url=False)
    ]


def _plain(kind: str, message: str, context: dict[str, Any], given: Any) -> str:
    if kind in ("literal_error", "enum"):
        known = [name for name in _CHOICE.findall(str(context["expected"])) if name]
        return f"{given!r} is not known; {hint(str(given), known)}"
    if kind in _BOUNDS:
        return _BOUNDS[kind](context)
    words = _WORDS.get(kind) or _WORDS.get(kind.partition("_")[0])
    return words or message.removeprefix("Value error, ")

"""Reading request bodies: JSON that Postgres, a canonical form and a person can all hold, or a problem that says why not."""

import json
import math
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser
from ninja.types import DictStrAny

from console.api.problems import Problem

MAX_DEPTH = 50
MAX_WHOLE = 2**53  # beyond, JSON readers disagree about a number (RFC 7493)


class JsonBody(Parser):
    """Takes `application/json` in UTF-8, and nothing else."""

    def parse_body(self, request: HttpRequest) -> DictStrAny:
        """The body. Raises Problem."""
        if request.content_type != "application/json":
            raise Problem(
                415,
                "not_json",
                f"Send JSON as application/json, not {request.content_type or 'without a content type'}.",
            )
        try:
            text = request.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Problem(
                400, "not_utf8", f"The body is not UTF-8: byte {error.start} is {error.reason}."
            ) from error
        try:
            value = json.loads(text, parse_constant=_refuse)
        except RecursionError as error:
            raise Problem(400, "not_json", "The body is nested too deeply.") from error
        except ValueError as error:
            raise Problem(400, "not_json", f"The body is not JSON: {error}.") from error
        _check(value, [])
        return value  # type: ignore[no-any-return]


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def _check(value: Any, path: list[str | int]) -> None:
    if len(path) > MAX_DEPTH:
        raise _unusable(path[:3], f"nested more than {MAX_DEPTH} deep")
    match value:
        case str():
            _check_text(value, path)
        case bool():
            pass
        case int() if abs(value) > MAX_WHOLE:
            raise _unusable(
                path, "whole numbers beyond 2^53 are read differently by others: send it as a string"
            )
        case float() if not math.isfinite(value):
            raise _unusable(path, "this number is too large")
        case list():
            for place, item in enumerate(value):
                _check(item, [*path, place])
        case dict():
            for key, item in value.items():
                _check_text(key, path)
                _check(item, [*path, key])


def _check_text(text: str, path: list[str | int]) -> None:
    if "\x00" in text:
        raise _unusable(path, "text may not hold NUL characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _unusable(path, "text may not hold half of a surrogate pair")


def _unusable(path: list[str | int], message: str) -> Problem:
    where = ".".join(str(part) for part in path) or "the body"
    return Problem(422, "invalid", f"{where}: {message}", errors=[{"path": path, "message": message}])

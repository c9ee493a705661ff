"""Are these arguments good? First their shape, then their sense; the answer is for the model, or the editor, to act on."""

import json
from collections.abc import Collection, Iterator
from typing import Any

import structlog
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from agents.nearest import nearest
from agents.tools.calling import within
from agents.tools.results import HALF_A_PAIR, Denied, ToolFailure
from agents.tools.spec import Tool, ToolContext
from traces.redaction import redact_text
from traces.storable import storable

log = structlog.get_logger(__name__)

MAX_ARGUMENT_CHARS = 100_000
CHECK_SECONDS = 10


class BadArguments(Exception):
    """The call can't be done as written; nothing has run. `errors`: {path, message} for each place."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(_say(error) for error in errors))
        self.errors = errors


def validate(tool: Tool, context: ToolContext, arguments: dict[str, Any]) -> None:
    """Raise BadArguments unless `arguments` fit the tool's schema and pass its semantic check; Denied as it does."""
    text = json.dumps(arguments)
    size = len(text)
    if size > MAX_ARGUMENT_CHARS:
        raise BadArguments(
            [
                {
                    "path": [],
                    "message": f"the arguments have {size:,} characters; at most {MAX_ARGUMENT_CHARS:,} are taken",
                }
            ]
        )
    halves = _halves(arguments) if "\\ud" in text else ()
    if errors := [*halves, *fits(tool, arguments)]:
        raise BadArguments(errors)
    check = tool.check
    if check is not None:
        try:
            within(CHECK_SECONDS, lambda: check(context, arguments), name=f"check of {tool.name}")
        except (BadArguments, Denied):
            raise
        except (ValueError, ToolFailure) as error:
            raise BadArguments([{"path": [], "message": str(error)}]) from error
        except Exception as error:  # a tool's code may raise anything; what was not checked does not run
            log.exception("check.failed", tool=tool.name)
            message = f"the check of {tool.name} broke off ({type(error).__name__}: {error})"
            raise BadArguments([{"path": [], "message": redact_text(message)}]) from error


def _halves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[dict[str, Any]]:
    """{path, message} of each text that is none, since half of a surrogate pair stands in it."""
    match value:
        case str() if storable(value) != value.replace("\x00", "\ufffd"):
            yield {"path": list(path), "message": HALF_A_PAIR}
        case dict():
            for name, item in value.items():
                yield from _halves(name, path)
                yield from _halves(item, (*path, name))
        case list():
            for place, item in enumerate(value):
                yield from _halves(item, (*path, place))


def fits(tool: Tool, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """{path, message} of each place where `arguments` don't fit the tool's schema."""
    # Without the registry it would fetch what a schema of outsiders refers to, from wherever that is.
    validator = Draft202012Validator(tool.parameters, registry=EMPTY_REGISTRY)
    try:
        return [_readable(error) for error in validator.iter_errors(arguments)]
    except (Unresolvable, RecursionError) as error:
        return [{"path": [], "message": f"the schema of {tool.name} is broken: {error}"}]


def unknown_tool(name: str, known: Collection[str]) -> str:
    """What to tell a model that calls a tool which it doesn't have."""
    near = nearest(name, known)
    meant = f" Did you mean {near}?" if near else ""
    return f"There is no tool {name!r}.{meant} Your tools: {', '.join(sorted(known)) or 'none'}."


def _readable(error: ValidationError) -> dict[str, Any]:
    message = error.message if len(error.message) <= 300 else error.message[:300] + "…"
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        message += f"; known: {', '.join(error.schema.get('properties', {}))}"
    return {"path": list(error.absolute_path), "message": message}


def _say(error: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in error["path"])
    return f"{path}: {error['message']}" if path else str(error["message"])

"""What an agent file says about a tool, laid over the tool."""

import importlib
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agents.config.tools import ToolOptions, Undo
from agents.exceptions import BadConfig
from agents.tools.arguments import unknown_at
from agents.tools.soundness import require_sound
from agents.tools.spec import Category, Effect, Tool, ToolContext

NOT_GIVEN = "(not given)"  # in a title, for an argument that was left out

_AS_THEY_ARE = {
    "timeout",
    "permission",
    "idempotent",
    "untrusted",
    "rate_limit",
    "retries",
    "fallback",
    "polling",
    "when_to_use",
    "when_not_to_use",
    "dry_run",
}
_RENAMED = {"fingerprint": "fingerprint_by"}


def with_options(tool: Tool, options: ToolOptions) -> Tool:
    """The tool treated as `options` say; what they leave open stays as the tool has it. Raises BadConfig.

    Checks, the dry run, the lookup, the fallback and the undo name other tools: `agents.tools.links` brings them together.
    """
    changes: dict[str, Any] = options.model_dump(include=_AS_THEY_ARE, exclude_defaults=True)
    changes |= {_RENAMED[key]: getattr(options, key) for key in _RENAMED}
    reads = tool.effect is Effect.READ
    if not reads and (options.cache or options.fresh):
        key = "cache" if options.cache else "fresh"
        raise BadConfig(f"{key} is for tools with effect read; {tool.name} is {tool.effect}.")
    changes["category"] = options.category or (Category.LOOKUP if reads else Category.MUTATION)
    changes["cache_seconds"] = float(options.cache or 0)
    changes["fresh_seconds"] = float(options.fresh or 0)
    if options.returns:
        require_sound(options.returns, what=f"returns of {tool.name}")
        changes["returns"] = options.returns
    changes["checks"] = options.checks
    changes["look_up"] = options.lookup
    if options.title:
        changes["title"] = _titled(options.title, tool)
    if options.check:
        changes["check"] = _both(tool.check, _checker(options.check))
    return with_undo(replace(tool, **changes), options.undo)


def with_undo(tool: Tool, undo: Undo | None) -> Tool:
    """The tool with the one that takes its calls back."""
    return replace(tool, undo=(undo.tool, undo.arguments)) if undo else tool


class _Words(string.Formatter):
    """Puts arguments into a title, also such as stand deeper: {address.city}."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        found: Any = kwargs
        for part in field_name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found, field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return NOT_GIVEN if value is None else str(super().format_field(value, format_spec))


def _titled(title: str, tool: Tool) -> Callable[[dict[str, Any]], str]:
    try:
        named = [name for _, name, _, _ in string.Formatter().parse(title) if name is not None]
    except ValueError as error:
        raise BadConfig(f"the title {title!r} can't be read: {error}; write {{{{ for a brace.") from error
    for name in named:
        if wrong := unknown_at(tool.parameters, name):
            raise BadConfig(f"the title names {{{name}}}, but {wrong}")
    defaults = {
        name: schema["default"]
        for name, schema in tool.parameters.get("properties", {}).items()
        if isinstance(schema, dict) and "default" in schema
    }
    return lambda arguments: _Words().vformat(title, (), defaults | arguments)


Checker = Callable[[ToolContext, dict[str, Any]], None]


def _checker(path: str) -> Checker:
    """The function at a dotted path, of context and arguments. Raises BadConfig where there is none."""
    module_name, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # importing a module runs it, and it may raise anything
        raise BadConfig(
            f"check: there is no function {path!r} ({error}); write the dotted path of a function of context and "
            "arguments."
        ) from error
    if not callable(found):
        raise BadConfig(f"check: {path!r} is no function of context and arguments.")
    return found  # type: ignore[no-any-return]


def _both(first: Checker | None, second: Checker) -> Checker:
    def check(context: ToolContext, arguments: dict[str, Any]) -> None:
        if first is not None:
            first(context, arguments)
        second(context, arguments)

    return check

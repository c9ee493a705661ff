"""The arguments of a compensation: "arguments.NAME" and "result.NAME" stand for those of the call that it takes back."""

from collections.abc import Iterator, Mapping
from typing import Any

from agents.tools.arguments import required_by, unknown_at
from agents.tools.spec import Effect, Tool

SOURCES = ("arguments", "result")


class NotTold(Exception):
    """The call doesn't hold what its compensation needs. `str()` says what."""


def wrong_template(tool: Tool, undo: Tool, template: Mapping[str, Any]) -> str:
    """What is wrong with the arguments that `undo` is to be called with; empty where nothing is."""
    if undo.effect is Effect.READ:
        return f"{undo.name} only reads, so it takes nothing back."
    for name in template:
        if wrong := unknown_at(undo.parameters, name):
            return f"in {undo.name}, {wrong}"
    missing = [name for name in required_by(undo.parameters) if name not in template]
    if missing:
        return f"{undo.name} needs {', '.join(missing)} too."
    for path in _paths(dict(template)):
        source, _, name = path.partition(".")
        if source == "arguments" and name and (wrong := unknown_at(tool.parameters, name)):
            return f"{path}: {wrong}"
        fields = ".".join(part for part in name.split(".") if not part.isdecimal())
        told = tool.returns if source == "result" else {}
        if told and fields and (wrong := unknown_at(told, fields, what="field")):
            return f"{path}: in what {tool.name} returns, {wrong}"
    return ""


def filled(template: Any, sources: Mapping[str, Any]) -> Any:
    """The template with what its paths lead to; `sources` holds `arguments` and `result`. Raises NotTold.

    What leads to an argument that was left out is left out too.
    """
    if isinstance(template, dict):
        told = {name: filled(value, sources) for name, value in template.items()}
        return {name: value for name, value in told.items() if value is not _LEFT_OUT}
    if isinstance(template, list):
        return [value for each in template if (value := filled(each, sources)) is not _LEFT_OUT]
    return _at(template, sources) if isinstance(template, str) and _is_path(template) else template


def _at(path: str, sources: Mapping[str, Any]) -> Any:
    found: Any = sources
    for part in path.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif path.startswith("arguments."):
            return _LEFT_OUT
        else:
            raise NotTold(
                f"The result of the call has no {path.partition('.')[2]!r}, which taking it back needs."
            )
    return found


def _paths(template: Any) -> Iterator[str]:
    if isinstance(template, dict | list):
        for value in template.values() if isinstance(template, dict) else template:
            yield from _paths(value)
    elif isinstance(template, str) and _is_path(template):
        yield template


def _is_path(text: str) -> bool:
    source, _, name = text.partition(".")
    return source in SOURCES and (text in SOURCES or (bool(name.strip(".")) and " " not in name))


_LEFT_OUT = object()

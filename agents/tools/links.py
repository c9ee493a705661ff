"""Tools that name other tools: for a check, a dry run, a lookup, a fingerprint, as a fallback, or to take a call back."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from agents.nearest import hint
from agents.tools.arguments import required_by, unknown_at
from agents.tools.asking import Purpose
from agents.tools.checks import with_checks, without_lookups
from agents.tools.spec import Effect, Preview, Tool, ToolContext
from agents.tools.undo import wrong_template
from traces.redaction import redact

FACTS = 20  # of a dry run that are shown
FACT_CHARS = 500
KEY = "idempotency_key"  # of a lookup: the argument that takes the key under which the call was sent

Wrong = tuple[list[str | int], str]  # the place below the tool, and what is wrong there


def linked(tools: dict[str, Tool]) -> dict[str, Tool]:
    """The tools with the checks, dry runs, fingerprints and lookups that need others of them."""
    # What is asked beside a call asks nothing itself: else two lookups that check each other would never end.
    asked = {name: with_checks(without_lookups(tool), {}) for name, tool in tools.items()}
    return {
        name: _with_lookup(_with_fingerprint(_with_dry_run(with_checks(tool, asked), asked), asked), asked)
        for name, tool in tools.items()
    }


def wrong_links(tool: Tool, tools: dict[str, Tool], *, fallback: bool, undo: bool) -> Iterator[Wrong]:
    """What can't be done as the tool says it. `fallback` and `undo`: whether these are to be looked at too."""
    for name, check in tool.checks.items():
        if wrong := unknown_at(tool.parameters, name):
            yield ["checks", name], wrong
        if check.exists:
            argument = check.exists.argument or name.rpartition(".")[2]
            if wrong := _no_read(check.exists.tool, tools) or _no_lookup(tools[check.exists.tool], argument):
                yield ["checks", name, "exists"], wrong
    named = (("dry_run", tool.dry_run), ("fingerprint", tool.fingerprint_by), ("lookup", tool.look_up))
    for option, name in named:
        if name and (wrong := _no_read(name, tools) or _needs_more(tool, tools[name], option)):
            yield [option], wrong
    if fallback and tool.fallback and tool.fallback not in tools:
        yield ["fallback"], _lacks(tool.fallback, tools)
    if undo and tool.undo:
        name, template = tool.undo
        if name not in tools:
            yield ["undo", "tool"], _lacks(name, tools)
        elif wrong := wrong_template(tool, tools[name], template):
            yield ["undo", "arguments"], wrong


def _lacks(name: str, tools: dict[str, Tool]) -> str:
    return f"the agent doesn't have the tool {name!r}; {hint(name, tools)}"


def _no_read(name: str, tools: dict[str, Tool]) -> str:
    if name not in tools:
        return _lacks(name, tools)
    effect = tools[name].effect
    if effect is Effect.READ:
        return ""
    reads = [each.name for each in tools.values() if each.effect is Effect.READ]
    return (
        f"{name} is {effect}; only a tool with effect read can be asked. Reads: {', '.join(reads) or 'none'}."
    )


def _no_lookup(lookup: Tool, argument: str) -> str:
    if wrong := unknown_at(lookup.parameters, argument):
        return f"in {lookup.name}, {wrong} Say which with exists: {{tool: {lookup.name}, argument: ...}}."
    others = [name for name in required_by(lookup.parameters) if name != argument]
    return f"{lookup.name} needs {', '.join(others)} beside {argument}." if others else ""


def _needs_more(tool: Tool, asked: Tool, option: str) -> str:
    given = {KEY} if option == "lookup" else set()
    needed = [
        name
        for name in required_by(asked.parameters)
        if name not in given and unknown_at(tool.parameters, name)
    ]
    return f"{asked.name} needs {', '.join(needed)}, which {tool.name} doesn't have." if needed else ""


def _with_dry_run(tool: Tool, tools: dict[str, Tool]) -> Tool:
    if not tool.dry_run:
        return tool
    name = tool.dry_run

    def preview(context: ToolContext, arguments: dict[str, Any]) -> Preview:
        return _as_preview(_ask(tools.get(name), name, context, arguments, Purpose.PREVIEW), name)

    return replace(tool, preview=preview)


def _with_fingerprint(tool: Tool, tools: dict[str, Tool]) -> Tool:
    if not tool.fingerprint_by:
        return tool
    name = tool.fingerprint_by

    def fingerprint(context: ToolContext, arguments: dict[str, Any]) -> Any:
        return _ask(tools.get(name), name, context, arguments, Purpose.FINGERPRINT)

    return replace(tool, fingerprint=fingerprint)


def _with_lookup(tool: Tool, tools: dict[str, Tool]) -> Tool:
    if not tool.look_up:
        return tool
    name = tool.look_up

    def lookup(context: ToolContext, arguments: dict[str, Any]) -> Any:
        given = {**arguments, KEY: context.idempotency_key}
        return _ask(tools.get(name), name, context, given, Purpose.LOOKUP)

    return replace(tool, lookup=lookup)


def _ask(
    asked: Tool | None, name: str, context: ToolContext, arguments: dict[str, Any], purpose: Purpose
) -> Any:
    """What a read returns for those of `arguments` that it takes."""
    if asked is None:
        raise LookupError(f"{name} is gone")
    taken = {each: value for each, value in arguments.items() if not unknown_at(asked.parameters, each)}
    return redact(context.ask(asked, taken, purpose))


def _as_preview(data: Any, name: str) -> Preview:
    """What a dry run returned, as the approver sees it: its text or its `summary` first, then the rest by name."""
    if isinstance(data, str):
        return Preview(_shown(data))
    if not isinstance(data, dict):
        return Preview(f"{name} says:", facts={"result": _shown(data)})
    summary = data.get("summary")
    told = {
        key: _shown(value) for key, value in data.items() if key != "summary" or not isinstance(summary, str)
    }
    facts = dict(list(told.items())[:FACTS])
    if len(told) > FACTS:
        facts["…"] = f"and {len(told) - FACTS} more"
    return Preview(_shown(summary) if isinstance(summary, str) else f"{name} says:", facts=facts)


def _shown(value: Any) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= FACT_CHARS else f"{text[:FACT_CHARS]}…"

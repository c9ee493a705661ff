"""From the pinned tools of a server to those that an agent is granted."""

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from agents.config.tools import McpServer, ToolOptions
from agents.exceptions import BadConfig
from agents.models import PinnedTool
from agents.tools import pins
from agents.tools.mcp.reach import key_of
from agents.tools.mcp.schemas import without_patterns
from agents.tools.options import with_options
from agents.tools.spec import Effect, Tool, ToolContext
from approvals.digest import digest_of

NAME_MAX = 64  # what all providers of models take


@dataclass(frozen=True, slots=True)
class Target:
    """The tool that is called, as it is pinned."""

    spec: McpServer
    name: str  # as the server calls it
    digest: str  # of the pinned definition
    timeout: float  # s
    effect: Effect


def expand(spec: McpServer) -> list[Tool]:
    """The tools that are included, as they are pinned. Raises BadConfig for names that no tool has.

    A process makes them anew where one of them stands otherwise than before: a server may have hundreds.
    """
    key, text = key_of(spec), spec.model_dump_json()
    while True:
        with suppress(_Moved):
            return list(_expanded(_Asked(key, text, pins.standing(key), spec)))


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that the granted tools depend on."""

    key: str
    text: str
    standing: tuple[pins.Standing, ...]
    spec: McpServer = field(compare=False)  # which `text` tells


class _Moved(Exception):
    """A tool changed between two looks at it."""


@lru_cache(maxsize=200)
def _expanded(asked: _Asked) -> tuple[Tool, ...]:
    spec = asked.spec
    rows = pins.require_listed(asked.key, what=f"The MCP server {spec.name}")
    if pins.standing_of(rows) != asked.standing:
        raise _Moved
    _require_known(spec, [row.name for row in rows])
    granted = [row for row in rows if _is_granted(spec, row.name)]
    names = _names(spec, granted)
    return tuple(_tool(spec, asked.key, row, names[row.name]) for row in granted)


def _tool(spec: McpServer, key: str, row: PinnedTool, name: str) -> Tool:
    options = spec.options.get(row.name, ToolOptions())
    # What the server says of its effect is a hint for people: only the agent's file decides.
    effect = Effect(spec.effects.get(row.name, spec.default_effect))
    target = Target(spec, row.name, row.digest, options.timeout, effect)
    tool = Tool(
        name=name,
        description=row.definition["description"] or f"{row.name} of {spec.name}",
        parameters=without_patterns(row.definition["parameters"]),
        run=_calling(target),
        source=f"mcp:{spec.name}/{row.name}",
        digest=digest_of(
            {"tool": row.digest, "server": key, "effect": effect, "idempotent": options.idempotent}
        ),
        effect=effect,
        egress=row.name in spec.egress,
        suspended=pins.suspended(row),
    )
    return with_options(tool, options)


def _calling(target: Target) -> Callable[[ToolContext, dict[str, Any]], Any]:
    def run(context: ToolContext, arguments: dict[str, Any]) -> Any:
        from agents.tools.mcp.calls import call  # the SDK takes a second to import

        return call(target, context, arguments)

    return run


def _is_granted(spec: McpServer, name: str) -> bool:
    included = any(fnmatchcase(name, pattern) for pattern in spec.include)
    return included and not any(fnmatchcase(name, pattern) for pattern in spec.exclude)


def _require_known(spec: McpServer, known: list[str]) -> None:
    for where, patterns in (("include", spec.include), ("exclude", spec.exclude)):
        for pattern in patterns:
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in known):
                raise _unknown(spec, where, pattern, known)
    for where, names in (("effects", spec.effects), ("egress", spec.egress), ("options", spec.options)):
        for name in names:
            if name not in known:
                raise _unknown(spec, where, name, known)


def _unknown(spec: McpServer, where: str, name: str, known: list[str]) -> BadConfig:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    hint = f"Did you mean {near[0]!r}?" if near else f"Its tools: {shown or 'none'}."
    return BadConfig(f"{where}: the MCP server {spec.name} has no tool {name!r}. {hint}")


def _names(spec: McpServer, rows: Iterable[PinnedTool]) -> dict[str, str]:
    """For each tool a name that models take, its own where that is possible.

    A tool that nobody has looked at never takes the name of another: rules know tools by their names.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for row in sorted(rows, key=lambda row: (row.state != PinnedTool.State.PINNED, row.name)):
        name = re.sub(r"[^A-Za-z0-9_-]", "_", spec.prefix + row.name)
        name = name if name[0].isalpha() else f"t_{name}"
        if len(name) > NAME_MAX or name in taken:
            mark = hashlib.sha256(row.name.encode()).hexdigest()[:8]
            name = f"{name[: NAME_MAX - 9]}_{mark}"
        taken.add(name)
        names[row.name] = name
    return names

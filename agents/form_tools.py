"""The tools of an agent as a form shows them: Python functions to tick, and all others as YAML."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agents.config import AgentConfig
from agents.config.tools import KINDS
from agents.shorthand import as_list, short_tool

OTHER_TOOLS_HELP = (
    "Dotted paths of functions with @tool, one a line, such as shop.tools.get_order. For more than those, write a YAML "
    "list, as in an agent file:\n"
    "- shop.tools.get_order\n"
    "- {python: shop.tools.ship, checks: {order_id: {exists: get_order}}}\n"
    "- http: {name: get_invoice, description: An invoice., method: GET, url: 'https://.../{invoice_id}', arguments: "
    "{invoice_id: string}, effect: read}\n"
    "- openapi: {url: 'https://.../openapi.json', include: [listOrders], effects: {listOrders: read}}\n"
    "- mcp: {name: shop, command: [python, server.py], effects: {get_order: read}}"
)

Entry = dict[str, Any]


def written(config: AgentConfig, known: Collection[str]) -> tuple[list[str], str]:
    """The paths to tick, and the text for all other tools. `known`: the paths that can be ticked."""
    stored = config.model_dump(mode="json", exclude_defaults=True).get("tools", [])
    others = [tool for tool in stored if tool.keys() != {"python"} or tool["python"] not in known]
    ticked = [tool["python"] for tool in stored if tool not in others]
    if all(tool.keys() == {"python"} for tool in others):
        return ticked, "\n".join(tool["python"] for tool in others)
    return ticked, as_list(
        [tool["python"] if tool.keys() == {"python"} else short_tool(tool) for tool in others]
    )


def read(document: Any) -> list[Entry]:
    """The entries of a text that was read as YAML: paths, or a list. Raises ValueError where it is neither."""
    if document is None:
        return []
    if isinstance(document, str):
        return [{"python": path} for path in document.split()]
    if not isinstance(document, list):
        raise ValueError(
            f"Write a list, each item a path or one of {', '.join(KINDS)}, on a line with a dash."
        )
    return [{"python": item} if isinstance(item, str) else item for item in document]


def in_order(
    ticked: Sequence[str], others: Sequence[Entry], before: Sequence[Mapping[str, Any]]
) -> list[tuple[Entry, int | None]]:
    """All tools in the order that they had before, so that saving without a change is no change.

    With each goes its place among `others`, None for one that was ticked.
    """
    chosen: list[tuple[Entry, int | None]] = [({"python": path}, None) for path in ticked]
    chosen += [(entry, place) for place, entry in enumerate(others)]
    places = {_identity(entry): place for place, entry in reversed(list(enumerate(before)))}
    return sorted(chosen, key=lambda each: places.get(_identity(each[0]), len(before)))


def _identity(entry: Any) -> str:
    """What stays the same of a tool's entry while somebody edits it: the kind, and the name or the address."""
    if not isinstance(entry, Mapping) or not entry:
        return ""
    for kind in KINDS:
        value = entry.get(kind)
        if value:
            name = value.get("name") or value.get("url") if isinstance(value, Mapping) else value
            return json.dumps([kind, name], default=str)
    return ""

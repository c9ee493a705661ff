"""What a server tells of its tools, bounded, and compared with what is pinned."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import structlog
from django.db import connection as database
from django.utils import timezone
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from mcp.types import Tool

from agents.config.tools import McpServer
from agents.models import ToolSource
from agents.tools import pins
from agents.tools.mcp.connection import Listing
from agents.tools.mcp.reach import place_of
from agents.tools.mcp.schemas import require_plain
from approvals.digest import digest_of
from approvals.exceptions import Invalid
from traces.storable import storable

log = structlog.get_logger(__name__)

NAME_MAX = 200
DESCRIPTION_MAX = 20_000
SCHEMA_MAX = 100_000  # characters as JSON


def note(spec: McpServer, key: str, listing: Listing) -> None:
    """Compare what the server told with what is pinned, and suspend what differs."""
    pins.note_listing(
        kind=ToolSource.Kind.MCP,
        key=key,
        name=spec.name,
        place=place_of(spec),
        definitions=_definitions(spec, listing.tools),
        now=timezone.now(),
    )
    listing.noted = True


def note_by_itself(spec: McpServer, key: str, listing: Listing, noting: threading.Lock) -> None:
    """The same in a thread of its own, for a server that is pinned."""
    try:
        with noting:
            if not listing.noted and ToolSource.objects.filter(key=key).exists():
                note(spec, key, listing)
    finally:
        database.close()


def _definitions(spec: McpServer, tools: list[Tool]) -> Iterator[pins.Definition]:
    names: set[str] = set()
    for tool in tools:
        definition = pins.Definition(
            name=tool.name,
            description=tool.description or "",
            parameters=tool.input_schema,
            hints=_hints(tool),
        )
        if trouble := _trouble(definition) or ("it is there twice" if tool.name in names else ""):
            log.warning("mcp.tool_left_out", server=spec.name, tool=tool.name[:NAME_MAX], why=trouble)
            continue
        names.add(tool.name)
        yield definition


def _hints(tool: Tool) -> dict[str, Any]:
    hints = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else {}
    if tool.title:
        hints["title"] = tool.title
    if tool.output_schema is not None:
        hints["outputSchema"] = tool.output_schema
    return hints


def _trouble(definition: pins.Definition) -> str:
    """Why nobody can be offered this tool; empty: there is no reason."""
    if not 0 < len(definition.name) <= NAME_MAX:
        return f"its name has {len(definition.name)} characters"
    if storable(definition.name) != definition.name:
        return "its name has characters that can't be stored"
    if len(definition.description) > DESCRIPTION_MAX:
        return f"its description has {len(definition.description):,} characters"
    try:
        size = len(json.dumps([definition.parameters, definition.hints]))
        if size > SCHEMA_MAX:
            return f"its schemas have {size:,} characters"
        require_plain(definition.parameters)
        Draft202012Validator.check_schema(definition.parameters)
        digest_of(definition.stored())
    except (SchemaError, Invalid, ValueError, RecursionError) as error:
        return f"its schema can't be used: {str(error)[:200]}"
    return ""

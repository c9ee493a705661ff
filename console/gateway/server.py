"""The MCP server: which tools a program sees, and what its calls become."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool

from agents.tools.spec import Effect, Tool
from console.gateway import calling, own_tools
from console.gateway.answers import refused
from console.gateway.caller import STATE, Caller
from console.gateway.threads import in_thread
from traces.storable import storable

INSTRUCTIONS = """
Every call passes a gate. Reads mostly run at once; what changes the world may wait for a person. While it waits you
hear of its progress; if that takes too long, the answer is {"status": "pending", ...} and nothing was done yet: ask
get_approval with its approval_id later. Don't repeat the call: a person may be looking at it.
""".strip()

PAGE = 500  # tools
CURSOR_DIGITS = 9


async def list_tools(
    context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
) -> ListToolsResult:
    """The tools that the caller was granted, and the gateway's own."""
    caller = _caller(context)
    granted = await in_thread(caller.tools)
    # A server must not speak in the name of the gateway's own tools.
    others = (_listed(tool) for name, tool in granted.items() if name not in own_tools.NAMES)
    listed = [*own_tools.listed(caller), *others]
    cursor = params.cursor if params else None
    start = int(cursor) if cursor and cursor.isdecimal() and len(cursor) <= CURSOR_DIGITS else 0
    following = str(start + PAGE) if len(listed) > start + PAGE else None
    return ListToolsResult(tools=listed[start : start + PAGE], next_cursor=following)


async def call_tool(context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
    """Carry out one call, or tell what it waits for."""
    caller = _caller(context)
    name, arguments = storable(params.name), storable(params.arguments or {})
    asked = _asked(context)
    if name in own_tools.NAMES:
        caller.key = asked.key
        return await own_tools.call(caller, name, arguments)
    if not caller.agent:
        return refused(
            f"There is no tool {name!r}: this token is bound to no agent, and was granted none. "
            f"Its tools: {', '.join(sorted(own_tools.NAMES))}."
        )
    return await calling.call(caller, name, arguments, asked=asked, report=context.session.report_progress)


def _asked(context: ServerRequestContext[Any, Any]) -> calling.Asked:
    """What the caller wants of this call: how long to wait, and its key."""
    meta: Mapping[str, Any] = storable(context.meta or {})
    prefer = context.request.headers.get("prefer", "") if context.request is not None else ""
    return calling.Asked.of(meta, prefer)


def _caller(context: ServerRequestContext[Any, Any]) -> Caller:
    caller = context.request.scope.get(STATE) if context.request is not None else None
    if not isinstance(caller, Caller):
        raise TypeError("A request came without a caller.")
    return caller


def _listed(tool: Tool) -> ListedTool:
    words = [tool.description, tool.when_to_use, tool.when_not_to_use and f"Not for: {tool.when_not_to_use}"]
    return ListedTool(
        name=tool.name,
        description=" ".join(word for word in words if word),
        input_schema={"type": "object", **tool.parameters},
        annotations=ToolAnnotations(
            read_only_hint=tool.effect is Effect.READ,
            destructive_hint=tool.effect is Effect.IRREVERSIBLE,
            idempotent_hint=tool.idempotent,
            open_world_hint=tool.egress,
        ),
    )


def _no_headers(tool: str) -> None:
    """No tool takes an argument by a header, so nothing has to be listed at each call to compare them."""


server: Server[Any] = Server(
    "gatehouse",
    title="Gatehouse",
    version=version("gatehouse"),
    instructions=INSTRUCTIONS,
    get_tool_input_schema=_no_headers,
    on_list_tools=list_tools,
    on_call_tool=call_tool,
)

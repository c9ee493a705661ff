"""From the tools that a version names to the tools that can be called."""

import importlib
import pkgutil
import sys
from dataclasses import replace
from functools import cache
from typing import Any

from agents.config import MAX_TOOLS, AgentConfig
from agents.config.tools import ToolRef
from agents.exceptions import BadConfig, require_none
from agents.memory.scratchpad import SCRATCHPAD
from agents.memory.stored_results import RECALL_RESULT
from agents.nearest import nearest
from agents.tools import http, mcp, openapi
from agents.tools.links import linked, wrong_links
from agents.tools.options import with_undo
from agents.tools.spec import Tool

RESERVED = frozenset(tool.name for tool in (*SCRATCHPAD, RECALL_RESULT))
GATEWAY_TOOLS = frozenset(
    {"request_approval", "get_approval", "start_run", "get_run"}
)  # beside those of an agent


@cache
def load_tool(path: str) -> Tool:
    """The tool at a dotted path. Raises BadConfig where there is none."""
    module_name, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # importing a module runs it, and it may raise anything
        near = nearest(path, _around(module_name))
        meant = f"Did you mean {near!r}?" if near else "Write the dotted path of a function with @tool."
        raise BadConfig(f"There is no tool {path!r} ({error}). {meant}") from error
    if not isinstance(found, Tool):
        raise BadConfig(f"{path!r} is not a tool: put @tool above the function.")
    return found


def _around(module_name: str) -> list[str]:
    """The dotted paths of the tools in a module; of one that is missing, those in the modules beside it."""
    package, _, _ = module_name.rpartition(".")
    found = [name for name in (module_name, package) if name in sys.modules]
    if not found:
        return []
    module = sys.modules[found[0]]
    beside = (
        [each.name for each in pkgutil.iter_modules(module.__path__)] if hasattr(module, "__path__") else []
    )
    known = [module, *(sys.modules[path] for name in beside if (path := f"{found[0]}.{name}") in sys.modules)]
    return [
        f"{each.__name__}.{name}"
        for each in known
        for name, value in vars(each).items()
        if isinstance(value, Tool)
    ]


def ask_sources(config: AgentConfig) -> None:
    """Check what tools reach for, and ask servers and documents that were never asked. Raises BadConfig with every place."""
    wrong: list[dict[str, Any]] = []
    for place, reference in enumerate(config.tools):
        try:
            if reference.http:
                http.check(reference.http)
            elif reference.openapi:
                openapi.ask(reference.openapi)
            elif reference.mcp:
                mcp.ask(reference.mcp)
        except BadConfig as error:
            wrong += _located(error, ["tools", place, reference.kind])
    require_none(wrong)


def tools_of(config: AgentConfig) -> dict[str, Tool]:
    """The granted tools by name: these and no others can be called.

    Beside the tools that the agent names, it has those that its memory brings. The one that reads large results is
    granted to a run when it has such a result (`agents.memory.stored_results.granted`). A tool that its server
    changed is among them, suspended. Raises BadConfig, with every place, for two of one name, for tools that are
    gone, and for such as need another that the agent lacks.
    """
    tools: dict[str, Tool] = {tool.name: tool for tool in SCRATCHPAD} if config.memory.scratchpad else {}
    wrong: list[dict[str, Any]] = []
    named: dict[str, tuple[int, ToolRef]] = {}
    for place, reference in enumerate(config.tools):
        path = ["tools", place, reference.kind]
        try:
            found = _tools(reference)
        except BadConfig as error:
            wrong += _located(error, path)
            continue
        for tool in found:
            other = tools.get(tool.name)
            if tool.suspended and (other or tool.name in RESERVED):
                continue  # a server must not break an agent by having one more tool
            if tool.name in RESERVED:
                message = f"{tool.name!r} is the name of a built-in tool: give {tool.source} another."
                wrong.append({"path": path, "message": message})
            elif other and not other.suspended:
                message = f"Two tools are called {tool.name!r}: {other.source} and {tool.source}."
                wrong.append({"path": path, "message": message})
            else:
                tools[tool.name] = tool
                named[tool.name] = (place, reference)
    offered = sum(not tools[name].suspended for name in named)
    if config.pattern != "gateway" and offered > MAX_TOOLS:
        message = f"{offered} tools; at most {MAX_TOOLS}, better 5 to 7: include fewer, or split the agent."
        wrong.append({"path": ["tools"], "message": message})
    require_none(wrong)
    for name, (place, reference) in named.items():
        tool = tools[name]
        stated = not reference.python
        for below, message in wrong_links(
            tool, tools, fallback=stated, undo=stated or reference.undo is not None
        ):
            wrong.append(
                {"path": ["tools", place, *_options_at(reference, tool), *below], "message": message}
            )
    require_none(wrong)
    return linked(tools)


def _tools(reference: ToolRef) -> list[Tool]:
    if reference.http:
        return [http.build(reference.http)]
    if reference.openapi:
        return openapi.expand(reference.openapi)
    if reference.mcp:
        return mcp.expand(reference.mcp)
    tool = with_undo(load_tool(reference.python), reference.undo)
    return [replace(tool, checks=reference.checks) if reference.checks else tool]


def _options_at(reference: ToolRef, tool: Tool) -> list[str]:
    """Where below a reference that is said which holds for one of its tools."""
    if reference.python:
        return []
    for source in (reference.openapi, reference.mcp):
        for name, options in source.options.items() if source else ():
            if options.checks is tool.checks:
                return [reference.kind, "options", name]
    return [reference.kind]


def _located(error: BadConfig, path: list[Any]) -> list[dict[str, Any]]:
    """What was found wrong, with its place in the configuration."""
    return error.errors or [{"path": path, "message": str(error)}]

"""From the tools that a version names to the tools that can be called."""

import importlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from agents.config import AgentConfig
from agents.config.tools import ToolRef
from agents.exceptions import BadConfig
from agents.memory.scratchpad import SCRATCHPAD
from agents.memory.stored_results import RECALL_RESULT
from agents.tools import http, mcp, openapi
from agents.tools.options import with_undo
from agents.tools.spec import Tool

RESERVED = frozenset(tool.name for tool in (*SCRATCHPAD, RECALL_RESULT))


@cache
def load_tool(path: str) -> Tool:
    """The tool at a dotted path. Raises BadConfig where there is none."""
    module_name, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # importing a module runs it, and it may raise anything
        raise BadConfig(
            f"There is no tool {path!r} ({error}); write the dotted path of a function with @tool."
        ) from error
    if not isinstance(found, Tool):
        raise BadConfig(f"{path!r} is not a tool: put @tool above the function.")
    return found


def ask_sources(config: AgentConfig) -> None:
    """Ask the servers and documents that were never asked what tools they have. Raises BadConfig."""
    for place, reference in enumerate(config.tools):
        with_place = ["tools", place, reference.kind]
        if reference.openapi:
            _at(with_place, lambda ref=reference.openapi: openapi.ask(ref))  # type: ignore[misc]
        elif reference.mcp:
            _at(with_place, lambda ref=reference.mcp: mcp.ask(ref))  # type: ignore[misc]


def tools_of(config: AgentConfig) -> dict[str, Tool]:
    """The granted tools by name: these and no others can be called. Raises BadConfig for two of one name.

    Beside the tools that the agent names, it has those that its memory brings. The one that reads large results is
    granted to a run when it has such a result (`agents.memory.stored_results.granted`). A tool that its server
    changed is among them, suspended.
    """
    tools: dict[str, Tool] = {tool.name: tool for tool in SCRATCHPAD} if config.memory.scratchpad else {}
    for path, found in _found(config):
        if found.suspended and (found.name in RESERVED or found.name in tools):
            continue  # a server must not break an agent by having one more tool
        if found.name in tools and tools[found.name].suspended:
            del tools[found.name]
        if found.name in RESERVED:
            message = f"{found.name!r} is the name of a built-in tool: give {found.source} another."
            raise BadConfig(message, errors=[{"path": path, "message": message}])
        if found.name in tools:
            message = f"Two tools are called {found.name!r}: {tools[found.name].source} and {found.source}."
            raise BadConfig(message, errors=[{"path": path, "message": message}])
        tools[found.name] = found
    return tools


def _found(config: AgentConfig) -> Iterator[tuple[list[Any], Tool]]:
    for place, reference in enumerate(config.tools):
        path = ["tools", place, reference.kind]
        for tool in _at(path, lambda ref=reference: _tools(ref)):  # type: ignore[misc]
            yield path, tool


def _tools(reference: ToolRef) -> list[Tool]:
    if reference.http:
        return [http.build(reference.http)]
    if reference.openapi:
        return openapi.expand(reference.openapi)
    if reference.mcp:
        return mcp.expand(reference.mcp)
    return [with_undo(load_tool(reference.python), reference.undo)]


def _at(path: list[Any], find: Callable[[], Any]) -> Any:
    """What `find` returns; what it finds wrong is told with its place in the configuration."""
    try:
        return find()
    except BadConfig as error:
        errors = [{"path": path, "message": str(error)}]
        raise BadConfig(str(error), errors=error.errors or errors) from error

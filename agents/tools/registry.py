"""From the tools that a version names to the tools that can be called."""

import importlib
from functools import cache

from agents.config import AgentConfig
from agents.exceptions import BadConfig
from agents.memory.scratchpad import SCRATCHPAD
from agents.memory.stored_results import RECALL_RESULT
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


def tools_of(config: AgentConfig) -> dict[str, Tool]:
    """The granted tools by name: these and no others can be called. Raises BadConfig for two of one name.

    Beside the tools that the agent names, it has those that its memory brings. The one that reads large results is
    granted to a run when it has such a result (`agents.memory.stored_results.granted`).
    """
    tools: dict[str, Tool] = {tool.name: tool for tool in SCRATCHPAD} if config.memory.scratchpad else {}
    for place, reference in enumerate(config.tools):
        path = ["tools", place, "python"]
        try:
            found = load_tool(reference.python)
        except BadConfig as error:
            raise BadConfig(str(error), errors=[{"path": path, "message": str(error)}]) from error
        if found.name in RESERVED:
            message = f"{found.name!r} is the name of a built-in tool: give {found.source} another."
            raise BadConfig(message, errors=[{"path": path, "message": message}])
        if found.name in tools:
            message = f"Two tools are called {found.name!r}: {tools[found.name].source} and {found.source}."
            raise BadConfig(message, errors=[{"path": path, "message": message}])
        tools[found.name] = found
    return tools

"""From the tools that a version names to the tools that can be called."""

import importlib
from functools import cache

from agents.config import AgentConfig
from agents.exceptions import BadConfig
from agents.tools.spec import Tool


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
    """The granted tools by name: these and no others can be called. Raises BadConfig for two of one name."""
    tools: dict[str, Tool] = {}
    for place, reference in enumerate(config.tools):
        path = ["tools", place, "python"]
        try:
            found = load_tool(reference.python)
        except BadConfig as error:
            raise BadConfig(str(error), errors=[{"path": path, "message": str(error)}]) from error
        if found.name in tools:
            message = f"Two tools are called {found.name!r}: {tools[found.name].source} and {found.source}."
            raise BadConfig(message, errors=[{"path": path, "message": message}])
        tools[found.name] = found
    return tools

"""Tools: what an agent can do. `from agents.tools import tool` is all that a tool's author needs."""

from agents.tools.python import tool
from agents.tools.results import Denied, NotFound, ToolFailure, UnknownOutcome
from agents.tools.spec import Category, Change, Effect, Preview, Tool, ToolContext

__all__ = [
    "Category",
    "Change",
    "Denied",
    "Effect",
    "NotFound",
    "Preview",
    "Tool",
    "ToolContext",
    "ToolFailure",
    "UnknownOutcome",
    "tool",
]

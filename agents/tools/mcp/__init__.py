"""Tools of MCP servers."""

from agents.config.tools import McpServer
from agents.exceptions import BadConfig
from agents.tools.spec import Tool


def ask(spec: McpServer) -> None:
    """List the server's tools and pin them. Raises BadConfig where it can't be reached."""
    raise BadConfig("not built yet")


def expand(spec: McpServer) -> list[Tool]:
    """The tools that are included, as they are pinned. Raises BadConfig."""
    raise BadConfig("not built yet")


def key_of(spec: McpServer) -> str:
    """The key under which its tools are pinned."""
    raise BadConfig("not built yet")

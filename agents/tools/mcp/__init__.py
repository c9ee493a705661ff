"""Tools of MCP servers."""

import time

from agents.config.tools import McpServer
from agents.exceptions import BadConfig
from agents.models import ToolSource
from agents.tools.mcp import reach
from agents.tools.mcp.granting import expand
from agents.tools.mcp.reach import Unreachable, key_of
from agents.tools.results import ToolFailure

__all__ = ["ask", "expand", "key_of", "list_again"]


def ask(spec: McpServer) -> None:
    """List the server's tools and pin them, unless they are pinned. Raises BadConfig where it can't be reached."""
    reach.check(spec)
    if not ToolSource.objects.filter(key=key_of(spec)).exists():
        list_again(spec)


def list_again(spec: McpServer) -> None:
    """Ask the server what tools it has now, and compare them with what is pinned. Raises BadConfig."""
    from agents.tools.mcp.sessions import session_of  # the SDK takes a second to import

    try:
        session_of(spec).ready(time.monotonic() + spec.start_timeout + 1, anew=True)
    except (Unreachable, ToolFailure) as error:
        raise BadConfig(str(error)) from error

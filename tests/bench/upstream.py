"""An MCP server with one tool that reads, over HTTP on the port that is its argument: what the gateway stands before."""

import sys

from mcp.server.mcpserver import MCPServer

from tests.bench import work

server = MCPServer("upstream")


@server.tool()
def look(number: int) -> dict[str, object]:
    """Look something up."""
    return work.result(number)


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]), stateless_http=True)

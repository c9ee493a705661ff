"""The MCP gateway at /mcp: other programs' agents call the tools that they were granted, through the one gate."""

"""MCP servers for tests: programs of their own, honest and otherwise."""

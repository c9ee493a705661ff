claude mcp add --transport http gatehouse http://127.0.0.1:8000/mcp --header "Authorization: Bearer gth_..."

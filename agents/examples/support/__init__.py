"""A web shop whose customers write to it: data, tools, tickets and scripts of the first example."""

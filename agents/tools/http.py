"""HTTP endpoints as tools."""

from agents.config.tools import HttpTool
from agents.exceptions import BadConfig
from agents.tools.spec import Tool


def build(spec: HttpTool) -> Tool:
    """The tool that makes this request."""
    raise BadConfig("not built yet")

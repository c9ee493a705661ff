"""Operations of an API as tools, by its OpenAPI document."""

from agents.config.tools import OpenApi
from agents.exceptions import BadConfig
from agents.tools.spec import Tool


def ask(spec: OpenApi) -> None:
    """Read the document and pin what it tells. Raises BadConfig where it can't be read."""
    raise BadConfig("not built yet")


def expand(spec: OpenApi) -> list[Tool]:
    """The tools of the operations that are included, as they are pinned. Raises BadConfig."""
    raise BadConfig("not built yet")


def key_of(spec: OpenApi) -> str:
    """The key under which its operations are pinned."""
    raise BadConfig("not built yet")

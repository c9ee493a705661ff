"""The servers and documents that live agents name, and asking one of them again."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import ValidationError

from agents.config.tools import McpServer, OpenApi
from agents.exceptions import BadConfig
from agents.models import Agent, ToolSource
from agents.tools import mcp, openapi, pins

STALE = timedelta(minutes=10)


def agents_with(source: ToolSource) -> list[str]:
    """The names of the agents whose live version names it."""
    return sorted({agent for agent, _ in _named(source)})


def ask_again(source: ToolSource) -> None:
    """Ask it what tools it has now, and compare them with what is pinned. Raises BadConfig."""
    for _, spec in _named(source):
        if isinstance(spec, McpServer):
            mcp.list_again(spec)
        else:
            openapi.refresh(spec)
            source.refresh_from_db()
            if source.error:
                raise BadConfig(source.error)
        return
    raise BadConfig(f"No agent names {source} any more, so nothing says how it is reached.")


def ask_stale(*, now: datetime) -> None:
    """Ask each source that was not asked for a while, so that a change is known before somebody relies on it."""
    for source in ToolSource.objects.filter(listed_at__lt=now - STALE):
        if agents_with(source):
            try:
                ask_again(source)
            except BadConfig as error:
                pins.note_failure(source.key, str(error))


def _named(source: ToolSource) -> Iterator[tuple[str, McpServer | OpenApi]]:
    by_document = source.kind == ToolSource.Kind.OPENAPI
    for agent in Agent.objects.exclude(live_version=None).select_related("live_version__agent"):
        assert agent.live_version is not None
        try:
            references = agent.live_version.parsed.tools
        except ValidationError:  # this release no longer knows a key of it
            continue
        for reference in references:
            if reference.mcp and mcp.key_of(reference.mcp) == source.key:
                yield agent.name, reference.mcp
            elif reference.openapi and by_document and openapi.key_of(reference.openapi) == source.key:
                yield agent.name, reference.openapi

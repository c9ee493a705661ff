"""The servers and documents that live agents name, and asking one of them again."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from pydantic import ValidationError

from agents.config import AgentConfig
from agents.config.tools import McpServer, OpenApi
from agents.exceptions import BadConfig
from agents.models import Agent, PinnedTool, ToolSource
from agents.tools import mcp, openapi, pins
from agents.tools.registry import GATEWAY_TOOLS, tools_of

STALE = timedelta(minutes=10)


def agents_with(source: ToolSource) -> list[str]:
    """The names of the agents whose live version names it."""
    return sorted({agent.name for agent, _ in _named(source)})


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


def accept(tool: PinnedTool, *, actor: User, now: datetime) -> None:
    """Pin the tool as its source tells it now. Raises BadConfig where an agent could not run any more with it."""
    agents = [agent for agent, _ in _named(tool.source)]
    before = {agent.name: _offered(agent) for agent in agents}
    with transaction.atomic():
        pins.accept(tool, actor=actor, now=now)
        for agent in agents:
            if (known := before[agent.name]) is None:
                continue  # it could not run before, either
            try:
                added = {name for name in tools_of(_config(agent)) if name not in known}
            except BadConfig as error:
                raise BadConfig(
                    f"{tool.name} was not accepted: {agent} could not run with it. {error}"
                ) from error
            if _config(agent).pattern == "gateway" and added & GATEWAY_TOOLS:
                raise BadConfig(
                    f"{tool.name} was not accepted: {', '.join(added & GATEWAY_TOOLS)} is a tool of the gateway "
                    f"itself, by which programs reach {agent}: give the server another prefix."
                )


def ask_stale(*, now: datetime) -> None:
    """Ask each source that was not asked for a while, so that a change is known before somebody relies on it."""
    for source in ToolSource.objects.filter(listed_at__lt=now - STALE):
        if agents_with(source):
            try:
                ask_again(source)
            except BadConfig as error:
                pins.note_failure(source.key, str(error))


def _config(agent: Agent) -> AgentConfig:
    assert agent.live_version is not None
    return agent.live_version.parsed


def _offered(agent: Agent) -> set[str] | None:
    """The names of its tools that may be called; None where it can't run as it is."""
    try:
        return {name for name, tool in tools_of(_config(agent)).items() if not tool.suspended}
    except BadConfig:
        return None


def _named(source: ToolSource) -> Iterator[tuple[Agent, McpServer | OpenApi]]:
    by_document = source.kind == ToolSource.Kind.OPENAPI
    for agent in Agent.objects.exclude(live_version=None).select_related("live_version__agent"):
        assert agent.live_version is not None
        try:
            references = agent.live_version.parsed.tools
        except ValidationError:  # this release no longer knows a key of it
            continue
        for reference in references:
            if reference.mcp and mcp.key_of(reference.mcp) == source.key:
                yield agent, reference.mcp
            elif reference.openapi and by_document and openapi.key_of(reference.openapi) == source.key:
                yield agent, reference.openapi

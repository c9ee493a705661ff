"""Agents, as far as callers need to know them."""

from typing import Annotated

from django.http import HttpRequest
from ninja import Path, Query, Router

from agents.models import Agent
from agents.queries import startable_agents
from approvals.access import PEOPLE
from approvals.exceptions import Missing
from console.api.auth import actor_of
from console.api.paging import PageQuery, page
from console.api.shapes import AGENT_NAME, AgentList, AgentOut

router = Router(tags=["agents"])


@router.get("", response=AgentList, operation_id="list_agents", summary="List agents")
def listing(request: HttpRequest, query: Query[PageQuery]) -> AgentList:
    """Those that can be started, newest first."""
    found = page(startable_agents(), query, time="created_at")
    return AgentList(items=[_shape(agent) for agent in found.rows], next=found.next)


@router.get("/{name}", response=AgentOut, operation_id="get_agent", summary="Read an agent")
def read(request: HttpRequest, name: Annotated[str, Path(pattern=AGENT_NAME)]) -> AgentOut:
    """Its live version; people see its whole configuration."""
    agent = startable_agents().filter(name=name).first()
    if agent is None:
        raise Missing(f"There is no agent {name!r} that can be started.")
    return _shape(agent, with_config=bool(actor_of(request).roles & PEOPLE))


def _shape(agent: Agent, *, with_config: bool = False) -> AgentOut:
    version = agent.live_version
    if version is None:
        raise Missing(f"The agent {agent.name!r} has no live version.")
    return AgentOut(
        name=agent.name,
        version=version.number,
        purpose=version.parsed.purpose,
        pattern=version.parsed.pattern,
        published_at=version.published_at,
        config=version.parsed.model_dump(mode="json") if with_config else None,
    )

"""Agents, as far as callers need to know them."""

from typing import Annotated

from django.http import HttpRequest
from ninja import Path, Query, Router

from agents.actions import publish
from agents.advice import warnings
from agents.models import Agent
from agents.queries import startable_agents
from approvals.access import ADMIN, PEOPLE
from approvals.exceptions import Missing
from console.api.auth import MANAGE, READ, actor_of
from console.api.paging import PageQuery, page
from console.api.shapes import AGENT_NAME, AgentIn, AgentList, AgentOut, AgentPublished
from console.people.roles import require_any

router = Router(tags=["agents"], auth=READ)


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


@router.put(
    "/{name}", response=AgentPublished, auth=MANAGE, operation_id="publish_agent", summary="Publish an agent"
)
def put(
    request: HttpRequest, name: Annotated[str, Path(pattern=AGENT_NAME)], body: AgentIn
) -> AgentPublished:
    """By an admin. Makes the agent where it is new; what is live already publishes nothing."""
    actor = actor_of(request)
    require_any(actor, frozenset({ADMIN}), to="publish agents")
    before = startable_agents().filter(name=name).first()
    version, published = publish(name=name, config=body.config, actor=actor.user, note=body.note)
    live = before.live_version if before else None
    told = warnings(version.parsed, live.parsed if live else None) if published else []
    shown = _shape(startable_agents().get(name=name), with_config=True)
    return AgentPublished(**dict(shown), published=published, warnings=list(told))


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

"""Agents, and what they remember."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Schema
from pydantic import Field

from agents.models import MemoryKind
from console.api.shapes.base import Body


class AgentOut(Schema):
    """An agent by its live version."""

    name: str
    version: int
    purpose: str
    pattern: str
    published_at: datetime
    config: dict[str, Any] | None = Field(
        default=None, description="All of it; for people, on the agent's own page."
    )


class AgentIn(Body):
    """A configuration to be published."""

    config: dict[str, Any] = Field(description="As in an agent file, without its name.")
    note: str = Field(default="", max_length=300, description="What changed, and why.")


class AgentPublished(AgentOut):
    """What is live now."""

    published: bool = Field(description="False: this configuration was live already.")
    warnings: list[str] = Field(description="What should be looked at.")


class AgentList(Schema):
    """A page of agents."""

    items: list[AgentOut]
    next: str | None


class MemoryOut(Schema):
    """Something that an agent remembers about one subject."""

    id: UUID
    agent: str
    subject_digest: str
    kind: MemoryKind
    text: str
    tainted: bool = Field(description="It stems from what outsiders wrote.")
    run: UUID | None
    created_at: datetime
    expires_at: datetime | None


class MemoryList(Schema):
    """A page of memories."""

    items: list[MemoryOut]
    next: str | None

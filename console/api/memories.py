"""What agents remember."""

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router
from ninja.responses import Status
from pydantic import Field

from agents.memory.keeping import forget, get_memory, visible_memories
from agents.models import Memory, MemoryKind
from console.api.auth import MANAGE, READ, actor_of
from console.api.paging import PageQuery, page
from console.api.shapes import MemoryList, MemoryOut

router = Router(tags=["memories"], auth=READ)


class MemoryQuery(PageQuery):
    """Which memories."""

    agent: str = Field(default="", max_length=64, pattern=r"^[a-z0-9_-]*$")
    subject: str = Field(default="", pattern=r"^([0-9a-f]{64})?$", description="The digest of a subject.")


@router.get("", response=MemoryList, operation_id="list_memories", summary="List memories")
def listing(request: HttpRequest, query: Query[MemoryQuery]) -> MemoryList:
    """Newest first; for people."""
    rows = visible_memories(actor_of(request))
    if query.agent:
        rows = rows.filter(agent__name=query.agent)
    if query.subject:
        rows = rows.filter(subject_digest=query.subject)
    found = page(rows, query, time="created_at")
    return MemoryList(items=[_shape(memory) for memory in found.rows], next=found.next)


@router.get("/{memory_id}", response=MemoryOut, operation_id="get_memory", summary="Read a memory")
def read(request: HttpRequest, memory_id: UUID) -> MemoryOut:
    """For people."""
    return _shape(get_memory(memory_id, actor=actor_of(request)))


@router.delete(
    "/{memory_id}",
    response={204: None},
    auth=MANAGE,
    operation_id="delete_memory",
    summary="Delete a memory",
)
def delete(
    request: HttpRequest, memory_id: UUID, reason: Annotated[str, Query(max_length=500)] = ""
) -> Status[None]:
    """By an operator or admin; the words go, the audit log keeps that they were, and why they went."""
    forget(memory_id, actor=actor_of(request), reason=reason)
    return Status(204, None)


def _shape(memory: Memory) -> MemoryOut:
    return MemoryOut(
        id=memory.pk,
        agent=memory.agent.name,
        subject_digest=memory.subject_digest,
        kind=MemoryKind(memory.kind),
        text=memory.text,
        tainted=memory.tainted,
        run=memory.run_id,
        created_at=memory.created_at,
        expires_at=memory.expires_at,
    )

"""Memories as people look after them: read, and deleted with a reason; never rewritten."""

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from agents.models import Memory
from approvals.access import ADMIN, OPERATOR, PEOPLE, Actor
from approvals.exceptions import Missing, NotAllowed
from traces.recorder import record


def visible_memories(actor: Actor) -> QuerySet[Memory]:
    """Those that `actor` may see, with their agent: people see all. Raises NotAllowed for programs."""
    if not actor.roles & PEOPLE:
        raise NotAllowed("Memories are for people: the role operator, analyst or admin is needed.")
    return Memory.objects.select_related("agent").defer("embedding")


def get_memory(memory_id: UUID, *, actor: Actor) -> Memory:
    """The memory. Raises NotAllowed, Missing."""
    memory = visible_memories(actor).filter(pk=memory_id).first()
    if memory is None:
        raise Missing(f"There is no memory {memory_id}.")
    return memory


def forget(memory_id: UUID, *, actor: Actor, reason: str = "") -> None:
    """Delete it; the audit log keeps that it was, who deleted it, and why. Raises NotAllowed, Missing."""
    if not actor.roles & {OPERATOR, ADMIN}:
        raise NotAllowed("Deleting a memory needs the role operator or admin; ask an admin for it.")
    with transaction.atomic():
        memory = get_memory(memory_id, actor=actor)
        record(
            "memory.deleted",
            actor=str(actor),
            object_id=memory.pk,
            run_id=memory.run_id,
            data={
                "agent": memory.agent.name,
                "subject_digest": memory.subject_digest,
                "kind": memory.kind,
                "reason": reason,
            },
        )
        memory.delete()

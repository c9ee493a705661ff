"""The emergency stop."""

from typing import Annotated

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router
from ninja.responses import Status

from agents.exceptions import UnknownAgent
from agents.models import Agent
from approvals.halts import halt, lift_halt
from console.api.auth import MANAGE, actor_of
from console.api.idempotency import IdempotencyKey, create_once
from console.api.shapes import HaltIn, HaltOut

router = Router(tags=["halt"], auth=MANAGE)

AgentQuery = Annotated[str, Query(max_length=64, pattern=r"^[a-z0-9_-]*$")]


@router.post("", response={201: HaltOut}, operation_id="halt", summary="Stop an agent, or all")
def press(
    request: HttpRequest, body: HaltIn | None = None, idempotency_key: IdempotencyKey = ""
) -> Status[object]:
    """Nothing is claimed while it stands. Pressing twice is one halt."""
    wanted = body or HaltIn()
    if wanted.agent and not Agent.objects.filter(name=wanted.agent).exists():
        # A misspelt name would stop nothing, and whoever pressed would believe that it did.
        raise UnknownAgent(f"There is no agent {wanted.agent!r}, so nothing was stopped.")

    def create() -> HaltOut:
        row = halt(actor=actor_of(request), now=timezone.now(), agent=wanted.agent, reason=wanted.reason)
        return HaltOut(
            agent=row.agent,
            reason=row.reason,
            halted_by=row.halted_by.get_username(),
            halted_at=row.halted_at,
        )

    return create_once(request, idempotency_key, create)


@router.delete("", response={204: None}, operation_id="lift_halt", summary="Let an agent, or all, go on")
def lift(request: HttpRequest, agent: AgentQuery = "") -> Status[None]:
    """`agent` as it was given when it was pressed."""
    lift_halt(actor=actor_of(request), now=timezone.now(), agent=agent)
    return Status(204, None)

"""The emergency stop."""

from typing import Annotated

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router
from ninja.responses import Status

from agents.exceptions import UnknownAgent
from agents.models import Agent
from agents.tools.known import known_tools
from approvals.exceptions import Invalid
from approvals.halts import halt, lift_halt
from console.api.auth import MANAGE, actor_of
from console.api.idempotency import IdempotencyKey, create_once
from console.api.shapes import HaltIn, HaltOut

router = Router(tags=["halt"], auth=MANAGE)

ToolQuery = Annotated[str, Query(max_length=128)]
AgentQuery = Annotated[str, Query(max_length=64, pattern=r"^[\w.@+:-]*$")]


@router.post("", response={201: HaltOut}, operation_id="halt", summary="Stop an agent, a tool, or all")
def press(
    request: HttpRequest, body: HaltIn | None = None, idempotency_key: IdempotencyKey = ""
) -> Status[object]:
    """Nothing is claimed while it stands. Pressing twice is one halt."""
    wanted = body or HaltIn()
    if wanted.agent and not Agent.objects.filter(name=wanted.agent).exists():
        # A misspelt name would stop nothing, and whoever pressed would believe that it did.
        raise UnknownAgent(f"There is no agent {wanted.agent!r}, so nothing was stopped.")
    if wanted.tool and wanted.tool not in known_tools():
        raise Invalid(f"No agent has a tool {wanted.tool!r}, so nothing was stopped.")

    def create() -> HaltOut:
        row = halt(
            actor=actor_of(request),
            now=timezone.now(),
            agent=wanted.agent,
            tool=wanted.tool,
            reason=wanted.reason,
        )
        return HaltOut(
            agent=row.agent,
            tool=row.tool,
            reason=row.reason,
            halted_by=row.by,
            halted_at=row.halted_at,
        )

    return create_once(request, idempotency_key, create)


@router.delete("", response={204: None}, operation_id="lift_halt", summary="Let an agent, or all, go on")
def lift(request: HttpRequest, agent: AgentQuery = "", tool: ToolQuery = "") -> Status[None]:
    """`agent` and `tool` as they were given when it was pressed."""
    lift_halt(actor=actor_of(request), now=timezone.now(), agent=agent, tool=tool)
    return Status(204, None)

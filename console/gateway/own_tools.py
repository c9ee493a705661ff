"""The gateway's own tools: ask for an approval, start a run, and hear what became of either."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from mcp_types import CallToolResult, ToolAnnotations
from mcp_types import Tool as ListedTool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents import actions
from agents.direct import call_of
from agents.exceptions import AgentError, MissingRun
from agents.masking import hide_in_requests
from agents.models import Run, ToolCall
from agents.queries import get_run as find_run
from agents.questions import require_budget
from agents.states import FINAL_RUN
from agents.tools.registry import GATEWAY_TOOLS
from approvals.access import get_approval as find_approval
from approvals.exceptions import GateError, Missing
from approvals.models import Approval, Decision
from approvals.programs import ask_for_program
from approvals.states import ApprovalStatus
from approvals.unmasking import shown_as
from console.api.idempotency import KeyReused, once
from console.api.runs import shape_run
from console.api.shapes import ApprovalIn, RunIn
from console.api.waiting import MAX_WAIT, wait_until
from console.callbacks.address import check_address
from console.gateway.answers import about_approval, answer, refused, told
from console.gateway.caller import Caller
from console.gateway.threads import in_thread
from console.people.roles import DOERS, require_any

WAITING = (*FINAL_RUN, "waiting_approval", "waiting_input", "paused")  # a person is awaited, or nobody


class Named(BaseModel):
    """What to look at, and how long to wait for news."""

    model_config = ConfigDict(extra="forbid")

    wait: float = Field(0, ge=0, le=MAX_WAIT, description="Seconds to wait for the end.")


class ApprovalRef(Named):
    """Which request."""

    approval_id: UUID


class RunRef(Named):
    """Which run."""

    run_id: UUID


async def request_approval(caller: Caller, wanted: ApprovalIn) -> CallToolResult:
    """Ask a person whether you may do something with a tool of your own. Do it only once the status is approved, with the arguments that come back: a person may have changed them."""

    def ask() -> dict[str, Any]:
        require_any(caller.actor, DOERS, to="ask for approval")
        if wanted.callback_url:
            check_address(wanted.callback_url)
        values = wanted.model_dump()
        values["expires_in"] = values["expires_in"] or settings.APPROVAL_SECONDS
        return _shape(ask_for_program(actor=caller.actor, now=timezone.now(), **values))

    def once_within_budget() -> dict[str, Any]:
        require_budget(caller.actor, now=timezone.now())
        return _once(caller, "request_approval", wanted, ask)

    return told(await in_thread(once_within_budget))


async def get_approval(caller: Caller, ref: ApprovalRef) -> CallToolResult:
    """Where a request stands: pending, approved, denied, expired, withdrawn or cancelled; and what the call came to, where it was one of this gateway's."""

    def look() -> Approval:
        found = find_approval(ref.approval_id, actor=caller.actor)
        if not caller.may_look_at(found.requested_by_id):
            raise Missing(
                f"There is no approval {found.pk} that this token may see: it lacks the scope 'read'."
            )
        hide_in_requests([found], caller.actor)
        return found

    approval = await in_thread(look)
    if ref.wait and approval.status == ApprovalStatus.PENDING:
        pending = Approval.objects.filter(pk=approval.pk, status=ApprovalStatus.PENDING)
        await wait_until(lambda: not pending.all().exists(), seconds=ref.wait)
        approval = await in_thread(look)
    if approval.run_id is not None and approval.status != ApprovalStatus.PENDING:
        over = Run.objects.filter(pk=approval.run_id, status__in=FINAL_RUN)
        if ref.wait:
            await wait_until(lambda: over.all().exists(), seconds=ref.wait)
        if done := await in_thread(_end_of, caller, approval.run_id):
            return done
    return told(await in_thread(_shape, approval))


async def start_run(caller: Caller, wanted: RunIn) -> CallToolResult:
    """Give a task to an agent of the console. Ask get_run with its run_id for the end."""

    def start() -> dict[str, Any]:
        require_any(caller.actor, DOERS, to="start runs")
        run = actions.start_run(actor=caller.actor, **wanted.model_dump())
        return shape_run(run, caller.actor).model_dump(mode="json")

    return told(await in_thread(_once, caller, "start_run", wanted, start))


async def get_run(caller: Caller, ref: RunRef) -> CallToolResult:
    """Where a run stands: its status, why, its output, and the approvals for which it waits."""
    run = await in_thread(_run, caller, ref.run_id)
    if ref.wait and run.status not in WAITING:
        there = Run.objects.filter(pk=run.pk, status__in=WAITING)
        await wait_until(lambda: there.all().exists(), seconds=ref.wait)
    if done := await in_thread(_end_of, caller, ref.run_id):
        return done

    def shape() -> dict[str, Any]:
        return shape_run(_run(caller, ref.run_id), caller.actor).model_dump(mode="json")

    return told(await in_thread(shape))


def _run(caller: Caller, run_id: UUID) -> Run:
    found = find_run(run_id, actor=caller.actor)
    if not caller.may_look_at(found.started_by_id):
        raise MissingRun(f"There is no run {run_id} that this token may see: it lacks the scope 'read'.")
    return found


class Own(NamedTuple):
    """One of the own tools."""

    model: type[BaseModel]
    work: Callable[[Caller, Any], Awaitable[CallToolResult]]
    scope: str = ""  # that the token must have beside mcp; what came of its own calls it may always ask


OWN: Mapping[str, Own] = {
    "request_approval": Own(ApprovalIn, request_approval, "ask"),
    "get_approval": Own(ApprovalRef, get_approval),
    "start_run": Own(RunIn, start_run, "run"),
    "get_run": Own(RunRef, get_run),
}
NAMES = GATEWAY_TOOLS
assert OWN.keys() == NAMES


def listed(caller: Caller) -> list[ListedTool]:
    """The own tools, as a client lists them."""
    return [
        ListedTool(
            name=name,
            description=" ".join((own.work.__doc__ or "").split()),
            input_schema=_schema_of(own.model),
            annotations=ToolAnnotations(
                read_only_hint=not own.scope, destructive_hint=False, open_world_hint=False
            ),
        )
        for name, own in OWN.items()
        if not own.scope or own.scope in caller.scopes
    ]


@cache
def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Made once: it takes longer than many a call."""
    return model.model_json_schema()


async def call(caller: Caller, name: str, arguments: dict[str, Any]) -> CallToolResult:
    """What one of them answers."""
    own = OWN[name]
    if own.scope and own.scope not in caller.scopes:
        return refused(f"This token lacks the scope {own.scope!r}: {name} is not for it.")
    try:
        return await own.work(caller, own.model.model_validate(arguments))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        return refused(f"The arguments of {name} don't fit: {wrong}.")
    except KeyReused as error:
        return refused(f"gatehouse/idempotencyKey: {error}.")
    except (AgentError, GateError) as error:
        return refused(str(error))


def _once(
    caller: Caller, name: str, wanted: BaseModel, create: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `create` makes, once for each key of the caller."""
    if not caller.key:
        return create()
    sent = f"{name} {wanted.model_dump_json()}".encode()
    answer: dict[str, Any] = once(caller.actor.user, caller.key, sent, create)
    return answer


def _end_of(caller: Caller, run_id: UUID) -> CallToolResult | None:
    """What a call of this gateway came to; None where the run is another, or not over."""
    run = Run.objects.filter(pk=run_id, status__in=FINAL_RUN, started_by=caller.actor.user).first()
    if run is None or run.metadata.get("via") != "mcp":
        return None
    try:
        found = call_of(run)
    except ToolCall.DoesNotExist:
        return None
    caller.told.append(run)
    return answer(run, found)


def _shape(approval: Approval) -> dict[str, Any]:
    decision = Decision.objects.filter(approval=approval).first()
    return {
        "status": approval.status,
        **about_approval(approval),
        "tool": approval.tool,
        "arguments": approval.arguments,
        "digest": approval.digest,
        "decision": decision.verdict if decision else None,
        "reason": decision.reason if decision else "",
        "run_id": str(run_id) if (run_id := shown_as(approval).run_id) else None,
    }

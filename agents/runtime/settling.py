"""Taking over what people decided: about a call, about one whose outcome was unknown, about a question."""

from typing import Any

from django.utils import timezone

from agents.models import StepKind, ToolCall
from agents.runtime.claiming import Terms, at_once, holding, mark, objection_to
from agents.runtime.execution import carry_out
from agents.runtime.journal import entry, move_call
from agents.runtime.performing import slot
from agents.runtime.stretch import Stretch
from agents.states import CallStatus
from approvals.models import Approval, Kind
from approvals.states import ApprovalStatus
from traces.recorder import Recorded, record, write_spans


def settle(stretch: Stretch, call: ToolCall) -> None:
    """Take over what was decided about a call, or what a person found out about one.

    A call that people approved is claimed by the same write, where nothing is to be done before, and executed.
    """
    request = stretch.request_of(call)
    if request is None:
        raise ValueError(f"{call} is {call.status} without a request.")
    if request.kind == Kind.RECONCILE:
        status, changes = _reconciled(call, request)
    elif request.status == ApprovalStatus.APPROVED:
        status, changes = CallStatus.APPROVED, {"arguments": request.arguments, "digest": request.digest}
    else:
        status, changes = _turned_down(request)
    if status == CallStatus.APPROVED and request.kind == Kind.ACTION and _may_go_on(stretch, call, request):
        with slot(stretch.tools[call.tool], wait=False) as free:
            _store(stretch, call, request, status, changes, claimed=free)
            if free:
                carry_out(stretch, call)
        return
    _store(stretch, call, request, status, changes, claimed=False)


def _may_go_on(stretch: Stretch, call: ToolCall, request: Approval) -> bool:
    """Whether nothing speaks against claiming the call now, as it was approved."""
    tool = stretch.tools.get(call.tool)
    if tool is None or stretch.run.requested or stretch.run.halted or not at_once(stretch, tool):
        return False
    terms = Terms(request.arguments, request.digest, request)
    return objection_to(stretch, call, tool, terms, timezone.now()) is None


def _store(
    stretch: Stretch,
    call: ToolCall,
    request: Approval,
    status: CallStatus,
    changes: dict[str, Any],
    *,
    claimed: bool,
) -> None:
    now = timezone.now()
    if status != CallStatus.APPROVED:
        changes["ended_at"] = now
    terms = Terms(request.arguments, request.digest, request)
    with entry(
        stretch.run,
        "settle",
        now=now,
        alone=True,
        conditions=holding(stretch, call.tool, terms) if claimed else (),
        work_ms=stretch.lap(),
    ):
        move_call(call, status, **changes)
        write_spans([_span(stretch, request)])
        if claimed:
            mark(stretch, call, now)
            return
        record(
            f"tool_call.{status}",
            actor=stretch.actor,
            object_id=call.pk,
            run_id=stretch.run.pk,
            data={"tool": call.tool, "approval": str(request.pk)},
        )


def take_answer(stretch: Stretch) -> None:
    """Store what a person answered to the planner's question."""
    request = stretch.question()
    if request is None or request.decision.answer is None:
        raise ValueError(f"{stretch.run} has no answer to take.")
    payload = {
        "question": request.title,
        "text": request.decision.answer.get("answer", ""),
        "by": request.decision.user.get_username(),
    }
    now = timezone.now()
    with entry(stretch.run, "answer", now=now, work_ms=stretch.lap()):
        step = stretch.add_step(StepKind.ANSWER, payload, now=now)
        write_spans([_span(stretch, request)])
        record("step.answered", actor=stretch.actor, object_id=str(step.seq), run_id=stretch.run.pk)


def _turned_down(request: Approval) -> tuple[CallStatus, dict[str, Any]]:
    match request.status:
        case ApprovalStatus.DENIED:
            reason = request.decision.reason or "no reason was given"
            status, message = (
                CallStatus.DENIED,
                f"An operator rejected this call: {reason.rstrip('. ')}. It did not happen.",
            )
        case ApprovalStatus.EXPIRED:
            status, message = CallStatus.EXPIRED, "Nobody decided about this call in time. It did not happen."
        case ApprovalStatus.WITHDRAWN:
            status, message = (
                CallStatus.WITHDRAWN,
                "The request for this call was withdrawn. It did not happen.",
            )
        case _:
            status, message = CallStatus.CANCELLED, "This call was cancelled. It did not happen."
    return status, {"result": {"type": str(status), "message": message}}


def _reconciled(call: ToolCall, request: Approval) -> tuple[CallStatus, dict[str, Any]]:
    answer: dict[str, Any] = request.decision.answer or {}
    note = f" {answer['note']}" if answer.get("note") else ""
    match answer.get("outcome"):
        case "happened":
            message = f"An operator confirmed that this call happened.{note}"
            return CallStatus.RECONCILED, {"result": {"type": "success", "message": message}}
        case "not_happened":
            return CallStatus.APPROVED, {"attempts": 0, "error": ""}  # as if it had never been tried
        case _:
            message = f"Nobody could find out whether this call happened. Don't repeat it.{note}"
            return CallStatus.RECONCILED, {"result": {"type": "unknown_outcome", "message": message}}


def _span(stretch: Stretch, request: Approval) -> Recorded:
    ended_at = request.resolved_at or timezone.now()
    decision = getattr(request, "decision", None)
    span = stretch.span(
        f"approval {request.tool or request.kind}",
        "approval",
        started_at=request.requested_at,
        ended_at=ended_at,
        tool=request.tool,
        preview=request.title,
        attributes={
            "gatehouse.approval.id": str(request.pk),
            "gatehouse.approval.status": request.status,
            "gatehouse.approval.decided_by": decision.user.get_username() if decision else "",
            "gatehouse.approval.via": decision.via if decision else "",
            "gatehouse.approval.reason": decision.reason if decision else "",
            "gatehouse.approval.waited_ms": round((ended_at - request.requested_at).total_seconds() * 1000),
        },
    )
    return Recorded(
        span=span,
        input={"arguments": request.arguments, "digest": request.digest, "rule": request.rule},
        output={"status": request.status, "answer": decision.answer if decision else None},
    )

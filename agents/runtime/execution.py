"""Executing a call: claim it once, re-check what was approved, act with an idempotency key, record. No second path."""

import json
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from agents.exceptions import Changed, LeaseLost
from agents.models import Agent, Run, ToolCall
from agents.runtime import availability, freshness, lookups
from agents.runtime.binding import as_action, call_digest, tool_context
from agents.runtime.journal import entry, give_back_connection, move_call
from agents.runtime.performing import Attempt, perform, slot
from agents.runtime.requesting import ask_people, ask_what_happened, make_preview
from agents.runtime.stretch import Stretch
from agents.states import CallStatus
from agents.tools.spec import Tool
from approvals.halts import require_running
from approvals.models import Approval
from approvals.policy import RANK, Outcome, Verdict, evaluate, stricter
from approvals.states import ApprovalStatus
from traces.models import SpanStatus
from traces.recorder import Recorded, record, write_spans

MAX_ATTEMPTS = 3
STORE_PAUSES = (0.2, 0.5, 1, 2, 4)  # s


def execute_once(stretch: Stretch, call: ToolCall) -> None:
    """Claim an approved call, execute it, and store what became of it.

    The claim is committed before the effect, so a crash in between leaves the call `executing`, for `recover` to
    judge. Raises Halted, with nothing claimed, while an emergency stop stands; Changed where a person asked the run to end or
    to pause; LeaseLost where another worker was first.
    """
    tool = stretch.tools[call.tool]
    held = lookups.held(stretch, call, tool)
    if held is None and not availability.admit(stretch, call, tool):
        return
    if not freshness.confirm(stretch, call, tool):
        return
    in_doubt = call.may_have_happened
    with slot(tool):
        if not _claim(stretch, call, tool):
            return
        started_at = timezone.now()
        attempt = held or lookups.stamped(
            tool,
            perform(tool, tool_context(call, agent=stretch.agent), call.arguments),
            fetched_at=started_at,
        )
        if held is None:
            availability.note(tool, attempt)
        if in_doubt and attempt.status == CallStatus.FAILED:
            # This attempt changed nothing; an earlier one, of which nobody knows, may have.
            attempt = replace(attempt, status=CallStatus.UNKNOWN)
        _keep(stretch, call, tool, attempt, started_at)


def _claim(stretch: Stretch, call: ToolCall, tool: Tool) -> bool:
    """Whether the call is ours to execute now; if the re-check finds that it may not run, that is stored instead."""
    now = timezone.now()
    objection = _objection(stretch, call, tool, now)
    preview = {}
    if isinstance(objection, Verdict):
        preview = make_preview(tool, tool_context(call, agent=stretch.agent), call.arguments)
    with entry(stretch.run, "claim", now=now, work_ms=stretch.lap()):
        require_running(stretch.agent)
        if Run.objects.values_list("requested", flat=True).get(pk=stretch.run.pk):
            raise Changed  # a person asked it to end or to pause
        if objection is not None and call.may_have_happened:
            move_call(
                call,
                CallStatus.UNKNOWN,
                error=f"It was tried, and may not be tried again: {_in_words(objection)}",
            )
            ask_what_happened(stretch, call, tool)
            name = "tool_call.unknown"
        elif isinstance(objection, Verdict):
            approval = ask_people(stretch, call, tool, objection, call.digest, preview)
            rule = f"{objection.rule} ({objection.why})"
            move_call(call, CallStatus.PENDING_APPROVAL, approval=approval, rule=rule)
            name = "tool_call.pending_approval"
        elif objection is not None:
            status, message = objection
            result = {"type": str(status), "message": message}
            move_call(call, status, result=result, ended_at=now)
            name = f"tool_call.{status}"
        else:
            move_call(
                call,
                CallStatus.EXECUTING,
                claim_fence=stretch.run.fence,
                attempts=call.attempts + 1,
                started_at=now,
                result=None,
                retry_at=None,
            )
            name = "tool_call.claimed"
        record(
            name,
            actor=stretch.actor,
            object_id=call.pk,
            run_id=stretch.run.pk,
            data={"tool": call.tool, "digest": call.digest, "attempt": call.attempts},
        )
    return call.status == CallStatus.EXECUTING


def _objection(
    stretch: Stretch, call: ToolCall, tool: Tool, now: datetime
) -> tuple[CallStatus, str] | Verdict | None:
    """Why the call may not run after all: a status with what to tell the agent, or a verdict that asks more people."""
    approval = Approval.objects.filter(pk=call.approval_id).first() if call.approval_id else None
    if call_digest(stretch.run, tool, call.arguments) != call.digest or (
        approval and approval.digest != call.digest
    ):
        return (
            CallStatus.DENIED,
            "The tool changed after this call was approved, so the approval no longer holds.",
        )
    if approval is not None:
        if approval.status != ApprovalStatus.APPROVED or approval.resolved_at is None:
            return CallStatus.DENIED, f"The approval of this call is {approval.status}."
        if approval.resolved_at + timedelta(seconds=settings.APPROVAL_USE_SECONDS) < now:
            return (
                CallStatus.EXPIRED,
                "The approval of this call was too old when it could run. It did not happen.",
            )
    action = as_action(stretch.run, tool, call.arguments, tainted=call.tainted)
    verdict = evaluate(action, stretch.config.rules())
    live = Agent.objects.select_related("live_version").get(pk=stretch.run.version.agent_id).live_version
    if live is not None and live.pk != stretch.run.version_id:
        verdict = stricter(verdict, evaluate(action, live.parsed.rules()))
    if verdict.outcome is Outcome.DENY:
        return CallStatus.DENIED, f"The policy denies this call now: {verdict.rule}"
    if verdict.outcome is Outcome.REQUIRE and (approval is None or _is_weaker(approval, verdict)):
        return verdict
    return None


def _is_weaker(approval: Approval, verdict: Verdict) -> bool:
    """Whether the verdict asks for more people, or higher ones, than have decided."""
    return approval.approvers < verdict.approvers or RANK.index(approval.role) < RANK.index(verdict.role)


def _in_words(objection: tuple[CallStatus, str] | Verdict) -> str:
    return objection.rule if isinstance(objection, Verdict) else objection[1]


def _keep(stretch: Stretch, call: ToolCall, tool: Tool, attempt: Attempt, started_at: datetime) -> None:
    """Store what became of the call, and be patient: while the database is away, only this worker knows it."""
    for pause in STORE_PAUSES:
        try:
            _store(stretch, call, tool, attempt, started_at)
            return
        except (OperationalError, InterfaceError):
            call.status = CallStatus.EXECUTING  # as it stands in the database
            give_back_connection()
            time.sleep(pause)
    _store(stretch, call, tool, attempt, started_at)


def _store(stretch: Stretch, call: ToolCall, tool: Tool, attempt: Attempt, started_at: datetime) -> None:
    now = timezone.now()
    span = stretch.span(
        f"execute_tool {tool.name}",
        "execute_tool",
        started_at=started_at,
        ended_at=now,
        tool=tool.name,
        status=SpanStatus.OK if attempt.status == CallStatus.SUCCEEDED else SpanStatus.ERROR,
        error_type="" if attempt.status == CallStatus.SUCCEEDED else str(attempt.result["type"]),
        preview=attempt.error or tool.in_words(call.arguments),
        attributes={"gen_ai.tool.call.id": str(call.pk), "gatehouse.idempotency_key": call.idempotency_key},
    )
    result = attempt.result | _edited(call)
    retried = availability.may_retry(stretch, call, tool, attempt)
    again = retried or (
        attempt.status == CallStatus.UNKNOWN and tool.idempotent and call.attempts < MAX_ATTEMPTS
    )
    status = CallStatus.APPROVED if again else attempt.status
    changes: dict[str, Any] = {"error": attempt.error, "span_id": span.pk}
    if attempt.fetched_at:
        changes["fetched_at"] = attempt.fetched_at
        changes["cache_key"] = lookups.cache_key(stretch, call, tool) if tool.cache_seconds else ""
        span.attributes["gatehouse.fetched_at"] = attempt.fetched_at.isoformat()
        span.attributes["gatehouse.cached"] = bool(result.get("cached"))
    if retried:
        # With a result it is known that this attempt changed nothing, so the next is not in doubt.
        changes |= {"result": result, "retry_at": now + availability.pause_after(call.attempts)}
    elif not again:
        changes |= {"result": result, "ended_at": now}
    run_changes: dict[str, Any] = {"work_ms": stretch.lap()}
    source = f"tool:{tool.name}"
    if tool.untrusted and status == CallStatus.SUCCEEDED and source not in stretch.run.taint_sources:
        run_changes["taint_sources"] = [*stretch.run.taint_sources, source]
    try:
        with entry(stretch.run, "result", now=now, **run_changes):
            move_call(call, status, **changes)
            if status == CallStatus.UNKNOWN:
                ask_what_happened(stretch, call, tool)
            write_spans([Recorded(span=span, input=call.arguments, output=result)])
            record(
                f"tool_call.{'retried' if again else status}",
                actor=stretch.actor,
                object_id=call.pk,
                run_id=stretch.run.pk,
                data={"tool": call.tool, "result": result["type"], "attempt": call.attempts},
            )
    except LeaseLost:
        _tell_late(stretch, call, attempt)
        raise


def _tell_late(stretch: Stretch, call: ToolCall, attempt: Attempt) -> None:
    """Another worker took the run over meanwhile; what became of the call is kept for the person who settles it."""
    with transaction.atomic():
        record(
            "tool_call.reported_late",
            actor=stretch.actor,
            object_id=call.pk,
            run_id=stretch.run.pk,
            data={"tool": call.tool, "result": attempt.result["type"], "attempt": call.attempts},
        )


def _edited(call: ToolCall) -> dict[str, str]:
    """What to tell the agent where a person changed its arguments."""
    if call.proposed_arguments == call.arguments:
        return {}
    before, after = call.proposed_arguments, call.arguments
    changed = [
        f"{name} from {json.dumps(before.get(name), ensure_ascii=False)} to {json.dumps(after.get(name), ensure_ascii=False)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return {"edited": f"An operator changed {', '.join(changed)} before approving."}

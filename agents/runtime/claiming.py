"""Claiming a call: for one worker, once, and only while all that allowed it still holds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from agents.exceptions import Changed
from agents.models import ToolCall
from agents.runtime.binding import as_action, call_digest
from agents.runtime.granted import free_place, place_by
from agents.runtime.journal import entry, move_call
from agents.runtime.rehearsing import verdict_on
from agents.runtime.requesting import UNSHOWN, ask_people, ask_what_happened, prepare
from agents.runtime.stretch import Stretch
from agents.runtime.versions import version_of
from agents.states import CallStatus
from agents.tools.breaker import breakers
from agents.tools.spec import Tool
from approvals.eyes import terms_of, uncovered
from approvals.halts import NOT_HALTED
from approvals.models import Approval, GrantUse, Kind
from approvals.places import stands_for, still_granted
from approvals.policy import RANK, Outcome, Verdict, evaluate, stricter
from approvals.states import ApprovalStatus
from traces.recorder import record
from traces.statement import Condition

Turned = tuple[CallStatus, str]  # what becomes of the call, and what the agent is told


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call is to run with, and who allowed it."""

    arguments: dict[str, Any]
    digest: str
    approval: Approval | None = None  # none: a rule, or a grant
    place: GrantUse | None = None  # in the grant that allowed it


def claim(stretch: Stretch, call: ToolCall, tool: Tool) -> bool:
    """Whether the call is ours to execute now; if the re-check finds that it may not run, that is stored instead.

    Raises Changed, with nothing claimed, where an emergency stop stands, a person wants the run to end or to
    pause, or another policy is live than the one by which it was judged; LeaseLost where another worker was first.
    """
    now = timezone.now()
    approval = Approval.objects.filter(pk=call.approval_id).first() if call.approval_id else None
    place = place_by(call.rule, call) if approval is None else None
    terms = Terms(call.arguments, call.digest, approval, place)
    objection = objection_to(stretch, call, tool, terms, now)
    if objection is not None:
        _turn_down(stretch, call, tool, objection, now)
        return False
    with entry(
        stretch.run,
        "claim",
        now=now,
        alone=True,
        conditions=holding(stretch, tool.name, terms),
        work_ms=stretch.lap(),
    ):
        mark(stretch, call, now)
    return True


def mark(stretch: Stretch, call: ToolCall, now: datetime) -> None:
    """Claim an approved call; inside an entry that is written alone, with the conditions of `holding`."""
    move_call(
        call,
        CallStatus.EXECUTING,
        claim_fence=stretch.run.fence,
        attempts=call.attempts + 1,
        started_at=now,
        result=None,
        retry_at=None,
    )
    record(
        "tool_call.claimed",
        actor=stretch.actor,
        object_id=call.pk,
        run_id=stretch.run.pk,
        data={"tool": call.tool, "digest": call.digest, "rule": call.rule, "attempt": call.attempts},
    )


def holding(stretch: Stretch, tool: str, terms: Terms) -> list[Condition]:
    """What must hold in the statement that claims: it was looked at before, and may have changed since."""
    run = stretch.run
    conditions = [
        Condition("agents_run.requested = ''"),
        Condition(
            "(SELECT live_version_id FROM agents_agent WHERE id = %s) IS NOT DISTINCT FROM %s::bigint",
            (run.version.agent_id, run.live_version_id),
        ),
        Condition(NOT_HALTED, (stretch.agent, tool)),
    ]
    if terms.approval is not None:
        conditions.append(
            Condition(
                "EXISTS (SELECT 1 FROM approvals_approval WHERE id = %s AND status = 'approved' AND digest = %s)",
                (terms.approval.pk, terms.digest),
            )
        )
    if terms.place is not None:
        conditions.append(still_granted(terms.place.call_id, terms.digest, timezone.now()))
    return conditions


def at_once(stretch: Stretch, tool: Tool) -> bool:
    """Whether calls of the tool can go from their judgement straight to their claim: nothing is to be done between."""
    aged = any(known.fresh_seconds for known in stretch.tools.values())
    return not (
        aged or tool.fingerprint or tool.cache_seconds or tool.rate_limit
    ) and not breakers.unavailable_since(tool)


def judge_by_policy(
    stretch: Stretch, call: ToolCall, tool: Tool, arguments: dict[str, Any], *, tainted: bool
) -> Verdict:
    """What the run's policy says of the call, or the agent's live one, where that is stricter."""
    run = stretch.run
    if run.rehearsal:
        return verdict_on(tool)
    action = as_action(run, tool, arguments, tainted=tainted)
    verdict = evaluate(action, stretch.config.rules())
    if run.live_version_id is not None and run.live_version_id != run.version_id:
        verdict = stricter(verdict, evaluate(action, version_of(run.live_version_id).parsed.rules()))
    return verdict


def objection_to(
    stretch: Stretch, call: ToolCall, tool: Tool, terms: Terms, now: datetime
) -> Turned | Verdict | None:
    """Why the call may not run after all: a status with what to tell the agent, or a verdict that asks more people."""
    approval = terms.approval
    if tool.suspended:
        return CallStatus.DENIED, tool.suspended
    if call_digest(stretch.run, tool, terms.arguments) != terms.digest or (
        approval and approval.digest != terms.digest
    ):
        return (
            CallStatus.DENIED,
            "The tool changed after this call was approved, so the approval no longer holds.",
        )
    if approval is not None:
        if approval.status != ApprovalStatus.APPROVED or approval.resolved_at is None:
            return CallStatus.DENIED, f"The approval of this call is {approval.status}."
        usable = timedelta(seconds=settings.APPROVAL_USE_SECONDS)
        if approval.resolved_at + usable < now and not _was_told_to_repeat(call, since=now - usable):
            return (
                CallStatus.EXPIRED,
                "The approval of this call was too old when it could run. It did not happen.",
            )
    verdict = judge_by_policy(stretch, call, tool, terms.arguments, tainted=call.tainted)
    if verdict.outcome is Outcome.DENY:
        return CallStatus.DENIED, f"The policy denies this call now: {verdict.rule}"
    if verdict.outcome is not Outcome.REQUIRE:
        return None
    if terms.place is not None:
        granted = terms.place.digest == terms.digest and stands_for(terms.place, verdict, now=now)
        return None if granted else verdict
    return verdict if approval is None or _is_weaker(approval, verdict) else None


def _was_told_to_repeat(call: ToolCall, *, since: datetime) -> bool:
    """Whether a person said lately that the call did not happen: that is a fresh word to run it."""
    return Approval.objects.filter(
        run_id=call.run_id,
        call_id=call.pk,
        kind=Kind.RECONCILE,
        status=ApprovalStatus.ANSWERED,
        resolved_at__gte=since,
        decision__answer__outcome="not_happened",
    ).exists()


def _is_weaker(approval: Approval, verdict: Verdict) -> bool:
    """Whether the verdict asks for more people, or higher ones, than have decided."""
    return (
        approval.approvers < verdict.approvers
        or RANK.index(approval.role) < RANK.index(verdict.role)
        or bool(verdict.roles and uncovered(verdict.roles, terms_of(approval).roles))
        or (verdict.step_up and _is_unproven(approval))
    )


def _is_unproven(approval: Approval) -> bool:
    """Whether somebody said yes to what stands without a second factor."""
    return approval.votes.filter(revision=approval.revision, approve=True, stepped_up=False).exists()


def _turn_down(
    stretch: Stretch, call: ToolCall, tool: Tool, objection: Turned | Verdict, now: datetime
) -> None:
    if stretch.must_look:
        raise Changed  # that comes first
    free_place(call, now)
    shown = UNSHOWN
    if isinstance(objection, Verdict) and not call.may_have_happened:
        shown = prepare(stretch, call, tool, objection)
    with entry(stretch.run, "claim", now=now, work_ms=stretch.lap()):
        if call.may_have_happened:
            words = objection.rule if isinstance(objection, Verdict) else objection[1]
            move_call(call, CallStatus.UNKNOWN, error=f"It was tried, and may not be tried again: {words}")
            ask_what_happened(stretch, call, tool)
        elif isinstance(objection, Verdict):
            approval = ask_people(stretch, call, tool, objection, call.digest, shown)
            rule = f"{objection.rule} ({objection.why})"
            move_call(call, CallStatus.PENDING_APPROVAL, approval=approval, rule=rule)
        else:
            status, message = objection
            move_call(call, status, result={"type": str(status), "message": message}, ended_at=now)
        record(
            f"tool_call.{call.status}",
            actor=stretch.actor,
            object_id=call.pk,
            run_id=stretch.run.pk,
            data={"tool": call.tool, "digest": call.digest, "attempt": call.attempts},
        )

"""What can be done at the gate. Each: lock, re-check, change, record; who hears of it hears after the commit."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model
from jsonschema import Draft202012Validator

from approvals.access import ADMIN, Actor, get_approval, require_may_decide
from approvals.deliveries import words_of
from approvals.exceptions import AlreadyResolved, Invalid, NotAllowed, Stale
from approvals.models import Approval, Decision, Delivery, Kind, Revision, Vote
from approvals.policy import RANK
from approvals.states import TRANSITIONS, ApprovalStatus
from traces.recorder import keep, page, record
from traces.statement import Change, Statement, read


@dataclass(frozen=True, slots=True)
class Request:
    """What is put to a person; see the fields of Approval."""

    kind: Kind
    title: str
    tool: str
    arguments: dict[str, Any]
    digest: str
    parameters: dict[str, Any] = field(default_factory=dict)
    tool_digest: str = ""
    effect: str = ""
    risk: str = "high"
    tainted: bool = False
    taint_sources: list[str] = field(default_factory=list)
    rule: str = ""
    policy_digest: str = ""
    reason: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    preview: dict[str, Any] = field(default_factory=dict)
    agent: str = ""
    agent_version: int | None = None
    run_id: UUID | None = None
    call_id: UUID | None = None
    subject: dict[str, Any] = field(default_factory=dict)
    simulated: bool = False
    requested_by: User | None = None
    role: str = "operator"
    approvers: int = 1
    expires_in: float = 3600  # s
    callback_url: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """A person's wording of an action, validated and judged by the caller like the agent's."""

    arguments: dict[str, Any]
    digest: str
    title: str
    preview: dict[str, Any]
    approvers: int
    role: str
    rule: str


def request_approval(request: Request, *, actor: str, now: datetime) -> Approval:
    """Put a request to the people who may decide it; in the caller's transaction."""
    values = {name: getattr(request, name) for name in Request.__slots__ if name != "expires_in"}
    approval = Approval(**values, requested_at=now, expires_at=now + timedelta(seconds=request.expires_in))
    first = Revision(
        approval=approval, number=1, arguments=request.arguments, digest=request.digest, created_at=now
    )
    with transaction.atomic():
        keep(approval, first)
        record(
            "approval.requested",
            actor=actor,
            object_id=approval.pk,
            run_id=request.run_id,
            data={"tool": request.tool, "digest": request.digest, "rule": request.rule, "kind": request.kind},
        )
    return approval


def approve(
    approval_id: UUID, *, actor: Actor, digest: str, now: datetime, reason: str = "", edit: Edit | None = None
) -> Approval:
    """Say yes to exactly what was shown, whose digest is `digest`; with `edit`, to that wording instead.

    An edit is a new revision: earlier votes no longer count. The request is approved once as many different
    people as it needs have said yes to the same revision. Raises NotAllowed, AlreadyResolved, Stale.
    """
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        if approval.kind != Kind.ACTION:
            raise Invalid(f"Approval {approval.pk} is a {approval.kind}: answer it instead of approving.")
        if edit is not None and edit.digest != approval.digest:
            _revise(approval, edit, actor=actor, now=now)
            require_may_decide(
                actor, approval
            )  # the new wording may need another role; if so, nothing is changed
        earlier = read(Vote, "approval_id = $1 AND revision = $2 AND approve", approval.pk, approval.revision)
        voted = any(vote.user_id == actor.user.pk for vote in earlier)
        votes = len(earlier) if voted else len(earlier) + 1
        vote = Vote(approval=approval, revision=approval.revision, user=actor.user, approve=True, cast_at=now)
        if votes < approval.approvers:
            if voted:
                raise AlreadyResolved(
                    f"You approved this already; {approval.approvers - votes} more must.",
                    status=approval.status,
                )
            vote.save(force_insert=True)
            _record(
                approval,
                "approval.voted",
                actor,
                {"votes": votes, "needed": approval.approvers, "reason": reason},
            )
            return approval
        edited = approval.revision > 1
        return _resolve(
            approval,
            ApprovalStatus.APPROVED,
            actor=actor,
            verdict="edit" if edited else "approve",
            reason=reason,
            now=now,
            votes=() if voted else (vote,),
        )


def reject(approval_id: UUID, *, actor: Actor, digest: str, reason: str, now: datetime) -> Approval:
    """Say no; the agent is told `reason`. One no is enough. Raises NotAllowed, AlreadyResolved, Stale."""
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        if approval.kind == Kind.RECONCILE:
            raise Invalid(f"Approval {approval.pk} asks what happened: answer it instead of rejecting.")
        Vote.objects.update_or_create(
            approval=approval,
            revision=approval.revision,
            user=actor.user,
            defaults={"approve": False, "cast_at": now},
        )
        return _resolve(
            approval, ApprovalStatus.DENIED, actor=actor, verdict="reject", reason=reason, now=now
        )


def answer(
    approval_id: UUID, *, actor: Actor, digest: str, answer: dict[str, Any], now: datetime, reason: str = ""
) -> Approval:
    """Answer a question, or say what became of a call. Raises Invalid where it does not fit the schema."""
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        if approval.kind == Kind.ACTION:
            raise Invalid(f"Approval {approval.pk} is an action: approve, edit or reject it.")
        errors = [
            {"path": list(error.absolute_path), "message": error.message}
            for error in Draft202012Validator(approval.parameters).iter_errors(answer)
        ]
        if errors:
            raise Invalid(f"The answer does not fit: {errors[0]['message']}", errors=errors)
        return _resolve(
            approval,
            ApprovalStatus.ANSWERED,
            actor=actor,
            verdict="answer",
            reason=reason,
            now=now,
            answer=answer,
        )


def escalate(approval_id: UUID, *, actor: Actor, digest: str, now: datetime, reason: str = "") -> Approval:
    """Pass the decision on to the admins; it stays pending, with its time limit."""
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        approval.role = ADMIN
        Approval.objects.filter(pk=approval.pk).update(role=ADMIN)
        _record(approval, "approval.escalated", actor, {"reason": reason})
        return approval


def withdraw(approval_id: UUID, *, actor: Actor, now: datetime, reason: str = "") -> Approval:
    """Take a request back; only who asked can."""
    with transaction.atomic():
        approval = get_approval(approval_id, actor=actor, lock=True)
        if approval.requested_by_id != actor.user.pk:
            raise NotAllowed(f"Approval {approval.pk} was not asked for by you: reject it instead.")
        _require_pending(approval)
        _settle(approval, ApprovalStatus.WITHDRAWN, now=now)
        _record(approval, "approval.withdrawn", actor, {"reason": reason})
        return approval


def cancel_for_run(
    run_id: UUID, *, actor: str, now: datetime, call_ids: Collection[UUID] | None = None
) -> int:
    """Settle what a run that ended still asked, or asked for these of its calls; in the caller's transaction.

    What asks whether something happened stays: the answer is needed, whatever became of the run.
    """
    rows = Approval.objects.select_for_update().filter(run_id=run_id, status=ApprovalStatus.PENDING)
    pending = rows.exclude(kind=Kind.RECONCILE)
    if call_ids is not None:
        pending = pending.filter(call_id__in=call_ids)
    for approval in pending:
        _settle(approval, ApprovalStatus.CANCELLED, now=now)
        record("approval.cancelled", actor=actor, object_id=approval.pk, run_id=run_id)
    return len(pending)


def expire_due(*, now: datetime, limit: int = 200) -> int:
    """Expire what nobody decided in time, which denies it. Returns how many."""
    due = Approval.objects.filter(status=ApprovalStatus.PENDING, expires_at__lte=now).order_by("expires_at")
    count = 0
    for approval_id in due.values_list("pk", flat=True)[:limit]:
        with transaction.atomic():
            rows = Approval.objects.select_for_update(skip_locked=True)
            approval = rows.filter(pk=approval_id, status=ApprovalStatus.PENDING).first()
            if approval is not None:  # else somebody is just deciding it, and sees the time for himself
                _expire(approval, now=now)
                count += 1
    return count


def _lock_pending(approval_id: UUID, *, actor: Actor, digest: str, now: datetime) -> Approval:
    approval = get_approval(approval_id, actor=actor, lock=True)
    require_may_decide(actor, approval)
    _require_pending(approval)
    if approval.expires_at <= now:
        raise AlreadyResolved(
            f"The time to decide this ended at {approval.expires_at:%Y-%m-%d %H:%M:%S} UTC, which denies it.",
            status=ApprovalStatus.EXPIRED,
        )
    if digest != approval.digest:
        latest = Revision.objects.select_related("edited_by").get(approval=approval, number=approval.revision)
        changed = "This is not what you were shown"
        if latest.edited_by is not None:
            changed = f"{latest.edited_by} changed this at {latest.created_at:%Y-%m-%d %H:%M:%S} UTC"
        raise Stale(f"{changed}: look at it again before you decide.", digest=approval.digest)
    return approval


def _require_pending(approval: Approval) -> None:
    if approval.status == ApprovalStatus.PENDING:
        return
    decision = Decision.objects.filter(approval=approval).select_related("user").first()
    by = f" by {decision.user.get_username()}" if decision else ""
    raise AlreadyResolved(
        f"This was {approval.status}{by} at {approval.resolved_at:%Y-%m-%d %H:%M:%S} UTC.",
        status=approval.status,
    )


def _revise(approval: Approval, edit: Edit, *, actor: Actor, now: datetime) -> None:
    before = approval.arguments
    approval.revision += 1
    approval.arguments, approval.digest = edit.arguments, edit.digest
    approval.title, approval.preview, approval.rule = edit.title, edit.preview, edit.rule
    approval.approvers = max(approval.approvers, edit.approvers)
    approval.role = max(approval.role, edit.role, key=RANK.index)
    fields = ("revision", "arguments", "digest", "title", "preview", "rule", "approvers", "role")
    Approval.objects.filter(pk=approval.pk).update(**{name: getattr(approval, name) for name in fields})
    Revision.objects.create(
        approval=approval,
        number=approval.revision,
        arguments=edit.arguments,
        digest=edit.digest,
        edited_by=actor.user,
        created_at=now,
    )
    Delivery.objects.bulk_create(words_of(approval, "edited", now=now))
    _record(
        approval, "approval.edited", actor, {"before": before, "after": edit.arguments, "digest": edit.digest}
    )


def _resolve(
    approval: Approval,
    status: ApprovalStatus,
    *,
    actor: Actor,
    verdict: str,
    reason: str,
    now: datetime,
    answer: dict[str, Any] | None = None,
    votes: Sequence[Vote] = (),
) -> Approval:
    decision = Decision(
        approval=approval,
        verdict=verdict,
        digest=approval.digest,
        user=actor.user,
        via=actor.via,
        reason=reason,
        answer=answer,
        decided_at=now,
    )
    said = {"verdict": verdict, "digest": approval.digest, "reason": reason, "via": actor.via}
    if approval.kind == Kind.RECONCILE and answer:
        said["outcome"] = answer["outcome"]
    with page() as recorded:
        _record(approval, f"approval.{status}", actor, said)
    _settle(approval, status, now=now, added=(*votes, decision, *recorded.rows()))
    recorded.announce()
    return approval


def _expire(approval: Approval, *, now: datetime) -> None:
    _settle(approval, ApprovalStatus.EXPIRED, now=now)
    record("approval.expired", actor="system", object_id=approval.pk, run_id=approval.run_id)


def _settle(
    approval: Approval, status: ApprovalStatus, *, now: datetime, added: Sequence[Model] = ()
) -> None:
    """Move the request to `status`, and add what belongs to that."""
    if status not in TRANSITIONS[ApprovalStatus(approval.status)]:
        raise AlreadyResolved(f"Approval {approval.pk} is {approval.status} already.", status=approval.status)
    values = {"status": status, "resolved_at": now}
    change = Change(Approval, approval.pk, values, {"status": approval.status})
    if Statement(guard=change, added=[*added, *words_of(approval, status, now=now)]).execute() is None:
        raise AlreadyResolved(f"Approval {approval.pk} was settled meanwhile.", status=status)
    approval.status, approval.resolved_at = status, now


def _record(approval: Approval, name: str, actor: Actor, data: dict[str, Any]) -> None:
    record(name, actor=str(actor), object_id=approval.pk, run_id=approval.run_id, data=data)

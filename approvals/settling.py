"""How a request ends, by whatever ends it: once, with all that belongs to it, and nobody is told before the commit."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, Model, OuterRef

from approvals.access import Actor, get_approval
from approvals.deliveries import words_of
from approvals.exceptions import AlreadyResolved, NotAllowed
from approvals.models import Approval, Decision, Hold, Kind, Vote
from approvals.queries import standing_hold
from approvals.states import TRANSITIONS, ApprovalStatus
from approvals.unmasking import unmask
from approvals.voting import why_nobody
from traces.recorder import page, record
from traces.statement import Change, Statement, read


def resolve(
    approval: Approval,
    status: ApprovalStatus,
    *,
    actor: Actor,
    verdict: str,
    reason: str,
    now: datetime,
    answer: dict[str, Any] | None = None,
    votes: Sequence[Vote] = (),
    alone: str = "",
    stepped_up: bool = False,
) -> Approval:
    """End a request, which the caller has locked, by a person's word."""
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
    said: dict[str, Any] = {"verdict": verdict, "digest": approval.digest, "reason": reason, "via": actor.via}
    if stepped_up:
        said["stepped_up"] = True
    if approval.kind == Kind.RECONCILE and answer:
        said["outcome"] = answer["outcome"]
    with page() as recorded:
        record_about(approval, f"approval.{status}", actor, said)
        if alone:
            record_about(
                approval, "approval.approved_alone", actor, {"why": alone, "digest": approval.digest}
            )
    settle(approval, status, now=now, added=(*votes, decision, *recorded.rows()))
    recorded.announce()
    unmask(approval, verdict, actor=actor, now=now)
    return approval


def withdraw(approval_id: UUID, *, actor: Actor, now: datetime, reason: str = "") -> Approval:
    """Take a request back; only who asked can."""
    with transaction.atomic():
        approval = get_approval(approval_id, actor=actor, lock=True)
        if approval.requested_by_id != actor.user.pk:
            raise NotAllowed(f"Approval {approval.pk} was not asked for by you: reject it instead.")
        require_pending(approval)
        settle(approval, ApprovalStatus.WITHDRAWN, now=now)
        record_about(approval, "approval.withdrawn", actor, {"reason": reason})
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
        settle(approval, ApprovalStatus.CANCELLED, now=now)
        record("approval.cancelled", actor=actor, object_id=approval.pk, run_id=run_id)
    return len(pending)


def expire_due(*, now: datetime, limit: int = 200) -> int:
    """Expire what nobody decided in time, which denies it. What is approved and held is decided. Returns how many."""
    held = Hold.objects.filter(approval=OuterRef("pk"), ended_at=None)
    due = Approval.objects.filter(~Exists(held), status=ApprovalStatus.PENDING, expires_at__lte=now)
    count = 0
    for approval_id in due.order_by("expires_at").values_list("pk", flat=True)[:limit]:
        with transaction.atomic():
            rows = Approval.objects.select_for_update(skip_locked=True)
            approval = rows.filter(pk=approval_id, status=ApprovalStatus.PENDING).first()
            if approval is not None and not standing_hold(
                approval
            ):  # else somebody is just deciding it, and sees the time for himself
                _expire(approval, now=now)
                count += 1
    return count


def _expire(approval: Approval, *, now: datetime) -> None:
    settle(approval, ApprovalStatus.EXPIRED, now=now)
    unmask(approval, "expire", actor=None, now=now)
    told = why_nobody(approval)
    data = {"why": told} if told else {}
    record("approval.expired", actor="system", object_id=approval.pk, run_id=approval.run_id, data=data)


def require_pending(approval: Approval) -> None:
    """Raise AlreadyResolved, saying how and by whom, unless the request still waits."""
    if approval.status == ApprovalStatus.PENDING:
        return
    decided = f"SELECT user_id FROM {Decision._meta.db_table} WHERE approval_id = $1"  # noqa: S608 -- a name
    people = read(User, f"id = ({decided})", approval.pk)
    by = f" by {people[0].get_username()}" if people else ""
    raise AlreadyResolved(
        f"This was {approval.status}{by} at {approval.resolved_at:%Y-%m-%d %H:%M:%S} UTC.",
        status=approval.status,
    )


def settle(approval: Approval, status: ApprovalStatus, *, now: datetime, added: Sequence[Model] = ()) -> None:
    """Move the request to `status`, and add what belongs to that."""
    if status not in TRANSITIONS[ApprovalStatus(approval.status)]:
        raise AlreadyResolved(f"Approval {approval.pk} is {approval.status} already.", status=approval.status)
    values = {"status": status, "resolved_at": now}
    change = Change(Approval, approval.pk, values, {"status": approval.status})
    if Statement(guard=change, added=[*added, *words_of(approval, status, now=now)]).execute() is None:
        raise AlreadyResolved(f"Approval {approval.pk} was settled meanwhile.", status=status)
    approval.status, approval.resolved_at = status, now


def record_about(approval: Approval, name: str, actor: Actor, data: dict[str, Any]) -> None:
    """Add an event about a request, by a person."""
    record(name, actor=str(actor), object_id=approval.pk, run_id=approval.run_id, data=data)

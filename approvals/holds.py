"""The time between an approval and its effect, in which people can recall it. The request is pending until it ends."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from approvals.access import Actor, get_approval, require_may_decide
from approvals.exceptions import AlreadyResolved
from approvals.models import Approval, Hold
from approvals.queries import standing_hold
from approvals.settling import require_pending, resolve
from approvals.states import ApprovalStatus
from traces.recorder import record


def recall(approval_id: UUID, *, actor: Actor, now: datetime, reason: str = "") -> Approval:
    """Take an approval back while it is held, which denies it; anybody who may decide can. Raises NotAllowed, AlreadyResolved."""
    with transaction.atomic():
        approval = get_approval(approval_id, actor=actor, lock=True)
        if approval.requested_by_id != actor.user.pk:  # who asked may always take it back
            require_may_decide(actor, approval)
        require_pending(approval)
        hold = standing_hold(approval)
        if hold is None:
            raise AlreadyResolved("Nothing is held here that could be recalled.", status=approval.status)
        Hold.objects.filter(pk=hold.pk).update(ended_at=now)
        record(
            "approval.recalled",
            actor=str(actor),
            object_id=approval.pk,
            run_id=approval.run_id,
            data={"approved_by": hold.user.get_username(), "reason": reason},
        )
        told = f"recalled: {reason}" if reason else "recalled"
        return resolve(approval, ApprovalStatus.DENIED, actor=actor, verdict="reject", reason=told, now=now)


def release_due(*, now: datetime, limit: int = 200) -> int:
    """Let what was held long enough be approved. Returns how many."""
    count = 0
    due = Hold.objects.filter(until__lte=now, ended_at=None).order_by("until")
    for approval_id in due.values_list("approval_id", flat=True)[:limit]:
        with transaction.atomic():
            rows = Approval.objects.select_for_update(skip_locked=True)
            approval = rows.filter(pk=approval_id, status=ApprovalStatus.PENDING).first()
            hold = standing_hold(approval) if approval else None
            if approval is None or hold is None or hold.until > now:
                continue  # it was recalled, or is being recalled just now
            Hold.objects.filter(pk=hold.pk).update(ended_at=now)
            resolve(
                approval,
                ApprovalStatus.APPROVED,
                actor=Actor(hold.user, via=hold.via),
                verdict=hold.verdict,
                reason=hold.reason,
                now=now,
                alone=hold.alone,
                stepped_up=approval.votes.filter(
                    user=hold.user, revision=approval.revision, stepped_up=True
                ).exists(),
            )
            count += 1
    return count

"""What the inbox reads."""

from django.db.models import QuerySet

from approvals.access import Actor, visible_approvals
from approvals.models import BY_RISK, Approval, Halt
from approvals.states import ApprovalStatus


def pending_queue(actor: Actor) -> QuerySet[Approval]:
    """What waits for a decision, by risk, then by what expires first."""
    return (
        visible_approvals(actor)
        .filter(status=ApprovalStatus.PENDING)
        .select_related("requested_by")
        .order_by(BY_RISK, "expires_at", "requested_at")
    )


def standing_halts() -> QuerySet[Halt]:
    """The emergency stops that hold now."""
    return Halt.objects.filter(lifted_at=None).select_related("halted_by").order_by("halted_at")

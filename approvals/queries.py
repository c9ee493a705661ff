"""What the inbox reads."""

from django.db.models import Case, IntegerField, QuerySet, Value, When

from approvals.access import Actor, visible_approvals
from approvals.models import Approval, Halt
from approvals.states import ApprovalStatus

RISKS = ("high", "medium", "low")


def pending_queue(actor: Actor) -> QuerySet[Approval]:
    """What waits for a decision, by risk, then by what expires first."""
    order = Case(
        *(When(risk=risk, then=Value(place)) for place, risk in enumerate(RISKS)),
        default=Value(0),
        output_field=IntegerField(),
    )
    return (
        visible_approvals(actor)
        .filter(status=ApprovalStatus.PENDING)
        .select_related("requested_by")
        .order_by(order, "expires_at", "requested_at")
    )


def standing_halts() -> QuerySet[Halt]:
    """The emergency stops that hold now."""
    return Halt.objects.filter(lifted_at=None).select_related("halted_by").order_by("halted_at")

"""What the inbox reads."""

from typing import Any

from django.db.models import F, QuerySet

from approvals.access import Actor, visible_approvals
from approvals.models import BY_RISK, Approval, Halt, Hold
from approvals.states import ApprovalStatus
from traces.statement import read

COUNTED = 1000  # from here on it is only known that there are more

# What a row of the queue shows; all else of a request is fetched with its card.
_ROW = (
    "pk",
    "run_id",
    "requested_by_id",
    "title",
    "kind",
    "risk",
    "tainted",
    "agent",
    "digest",
    "requested_at",
    "expires_at",
)


def pending_queue(actor: Actor) -> QuerySet[Approval]:
    """What waits for a decision, by risk, then by what expires first."""
    return by_risk(visible_approvals(actor).filter(status=ApprovalStatus.PENDING))


def by_risk(approvals: QuerySet[Approval]) -> QuerySet[Approval]:
    """In the order of the queue."""
    return approvals.select_related("requested_by").order_by(BY_RISK, "expires_at", "requested_at")


def queue_rows(actor: Actor) -> QuerySet[Approval, dict[str, Any]]:
    """The queue, with no more of each request than its row shows; `asker` and `holder` are names, or None.

    Plain values: fifty of them are on every page of the inbox, and a template looks up what it wants of each.
    """
    people = {"asker": F("requested_by__username"), "holder": F("care__holder__username")}
    rows: QuerySet[Approval, dict[str, Any]] = pending_queue(actor).values(*_ROW, **people)
    return rows


def count_waiting(actor: Actor) -> int:
    """How many wait; at most COUNTED + 1."""
    waiting = visible_approvals(actor).filter(status=ApprovalStatus.PENDING)
    return waiting[: COUNTED + 1].count()


def standing_halts() -> QuerySet[Halt]:
    """The emergency stops that hold now."""
    return Halt.objects.filter(lifted_at=None).select_related("halted_by").order_by("halted_at")


def standing_hold(approval: Approval) -> Hold | None:
    """The approval that people gave and that can still be recalled."""
    standing = read(Hold, "approval_id = $1 AND ended_at IS NULL", approval.pk)
    return standing[0] if standing else None

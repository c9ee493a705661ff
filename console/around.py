"""The people around a request, as its card shows them."""

from typing import Any

from approvals.access import Actor, may_decide
from approvals.attention.models import Care, Watch
from approvals.eyes import electorate, eligible
from approvals.models import Approval
from approvals.states import ApprovalStatus
from approvals.unmasking import shown_as
from approvals.viewing import views_of
from console.presence import lookers
from console.timeline import timeline_of


def around(approval: Approval, actor: Actor) -> dict[str, Any]:
    """What the card shows of the people around the request."""
    row = Care.objects.filter(approval=approval).select_related("holder", "given_by", "stands_in_for").first()
    is_pending = approval.status == ApprovalStatus.PENDING
    return {
        "approval": approval,
        "care": row if row and row.holder else None,
        "is_open": is_pending,
        "is_mine": bool(row and row.holder_id == actor.user.pk),
        "may_take": is_pending and may_decide(actor, approval),
        "others": _who_may(approval) if is_pending else [],
        "watches": Watch.objects.filter(approval=approval, user=actor.user).exists(),
        "timeline": timeline_of(approval),
        "call_id": shown_as(approval).call_id,
        "views": [(view.actor.partition(":")[2], view.at) for view in views_of(approval)],
    } | others_who_look(approval, actor)


def others_who_look(approval: Approval, actor: Actor) -> dict[str, Any]:
    """By name, who has it open beside this person."""
    return {"lookers": [name for name in lookers(approval.pk) if name != actor.user.get_username()]}


def _who_may(approval: Approval) -> list[str]:
    """The names of those to whom it can be given."""
    return [voice.name for voice in eligible(electorate(), approval.role, asker=approval.requested_by_id)]

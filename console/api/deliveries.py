"""Callbacks on their way, delivered, and given up."""

from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router

from approvals import deliveries
from approvals.models import Delivery, DeliveryStatus
from console.api.auth import ASK, READ, actor_of
from console.api.paging import PageQuery, page
from console.api.shapes import DeliveryList, DeliveryOut

router = Router(tags=["deliveries"], auth=READ)


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = None
    approval: UUID | None = None


@router.get("", response=DeliveryList, operation_id="list_deliveries", summary="List deliveries")
def listing(request: HttpRequest, query: Query[DeliveryQuery]) -> DeliveryList:
    """Newest first; a service sees those of what it asked for."""
    rows = deliveries.visible_deliveries(actor_of(request)).defer("body")
    if query.status is not None:
        rows = rows.filter(status=query.status)
    if query.approval is not None:
        rows = rows.filter(approval=query.approval)
    found = page(rows, query, time="created_at")
    return DeliveryList(items=[_shape(delivery) for delivery in found.rows], next=found.next)


@router.post(
    "/{delivery_id}/resend",
    response=DeliveryOut,
    auth=ASK,
    operation_id="resend_delivery",
    summary="Send a callback again",
)
def resend(request: HttpRequest, delivery_id: UUID) -> DeliveryOut:
    """What was given up, or was delivered and lost there; its id and its body stay the same."""
    return _shape(deliveries.resend(delivery_id, actor=actor_of(request), now=timezone.now()))


def _shape(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        id=delivery.pk,
        approval=delivery.approval_id,
        event=delivery.event,
        status=DeliveryStatus(delivery.status),
        attempts=delivery.attempts,
        last_error=delivery.error,
        answer_status=delivery.answer_status,
        answer=delivery.answer,
        created_at=delivery.created_at,
        last_at=delivery.last_at,
        next_at=delivery.next_at,
    )

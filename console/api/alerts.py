"""Alerts: figures that broke their limits, standing or lifted."""

from django.http import HttpRequest
from ninja import Query, Router

from console.api.auth import READ
from console.api.paging import PageQuery, page
from console.api.shapes import AlertList, AlertOut
from traces.models import Breaker

router = Router(tags=["alerts"], auth=READ)


@router.get("", response=AlertList, operation_id="list_alerts", summary="List alerts")
def listing(request: HttpRequest, query: Query[PageQuery]) -> AlertList:
    """Newest first; each tripped a breaker, which stands until somebody lifts it."""
    found = page(Breaker.objects.all(), query, time="tripped_at")
    items = [
        AlertOut(
            id=row.pk,
            name=row.name,
            reason=row.reason,
            figure=row.figure,
            limit=row.limit,
            tripped_at=row.tripped_at,
            lifted_at=row.lifted_at,
            lifted_by=row.lifted_by,
        )
        for row in found.rows
    ]
    return AlertList(items=items, next=found.next)

"""Breakers of the whole system."""

from typing import Annotated

from django.http import HttpRequest
from django.utils import timezone
from ninja import Path, Router
from ninja.responses import Status

from agents import brakes
from console.api.auth import MANAGE, READ, actor_of
from console.api.shapes import BreakerList, BreakerOut
from traces.alerts.breakers import standing

router = Router(tags=["breakers"], auth=READ)

Name = Annotated[str, Path(max_length=32, pattern=r"^[a-z]+$")]


@router.get("", response=BreakerList, operation_id="list_breakers", summary="List the breakers that stand")
def listing(request: HttpRequest) -> BreakerList:
    """`escalation` lowers how many runs work at a time, `cost` lets no new run begin."""
    items = [
        BreakerOut(
            name=row.name, reason=row.reason, figure=row.figure, limit=row.limit, tripped_at=row.tripped_at
        )
        for row in standing()
    ]
    return BreakerList(items=items, next=None)


@router.delete(
    "/{name}", response={204: None}, auth=MANAGE, operation_id="lift_breaker", summary="Lift a breaker"
)
def lift(request: HttpRequest, name: Name) -> Status[None]:
    """All goes on as before; within the hour it trips again only where the figure grows."""
    brakes.lift(name, actor=actor_of(request), now=timezone.now())
    return Status(204, None)

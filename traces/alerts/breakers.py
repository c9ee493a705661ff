"""Breakers of the whole system: a figure that breaks its limit trips one, and it stands until a person lifts it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from statistics import median

from django.db import transaction
from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncHour

from traces.models import Breaker, Span
from traces.queries.totals import MODEL_OPERATIONS
from traces.recorder import record

ESCALATION, COST = "escalation", "cost"
HOUR = timedelta(hours=1)
BASELINE_DAYS = 7
GROWTH = 1.1  # after it was lifted, a breaker trips within the hour only where the figure grew by so much


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured over the last hour, and the limit; `reason` tells both in a sentence."""

    name: str
    value: float
    limit: float
    reason: str


def standing() -> QuerySet[Breaker]:
    """The breakers that hold now, oldest first."""
    return Breaker.objects.filter(lifted_at=None).order_by("tripped_at")


def judge(figure: Figure, *, now: datetime) -> bool:
    """Trip the breaker of the figure where its limit is broken. Returns whether it tripped now.

    While it stands, the highest figure is kept. One that was lifted within the hour trips again only where the
    figure has grown since: whoever lifted it knew what stood there.
    """
    if figure.value <= figure.limit:
        return False
    with transaction.atomic():
        raised = standing().filter(name=figure.name, figure__lt=figure.value)
        raised.update(figure=figure.value, limit=figure.limit, reason=figure.reason)
        lifted = Breaker.objects.filter(
            name=figure.name, lifted_at__gt=now - HOUR, figure__gte=figure.value / GROWTH
        )
        if lifted.exists():
            return False
        _, tripped = Breaker.objects.get_or_create(
            name=figure.name,
            lifted_at=None,
            defaults={
                "reason": figure.reason,
                "figure": figure.value,
                "limit": figure.limit,
                "tripped_at": now,
            },
        )
        if tripped:
            data = {"figure": figure.value, "limit": figure.limit, "reason": figure.reason}
            record("breaker.tripped", actor="system", object_id=figure.name, data=data)
    return tripped


def lift(name: str, *, by: str, now: datetime) -> bool:
    """Let all go on as before. `by` as the actor of an event. Returns False where the breaker doesn't stand."""
    with transaction.atomic():
        if standing().filter(name=name).order_by().update(lifted_at=now, lifted_by=by) == 0:
            return False
        record("breaker.lifted", actor=by, object_id=name)
    return True


def cost_of_last_hour(*, now: datetime) -> float:
    """What the models of our own runs cost within the last hour (USD); simulated ones cost nothing."""
    spent = _paid(now - HOUR, now).aggregate(sum=Sum("cost_usd"))["sum"]
    return float(spent or 0)


def usual_hourly_cost(*, now: datetime) -> float:
    """The median over the hours of the last seven days in which anything was spent (USD); 0 where there is none.

    The hour that is measured is left out. One pass over a week of spans, so it is kept until the next hour.
    """
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    return _median_until(this_hour - HOUR)


@lru_cache(maxsize=2)
def _median_until(end: datetime) -> float:
    hours = (
        _paid(end - timedelta(days=BASELINE_DAYS), end)
        .annotate(hour=TruncHour("started_at"))
        .values("hour")
        .annotate(sum=Sum("cost_usd"))
        .filter(sum__gt=0)
        .order_by()
    )
    sums: Collection[Decimal] = list(hours.values_list("sum", flat=True))
    return float(median(sums)) if sums else 0.0


def _paid(since: datetime, until: datetime) -> QuerySet[Span]:
    return Span.objects.filter(
        started_at__gt=since,
        started_at__lte=until,
        operation__in=MODEL_OPERATIONS,
        run_id__isnull=False,
        simulated=False,
    )

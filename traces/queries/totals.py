"""What traces came to. Every token and cent is counted once: on model spans that have no model span below them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.postgres.aggregates import BoolOr
from django.db.models import Count, Max, Min, Q, Sum
from django.db.models.functions import Coalesce

from traces.models import Span, SpanStatus

MODEL_OPERATIONS = ("chat", "generate_content", "text_completion", "embeddings")
NO_COST = Decimal(0)


@dataclass(frozen=True, slots=True)
class Totals:
    """One trace in figures. `ended_at` is the end of its last finished span; tokens are in disjoint buckets."""

    spans: int = 0
    errors: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = NO_COST
    simulated: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens

    @property
    def duration_ms(self) -> float | None:
        """From the first start to the last end, in ms."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() * 1000


def totals(trace_ids: Collection[str]) -> dict[str, Totals]:
    """The figures of each of these traces, by one statement; a trace without spans is absent."""
    model = Span.objects.filter(trace_id__in=trace_ids, operation__in=MODEL_OPERATIONS)
    leaf = Q(operation__in=MODEL_OPERATIONS) & ~Q(pk__in=model.values("parent_id"))

    def summed(field: str, default: Any = 0) -> Coalesce:
        return Coalesce(Sum(field, filter=leaf), default)

    rows = (
        Span.objects.filter(trace_id__in=trace_ids)
        .values("trace_id")
        .annotate(
            spans=Count("pk"),
            errors=Count("pk", filter=Q(status=SpanStatus.ERROR)),
            model_calls=Count("pk", filter=leaf),
            tool_calls=Count("pk", filter=Q(operation="execute_tool")),
            input_tokens=summed("input_tokens"),
            cache_read_tokens=summed("cache_read_tokens"),
            cache_write_tokens=summed("cache_write_tokens"),
            output_tokens=summed("output_tokens"),
            cost_usd=summed("cost_usd", NO_COST),
            simulated=BoolOr("simulated"),
            first=Min("started_at"),
            last=Max("ended_at"),
        )
        .order_by()
    )
    found = {}
    for row in rows:
        figures: dict[str, Any] = dict(row)
        trace_id = figures.pop("trace_id")
        started_at, ended_at = figures.pop("first"), figures.pop("last")
        found[trace_id] = Totals(started_at=started_at, ended_at=ended_at, **figures)
    return found

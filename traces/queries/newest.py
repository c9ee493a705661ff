"""The list of traces."""

from collections.abc import Sequence
from dataclasses import dataclass

from traces.models import Span, SpanStatus
from traces.queries.paging import newest_first
from traces.queries.totals import Totals, totals


@dataclass(frozen=True, slots=True)
class TraceLine:
    """A trace in a list: its root span, and what it came to."""

    root: Span
    totals: Totals


@dataclass(frozen=True, slots=True)
class TracePage:
    """Some traces, newest first, and the cursor with which the list goes on."""

    items: Sequence[TraceLine]
    next: str | None


def newest_traces(*, agent: str = "", status: str = "", cursor: str = "", size: int = 25) -> TracePage:
    """A page of traces by root span. `status` is one of SpanStatus. Raises BadCursor."""
    roots = Span.objects.filter(parent_id="")
    if agent:
        roots = roots.filter(agent=agent)
    if status in SpanStatus.values:
        roots = roots.filter(status=status)
    page = newest_first(roots, by="started_at", cursor=cursor, size=size)
    figures = totals([root.trace_id for root in page.items])
    return TracePage(
        items=[TraceLine(root=root, totals=figures.get(root.trace_id, Totals())) for root in page.items],
        next=page.next,
    )

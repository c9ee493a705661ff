"""Traces."""

from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from ninja import Path, Query, Router
from pydantic import Field

from agents.hidden import Hidden
from agents.masking import hide_in_spans
from agents.queries import visible_runs
from approvals.access import PEOPLE, Actor
from approvals.exceptions import Missing
from console.api.auth import READ, actor_of
from console.api.paging import PageQuery, page
from console.api.shapes import SpanOut, TraceList, TraceOut, TraceWithSpans
from console.senders import senders_of
from traces.models import ForeignTrace, Span, SpanStatus

router = Router(tags=["traces"], auth=READ)


class TraceQuery(PageQuery):
    """Which traces."""

    agent: str = Field(default="", max_length=64, pattern=r"^[a-z0-9_-]*$")


@router.get("", response=TraceList, operation_id="list_traces", summary="List traces")
def listing(request: HttpRequest, query: Query[TraceQuery]) -> TraceList:
    """Newest first; a service sees those of runs that it started, and those that it sent."""
    roots = _visible_spans(actor_of(request)).filter(parent_id="")
    if query.agent:
        roots = roots.filter(agent=query.agent)
    found = page(roots, query, time="started_at")
    senders = senders_of([span.trace_id for span in found.rows])
    return TraceList(items=[TraceOut(**_shape_root(span, senders)) for span in found.rows], next=found.next)


@router.get("/{trace_id}", response=TraceWithSpans, operation_id="get_trace", summary="Read a trace")
def read(
    request: HttpRequest,
    trace_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")],
    bodies: Annotated[bool, Query(description="With the inputs and outputs of the spans.")] = False,
) -> TraceWithSpans:
    """All that was recorded, in order of start."""
    spans = _visible_spans(actor_of(request)).filter(trace_id=trace_id).order_by("started_at", "pk")
    if bodies:
        spans = spans.select_related("body")
    found = list(spans)
    if not found:
        raise Missing(f"There is no trace {trace_id} that you may see.")
    actor = actor_of(request)
    hidden = hide_in_spans(found, actor)
    root = next((span for span in found if not span.parent_id), found[0])
    return TraceWithSpans(
        **_shape_root(root, senders_of([trace_id])),
        spans=[_shape_span(span, bodies=bodies, hidden=hidden) for span in found],
    )


def _visible_spans(actor: Actor) -> QuerySet[Span]:
    if actor.roles & PEOPLE:
        return Span.objects.all()
    sent = Q(run_id=None, trace_id__in=ForeignTrace.objects.filter(sender_id=actor.user.pk).values("pk"))
    return Span.objects.filter(sent | Q(run_id__in=visible_runs(actor).values("pk")))


def _shape_root(span: Span, senders: dict[str, str]) -> dict[str, Any]:
    return {
        "sent_by": senders.get(span.trace_id),
        "trace_id": span.trace_id,
        "run": span.run_id,
        "name": span.name,
        "agent": span.agent,
        "agent_version": span.agent_version,
        "status": span.status,
        "simulated": span.simulated,
        "started_at": span.started_at,
        "ended_at": span.ended_at,
        "duration_ms": span.duration_ms,
    }


def _shape_span(span: Span, *, bodies: bool, hidden: dict[UUID, Hidden]) -> SpanOut:
    body = getattr(span, "body", None) if bodies else None
    if body and span.run_id and (mine := hidden.get(span.run_id)):
        rules = mine.of(span.tool, None) if span.tool else ()
        body.input, body.output = mine.arguments(body.input, rules), mine.arguments(body.output, rules)
    return SpanOut(
        id=span.pk,
        parent_id=span.parent_id or None,
        name=span.name,
        operation=span.operation,
        status=SpanStatus(span.status),
        error_type=span.error_type,
        started_at=span.started_at,
        ended_at=span.ended_at,
        duration_ms=span.duration_ms,
        model=span.model,
        tool=span.tool,
        input_tokens=span.input_tokens,
        output_tokens=span.output_tokens,
        cache_read_tokens=span.cache_read_tokens,
        cache_write_tokens=span.cache_write_tokens,
        cost_usd=None if span.cost_usd is None else float(span.cost_usd),
        attributes=span.attributes,
        input=body.input if body else None,
        output=body.output if body else None,
    )

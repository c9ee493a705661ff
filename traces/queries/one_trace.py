"""One trace as a tree of spans, a page at a time: a trace of 10,000 spans opens as fast as one of ten."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import DateTimeField, F, FloatField, Func, Value
from django.db.models.functions import Coalesce

from traces.models import Span, SpanBody
from traces.queries.timeline import Timeline, timeline
from traces.queries.totals import Totals, totals
from traces.recorder import ANSWERED, CONTINUES, answer_as_message

PAGE_SPANS = 500
MAX_PARTS = 1000  # of one prompt
WAITING = "approval"  # the operation of a span in which a person is waited for


class MissingTrace(LookupError):
    """There is no such trace or span; it may have been deleted."""


@dataclass(frozen=True, slots=True)
class Row:
    """A span in its place: how deep, how many directly below it, and from where to where its bar goes (0 to 1)."""

    span: Span
    depth: int
    children: int
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class TracePart:
    """A page of a trace in tree order; `first` is the place of its first row, `next` of the row after its last."""

    trace_id: str
    totals: Totals
    rows: Sequence[Row]
    first: int
    next: int | None
    shortened: bool


class _Node(NamedTuple):
    """What the tree and the axis need of a span. Times are in seconds: 20,000 of them are read at once."""

    id: str
    parent_id: str
    operation: str
    start: float
    end: float


def read_trace(trace_id: str, *, now: datetime, first: int = 0, span_id: str = "") -> TracePart:
    """The page that begins at `first`; with `span_id`, the page on which that span is. Raises MissingTrace.

    An open span reaches to `now`. A span whose parent is not there (yet) stands at the top.
    """
    ends = Coalesce("ended_at", Value(now), output_field=DateTimeField())
    nodes = [
        _Node(*values)
        for values in Span.objects.filter(trace_id=trace_id)
        .order_by("started_at", "pk")
        .values_list("pk", "parent_id", "operation", _seconds(F("started_at")), _seconds(ends))
    ]
    if not nodes:
        raise MissingTrace(f"There is no trace {trace_id}.")
    below = _children(nodes)
    order = _tree_order(nodes, below)
    if span_id:
        places = [place for place, (node, _) in enumerate(order) if node.id == span_id]
        first = places[0] // PAGE_SPANS * PAGE_SPANS if places else 0
    shown = order[first : first + PAGE_SPANS]
    spans = Span.objects.in_bulk([node.id for node, _ in shown])
    axis = _axis(nodes, below)
    rows = [
        Row(
            span=spans[node.id],
            depth=depth,
            children=len(below.get(node.id, ())),
            begins=axis.place(node.start),
            ends=axis.place(node.end),
        )
        for node, depth in shown
        if node.id in spans
    ]
    following = first + PAGE_SPANS
    return TracePart(
        trace_id=trace_id,
        totals=totals([trace_id]).get(trace_id, Totals()),
        rows=rows,
        first=first,
        next=following if following < len(order) else None,
        shortened=axis.shortened,
    )


def read_span(trace_id: str, span_id: str) -> tuple[Span, Any, Any]:
    """A span with its input and output. Raises MissingTrace."""
    span = Span.objects.filter(trace_id=trace_id, pk=span_id).first()
    if span is None:
        raise MissingTrace(f"There is no span {span_id} in trace {trace_id}.")
    body = SpanBody.objects.filter(span=span).first()
    if body is None:
        return span, None, None
    # Arguments of a tool, and what other programs sent, may hold anything under the name that continues a prompt.
    is_prompt = span.run_id is not None and not span.tool
    return span, _whole(body.input) if is_prompt else body.input, body.output


def _whole(input: Any) -> Any:
    """A prompt of which only the end was stored, with the prompts and answers before which it continues."""
    parts: list[tuple[Any, Any]] = [(input, None)]  # input and output, latest first
    while (
        isinstance(parts[-1][0], dict) and (before := parts[-1][0].get(CONTINUES)) and len(parts) < MAX_PARTS
    ):
        earlier = SpanBody.objects.filter(pk=before).values_list("input", "output").first()
        parts.append(earlier or (None, None))
    first, answer = parts.pop()
    if not parts or not isinstance(first, dict):
        return input
    messages = list(first.get("messages", ()))
    for part, output in reversed(parts):
        if part.get(ANSWERED) and (said := answer_as_message(answer)):
            messages.append(said)
        messages.extend(part.get("messages", ()))
        answer = output
    return first | {"messages": messages}


def _children(nodes: Sequence[_Node]) -> dict[str, list[_Node]]:
    """By parent; under "" those at the top."""
    known = {node.id for node in nodes}
    below: dict[str, list[_Node]] = defaultdict(list)
    for node in nodes:
        below[node.parent_id if node.parent_id in known else ""].append(node)
    return below


def _tree_order(nodes: Sequence[_Node], below: dict[str, list[_Node]]) -> list[tuple[_Node, int]]:
    """Each span once with its depth, parents first; spans that name each other as parent stand at the top."""
    order: list[tuple[_Node, int]] = []
    seen: set[str] = set()
    for start in (*below[""], *nodes):
        stack = [(start, 0)]
        while stack:
            node, depth = stack.pop()
            if node.id in seen:
                continue
            seen.add(node.id)
            order.append((node, depth))
            stack.extend((child, depth + 1) for child in reversed(below.get(node.id, ())))
    return order


def _axis(nodes: Sequence[_Node], below: dict[str, list[_Node]]) -> Timeline:
    work = [(node.start, node.end) for node in nodes if node.operation != WAITING and not below.get(node.id)]
    start = nodes[0].start
    return timeline(work, start=start, end=max(start, *(node.end for node in nodes)))


def _seconds(moment: Any) -> Func:
    return Func(Value("epoch"), moment, function="date_part", output_field=FloatField())

"""Traces: the list, and one trace as a waterfall."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from agents.hidden import Hidden
from agents.masking import hide_in_runs, hide_in_spans
from agents.models import Agent, Run
from agents.queries import visible_runs
from console.htmx import render_page
from console.people.entry import actor_of, people_only
from console.senders import senders_of
from console.templatetags.figures import excerpt_line
from console.views.runs import listed_from
from traces.models import Span, SpanStatus
from traces.queries.newest import newest_traces
from traces.queries.one_trace import WAITING, MissingTrace, Row, read_span, read_trace
from traces.queries.paging import BadCursor
from traces.storable import storable

STATUS_WORDS: Mapping[str, tuple[str, str]] = {
    SpanStatus.UNSET: ("quiet", "Not ended"),
    SpanStatus.OK: ("good", "OK"),
    SpanStatus.ERROR: ("bad", "Error"),
}
SCALE = 1000  # units of the bars' drawings
THINNEST = 4  # of a bar that would be too thin to be seen
DEEPEST = 10  # levels that are indented
MAX_DIGITS = 10  # of the place of a row
ROLES = {"planner": "Plan", "executor": "Take a turn", "observer": "Check the work"}


@dataclass(frozen=True, slots=True)
class Line:
    """A span as the waterfall draws it."""

    row: Row
    words: str
    what: str  # the model or tool
    tone: str
    state: str
    bar: str  # work, wait or bad
    tokens_in: int
    indent: int
    x: float
    width: float


@require_safe
@people_only
def traces(request: HttpRequest) -> HttpResponse:
    """The traces, newest first, by agent and status."""
    agent, status, cursor = (storable(request.GET.get(name, "")) for name in ("agent", "status", "cursor"))
    try:
        page = newest_traces(agent=agent, status=status, cursor=cursor)
    except BadCursor as error:
        raise Http404(str(error)) from error
    hide_in_spans([line.root for line in page.items], actor_of(request))
    senders = senders_of([line.root.trace_id for line in page.items])
    context = {
        "lines": [
            (
                line,
                *STATUS_WORDS[line.root.status],
                senders.get(line.root.trace_id, ""),
                _is_rehearsed(line.root),
            )
            for line in page.items
        ],
        "older": listed_from(request.GET, page.next),
        "newest": listed_from(request.GET, "") if cursor else "",
        "agents": Agent.objects.values_list("name", flat=True),
        "statuses": [(value, words) for value, (_, words) in STATUS_WORDS.items()],
        "agent": agent,
        "status": status,
        "filtered": bool(agent or status),
    }
    return render_page(request, page="traces/page.html", fragment="traces/_list.html", context=context)


@require_safe
@people_only
def trace(request: HttpRequest, trace_id: str) -> HttpResponse:
    """One trace; `span` opens that span, wherever it is. htmx gets the rows from `first` on."""
    chosen, first = request.GET.get("span", ""), request.GET.get("first", "")
    try:
        part = read_trace(
            storable(trace_id),
            now=timezone.now(),
            first=int(first) if first.isdecimal() and len(first) < MAX_DIGITS else 0,
            span_id=chosen,
        )
    except MissingTrace as error:
        raise Http404(str(error)) from error
    hidden = hide_in_spans([row.span for row in part.rows], actor_of(request))
    lines = [_line(row) for row in part.rows]
    root = lines[0].row.span if lines and not part.first else None
    run = _run(request, trace_id)
    context = {
        "trace": part,
        "totals": part.totals,
        "lines": lines,
        "chosen": next(
            (_details(line.row.span, hidden) for line in lines if line.row.span.pk == chosen), None
        ),
        "root": root,
        "run": run,
        "sender": senders_of([trace_id]).get(trace_id, ""),
        "rehearsed": root is not None and _is_rehearsed(root),
        "title": excerpt_line(run.input if run else root.preview or root.name if root else trace_id, 120),
        "live": run is not None and not run.is_final and part.next is None and not part.first,
    }
    fragment = "traces/_rows.html" if first else "traces/_waterfall.html"
    return render_page(request, page="traces/trace.html", fragment=fragment, context=context)


@require_safe
@people_only
def span(request: HttpRequest, trace_id: str, span_id: str) -> HttpResponse:
    """What went into a span and what came out; with `raw`, as one JSON document."""
    try:
        found, taken, given = read_span(storable(trace_id), storable(span_id))
    except MissingTrace as error:
        raise Http404(str(error)) from error
    hidden = hide_in_spans([found], actor_of(request))
    taken, given = (_masked(found, hidden, part) for part in (taken, given))
    if "raw" in request.GET:
        return JsonResponse({"input": taken, "output": given, "attributes": found.attributes})
    return render(request, "traces/_span.html", {"chosen": _chosen(found, taken, given)})


def _is_rehearsed(root: Span) -> bool:
    """Whether nothing of what the trace tells reached the world: people must not take its refund for one."""
    return root.run_id is not None and bool(root.attributes.get("gatehouse.rehearsal"))


def _line(row: Row) -> Line:
    span = row.span
    tone, state = STATUS_WORDS[span.status]
    width = max((row.ends - row.begins) * SCALE, THINNEST)
    return Line(
        row=row,
        words=_words(span),
        what=span.tool or span.model,
        tone=tone,
        state=state,
        bar="bad" if tone == "bad" else "wait" if span.operation == WAITING else "work",
        tokens_in=sum(
            part or 0 for part in (span.input_tokens, span.cache_read_tokens, span.cache_write_tokens)
        ),
        indent=min(row.depth, DEEPEST),
        x=round(min(row.begins * SCALE, SCALE - width), 1),
        width=round(width, 1),
    )


def _words(span: Span) -> str:
    """What the span was, as a person says it; spans of other programs keep their names."""
    match span.operation:
        case "chat" if words := ROLES.get(str(span.attributes.get("gatehouse.role", ""))):
            return words
        case "approval":
            return "Wait for a person"
        case "execute_tool" | "refuse_tool" if span.preview:
            return span.preview
    return span.name


def _details(found: Span, hidden: dict[UUID, Hidden]) -> dict[str, Any]:
    _, taken, given = read_span(found.trace_id, found.pk)
    taken, given = (_masked(found, hidden, part) for part in (taken, given))
    return _chosen(found, taken, given)


def _chosen(span: Span, taken: Any, given: Any) -> dict[str, Any]:
    # Pairs: in a template, `attributes.items` would be the attribute of that name.
    return {"span": span, "input": taken, "output": given, "attributes": list(span.attributes.items())}


def _masked(span: Span, hidden: dict[UUID, Hidden], part: Any) -> Any:
    """What went in or came out, as this person may see it: by place of the call itself, and by value elsewhere."""
    if span.run_id is None or (mine := hidden.get(span.run_id)) is None:
        return part
    return mine.arguments(part, mine.of(span.tool, None)) if span.tool else mine.scrubber.value(part)


def _run(request: HttpRequest, trace_id: str) -> Run | None:
    """The run of a trace: they share their id. Traces of other programs have none."""
    try:
        run_id = UUID(trace_id)
    except ValueError:
        return None
    found = visible_runs(actor_of(request)).filter(pk=run_id).first()
    if found is not None:
        hide_in_runs([found], actor_of(request))
    return found

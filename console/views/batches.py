"""Batches: the list, one batch as it goes on, and the form that starts one."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agents import batches as doing
from agents.batch_progress import progress_of
from agents.batches import CONCURRENCY, MAX_CONCURRENCY, STEERABLE, get_batch, visible_batches
from agents.exceptions import AgentError, BadInput, MissingRun, WrongState
from agents.masking import hide_in_batch
from agents.models import Batch, BatchRow, BatchStatus, Run
from agents.states import FINAL_RUN, RunStatus
from agents.tables import MAX_BYTES, read_table
from approvals.exceptions import NotAllowed
from console.api.batches import results_of
from console.htmx import render_page
from console.narration import RUN_WORDS, run_state
from console.people.entry import actor_of, people_only
from console.views.runs import may_steer
from console.views.steering import StartForm
from traces.queries.paging import BadCursor, newest_first

PAGE_BATCHES = 30
SHOWN = 50  # rows on the page of a batch
TONES = {
    BatchStatus.RUNNING: ("quiet", "Running"),
    BatchStatus.PAUSED: ("asks", "Paused"),
    BatchStatus.CANCELLED: ("quiet", "Cancelled"),
    BatchStatus.COMPLETED: ("good", "Completed"),
}


class BatchForm(StartForm):
    """A table, and what is to be done with each row."""

    input = forms.CharField(label="What to do with each row", required=False, strip=False, max_length=100_000)
    table = forms.FileField(label="Table", error_messages={"required": "Choose a file."})
    budget_usd = forms.DecimalField(
        label="Budget in USD", required=False, max_digits=14, decimal_places=6, min_value=0
    )
    concurrency = forms.IntegerField(
        label="Runs at a time", initial=CONCURRENCY, min_value=1, max_value=MAX_CONCURRENCY
    )
    trusted = forms.BooleanField(label="The team wrote every word of this table", required=False)
    subject = None  # type: ignore[assignment]  # a column of the table

    def clean_subject(self) -> dict[str, Any]:
        """Nobody: each row names its own."""
        return {}


@dataclass(frozen=True, slots=True)
class RowLine:
    """A row that was started, or could not be."""

    row: BatchRow
    tone: str
    state: str


@require_safe
@people_only
def batches(request: HttpRequest) -> HttpResponse:
    """The batches, newest first."""
    actor, cursor = actor_of(request), request.GET.get("cursor", "")
    try:
        page = newest_first(visible_batches(actor), by="created_at", cursor=cursor, size=PAGE_BATCHES)
    except BadCursor as error:
        raise Http404(str(error)) from error
    context = {
        "lines": [(batch, *TONES[BatchStatus(batch.status)]) for batch in page.items],
        "older": page.next,
        "cursor": cursor,
        "may_steer": may_steer(actor),
    }
    return render_page(request, page="batches/page.html", fragment="batches/_list.html", context=context)


@require_safe
@people_only
def batch(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """One batch: how far it is, what it cost, and its latest rows."""
    found = _visible(request, batch_id)
    progress = progress_of(found)
    tone, state = TONES[BatchStatus(found.status)]
    begun = found.rows.exclude(state="waiting").select_related("run__version__agent").order_by("-line")
    rows = list(begun[:SHOWN])
    hide_in_batch(rows, actor_of(request))
    done = progress.failed + sum(count for status, count in progress.by_status.items() if status in FINAL_RUN)
    steerable = may_steer(actor_of(request)) and found.status in STEERABLE
    context = {
        "batch": found,
        "tone": tone,
        "state": state,
        "progress": progress,
        "done": done,
        "at_work": found.size - done - progress.waiting,
        "counts": [(RUN_WORDS[RunStatus(status)], count) for status, count in progress.by_status.items()],
        "rows": [RowLine(row, *_row_state(row.run)) for row in rows],
        "may_pause": steerable and found.status == BatchStatus.RUNNING,
        "may_resume": steerable and found.status == BatchStatus.PAUSED,
        "may_cancel": steerable,
    }
    return render_page(request, page="batches/batch.html", fragment="batches/_head.html", context=context)


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def new(request: HttpRequest) -> HttpResponse:
    """A form that starts a batch, and leads to its page; what is wrong stands beside its field."""
    actor = actor_of(request)
    if not may_steer(actor):
        raise PermissionDenied("Starting a batch needs the role operator or admin; ask an admin for it.")
    form = BatchForm(request.POST, request.FILES) if request.method == "POST" else BatchForm()
    wrong: list[dict[str, Any]] = []
    if form.is_valid():
        wanted = form.cleaned_data
        file = wanted["table"]
        try:
            made = doing.create_batch(
                agent=wanted["agent"],
                table=read_table(file.read(MAX_BYTES + 1), name=file.name or ""),
                task=wanted["input"],
                name=file.name or "",
                budget_usd=wanted["budget_usd"],
                concurrency=wanted["concurrency"],
                trusted=wanted["trusted"],
                actor=actor,
            )
        except AgentError as error:
            form.add_error(_field(error), str(error))
            if isinstance(error, BadInput):
                wrong = [each for each in error.errors if len(each["path"]) > 1]
        else:
            return redirect("batch", batch_id=made.pk)
    return render(
        request, "batches/new.html", {"form": form, "wrong": wrong}, status=422 if form.errors else 200
    )


@require_POST
@people_only
def steer(request: HttpRequest, batch_id: UUID, what: str) -> HttpResponse:
    """Pause, resume or cancel it."""
    found, actor = _visible(request, batch_id), actor_of(request)
    try:
        match what:
            case "pause":
                doing.pause_batch(found.pk, actor=actor)
            case "cancel":
                doing.cancel_batch(found.pk, actor=actor)
            case "resume":
                budget = forms.DecimalField(required=False, max_digits=14, decimal_places=6)
                doing.resume_batch(
                    found.pk, actor=actor, budget_usd=budget.clean(request.POST.get("budget_usd", ""))
                )
            case _:
                raise Http404(f"A batch can be paused, resumed and cancelled, not {what}.")
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except (WrongState, BadInput) as error:
        messages.warning(request, str(error))
    except forms.ValidationError as error:
        messages.warning(request, f"The budget: {' '.join(error.messages)}")
    return redirect("batch", batch_id=batch_id)


@require_safe
@people_only
def results(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """What it came to so far, as a file."""
    kind = "jsonl" if request.GET.get("format") == "jsonl" else "csv"
    return results_of(_visible(request, batch_id), kind, actor_of(request))


def _visible(request: HttpRequest, batch_id: UUID) -> Batch:
    try:
        return get_batch(batch_id, actor=actor_of(request))
    except MissingRun as error:
        raise Http404(str(error)) from error


def _row_state(run: Run | None) -> tuple[str, str]:
    return run_state(run) if run else ("bad", "Not started")


def _field(error: AgentError) -> str | None:
    """The field of the form that is wrong, where the error names one."""
    if error.code == "unknown_agent":
        return "agent"
    named = str(error.errors[0]["path"][0]) if error.errors else ""
    named = "input" if named == "task" else named
    return named if named in BatchForm.base_fields else None

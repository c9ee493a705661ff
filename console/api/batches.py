"""Batches: one task over a table."""

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import File, Form, Query, Router
from ninja.files import UploadedFile
from ninja.responses import Status

from agents import batches
from agents.batch_progress import progress_of
from agents.batch_results import as_csv, as_jsonl
from agents.batches import get_batch, visible_batches
from agents.models import Batch, BatchStatus
from agents.nearest import hint
from agents.tables import Table, read_table, table_of
from approvals.access import Actor
from console.api.auth import READ, RUN, actor_of
from console.api.idempotency import IdempotencyKey, create_once
from console.api.paging import PageQuery, page
from console.api.problems import Problem
from console.api.shapes.batches import BatchIn, BatchLine, BatchList, BatchOut, BatchResume, BatchTask

router = Router(tags=["batches"], auth=READ)

TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
RESULTS: dict[str, Any] = {
    "responses": {
        200: {
            "description": "A line for each row, in the order of the table",
            "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in TYPES.values()},
        }
    }
}


@router.post("", response={201: BatchOut}, auth=RUN, operation_id="start_batch", summary="Start a batch")
def start(request: HttpRequest, body: BatchIn, idempotency_key: IdempotencyKey = "") -> Status[object]:
    """Each row becomes a run. Nothing is started unless all rows are good; the values count as written by outsiders."""

    def create() -> BatchOut:
        return _shape(_create(request, body, table_of(body.rows)))

    return create_once(request, idempotency_key, create)


@router.post(
    "/upload",
    response={201: BatchOut},
    auth=RUN,
    operation_id="start_batch_from_file",
    summary="Start a batch from a file",
)
def upload(
    request: HttpRequest,
    body: Form[BatchTask],
    table: File[UploadedFile],
    idempotency_key: IdempotencyKey = "",
) -> Status[object]:
    """The same from a table of up to 50 MB and 50,000 rows. What is wrong with it is told by line."""
    _require_known(request)
    content = table.read()
    digest = hashlib.sha256(content).hexdigest()

    def create() -> BatchOut:
        named = body.model_copy(update={"name": body.name or (table.name or "")[:200]})
        return _shape(_create(request, named, read_table(content, name=table.name or "")))

    sent = f"{body.model_dump_json()} {digest}".encode()
    return create_once(request, idempotency_key, create, sent=sent)


@router.get("", response=BatchList, operation_id="list_batches", summary="List batches")
def listing(request: HttpRequest, query: Query[PageQuery]) -> BatchList:
    """Newest first; a service sees those that it made."""
    found = page(visible_batches(actor_of(request)), query, time="created_at")
    return BatchList(items=[BatchLine(**_head(batch)) for batch in found.rows], next=found.next)


@router.get("/{batch_id}", response=BatchOut, operation_id="get_batch", summary="Read a batch")
def read(request: HttpRequest, batch_id: UUID) -> BatchOut:
    """Where it stands, with its rows by status."""
    return _shape(get_batch(batch_id, actor=actor_of(request)))


@router.get(
    "/{batch_id}/results",
    response={200: None},
    operation_id="get_batch_results",
    summary="Download what a batch came to",
    openapi_extra=RESULTS,
)
def results(request: HttpRequest, batch_id: UUID, format: Literal["csv", "jsonl"] = "csv") -> HttpResponse:
    """Also while it goes on. In CSV, what a spreadsheet would take for a formula has an apostrophe before it."""
    actor = actor_of(request)
    return results_of(get_batch(batch_id, actor=actor), format, actor)


@router.post(
    "/{batch_id}/pause", response=BatchOut, auth=RUN, operation_id="pause_batch", summary="Pause a batch"
)
def pause(request: HttpRequest, batch_id: UUID) -> BatchOut:
    """No further row is started; runs that were begun go on."""
    return _shape(batches.pause_batch(batch_id, actor=actor_of(request)))


@router.post(
    "/{batch_id}/resume", response=BatchOut, auth=RUN, operation_id="resume_batch", summary="Resume a batch"
)
def resume(request: HttpRequest, batch_id: UUID, body: BatchResume | None = None) -> BatchOut:
    """Lets a paused batch go on, with another budget where one is given."""
    budget = _usd(body.budget_usd) if body else None
    return _shape(batches.resume_batch(batch_id, actor=actor_of(request), budget_usd=budget))


@router.post(
    "/{batch_id}/cancel", response=BatchOut, auth=RUN, operation_id="cancel_batch", summary="Cancel a batch"
)
def cancel(request: HttpRequest, batch_id: UUID) -> BatchOut:
    """No further row is started, and its open runs end at their next step."""
    return _shape(batches.cancel_batch(batch_id, actor=actor_of(request)))


def results_of(batch: Batch, format: str, actor: Actor) -> HttpResponse:
    """The results as a file, as `actor` may see them."""
    lines: Callable[[Batch, Actor], Any] = as_csv if format == "csv" else as_jsonl
    response = HttpResponse("".join(lines(batch, actor)), content_type=TYPES[format])
    response["Content-Disposition"] = f'attachment; filename="batch-{batch.pk}.{format}"'
    return response


def batch_url(batch: Batch) -> str:
    """Its page in the console."""
    return f"{settings.BASE_URL}/batches/{batch.pk}"


def _require_known(request: HttpRequest) -> None:
    """Raise Problem for form fields that mean nothing here: the form's own parser passes over them."""
    forms = (
        ("form field", list(request.POST), list(BatchTask.model_fields)),
        ("file", list(request.FILES), ["table"]),
    )
    errors = [
        {"path": [name], "message": f"unknown {kind} {name!r}; {hint(name, known)}"}
        for kind, sent, known in forms
        for name in sent
        if name not in known
    ]
    if errors:
        told = "; ".join(str(error["message"]) for error in errors)
        raise Problem(422, "invalid", f"What was sent can't be used: {told}", errors=errors)


def _create(request: HttpRequest, body: BatchTask, table: Table) -> Batch:
    return batches.create_batch(
        agent=body.agent,
        table=table,
        task=body.task,
        name=body.name,
        budget_usd=_usd(body.budget_usd),
        concurrency=body.concurrency,
        actor=actor_of(request),
    )


def _usd(amount: float | None) -> Decimal | None:
    return (
        None
        if amount is None
        else max(Decimal(str(amount)).quantize(Decimal("0.000001")), Decimal("0.000001"))
    )


def _head(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.pk,
        "agent": batch.agent.name,
        "name": batch.name,
        "status": BatchStatus(batch.status),
        "reason": batch.reason,
        "rows": batch.size,
        "url": batch_url(batch),
        "created_at": batch.created_at,
        "ended_at": batch.ended_at,
    }


def _shape(batch: Batch) -> BatchOut:
    progress = progress_of(batch)
    return BatchOut(
        **_head(batch),
        task=batch.task,
        waiting=progress.waiting,
        failed=progress.failed,
        runs=progress.by_status,
        concurrency=batch.concurrency,
        budget_usd=None if batch.budget_usd is None else float(batch.budget_usd),
        cost_usd=float(progress.cost_usd),
    )

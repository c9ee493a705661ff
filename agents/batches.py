"""Batches: what people and programs do with them."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from agents import actions
from agents.batch_progress import change_status, open_runs, record_batch
from agents.exceptions import BadInput, MissingRun, WrongState
from agents.models import Batch, BatchRow, BatchStatus
from agents.runtime.dispatch import wake_batches
from agents.runtime.versions import runnable_version
from agents.tables import Table, tasks_of
from approvals.access import ADMIN, OPERATOR, PEOPLE, SERVICE, Actor
from approvals.exceptions import NotAllowed
from traces.storable import storable

CONCURRENCY, MAX_CONCURRENCY = 20, 200  # runs of a batch that are open at a time
MAX_BUDGET = 10_000_000  # USD
STEERABLE = (BatchStatus.RUNNING, BatchStatus.PAUSED)


def create_batch(
    *,
    agent: str,
    table: Table,
    task: str = "",
    name: str = "",
    budget_usd: Decimal | None = None,
    concurrency: int = CONCURRENCY,
    trusted: bool = False,
    actor: Actor | None = None,
) -> Batch:
    """Store all rows, and have the first started. Raises UnknownAgent, NotAllowed, and BadInput, which names each bad line."""
    if actor is not None:
        _require_doer(actor)
    version = runnable_version(agent)
    tasks = tasks_of(table, str(storable(task)), input_max=version.parsed.guardrails.input_max)
    if not 1 <= concurrency <= MAX_CONCURRENCY:
        raise _bad("concurrency", f"write a number from 1 to {MAX_CONCURRENCY}")
    _check_budget(budget_usd)
    with transaction.atomic():
        batch = Batch.objects.create(
            agent=version.agent,
            name=str(storable(name))[:200],
            task=storable(task),
            columns=table.columns,
            size=len(tasks),
            concurrency=concurrency,
            budget_usd=budget_usd,
            trusted=trusted,
            actor=str(actor or "system"),
            created_by=actor.user if actor else None,
            created_at=timezone.now(),
        )
        rows = (
            BatchRow(
                batch=batch,
                line=each.line.number,
                data=each.line.data,
                input=each.input,
                subject=each.subject,
            )
            for each in tasks
        )
        BatchRow.objects.bulk_create(rows, batch_size=1000)
        record_batch("batch.started", batch, actor=batch.actor, agent=agent, rows=batch.size)
        transaction.on_commit(wake_batches)
    return batch


def pause_batch(batch_id: UUID, *, actor: Actor) -> Batch:
    """Start no further row; runs that were begun go on. Raises WrongState, NotAllowed, MissingRun."""
    return _move(
        batch_id,
        BatchStatus.PAUSED,
        "batch.paused",
        actor=actor,
        reason=f"Paused by {actor.user.get_username()}.",
    )


def resume_batch(batch_id: UUID, *, actor: Actor, budget_usd: Decimal | None = None) -> Batch:
    """Go on, with another budget where one is given. Raises WrongState, NotAllowed, MissingRun."""
    _check_budget(budget_usd)
    changes = {} if budget_usd is None else {"budget_usd": budget_usd}
    return _move(batch_id, BatchStatus.RUNNING, "batch.resumed", actor=actor, reason="", **changes)


def cancel_batch(batch_id: UUID, *, actor: Actor) -> Batch:
    """Start no further row, and have its open runs end. Raises WrongState, NotAllowed, MissingRun."""
    with transaction.atomic():
        now, reason = timezone.now(), f"Cancelled by {actor.user.get_username()}."
        batch = _move(
            batch_id, BatchStatus.CANCELLED, "batch.cancelled", actor=actor, reason=reason, ended_at=now
        )
        for run_id in open_runs(batch).values_list("pk", flat=True):
            try:
                actions.cancel_run(run_id=run_id, actor=actor, reason=f"Its batch {batch} was cancelled.")
            except WrongState:
                continue  # it has just ended
    return batch


def visible_batches(actor: Actor) -> QuerySet[Batch]:
    """The batches that `actor` may see: people see all, a program those it made."""
    batches = Batch.objects.select_related("agent", "created_by")
    return batches if actor.roles & PEOPLE else batches.filter(created_by=actor.user)


def get_batch(batch_id: UUID, *, actor: Actor) -> Batch:
    """The batch. Raises MissingRun."""
    batch = visible_batches(actor).filter(pk=batch_id).first()
    if batch is None:
        raise MissingRun(f"There is no batch {batch_id} that you may see.")
    return batch


def _check_budget(budget: Decimal | None) -> None:
    if budget is not None and not (budget.is_finite() and 0 < budget <= MAX_BUDGET):
        raise _bad("budget_usd", f"write an amount above 0 and up to {MAX_BUDGET:,} USD")


def _bad(field: str, message: str) -> BadInput:
    return BadInput(f"{field}: {message}.", errors=[{"path": [field], "message": message}])


def _move(batch_id: UUID, status: BatchStatus, event: str, *, actor: Actor, **changes: Any) -> Batch:
    _require_doer(actor)
    with transaction.atomic():
        rows = Batch.objects.select_for_update(of=("self",)).select_related("agent").filter(pk=batch_id)
        batch = rows.filter(pk__in=visible_batches(actor).values("pk")).first()
        if batch is None:
            raise MissingRun(f"There is no batch {batch_id} that you may steer.")
        if batch.status not in STEERABLE or batch.status == status:
            raise WrongState(f"The batch is {batch.status}: it can't become {status}.")
        change_status(batch, status, event, actor=str(actor), **changes)
        transaction.on_commit(wake_batches)
    return batch


def _require_doer(actor: Actor) -> None:
    if not actor.roles & {OPERATOR, ADMIN, SERVICE}:
        raise NotAllowed("Batches need the role operator or admin; ask an admin for it.")

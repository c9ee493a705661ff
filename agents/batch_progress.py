"""How a batch gets on: its rows are started a few at a time, each once, by one commit with its run."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from agents import rates
from agents.exceptions import BadInput, RateLimited, UnknownAgent
from agents.intake import queue_run
from agents.models import AgentVersion, Batch, BatchRow, BatchStatus, RowState, Run
from agents.runtime.versions import runnable_version
from approvals.exceptions import Halted
from approvals.halts import require_running
from traces.recorder import record

AT_ONCE = 25  # rows that one transaction starts


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch in figures."""

    waiting: int = 0
    failed: int = 0  # could not be started
    by_status: dict[str, int] = field(default_factory=dict)  # of runs
    cost_usd: Decimal = Decimal(0)


def advance_all(*, now: datetime) -> None:
    """Carry each batch on that has something to start, or to count."""
    started = BatchRow.objects.filter(batch=OuterRef("pk"), state=RowState.STARTED)
    for batch_id in Batch.objects.filter(Q(status=BatchStatus.RUNNING) | Exists(started)).values_list(
        "pk", flat=True
    ):
        while advance(batch_id, now=now) == AT_ONCE:
            pass


def advance(batch_id: UUID, *, now: datetime) -> int:
    """Count what ended and start what may be started, as one transaction. Returns how many rows were started."""
    with transaction.atomic():
        rows = Batch.objects.select_for_update(of=("self",), skip_locked=True)
        batch = rows.select_related("agent", "created_by").filter(pk=batch_id).first()
        if batch is None:  # another worker is at it
            return 0
        _count_ended(batch)
        if batch.status != BatchStatus.RUNNING:
            return 0
        waiting = batch.rows.filter(state=RowState.WAITING).order_by("line")
        taken = batch.rows.filter(state=RowState.STARTED).count()
        if not waiting.exists():
            if not taken:
                change_status(batch, BatchStatus.COMPLETED, "batch.completed", reason="", ended_at=now)
            return 0
        try:
            version = runnable_version(batch.agent.name)
            require_running(batch.agent.name)
        except (UnknownAgent, BadInput) as error:
            change_status(batch, BatchStatus.PAUSED, "batch.paused", reason=str(error))
            return 0
        except Halted:
            return 0
        places, budget = _places(batch, version, taken)
        if not places and not taken:
            reason = f"The budget of USD {batch.budget_usd:,.2f} is used up."
            change_status(batch, BatchStatus.PAUSED, "batch.paused", reason=reason)
        return _start(batch, version, list(waiting[:places]), budget, now)


def progress_of(batch: Batch) -> Progress:
    """Its rows as they stand."""
    states = dict(batch.rows.values_list("state").annotate(Count("pk")).order_by())
    runs = Run.objects.filter(batch_row__batch=batch)
    by_status = dict(runs.values_list("status").annotate(Count("pk")).order_by())
    at_work = cost_of(open_runs(batch).values_list("pk", flat=True))
    return Progress(
        waiting=states.get(RowState.WAITING, 0),
        failed=states.get(RowState.FAILED, 0),
        by_status=by_status,
        cost_usd=batch.spent_usd + at_work,
    )


def cost_of(run_ids: Collection[UUID]) -> Decimal:
    """What runs cost with all that they started, in USD."""
    total, level = Decimal(0), list(run_ids)
    while level:
        total += Run.objects.filter(pk__in=level).aggregate(cost=Sum("cost_usd"))["cost"] or 0
        level = list(Run.objects.filter(parent__in=level).values_list("pk", flat=True))
    return total


def open_runs(batch: Batch) -> QuerySet[Run]:
    """The runs of its rows that go on."""
    return Run.objects.filter(batch_row__batch=batch, batch_row__state=RowState.STARTED, ended_at=None)


def change_status(
    batch: Batch, status: BatchStatus, event: str, *, actor: str = "system", **changes: Any
) -> None:
    """Store where a batch, which the caller has locked, stands now, and what else of it changes."""
    for name, value in {"status": status, **changes}.items():
        setattr(batch, name, value)
    batch.save(update_fields=["status", *changes])
    record_batch(event, batch, actor=actor, agent=batch.agent.name, reason=batch.reason)


def record_batch(event: str, batch: Batch, *, actor: str, **data: Any) -> None:
    """Add an event about a batch."""
    record(event, actor=actor, object_id=batch.pk, data={"batch": str(batch), **data})


def _count_ended(batch: Batch) -> None:
    ended = batch.rows.filter(state=RowState.STARTED, run__ended_at__isnull=False)
    found = dict(ended.values_list("pk", "run_id"))
    if found:
        batch.spent_usd += cost_of([run_id for run_id in found.values() if run_id])
        BatchRow.objects.filter(pk__in=found).update(state=RowState.ENDED)
        Batch.objects.filter(pk=batch.pk).update(spent_usd=batch.spent_usd)


def _places(batch: Batch, version: AgentVersion, taken: int) -> tuple[int, dict[str, Any] | None]:
    """How many rows may be started, and the budget of each run: together they can't cost more than the batch may."""
    free = max(0, min(batch.concurrency - taken, AT_ONCE))
    if batch.budget_usd is None:
        return free, None
    most = Decimal(str(version.parsed.limits.cost_usd))  # of one run
    left = batch.budget_usd - batch.spent_usd
    affordable = int(left / most) - taken
    if affordable < 1 and not taken and left > 0:
        return 1, {"cost_usd": float(left)}
    return max(0, min(free, affordable)), {"cost_usd": float(most)}


def _start(
    batch: Batch,
    version: AgentVersion,
    rows: list[BatchRow],
    budget: dict[str, Any] | None,
    now: datetime,
) -> int:
    limit = version.parsed.guardrails.input_max
    for count, row in enumerate(rows):
        if len(row.input) > limit:  # the agent was published anew since
            row.state, row.error = RowState.FAILED, f"The agent takes at most {limit:,} characters."
            row.save(update_fields=["state", "error"])
            continue
        try:
            rates.require_agent_and_user(version=version, subject={}, actor=None, now=now)
        except RateLimited:  # of the agent: the next look goes on
            return count
        row.run = queue_run(
            version=version,
            input=row.input,
            now=now,
            actor=batch.actor,
            subject=row.subject,
            started_by=batch.created_by,
            taint_sources=[] if batch.trusted else ["input"],
            metadata={"batch": str(batch.pk), "line": row.line},
            budget=budget,
        )
        row.state = RowState.STARTED
        row.save(update_fields=["run", "state"])
    return len(rows)

"""Batches: what people and programs do with them, and how they get on. A row is started once, by one commit with its run."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone
from kombu.exceptions import OperationalError

from agents import actions, rates
from agents.exceptions import BadInput, MissingRun, RateLimited, UnknownAgent, WrongState
from agents.intake import queue_run
from agents.models import Agent, AgentVersion, Batch, BatchRow, BatchStatus, RowState, Run
from agents.runtime.versions import version_of
from agents.tables import Table, tasks_of
from approvals.access import ADMIN, OPERATOR, PEOPLE, SERVICE, Actor
from approvals.exceptions import Halted, NotAllowed
from approvals.halts import require_running
from traces.recorder import record
from traces.storable import storable

CONCURRENCY, MAX_CONCURRENCY = 20, 200  # runs of a batch that are open at a time
MAX_BUDGET = 10_000_000  # USD
AT_ONCE = 25  # rows that one transaction starts
STEERABLE = (BatchStatus.RUNNING, BatchStatus.PAUSED)


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch in figures."""

    waiting: int = 0
    failed: int = 0  # could not be started
    by_status: dict[str, int] = field(default_factory=dict)  # of runs
    cost_usd: Decimal = Decimal(0)


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
    version = _live(agent)
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
        _record("batch.started", batch, actor=batch.actor, agent=agent, rows=batch.size)
        transaction.on_commit(_wake)
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
        for run_id in _open_runs(batch).values_list("pk", flat=True):
            try:
                actions.cancel_run(run_id=run_id, actor=actor, reason=f"Its batch {batch} was cancelled.")
            except WrongState:
                continue  # it has just ended
    return batch


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
                _stop(batch, BatchStatus.COMPLETED, "batch.completed", reason="", ended_at=now)
            return 0
        try:
            version = _live(batch.agent.name)
            require_running(batch.agent.name)
        except (UnknownAgent, BadInput) as error:
            _stop(batch, BatchStatus.PAUSED, "batch.paused", reason=str(error))
            return 0
        except Halted:
            return 0
        places, budget = _places(batch, version, taken)
        if not places and not taken:
            reason = f"The budget of USD {batch.budget_usd:,.2f} is used up."
            _stop(batch, BatchStatus.PAUSED, "batch.paused", reason=reason)
        return _start(batch, version, list(waiting[:places]), budget, now)


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


def progress_of(batch: Batch) -> Progress:
    """Its rows as they stand."""
    states = dict(batch.rows.values_list("state").annotate(Count("pk")).order_by())
    runs = Run.objects.filter(batch_row__batch=batch)
    by_status = dict(runs.values_list("status").annotate(Count("pk")).order_by())
    at_work = cost_of(_open_runs(batch).values_list("pk", flat=True))
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


def _open_runs(batch: Batch) -> QuerySet[Run]:
    return Run.objects.filter(batch_row__batch=batch, batch_row__state=RowState.STARTED, ended_at=None)


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


def _live(agent: str) -> AgentVersion:
    """The version that runs. Raises UnknownAgent, and BadInput for a gateway."""
    live = Agent.objects.filter(name=agent).values_list("live_version", flat=True).first()
    if live is None:
        known = ", ".join(Agent.objects.exclude(live_version=None).values_list("name", flat=True)) or "none"
        raise UnknownAgent(f"There is no agent {agent!r}. Agents: {known}.")
    version = version_of(live)
    if version.parsed.pattern == "gateway":
        raise _bad("agent", f"{agent} is a gateway, which asks no model")
    return version


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
        _stop(batch, status, event, actor=str(actor), **changes)
        transaction.on_commit(_wake)
    return batch


def _stop(batch: Batch, status: BatchStatus, event: str, *, actor: str = "system", **changes: Any) -> None:
    for name, value in {"status": status, **changes}.items():
        setattr(batch, name, value)
    batch.save(update_fields=["status", *changes])
    _record(event, batch, actor=actor, agent=batch.agent.name, reason=batch.reason)


def _record(event: str, batch: Batch, *, actor: str, **data: Any) -> None:
    record(event, actor=actor, object_id=batch.pk, data={"batch": str(batch), **data})


def _require_doer(actor: Actor) -> None:
    if not actor.roles & {OPERATOR, ADMIN, SERVICE}:
        raise NotAllowed("Batches need the role operator or admin; ask an admin for it.")


def _wake() -> None:
    """Have a worker look; the clock does, too, so that losing this loses nothing but time."""
    from agents.tasks import advance_batches

    try:
        advance_batches.apply_async(retry=False)
    except OperationalError:
        pass

"""The one way in which the holder of a run writes: fenced, so that a worker which lost the run writes nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model

from agents.exceptions import Changed, LeaseLost
from agents.models import Run, ToolCall
from agents.runtime.leases import lease_end
from agents.states import CALL_TRANSITIONS, RUN_TRANSITIONS, CallStatus, RunStatus
from approvals.halts import STANDING
from traces.recorder import page
from traces.statement import Change, Condition, Statement


@dataclass(slots=True)
class Entry:
    """What one step writes, until it is written."""

    alone: bool
    rows: list[Model] = field(default_factory=list)
    moves: dict[UUID, Change] = field(default_factory=dict)
    before: list[tuple[ToolCall, dict[str, Any]]] = field(default_factory=list)  # what the moved calls were

    def undo(self) -> None:
        """Nothing was written: in memory, too, the calls are where they were."""
        for call, values in reversed(self.before):
            for name, value in values.items():
                setattr(call, name, value)


@dataclass(slots=True)
class Seen:
    """What the run's row, and the gate, said when the entry was written."""

    requested: str = ""
    halted: bool = False
    live_version_id: int | None = None


_open: ContextVar[Entry | None] = ContextVar("entry", default=None)


@contextmanager
def entry(
    run: Run,
    label: str,
    *,
    now: datetime,
    alone: bool = False,
    conditions: Sequence[Condition] = (),
    **changes: Any,
) -> Iterator[Seen]:
    """A transaction that changes the run's row, if its fence is still `run.fence`, and all that belongs to the step.

    Rows, spans and events become true together. After the commit `run` in memory has the new values, and knows what
    others want of it; in the block (not with `alone`) that stands in what is yielded. `label` names the step for logs and crash tests. Raises
    LeaseLost.

    With `alone` the block must not touch the database: it adds steps, moves calls and records, and all is written by
    one statement at its end, which also asks for `conditions`. Raises Changed where those don't hold, or a call was
    moved by another.
    """
    if "status" in changes and changes["status"] not in RUN_TRANSITIONS[RunStatus(run.status)]:
        raise ValueError(f"{run}: no way from {run.status} to {changes['status']}")
    changes.setdefault("attempts", 0)  # it got on
    kept = changes.get("status", RunStatus.RUNNING) == RunStatus.RUNNING
    renewed = {"lease_until": lease_end(now)} if kept else {}
    held = Change(Run, run.pk, changes | renewed, {"fence": run.fence, "status": RunStatus.RUNNING})
    with _write_alone(run, label, held, conditions) if alone else _write_around(run, label, held) as seen:
        yield seen
    for name, value in changes.items():
        setattr(run, name, value)
    run.requested, run.halted, run.live_version_id = seen.requested, seen.halted, seen.live_version_id


def answers(run: Run) -> list[Condition]:
    """What every entry, and the claim, asks beside: all that others may want of the run meanwhile."""
    return [
        Condition("agents_run.requested"),
        Condition(STANDING, (run.version.agent.name,)),
        Condition("(SELECT live_version_id FROM agents_agent WHERE id = %s)", (run.version.agent_id,)),
    ]


@contextmanager
def _write_alone(run: Run, label: str, held: Change, conditions: Sequence[Condition]) -> Iterator[Seen]:
    seen, written = Seen(), Entry(alone=True)
    token = _open.set(written)
    try:
        with page() as recorded, connection.execute_wrapper(_refuse):
            yield seen
        moves = list(written.moves.values())
        statement = Statement(
            guard=held,
            conditions=[*conditions, *(_unmoved(move) for move in moves)],
            answers=answers(run),
            changes=[*moves, *recorded.ended],
            added=[*written.rows, *recorded.rows()],
        )
        found = statement.execute()
        if found is None:
            if Run.objects.filter(pk=run.pk, fence=run.fence, status=RunStatus.RUNNING).exists():
                raise Changed
            raise LeaseLost(f"{run} is no longer ours ({label}).")
    except BaseException:
        written.undo()
        raise
    finally:
        _open.reset(token)
    seen.requested, seen.halted, seen.live_version_id = found
    recorded.announce()


def _unmoved(move: Change) -> Condition:
    return Condition(
        "EXISTS (SELECT 1 FROM agents_toolcall WHERE id = %s AND status = %s)",
        (move.pk, move.where["status"]),
    )


def _refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    raise RuntimeError(f"An entry that is written alone must not touch the database: {sql[:80]}")


@contextmanager
def _write_around(run: Run, label: str, held: Change) -> Iterator[Seen]:
    seen, written = Seen(), Entry(alone=False)
    with transaction.atomic():
        found = Statement(guard=held, answers=answers(run)).execute()
        if found is None:
            raise LeaseLost(f"{run} is no longer ours ({label}).")
        seen.requested, seen.halted, seen.live_version_id = found
        token = _open.set(written)
        try:
            with page() as recorded:
                yield seen
        finally:
            _open.reset(token)
        Statement(changes=recorded.ended, added=recorded.rows()).execute()
        recorded.announce()


def add(*rows: Model) -> None:
    """Add rows; inside an entry. One that is written alone takes them in this order, parents first."""
    current = _current()
    if current.alone:
        current.rows.extend(rows)
    else:
        for row in rows:
            row.save(force_insert=True)


def move_call(call: ToolCall, status: CallStatus, **changes: Any) -> None:
    """Move a call to `status` if it is still where the caller knows it; else the entry raises LeaseLost or Changed."""
    if status not in CALL_TRANSITIONS[CallStatus(call.status)]:
        raise ValueError(f"{call}: no way from {call.status} to {status}")
    current, changes = _current(), {"status": status, **changes}
    if not current.alone:
        if ToolCall.objects.filter(pk=call.pk, status=call.status).update(**changes) != 1:
            raise LeaseLost(f"{call} was changed meanwhile.")
    else:
        move = current.moves.setdefault(call.pk, Change(ToolCall, call.pk, {}, {"status": call.status}))
        move.values.update(changes)
        current.before.append((call, {name: getattr(call, name) for name in changes}))
    for name, value in changes.items():
        setattr(call, name, value)


def give_back_connection() -> None:
    """Let another thread have the database connection while this one waits for the world."""
    if not connection.in_atomic_block:
        connection.close()


def _current() -> Entry:
    current = _open.get()
    if current is None:
        raise RuntimeError("Steps and calls are written inside an entry.")
    return current

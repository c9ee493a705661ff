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
from traces.recorder import Page, page
from traces.statement import Change, Condition, Statement

# Whether the run has taken in all that it was sent.
NOTHING_SAID = "NOT EXISTS (SELECT 1 FROM agents_message WHERE run_id = agents_run.id AND taken_at IS NULL)"


@dataclass(slots=True)
class Entry:
    """What one step writes, or several that are written together."""

    alone: bool = True
    changes: dict[str, Any] = field(default_factory=dict)  # of the run's row
    rows: list[Model] = field(default_factory=list)
    moves: dict[UUID, Change] = field(default_factory=dict)  # of calls that are stored
    before: list[tuple[ToolCall, dict[str, Any]]] = field(default_factory=list)  # what the moved calls were
    recorded: Page = field(default_factory=Page)

    def undo(self) -> None:
        """Nothing was written: in memory, too, the calls are where they were."""
        for call, values in reversed(self.before):
            for name, value in values.items():
                setattr(call, name, value)

    def adds(self, row: Model) -> bool:
        """Whether `row` comes into being with this entry."""
        return any(row is added for added in self.rows)

    def join(self, earlier: "Entry") -> "Entry":
        """This after `earlier`, as one."""
        moves = dict(earlier.moves)
        for key, move in self.moves.items():
            first = moves.get(key)
            both = first and Change(ToolCall, key, first.values | move.values, first.where)
            moves[key] = both or move
        return Entry(
            changes=earlier.changes | self.changes,
            rows=[*earlier.rows, *self.rows],
            moves=moves,
            before=[*earlier.before, *self.before],
            recorded=earlier.recorded.join(self.recorded),
        )


@dataclass(slots=True)
class Seen:
    """What the run's row, and the gate, said when the entry was written."""

    requested: str
    halted: bool
    live_version_id: int | None
    spoken_to: bool

    @classmethod
    def by(cls, run: Run) -> "Seen":
        """As the holder knows it."""
        return cls(run.requested, run.halted, run.live_version_id, run.spoken_to)

    def tell(self, run: Run) -> None:
        """Have the holder know it."""
        run.requested, run.halted = self.requested, self.halted
        run.live_version_id, run.spoken_to = self.live_version_id, self.spoken_to


_open: ContextVar[Entry | None] = ContextVar("entry", default=None)
_left: ContextVar[Entry | None] = ContextVar("left", default=None)  # before it, and not written yet


@contextmanager
def entry(
    run: Run,
    label: str,
    *,
    now: datetime,
    alone: bool = False,
    later: bool = False,
    conditions: Sequence[Condition] = (),
    **changes: Any,
) -> Iterator[Seen]:
    """A transaction that changes the run's row, if its fence is still `run.fence`, and all that belongs to the step.

    Rows, spans and events become true together. After the commit `run` in memory has the new values, and knows what
    others want of it; in the block (not with `alone`) that stands in what is yielded. `label` names the step for logs
    and crash tests. Raises LeaseLost.

    With `alone` the block must not touch the database: it adds rows, moves calls and records, and all is written by
    one statement at its end, which also asks for `conditions`. Raises Changed where those don't hold, or a call was
    moved by another. With `later`, too, it is written with what comes next: `write` does that before anything acts.
    """
    if "status" in changes and changes["status"] not in RUN_TRANSITIONS[RunStatus(run.status)]:
        raise ValueError(f"{run}: no way from {run.status} to {changes['status']}")
    changes.setdefault("attempts", 0)  # it got on
    kept = changes.get("status", RunStatus.RUNNING) == RunStatus.RUNNING
    stored = changes | ({"lease_until": lease_end(now)} if kept else {})
    seen = Seen.by(run)
    if alone or later:
        written = Entry(changes=stored)
        with _collecting(written, run.unwritten):
            yield seen
        if later:
            run.unwritten = written.join(run.unwritten) if run.unwritten else written
        else:
            _write(run, written, seen, label=label, conditions=conditions)
    else:
        write(run)
        with transaction.atomic():
            _hold(run, Entry(changes=stored), seen, label=label)
            written = Entry(alone=False)
            with _collecting(written, None):
                yield seen
            Statement(changes=written.recorded.ended, added=written.recorded.rows()).execute()
            written.recorded.announce()
    _assign(run, changes)
    seen.tell(run)


def begin(run: Run, *rows: Model, recorded: Page) -> None:
    """Leave for later a run that its maker holds, with the rows after it: the first write makes them all."""
    run.unwritten = Entry(rows=[run, *rows], recorded=recorded)


def write(run: Run) -> None:
    """Write what was left for later: to be called before anything acts on it. Raises LeaseLost."""
    if (left := run.unwritten) is None:
        return
    seen = Seen.by(run)
    run.unwritten = None
    _hold(run, left, seen, label="what was left")
    left.recorded.announce()
    seen.tell(run)


def _write(run: Run, written: Entry, seen: Seen, *, label: str, conditions: Sequence[Condition]) -> None:
    left, run.unwritten = run.unwritten, None
    whole = written.join(left) if left else written
    try:
        _hold(run, whole, seen, label=label, conditions=conditions)
    except Changed:
        written.undo()
        run.unwritten = left
        write(run)
        raise
    except BaseException:
        written.undo()
        raise
    whole.recorded.announce()


def _hold(run: Run, written: Entry, seen: Seen, *, label: str, conditions: Sequence[Condition] = ()) -> None:
    """Write all of it where the fence and the conditions hold; nothing else."""
    moves = list(written.moves.values())
    statement = Statement(
        conditions=[*conditions, *(_unmoved(move) for move in moves)],
        answers=_answers(run),
        changes=[*moves, *written.recorded.ended],
        added=[*written.rows, *written.recorded.rows()],
    )
    if written.adds(run):
        found = _give_birth(run, statement, written.changes)
    else:
        held_by = {"fence": run.fence, "status": RunStatus.RUNNING}
        statement.guard = Change(Run, run.pk, written.changes, held_by)
        found = statement.execute()
    if found is None:
        ours = Run.objects.filter(pk=run.pk, fence=run.fence, status=RunStatus.RUNNING)
        if statement.conditions and (written.adds(run) or ours.exists()):
            raise Changed
        raise LeaseLost(f"{run} is no longer ours ({label}).")
    seen.requested, seen.halted, seen.live_version_id, seen.spoken_to = found


def _give_birth(run: Run, statement: Statement, changes: dict[str, Any]) -> tuple[Any, ...] | None:
    """Store the run as it is after the changes; in memory they wait for the write, as with any other."""
    before = {name: getattr(run, name) for name in changes}
    _assign(run, changes)
    statement.born = Change(Run, run.pk, {"requested": run.requested})
    try:
        return statement.execute()
    finally:
        _assign(run, before)


def _assign(run: Run, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(run, name, value)


def _answers(run: Run) -> list[Condition]:
    """What others may want of the run meanwhile: each entry asks it beside what it writes."""
    return [
        Condition("agents_run.requested"),
        Condition(STANDING, (run.version.agent.name,)),
        Condition("(SELECT live_version_id FROM agents_agent WHERE id = %s)", (run.version.agent_id,)),
        Condition(f"NOT {NOTHING_SAID}"),
    ]


def _unmoved(move: Change) -> Condition:
    return Condition(
        "EXISTS (SELECT 1 FROM agents_toolcall WHERE id = %s AND status = %s)",
        (move.pk, move.where["status"]),
    )


@contextmanager
def _collecting(written: Entry, left: Entry | None) -> Iterator[None]:
    """Take what the block adds, moves and records into `written`; `left` is not written yet, either."""
    token, earlier = _open.set(written), _left.set(left)
    try:
        with page() as recorded:
            written.recorded = recorded
            if written.alone:
                with connection.execute_wrapper(_refuse):
                    yield
            else:
                yield
    except BaseException:
        written.undo()
        raise
    finally:
        _open.reset(token)
        _left.reset(earlier)


def _refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    raise RuntimeError(f"An entry that is written alone must not touch the database: {sql[:80]}")


def is_unwritten(run: Run, row: Model) -> bool:
    """Whether `row` was recorded and is still to be written, so that nobody else can know it."""
    return run.unwritten is not None and any(row is other for other in run.unwritten.recorded.rows())


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
        left = _left.get()
        if not current.adds(call) and not (left and left.adds(call)):
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

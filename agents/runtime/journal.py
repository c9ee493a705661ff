"""The one way in which the holder of a run writes: fenced, so that a worker which lost the run writes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from agents.exceptions import LeaseLost
from agents.models import Run, ToolCall
from agents.runtime.leases import lease_end
from agents.states import CALL_TRANSITIONS, RUN_TRANSITIONS, CallStatus, RunStatus


@contextmanager
def entry(run: Run, label: str, *, now: datetime, **changes: Any) -> Iterator[None]:
    """A transaction that begins by changing the run's row, if its fence is still `run.fence`.

    All that belongs to one step is written inside: rows, spans and events become true together. After the commit
    `run` in memory has the new values. `label` names the step for logs and crash tests. Raises LeaseLost.
    """
    if "status" in changes and changes["status"] not in RUN_TRANSITIONS[RunStatus(run.status)]:
        raise ValueError(f"{run}: no way from {run.status} to {changes['status']}")
    changes.setdefault("attempts", 0)  # it got on
    renewed = (
        {"lease_until": lease_end(now)}
        if changes.get("status", RunStatus.RUNNING) == RunStatus.RUNNING
        else {}
    )
    with transaction.atomic():
        held = Run.objects.filter(pk=run.pk, fence=run.fence, status=RunStatus.RUNNING)
        if held.update(**changes, **renewed) != 1:
            raise LeaseLost(f"{run} is no longer ours ({label}).")
        yield
    for name, value in changes.items():
        setattr(run, name, value)


def move_call(call: ToolCall, status: CallStatus, **changes: Any) -> None:
    """Move a call to `status` if it is still where the caller knows it; else raise LeaseLost."""
    if status not in CALL_TRANSITIONS[CallStatus(call.status)]:
        raise ValueError(f"{call}: no way from {call.status} to {status}")
    if ToolCall.objects.filter(pk=call.pk, status=call.status).update(status=status, **changes) != 1:
        raise LeaseLost(f"{call} was changed meanwhile.")
    call.status = status
    for name, value in changes.items():
        setattr(call, name, value)


def give_back_connection() -> None:
    """Let another thread have the database connection while this one waits for the world."""
    if not connection.in_atomic_block:
        connection.close()

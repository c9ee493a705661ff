"""The states of a run and of a tool call, and the moves between them."""

from django.db import models


class RunStatus(models.TextChoices):
    """Where a run stands."""

    QUEUED = "queued"  # it can go on and waits for a worker
    RUNNING = "running"  # a worker holds its lease
    WAITING_APPROVAL = "waiting_approval"  # a person must decide about a call, or settle one
    WAITING_INPUT = "waiting_input"  # a person must answer the agent's question
    WAITING_RETRY = "waiting_retry"  # a model failed; it goes on at wake_at
    WAITING_RUNS = "waiting_runs"  # it gave parts of its task to other runs, which work on them
    PAUSED = "paused"  # a person stopped it for a while
    COMPLETED = "completed"  # the task is done
    ESCALATED = "escalated"  # handed over to people, with all that was found
    FAILED = "failed"  # it could not go on
    CANCELLED = "cancelled"  # a person ended it
    LOOP_DETECTED = "loop_detected"  # it repeated itself
    LIMIT_EXCEEDED = "limit_exceeded"  # turns, tokens, cost or time ran out


class CallStatus(models.TextChoices):
    """Where a tool call stands."""

    PROPOSED = "proposed"  # the model wrote it; nothing was checked
    REFUSED = "refused"  # it can't be done as written; the agent is told why
    PENDING_APPROVAL = "pending_approval"  # a person must decide
    APPROVED = "approved"  # a rule or a person allows it; nobody has claimed it
    DENIED = "denied"  # a rule or a person says no
    EXPIRED = "expired"  # nobody decided, or used the decision, in time
    WITHDRAWN = "withdrawn"  # who asked took it back
    CANCELLED = "cancelled"  # the run ended before it was claimed
    EXECUTING = "executing"  # one worker has claimed it
    SUCCEEDED = "succeeded"  # it was done
    FAILED = "failed"  # it was tried and changed nothing
    UNKNOWN = "unknown"  # it was sent and nobody knows what became of it
    RECONCILED = "reconciled"  # a person found out what became of it


FINAL_RUN = frozenset(
    {
        RunStatus.COMPLETED,
        RunStatus.ESCALATED,
        RunStatus.FAILED,
        RunStatus.CANCELLED,
        RunStatus.LOOP_DETECTED,
        RunStatus.LIMIT_EXCEEDED,
    }
)
WAITING_RUN = frozenset(
    {
        RunStatus.WAITING_APPROVAL,
        RunStatus.WAITING_INPUT,
        RunStatus.WAITING_RETRY,
        RunStatus.WAITING_RUNS,
    }
)
CLAIMABLE_RUN = frozenset({RunStatus.QUEUED, RunStatus.RUNNING}) | WAITING_RUN

RUN_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.CANCELLED}),
    RunStatus.RUNNING: frozenset({RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.PAUSED})
    | WAITING_RUN
    | FINAL_RUN,
    **{
        status: frozenset({RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.CANCELLED})
        for status in WAITING_RUN
    },
    RunStatus.PAUSED: frozenset({RunStatus.QUEUED, RunStatus.CANCELLED}),
    **{status: frozenset() for status in FINAL_RUN},
}

FINAL_CALL = frozenset(
    {
        CallStatus.REFUSED,
        CallStatus.DENIED,
        CallStatus.EXPIRED,
        CallStatus.WITHDRAWN,
        CallStatus.CANCELLED,
        CallStatus.SUCCEEDED,
        CallStatus.FAILED,
        CallStatus.RECONCILED,
    }
)

CALL_TRANSITIONS: dict[CallStatus, frozenset[CallStatus]] = {
    CallStatus.PROPOSED: frozenset(
        {
            CallStatus.REFUSED,
            CallStatus.DENIED,
            CallStatus.PENDING_APPROVAL,
            CallStatus.APPROVED,
            CallStatus.CANCELLED,
        }
    ),
    CallStatus.PENDING_APPROVAL: frozenset(
        {
            CallStatus.APPROVED,
            CallStatus.DENIED,
            CallStatus.EXPIRED,
            CallStatus.WITHDRAWN,
            CallStatus.CANCELLED,
        }
    ),
    CallStatus.APPROVED: frozenset(
        {
            CallStatus.EXECUTING,
            CallStatus.APPROVED,  # it is put off
            CallStatus.REFUSED,  # its tool is unavailable, or what it rests on changed
            CallStatus.FAILED,  # it failed before, and its tool is unavailable now
            CallStatus.DENIED,  # the re-check before the claim found a rule that denies it now
            CallStatus.EXPIRED,
            CallStatus.PENDING_APPROVAL,  # a stricter rule asks for more people now
            CallStatus.CANCELLED,
            CallStatus.UNKNOWN,  # it was tried before, and may not be tried again
        }
    ),
    CallStatus.EXECUTING: frozenset(
        {
            CallStatus.SUCCEEDED,
            CallStatus.FAILED,
            CallStatus.UNKNOWN,
            CallStatus.APPROVED,  # its worker died, and the same key twice has one effect
        }
    ),
    CallStatus.UNKNOWN: frozenset(
        {CallStatus.RECONCILED, CallStatus.APPROVED}  # a person says: it did not happen, run it again
    ),
    **{status: frozenset() for status in FINAL_CALL},
}

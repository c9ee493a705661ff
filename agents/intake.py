"""Taking a task in: the rows of a run that waits for a worker."""

from datetime import datetime
from typing import Any

from django.db import transaction

from agents.models import AgentVersion, Conversation, Run
from agents.runtime.dispatch import wake
from approvals.access import Actor
from traces.models import Span
from traces.recorder import page, record
from traces.statement import Change, Statement
from traces.storable import storable

PREVIEW_CHARS = 300


def queue_run(
    *,
    version: AgentVersion,
    input: str,
    now: datetime,
    actor: Actor | str | None = None,
    session: Conversation | None = None,
    with_it: Change | None = None,
    **columns: Any,
) -> Run:
    """Add a run with its root span and its first event; inside a transaction, after whose commit it is woken.

    `columns` are of the run: subject, conversation, task_type, metadata, taint_sources, wake_at, started_by. With
    `parent` its root span stands under the parent's. One with a `wake_at` is not woken. `with_it` is changed by the same statement.
    """
    run = Run(version=version, input=storable(input), session=session, created_at=now, **columns)
    span = Span(
        id=run.root_span_id,
        trace_id=run.trace_id,
        parent_id=run.parent.root_span_id if run.parent else "",
        name=f"invoke_agent {version.agent.name}",
        operation="invoke_agent",
        started_at=now,
        run_id=run.pk,
        agent=version.agent.name,
        agent_version=version.number,
        preview=run.input[:PREVIEW_CHARS],
        attributes=run.span_marks,
    )
    with page() as recorded:
        record(
            "run.started",
            actor=str(actor or "system"),
            object_id=run.pk,
            run_id=run.pk,
            data={"agent": version.agent.name}
            | ({"session": str(session.pk)} if session else {})
            | ({"parent": str(run.parent_id)} if run.parent_id else {}),
        )
    Statement(changes=[with_it] if with_it else [], added=[run, span, *recorded.rows()]).execute()
    recorded.announce()
    if run.wake_at is None:
        transaction.on_commit(lambda: wake(run.pk))
    return run

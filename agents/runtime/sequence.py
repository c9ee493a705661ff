"""Calls that were given before a run began, one after the other: each is made once the one before it has succeeded."""

from typing import Any
from uuid import UUID

from django.utils import timezone

from agents.models import Run, Step, StepKind, ToolCall
from agents.runtime.decide import Finish
from agents.runtime.ending import finish
from agents.runtime.journal import add, entry
from agents.runtime.stretch import Stretch
from agents.states import RunStatus
from traces.recorder import record


def call_of(run: Run, step: Step, given: dict[str, Any]) -> ToolCall:
    """The row of a given call: its id, tool and arguments."""
    return ToolCall(
        pk=UUID(given["id"]),
        run=run,
        step=step,
        index=0,
        provider_call_id=given["id"],
        tool=given["tool"],
        proposed_arguments=given["arguments"],
        arguments=given["arguments"],
        created_at=step.created_at,
    )


def call_next(stretch: Stretch) -> None:
    """Propose the next of the given calls; end the run where another one has made that call meanwhile."""
    now = timezone.now()
    given = stretch.steps[0].payload["then"][len(stretch.calls) - 1]
    if ToolCall.objects.filter(pk=given["id"]).exists():
        reason = f"The rest was left: {given['tool']} was asked for by somebody else meanwhile."
        finish(stretch, Finish(RunStatus.CANCELLED, reason, output=""))
        return
    payload = {"text": "", "via": "", "calls": 1, **given["of"]}
    with entry(stretch.run, "call_next", now=now, work_ms=stretch.lap()):
        step = stretch.add_step(StepKind.CALL, payload, now=now)
        call = call_of(stretch.run, step, given)
        add(call)
        record(
            "step.taken",
            actor=stretch.actor,
            object_id=str(step.seq),
            run_id=stretch.run.pk,
            data={"calls": [call.tool]},
        )
    stretch.calls.append(call)

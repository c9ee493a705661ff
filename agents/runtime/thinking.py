"""What all roles share: an answer that fits a schema, and the step that it becomes."""

from typing import Any

from django.utils import timezone
from jsonschema import Draft202012Validator

from agents.models import StepKind
from agents.providers.base import FailureKind, ModelFailure
from agents.runtime.asking import Answer, AskFailed
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
from traces.models import SpanStatus
from traces.recorder import record, write_spans
from traces.storable import storable


def store(
    stretch: Stretch,
    kind: StepKind,
    payload: dict[str, Any],
    answer: Answer,
    event: str,
    data: dict[str, Any],
) -> None:
    """Store what a role answered as one step."""
    now = timezone.now()
    with entry(stretch.run, kind, now=now, **answer.usage):
        step = stretch.add_step(kind, storable(payload), now=now, span_id=answer.recorded.span.pk)
        write_spans([answer.recorded])
        record(event, actor=stretch.actor, object_id=str(step.seq), run_id=stretch.run.pk, data=data)


def parsed(answer: Answer, schema: dict[str, Any]) -> dict[str, Any]:
    """The structured answer. One that does not fit is a malformed answer like any other: it is asked again."""
    error = next(Draft202012Validator(schema).iter_errors(answer.response.parsed), None)
    if error is None and answer.response.parsed is not None:
        return dict(answer.response.parsed)
    message = (
        f"the model's answer does not fit what was asked: {error.message[:200] if error else 'no object'}"
    )
    answer.recorded.span.status = SpanStatus.ERROR
    answer.recorded.span.error_type = FailureKind.MALFORMED
    raise AskFailed(ModelFailure(FailureKind.MALFORMED, message), answer.recorded)

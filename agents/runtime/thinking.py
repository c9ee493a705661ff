"""What all roles share: the step that an answer becomes."""

from typing import Any

from django.utils import timezone

from agents.models import StepKind
from agents.runtime.asking import Answer
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
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
        write_spans(answer.spans)
        record(event, actor=stretch.actor, object_id=str(step.seq), run_id=stretch.run.pk, data=data)

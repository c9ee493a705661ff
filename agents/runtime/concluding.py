"""The answer in the form that the task gives: an object that fits its schema, or the run is handed over."""

import json
from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from jsonschema import Draft202012Validator

from agents.models import StepKind
from agents.providers.base import Message
from agents.runtime import context
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
from agents.runtime.structured import ask_structured
from traces.recorder import Recorded, record, write_spans
from traces.storable import storable

DUTY = "Put the executor's final answer into the form that is asked, by what stands in the conversation and nothing else."


def conclude(stretch: Stretch) -> None:
    """Store the final answer as the object that the task asks for, made by the model where it is not yet one.

    Raises AskFailed with `hand_over` where the model can't make it, even after its repairs.
    """
    schema, now = stretch.run.success or {}, timezone.now()
    changes: dict[str, Any] = {}
    spans: Sequence[Recorded] = ()
    span_id = ""
    parsed = _as_object(stretch, schema)
    if parsed is None:
        answer, parsed = ask_structured(
            stretch,
            role="executor",
            system=context.system_prompt(stretch, "executor", DUTY),
            messages=(context.transcript(stretch), *_said(stretch)),
            schema=schema,
        )
        changes, spans, span_id = answer.usage, answer.spans, answer.recorded.span.pk
        now = timezone.now()
    payload = {
        "text": storable(json.dumps(parsed, ensure_ascii=False)),
        "finish": "stop",
        "calls": 0,
        "concluded": True,
    }
    with entry(stretch.run, "conclude", now=now, **changes):
        step = stretch.add_step(StepKind.MODEL, payload, now=now, span_id=span_id)
        write_spans(spans)
        record("step.taken", actor=stretch.actor, object_id=str(step.seq), run_id=stretch.run.pk)


def _said(stretch: Stretch) -> tuple[Message, ...]:
    turns = [step for step in stretch.steps if step.kind == StepKind.MODEL]
    return (
        (Message(role="user", text=f"The final answer, as data:\n{turns[-1].payload['text']}"),)
        if turns
        else ()
    )


def _as_object(stretch: Stretch, schema: dict[str, Any]) -> dict[str, Any] | None:
    """The final answer, where it is such an object already."""
    turns = [step for step in stretch.steps if step.kind == StepKind.MODEL]
    text = turns[-1].payload["text"].strip() if turns else ""
    text = text.removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        found = json.loads(text)
    except ValueError:
        return None
    fits = isinstance(found, dict) and Draft202012Validator(schema).is_valid(found)
    return found if fits else None

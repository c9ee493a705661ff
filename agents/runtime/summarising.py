"""Making room in the window: a summary takes the place of old steps, which stay in the database as they are."""

import json
from typing import Any

from django.utils import timezone

from agents.models import Step, StepKind, ToolCall
from agents.providers.base import Finish
from agents.runtime import context
from agents.runtime.asking import AskFailed, ask
from agents.runtime.fitting import shortened
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
from agents.runtime.window import capacity, fold_until, folded_until
from traces.recorder import Recorded, record, write_spans
from traces.storable import storable

SHARE = 8  # a summary has an eighth of what a prompt can hold, at most
DUTY = (
    "Write down what another model must know to go on with this task, in at most {words} words: what was asked, what "
    "was found (with every identifier, amount and date exactly as it stands), which calls were made and what became of "
    "each, what was denied or failed and why, and what is left to do. Say nothing that does not stand there."
)


def summarise(stretch: Stretch) -> None:
    """Store a summary of the oldest steps, the summary before it among them.

    Where the summariser fails, or says nothing, the beginnings of what was said and found take its place: a run never
    ends because there was no summary.
    """
    until = fold_until(stretch.config, stretch.steps, stretch.calls)
    room = capacity(stretch.config.model_of("executor")) // SHARE
    spans: list[Recorded] = []
    changes: dict[str, Any] = {"work_ms": stretch.lap()}
    text, by = "", "summariser"
    try:
        answer = ask(
            stretch,
            role="summariser",
            system=context.system_prompt(stretch, "summariser", DUTY.format(words=room // 3)),
            messages=(context.past(stretch, until),),
            pinned=0,
        )
        spans, changes = [*answer.spans], answer.usage
        if answer.response.finish in (Finish.STOP, Finish.LENGTH):
            text = answer.response.text.strip()
    except AskFailed as failed:
        spans, changes = [*failed.spans], failed.usage | changes
    if not text:
        text, by = _beginnings(stretch, until, room), "shortening"
    payload = {"text": storable(shortened(text, room)), "until": until, "by": by}
    now = timezone.now()
    with entry(stretch.run, "summary", now=now, **changes):
        step = stretch.add_step(
            StepKind.SUMMARY, payload, now=now, span_id=spans[-1].span.pk if spans else ""
        )
        write_spans(spans)
        record(
            "step.summarised",
            actor=stretch.actor,
            object_id=str(step.seq),
            run_id=stretch.run.pk,
            data={"until": until, "by": by},
        )


def _beginnings(stretch: Stretch, until: int, room: int) -> str:
    """What was said and found, each cut short; the older summary first."""
    after = folded_until(stretch.steps)
    older = [step.payload["text"] for step in stretch.steps if step.kind == StepKind.SUMMARY]
    steps = [step for step in stretch.steps if after < step.seq <= until and step.kind == StepKind.MODEL]
    calls = [call for call in stretch.calls if after < call.step.seq <= until]
    each = room * 2 // 3 // max(len(steps) + 2 * len(calls), 1)
    lines = [shortened(older[-1], room // 3)] if older else []
    for step in steps:
        lines.append(_line(step, each))
        lines.extend(_call_line(call, each) for call in calls if call.step_id == step.pk)
    return "\n".join(line for line in lines if line)


def _line(step: Step, tokens: int) -> str:
    return shortened(step.payload["text"].strip(), tokens)


def _call_line(call: ToolCall, tokens: int) -> str:
    told = call.result or {}
    result = json.dumps(told.get("data", told.get("message")), ensure_ascii=False)
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return f"- {call.tool} {shortened(arguments, tokens)}: {call.status}. {shortened(result, tokens)}"

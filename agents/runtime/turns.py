"""The executor's turns: what it said, and the calls that it proposes, stored before anything acts on them."""

import json
from typing import Any

from django.utils import timezone

from agents.models import StepKind, ToolCall
from agents.providers.base import Finish, Message, ProposedCall
from agents.runtime import context
from agents.runtime.asking import ask
from agents.runtime.focus import MARK, focus, visible
from agents.runtime.journal import add, entry
from agents.runtime.prose import written_call
from agents.runtime.stretch import Stretch
from agents.tools.validation import MAX_ARGUMENT_CHARS
from traces.recorder import record, write_spans
from traces.rows import new
from traces.storable import storable


def take_turn(stretch: Stretch) -> None:
    """Have the executor take its next turn, and store what it said with the calls that it proposes."""
    now_at = focus(stretch)
    messages = context.conversation(stretch)
    if now_at.note:
        messages += (Message(role="user", text=now_at.note),)
    schemas = context.tool_schemas(visible(now_at))
    answer = ask(
        stretch,
        role=now_at.role,
        system=context.system_prompt(stretch, now_at.role, context.GATE_RULE),
        messages=messages,
        tools=(*schemas, MARK) if now_at.offers_mark else schemas,
    )
    response, now = answer.response, timezone.now()
    # A turn that was cut off may hold half a call: none of it is taken.
    taken = response.tool_calls if response.finish in (Finish.STOP, Finish.TOOL_CALLS) else ()
    proposed, marks = now_at.take_marks(taken)
    text = storable(response.text)
    if marks.get("finished") and not proposed and not text.strip():
        text = "This step is finished."
    payload = {
        "text": text,
        "finish": response.finish,
        "calls": len(proposed),
        "context": answer.context,
        **marks,
    }
    if not proposed and (named := written_call(text, [tool.name for tool in schemas])):
        payload["written_call"] = named
    with entry(stretch.run, "model", now=now, later=True, turns=stretch.run.turns + 1, **answer.usage):
        step = stretch.add_step(StepKind.MODEL, payload, now=now, span_id=answer.recorded.span.pk)
        calls = []
        for index, call in enumerate(proposed):
            arguments = _proposed(call)
            calls.append(
                new(
                    ToolCall,
                    run=stretch.run,
                    step=step,
                    index=index,
                    provider_call_id=storable(call.id)[:128],
                    tool=storable(call.name)[:128],
                    proposed_arguments=arguments,
                    arguments=arguments if isinstance(arguments, dict) else {},
                    created_at=now,
                )
            )
        add(*calls)
        write_spans(answer.spans)
        record(
            "step.taken",
            actor=stretch.actor,
            object_id=str(step.seq),
            run_id=stretch.run.pk,
            data={"calls": [call.tool for call in calls]},
        )
    stretch.calls.extend(calls)


def _proposed(call: ProposedCall) -> Any:
    """The arguments as the model wrote them; the beginning of their text where they are no object, or too large."""
    raw = call.raw or json.dumps(call.arguments)
    usable = call.arguments is not None and len(raw) <= MAX_ARGUMENT_CHARS
    return storable(call.arguments if usable else raw[:1000])

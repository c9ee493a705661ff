"""The executor's turns: what it said, and the calls that it proposes, stored before anything acts on them."""

import json
from typing import Any

from django.utils import timezone

from agents.models import StepKind, ToolCall
from agents.providers.base import Finish, ProposedCall
from agents.runtime import context
from agents.runtime.asking import ask
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
from agents.tools.validation import MAX_ARGUMENT_CHARS
from traces.recorder import record, write_spans
from traces.storable import storable


def take_turn(stretch: Stretch) -> None:
    """Have the executor take its next turn, and store what it said with the calls that it proposes."""
    answer = ask(
        stretch,
        role="executor",
        system=context.system_prompt(stretch, "executor", context.GATE_RULE),
        messages=context.conversation(stretch),
        tools=context.tool_schemas(stretch.tools),
    )
    response, now = answer.response, timezone.now()
    # A turn that was cut off may hold half a call: none of it is taken.
    proposed = response.tool_calls if response.finish in (Finish.STOP, Finish.TOOL_CALLS) else ()
    payload = {"text": storable(response.text), "finish": response.finish, "calls": len(proposed)}
    with entry(stretch.run, "model", now=now, turns=stretch.run.turns + 1, **answer.usage):
        step = stretch.add_step(StepKind.MODEL, payload, now=now, span_id=answer.recorded.span.pk)
        calls = []
        for index, call in enumerate(proposed):
            arguments = _proposed(call)
            calls.append(
                ToolCall(
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
        ToolCall.objects.bulk_create(calls)
        write_spans([answer.recorded])
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

"""What models do in a run: plan, take turns, observe. Each stores the answer before anything acts on it."""

import json
from typing import Any

from django.utils import timezone
from jsonschema import Draft202012Validator

from agents.models import StepKind, ToolCall
from agents.providers.base import FailureKind, Finish, ModelFailure, ProposedCall
from agents.runtime import context
from agents.runtime.asking import Answer, AskFailed, ask
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
from agents.tools.spec import Category
from agents.tools.validation import MAX_ARGUMENT_CHARS
from traces.models import SpanStatus
from traces.recorder import record, write_spans
from traces.storable import storable

PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "goal": {"type": "string", "description": "What the person wants, in one sentence."},
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": 12,
            "items": {
                "type": "object",
                "properties": {
                    "title": {"type": "string"},
                    "categories": {
                        "type": "array",
                        "items": {"enum": [str(category) for category in Category]},
                    },
                },
                "required": ["title", "categories"],
                "additionalProperties": False,
            },
        },
        "needs_clarification": {
            "type": ["string", "null"],
            "description": "A question to the operator, where the task can't be understood; else null.",
        },
    },
    "required": ["goal", "steps", "needs_clarification"],
    "additionalProperties": False,
}
OBSERVATION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["complete", "continue", "escalate"]},
        "confidence": {
            "type": "number",
            "description": "0 to 1: how sure you are that the task is done, and right.",
        },
        "summary": {"type": "string", "description": "What was done, or why a person must take over."},
        "feedback": {"type": "string", "description": "With continue: what is still missing; else empty."},
    },
    "required": ["verdict", "confidence", "summary", "feedback"],
    "additionalProperties": False,
}

PLAN_DUTY = "Make a short plan of steps with the categories of tools that each needs. Don't do the task."
OBSERVE_DUTY = (
    "Judge whether the executor's final answer does the task, by what the tool results say and nothing else. "
    "Say complete, continue with what is missing, or escalate to a person."
)


def make_plan(stretch: Stretch) -> None:
    """Have the planner plan, and store the plan."""
    catalogue = "\n".join(
        f"- {tool.name} ({tool.category}): {tool.description}" for tool in stretch.tools.values()
    )
    answer = ask(
        stretch,
        role="planner",
        system=context.system_prompt(
            stretch, "planner", f"{PLAN_DUTY}\n\n# Tools of the executor\n{catalogue}"
        ),
        messages=(context.task_message(stretch, with_plan=False),),
        output_schema=PLAN_SCHEMA,
    )
    plan = _parsed(answer, PLAN_SCHEMA)
    _store(stretch, StepKind.PLAN, plan, answer, "run.planned", {"goal": plan["goal"]})


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


def observe(stretch: Stretch) -> None:
    """Have the observer judge the executor's answer, and store its judgement."""
    answer = ask(
        stretch,
        role="observer",
        system=context.system_prompt(stretch, "observer", OBSERVE_DUTY),
        messages=(context.transcript(stretch),),
        output_schema=OBSERVATION_SCHEMA,
    )
    judgement = _parsed(answer, OBSERVATION_SCHEMA)
    judgement["confidence"] = min(1.0, max(0.0, judgement["confidence"]))
    _store(stretch, StepKind.OBSERVE, judgement, answer, "run.observed", {"verdict": judgement["verdict"]})


def _store(
    stretch: Stretch,
    kind: StepKind,
    payload: dict[str, Any],
    answer: Answer,
    event: str,
    data: dict[str, Any],
) -> None:
    now = timezone.now()
    with entry(stretch.run, kind, now=now, **answer.usage):
        step = stretch.add_step(kind, storable(payload), now=now, span_id=answer.recorded.span.pk)
        write_spans([answer.recorded])
        record(event, actor=stretch.actor, object_id=str(step.seq), run_id=stretch.run.pk, data=data)


def _parsed(answer: Answer, schema: dict[str, Any]) -> dict[str, Any]:
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


def _proposed(call: ProposedCall) -> Any:
    """The arguments as the model wrote them; the beginning of their text where they are no object, or too large."""
    raw = call.raw or json.dumps(call.arguments)
    usable = call.arguments is not None and len(raw) <= MAX_ARGUMENT_CHARS
    return storable(call.arguments if usable else raw[:1000])

"""The observer: whether the task is done."""

from typing import Any

from agents.models import StepKind
from agents.providers.base import Message
from agents.runtime import context
from agents.runtime.decide.progress import progress
from agents.runtime.focus import standing
from agents.runtime.stretch import Stretch
from agents.runtime.structured import ask_structured
from agents.runtime.thinking import store

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
OBSERVE_DUTY = (
    "Judge whether the executor's final answer does the task, by what the tool results say and nothing else. "
    "Say complete, continue with what is missing, or escalate to a person."
)


def observe(stretch: Stretch) -> None:
    """Have the observer judge the executor's answer, and store its judgement."""
    answer, judgement = ask_structured(
        stretch,
        role="observer",
        system=context.system_prompt(stretch, "observer", OBSERVE_DUTY),
        messages=(context.transcript(stretch), *_left_out(stretch)),
        schema=OBSERVATION_SCHEMA,
        pinned=0,
    )
    judgement["confidence"] = min(1.0, max(0.0, judgement["confidence"]))
    store(stretch, StepKind.OBSERVE, judgement, answer, "run.observed", {"verdict": judgement["verdict"]})


def _left_out(stretch: Stretch) -> tuple[Message, ...]:
    """Where the plan stands, if people or the budget left something out: that is not what is missing."""
    plan = progress(stretch.steps)
    if not any(step.state in ("skipped", "dropped") for step in plan):
        return ()
    text = f"{standing(plan)}\nWhat was left out was left out on purpose: judge the rest."
    return (Message(role="user", text=text),)

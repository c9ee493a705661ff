"""The planner: what is to be done, step by step."""

from typing import Any

from agents.models import StepKind
from agents.providers.base import Message
from agents.runtime import context
from agents.runtime.budgets import left
from agents.runtime.stretch import Stretch
from agents.runtime.structured import ask_structured
from agents.runtime.thinking import store
from agents.tools.spec import Category

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
                        "description": "Of the tools that the step needs; empty: it needs none.",
                    },
                    "optional": {
                        "type": "boolean",
                        "description": "The task is done without it, if less well: left out when the budget is short.",
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
PLAN_DUTY = (
    "Make a short plan of steps with the categories of tools that each needs. The executor sees only the tools of the "
    "step that it is at. Keep within what is left to use, and mark what can be left out as optional. Don't do the task."
)


def make_plan(stretch: Stretch) -> None:
    """Have the planner plan, and store the plan."""
    catalogue = "\n".join(
        f"- {tool.name} ({tool.category}): {tool.description}"
        for tool in stretch.tools.values()
        if not tool.suspended
    )
    answer, plan = ask_structured(
        stretch,
        role="planner",
        system=context.system_prompt(
            stretch, "planner", f"{PLAN_DUTY}\n\n# Tools of the executor\n{catalogue}"
        ),
        messages=(context.task_message(stretch, with_plan=False), *_standing(stretch)),
        schema=PLAN_SCHEMA,
    )
    store(stretch, StepKind.PLAN, plan, answer, "run.planned", {"goal": plan["goal"]})


def _standing(stretch: Stretch) -> tuple[Message, ...]:
    """What is left to use, and what was done already."""
    words = f"Left to use: {left(stretch.config, stretch.run).in_words()}."
    said = [Message(role="user", text=words)]
    if any(step.kind == StepKind.MODEL for step in stretch.steps):
        said.insert(0, context.transcript(stretch))
        wish = "Plan anew what is still to be done; don't repeat what is done."
        said.append(Message(role="user", text=wish))
    return tuple(said)

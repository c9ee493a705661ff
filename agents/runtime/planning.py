"""The planner: what is to be done, step by step."""

from typing import Any

from agents.models import StepKind
from agents.runtime import context
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
PLAN_DUTY = "Make a short plan of steps with the categories of tools that each needs. Don't do the task."


def make_plan(stretch: Stretch) -> None:
    """Have the planner plan, and store the plan."""
    catalogue = "\n".join(
        f"- {tool.name} ({tool.category}): {tool.description}" for tool in stretch.tools.values()
    )
    answer, plan = ask_structured(
        stretch,
        role="planner",
        system=context.system_prompt(
            stretch, "planner", f"{PLAN_DUTY}\n\n# Tools of the executor\n{catalogue}"
        ),
        messages=(context.task_message(stretch, with_plan=False),),
        schema=PLAN_SCHEMA,
    )
    store(stretch, StepKind.PLAN, plan, answer, "run.planned", {"goal": plan["goal"]})

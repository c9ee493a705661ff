"""How far a plan is: a pure function of the stored steps.

A turn of the executor stores the number of the plan step that it belongs to (`plan_step`), and whether it said that
the step is finished (`finished`). A step is done when the executor says so, when it goes on to a tool of a later step,
and when it gives an answer that the observer has judged. People, and a short budget, change the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol


class StepLike(Protocol):
    """What progress needs of a step."""

    kind: str
    payload: Any


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A step of the plan as it stands."""

    number: int  # from 1
    title: str
    categories: tuple[str, ...] = ()
    optional: bool = False
    state: str = "pending"  # pending, current, done, skipped (by a person), dropped (the budget was short)
    begun: bool = False  # a turn belongs to it


def latest_plan(steps: Sequence[StepLike]) -> int | None:
    """The place of the plan in force among `steps`; None: there is none."""
    return next((at for at in reversed(range(len(steps))) if steps[at].kind == "plan"), None)


def progress(steps: Sequence[StepLike]) -> list[PlanStep]:
    """The steps of the plan in force, in order; empty: there is none. The first that is open is current."""
    at = latest_plan(steps)
    if at is None:
        return []
    plan = [
        PlanStep(
            number=number,
            title=item["title"],
            categories=tuple(item.get("categories", ())),
            optional=bool(item.get("optional")),
        )
        for number, item in enumerate(steps[at].payload.get("steps", ()), 1)
    ]
    for step in steps[at + 1 :]:
        _apply(plan, step)
    if current := _open(plan):
        _mark(plan, current, "current")
    return plan


def current_step(plan: Sequence[PlanStep]) -> PlanStep | None:
    """The step that is being worked on; None: the plan is through."""
    return next((step for step in plan if step.state == "current"), None)


def _apply(plan: list[PlanStep], step: StepLike) -> None:
    payload = step.payload
    match step.kind:
        case "model" if number := payload.get("plan_step"):
            for earlier in plan:
                if earlier.number < number and earlier.state == "pending":
                    _mark(plan, earlier.number, "done")
            plan[number - 1] = replace(plan[number - 1], begun=True)
            if payload.get("finished"):
                _mark(plan, number, "done")
        case "observe" if payload["verdict"] != "escalate":
            if number := _open(plan):
                _mark(plan, number, "done")
        case "steer" if payload.get("applied", True):
            state = {"skip": "skipped", "drop": "dropped", "retry": "pending"}.get(payload["action"])
            for number in payload["numbers"] if state else ():
                _mark(plan, number, str(state))


def _open(plan: Sequence[PlanStep]) -> int | None:
    return next((step.number for step in plan if step.state == "pending"), None)


def _mark(plan: list[PlanStep], number: int, state: str) -> None:
    if 0 < number <= len(plan):
        plan[number - 1] = replace(plan[number - 1], state=state)

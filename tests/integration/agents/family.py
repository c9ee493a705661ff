"""Agents that hand work to each other, with models that play by role and agent."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agents.models import Run
from agents.providers.base import ModelFailure, ModelRequest, ModelResponse
from agents.states import FINAL_RUN
from tests import world

Answers = dict[tuple[str, str], Iterable[ModelResponse | ModelFailure]]


def by_agent(answers: Answers) -> Callable[[ModelRequest], ModelResponse]:
    """A script: for each (agent, role) its own answers, in order. Any number of runs may ask at once."""
    left: dict[tuple[str, str], Iterator[ModelResponse | ModelFailure]] = {
        key: iter(value) for key, value in answers.items()
    }

    def respond(request: ModelRequest) -> ModelResponse:
        found = re.search(r"of the agent '([a-z0-9_-]+)'", request.system)
        assert found, request.system
        said = next(left[found[1], request.metadata["role"]])
        if isinstance(said, ModelFailure):
            raise said
        return said

    return respond


def publish_router(name: str = "desk", **changes: Any) -> None:
    """A router to the agents `payments` and `general`, the second of which is the default."""
    routes = [
        {"name": "pay", "when": "Money is to be paid.", "agent": "payments"},
        {"name": "other", "when": "Anything else.", "agent": "general"},
    ]
    world.publish_agent(
        name, pattern="router", tools=[], router={"routes": routes, "default": "other"} | changes
    )


def publish_coordinator(name: str = "lead", *specialists: str, **changes: Any) -> None:
    """A coordinator of these agents."""
    agents = [{"agent": agent, "when": f"What {agent} is for."} for agent in specialists]
    config: dict[str, Any] = {"limits": {"turns": 40, "tokens": 40_000}}
    coordinator = {"agents": agents} | changes.pop("coordinator", {})
    world.publish_agent(name, pattern="coordinator", tools=[], coordinator=coordinator, **(config | changes))


def part(agent: str, share: float = 0.5, task: str = "Your part.") -> dict[str, Any]:
    """A part as a coordinator's model writes it."""
    return {"agent": agent, "task": task, "share": share}


def carry_all_on(run: Run) -> Run:
    """Carry the run and all below it on, as workers do, until nothing moves any more."""
    while True:
        before = standing(run)
        world.carry_on(run)
        for child in Run.objects.filter(parent=run).order_by("part"):
            if child.status not in FINAL_RUN:
                carry_all_on(child)
        if standing(run) == before:
            return Run.objects.get(pk=run.pk)


def standing(run: Run) -> list[tuple[Any, ...]]:
    """Where the run and all below it stand."""
    rows = [(run.pk, Run.objects.get(pk=run.pk).status, run.steps.count())]
    for child in Run.objects.filter(parent=run).order_by("part"):
        rows += standing(child)
    return rows


def kinds(run: Run) -> list[str]:
    """The kinds of the run's steps, in order."""
    return list(run.steps.order_by("seq").values_list("kind", flat=True))


def payloads(run: Run, kind: str) -> list[Any]:
    """What the run's steps of this kind hold, in order."""
    return [step.payload for step in run.steps.filter(kind=kind).order_by("seq")]

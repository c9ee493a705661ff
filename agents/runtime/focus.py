"""What the executor is to look at in its next turn: the tools that it sees, and what it is told of where it stands.

With a plan it sees the tools of the categories that the current step names. It says that a step is finished by calling
`finish_step`, alone or beside other calls, so that this costs no turn of its own; the call is a mark on the turn and
never a tool call. A call to a tool of a later step says the same. A tool that belongs to neither is refused, with the
step that it belongs to. Once all steps are closed and more is asked of the executor, it sees all of its tools.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.config import Link
from agents.models import Step, StepKind, ToolCall
from agents.providers.base import ProposedCall, ToolSchema
from agents.runtime.decide.plan_execute import is_fast
from agents.runtime.decide.progress import PlanStep, current_step, progress
from agents.runtime.stretch import Stretch
from agents.tools.spec import Category, Effect, Tool

FINISH_STEP = "finish_step"
MARK = ToolSchema(
    name=FINISH_STEP,
    description=(
        "Say that the current step of the plan is finished, and see the tools of the next one. "
        "Call it beside the last calls of the step where you can."
    ),
    parameters={"type": "object", "properties": {}, "additionalProperties": False},
)


@dataclass(frozen=True, slots=True)
class Focus:
    """What a turn is about."""

    tools: dict[str, Tool]
    role: str = "executor"
    note: str = ""  # said at the end of the prompt
    plan: Sequence[PlanStep] = ()  # where a step of it is current
    payload: dict[str, Any] = field(default_factory=dict)  # kept with the turn

    @property
    def offers_mark(self) -> bool:
        """Whether a step follows the current one, so that the executor may finish this."""
        return sum(step.state in ("current", "pending") for step in self.plan) > 1 and (
            FINISH_STEP not in self.tools
        )

    def take_marks(self, proposed: Sequence[ProposedCall]) -> tuple[list[ProposedCall], dict[str, Any]]:
        """The calls without the marks among them, and what is kept with the turn."""
        current = current_step(self.plan)
        if current is None:
            return list(proposed), self.payload
        calls, began, at, finished = [], current.number, current.number, False
        for call in proposed:
            if call.name == FINISH_STEP and FINISH_STEP not in self.tools:
                finished = True
                continue
            calls.append(call)
            tool = self.tools.get(call.name)
            if tool is not None and (place := _place(self.plan, tool, at, finished=finished)) not in (
                None,
                at,
            ):
                at, finished = place, False
        return calls, {**self.payload, "plan_from": began, "plan_step": at, "finished": finished}


def focus(stretch: Stretch) -> Focus:
    """What the executor's next turn is about."""
    if stretch.config.chain:
        return _of_link(stretch)
    if is_fast(stretch.steps):
        return Focus(
            role="router",
            tools={name: tool for name, tool in stretch.tools.items() if _is_lookup(tool)},
            note="The request is simple: look up what it needs and answer it. Do nothing else.",
        )
    plan = progress(stretch.steps)
    tools, note = stretch.tools, form_of(stretch)
    if not plan:
        return Focus(tools=tools, note=note)
    if current_step(plan) is None:
        return Focus(tools=tools, note=_joined(_told(plan), note))
    told = _told(plan) if len(plan) > 1 else ""
    return Focus(tools=tools, plan=plan, note=_joined(told, note))


def visible(now: Focus) -> dict[str, Tool]:
    """The tools that the executor sees."""
    current = current_step(now.plan)
    if current is None:
        return now.tools
    return {
        name: tool
        for name, tool in now.tools.items()
        if tool.built_in or str(tool.category) in current.categories
    }


def why_outside(stretch: Stretch, call: ToolCall, tool: Tool) -> str:
    """Why the call has no place where its turn stands; empty: it has one."""
    if tool.built_in or stretch.is_direct:
        return ""
    if stretch.config.chain:
        link = stretch.config.chain[call.step.payload["link"] - 1]
        if tool.category in link.categories:
            return ""
        return f"{tool.name} is a tool for {tool.category}, which the link {link.title!r} has not. Go on without it."
    before = [step for step in stretch.steps if step.seq < call.step.seq]
    if is_fast(before):
        return "" if _is_lookup(tool) else f"{tool.name} needs a plan first: it did not run."
    if "plan_step" not in call.step.payload:
        return ""
    return _why_not_in_plan(progress(before), call.step.payload, tool)


def _why_not_in_plan(plan: Sequence[PlanStep], turn: dict[str, Any], tool: Tool) -> str:
    began, at = turn["plan_from"], turn["plan_step"]
    homes = [step for step in plan if str(tool.category) in step.categories]
    if any(began <= step.number <= at and step.state in ("current", "pending") for step in homes):
        return ""
    if tool.effect == Effect.READ and any(step.state == "done" for step in homes):
        return ""  # to read once more what an earlier step read changes nothing
    if not homes:
        return f"No step of the plan needs {tool.name}. Go on without it, or say in your answer that it is missing."
    states = {
        "done": "which is done",
        "skipped": "which an operator skipped",
        "dropped": "which was left out",
    }
    home = homes[-1]
    why = states.get(home.state, "which is not begun")
    return f"{tool.name} belongs to step {home.number} of the plan ({home.title}), {why}. It did not run."


def _place(plan: Sequence[PlanStep], tool: Tool, at: int, *, finished: bool) -> int | None:
    """The first open step, from the one numbered `at` or after it, to which the tool belongs."""
    first = at + 1 if finished else at
    for step in plan:
        is_open = step.number >= first and step.state in ("current", "pending")
        if is_open and (tool.built_in or str(tool.category) in step.categories):
            return step.number
    return None


def _of_link(stretch: Stretch) -> Focus:
    chain = stretch.config.chain
    number = current_link(chain, stretch.steps)
    link = chain[number - 1]
    before = f" Begin with what link {number - 1} ({chain[number - 2].title}) said." if number > 1 else ""
    note = f"Link {number} of {len(chain)}: {link.title}. {link.instructions.strip()}{before}"
    return Focus(
        tools={
            name: tool
            for name, tool in stretch.tools.items()
            if tool.built_in or tool.category in link.categories
        },
        note=_joined(note, form_of(stretch) if number == len(chain) else ""),
        payload={"link": number},
    )


def current_link(chain: Sequence[Link], steps: Sequence[Step]) -> int:
    """The number of the link that is worked on, from 1; the last one after its answer, which may be corrected."""
    turns = [step for step in steps if step.kind == StepKind.MODEL]
    if not turns:
        return 1
    latest = turns[-1].payload
    return min(int(latest.get("link", 1)) + (not latest["calls"]), len(chain))


def standing(plan: Sequence[PlanStep]) -> str:
    """Where each step stands, in words."""
    words = {"pending": "to come", "current": "current", "done": "done"}
    lines = [f"{step.number}. {step.title}: {words.get(step.state, 'left out')}" for step in plan]
    return "Where the plan stands:\n" + "\n".join(lines)


def _told(plan: Sequence[PlanStep]) -> str:
    current = current_step(plan)
    if current is None:
        return f"{standing(plan)}\nAll steps are closed. Do what is still asked of you, or give your answer."
    return (
        f"{standing(plan)}\nYou are at step {current.number}. Your tools are those of this step; call {FINISH_STEP} "
        "when it is finished. Where nothing is left to do, give your answer."
    )


def form_of(stretch: Stretch) -> str:
    """What is said of the form of the answer, where the task gives one."""
    if stretch.run.success is None:
        return ""
    return (
        "Your final answer must be one JSON object, and nothing else, that fits this JSON Schema:\n"
        + json.dumps(stretch.run.success, ensure_ascii=False)
    )


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _is_lookup(tool: Tool) -> bool:
    """Whether a run that was not planned may call it."""
    return tool.built_in or (tool.category == Category.LOOKUP and tool.effect == Effect.READ)

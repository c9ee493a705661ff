"""A planner plans, an executor carries it out, an observer judges what came of it."""

from agents.runtime.decide.actions import Action, Ask, CallModel, Finish, Observe, Plan, TakeAnswer, Wait
from agents.runtime.decide.snapshot import Snapshot, StepLike
from agents.runtime.decide.turns import unusable
from agents.states import RunStatus

MAX_QUESTIONS = 2


def after(s: Snapshot) -> Action:
    """What follows the latest step."""
    if not s.steps:
        return Plan()
    last = s.steps[-1]
    match last.kind:
        case "plan":
            return _after_plan(s, last)
        case "answer":
            return Plan()
        case "model":
            return unusable(last) or (CallModel() if last.payload.get("calls") else Observe())
        case "observe":
            return _after_observation(s, last)
    raise ValueError(f"unknown kind of step {last.kind!r}")


def _after_plan(s: Snapshot, plan: StepLike) -> Action:
    asked = sum(step.kind == "answer" for step in s.steps)
    if not plan.payload.get("needs_clarification") or asked >= MAX_QUESTIONS:
        return CallModel()
    match s.question:
        case "":
            return Ask()
        case "pending":
            return Wait(RunStatus.WAITING_INPUT, "A person must answer the agent's question.")
        case "answered":
            return TakeAnswer()
        case status:
            return Finish(RunStatus.ESCALATED, f"The agent's question was {status}, not answered.")


def _after_observation(s: Snapshot, observation: StepLike) -> Action:
    payload = observation.payload
    if payload["verdict"] == "continue":
        return CallModel()
    if payload["verdict"] == "escalate":
        return Finish(RunStatus.ESCALATED, "The observer handed it over to a person.")
    if payload["confidence"] < s.confidence_min:
        return Finish(
            RunStatus.ESCALATED,
            f"The agent's confidence is {payload['confidence']:.0%}, below the {s.confidence_min:.0%} that is asked.",
        )
    return Finish(RunStatus.COMPLETED, "The observer found the task done.")

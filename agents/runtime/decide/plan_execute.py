"""A planner plans, an executor carries it out, an observer judges what came of it; what is simple skips both."""

from collections.abc import Sequence

from agents.runtime.decide.actions import (
    Action,
    Ask,
    AskPlan,
    CallModel,
    DropSteps,
    Finish,
    Observe,
    Plan,
    TakeAnswer,
    TakePlan,
    Triage,
    Wait,
)
from agents.runtime.decide.progress import latest_plan, progress
from agents.runtime.decide.snapshot import Snapshot, StepLike
from agents.runtime.decide.turns import goes_on, is_spoken_to, latest, unusable
from agents.states import RunStatus

MAX_QUESTIONS = 2
FAST_TURNS = 4  # after which a request was not simple
SHORT = 0.3  # share of a budget that is left, below which optional steps are dropped


def after(s: Snapshot) -> Action:
    """What follows the latest step."""
    action = _after(s)
    if isinstance(action, CallModel) and s.left < SHORT:
        spare = [
            step.number for step in progress(s.steps) if _is_spare(step.state, step.optional, step.begun)
        ]
        return DropSteps(tuple(spare)) if spare else action
    return action


def is_fast(steps: Sequence[StepLike]) -> bool:
    """Whether a run is on the fast path: found simple, and not planned after all."""
    found_simple = any(step.kind == "route" and step.payload.get("path") == "fast" for step in steps)
    return found_simple and latest_plan(steps) is None


def _after(s: Snapshot) -> Action:
    last = latest(s)
    if last is None:
        return Triage() if s.fast_path else Plan()
    match last.kind:
        case "route":
            return CallModel() if is_fast(s.steps) else Plan()
        case "plan":
            return _after_plan(s, last)
        case "answer":
            return Plan()
        case "steer":
            return Plan() if last.payload["action"] == "replan" else CallModel()
        case "model":
            return _after_fast_turn(s, last) if is_fast(s.steps) else _after_turn(s, last)
        case "observe":
            return _after_observation(s, last)
    raise ValueError(f"unknown kind of step {last.kind!r}")


def _is_spare(state: str, optional: bool, begun: bool) -> bool:
    return optional and not begun and state in ("pending", "current")


def _after_plan(s: Snapshot, plan: StepLike) -> Action:
    asked = sum(step.kind == "answer" for step in s.steps)
    if plan.payload.get("needs_clarification") and asked < MAX_QUESTIONS:
        match s.question:
            case "":
                return Ask()
            case "pending":
                return Wait(RunStatus.WAITING_INPUT, "A person must answer the agent's question.")
            case "answered":
                return TakeAnswer()
            case status:
                return Finish(RunStatus.ESCALATED, f"The agent's question was {status}, not answered.")
    if s.approve_plan and not plan.payload.get("approved_by"):
        match s.question:
            case "":
                return AskPlan()
            case "pending":
                return Wait(RunStatus.WAITING_APPROVAL, "A person must approve the plan.")
            case "approved":
                return TakePlan()
            case status:
                return Finish(RunStatus.ESCALATED, f"The plan was {status}, so nothing of it was done.")
    return CallModel()


def _after_turn(s: Snapshot, turn: StepLike) -> Action:
    if end := unusable(turn):
        return end
    return CallModel() if goes_on(turn) or is_spoken_to(s) else Observe()


def _after_fast_turn(s: Snapshot, turn: StepLike) -> Action:
    turns = sum(step.kind == "model" for step in s.steps)
    if unusable(turn) or (goes_on(turn) and turns >= FAST_TURNS):
        return Plan()  # it was not that simple
    if goes_on(turn) or is_spoken_to(s):
        return CallModel()
    return Finish(RunStatus.COMPLETED, "The request was simple: it was answered without a plan.")


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

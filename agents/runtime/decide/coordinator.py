"""Parts of the task go to specialists, which work in parallel; what they found is put together by one model call."""

from agents.runtime.decide.actions import Action, Aggregate, Delegate, Finish, Gather
from agents.runtime.decide.snapshot import Snapshot, StepLike
from agents.runtime.decide.turns import latest, unusable
from agents.states import RunStatus

MAX_ROUNDS = 2  # of handing out parts


def may_delegate(s: Snapshot) -> bool:
    """Whether parts may be handed out once more."""
    return sum(step.kind == "delegate" for step in s.steps) < MAX_ROUNDS


def after(s: Snapshot) -> Action:
    """What follows the latest step, where no run that was started is still open."""
    last = latest(s)
    if last is None:
        return Delegate()
    match last.kind:
        case "delegate":
            return Gather()
        case "gather":
            return Aggregate(may_delegate=may_delegate(s))
    return unusable(last) or _end(s, last)


def _end(s: Snapshot, answer: StepLike) -> Finish:
    parts = [part for step in s.steps if step.kind == "gather" for part in step.payload["parts"]]
    done = [part for part in parts if part["status"] == RunStatus.COMPLETED]
    confidence = answer.payload["confidence"]
    if not done:
        status, reason = RunStatus.ESCALATED, "No part of the task was done."
    elif confidence < s.confidence_min:
        status = RunStatus.ESCALATED
        reason = (
            f"The agent's confidence is {confidence:.0%}, below the {s.confidence_min:.0%} that is asked."
        )
    else:
        status, reason = RunStatus.COMPLETED, f"{len(done)} of {len(parts)} parts are done and put together."
    return Finish(status, reason, confidence=confidence)

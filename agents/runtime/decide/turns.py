"""What a turn of the executor leads to, whatever the pattern."""

from agents.runtime.decide.actions import Finish
from agents.runtime.decide.snapshot import StepLike
from agents.states import RunStatus


def unusable(turn: StepLike) -> Finish | None:
    """The end of a run whose model gave no answer that can be used; None: it can, or the turn proposes calls."""
    if turn.payload["finish"] == "refused":
        return Finish(RunStatus.ESCALATED, "The model declined to go on.")
    if turn.payload.get("calls"):
        return None
    if turn.payload["finish"] == "length":
        return Finish(RunStatus.ESCALATED, "The model's answer was cut off at its length limit.")
    if not turn.payload["text"].strip():
        return Finish(RunStatus.ESCALATED, "The model gave an empty answer.")
    return None

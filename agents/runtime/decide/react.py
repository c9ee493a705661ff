"""The executor thinks and acts in turns until it gives its answer."""

from agents.runtime.decide.actions import Action, CallModel, Finish
from agents.runtime.decide.snapshot import Snapshot
from agents.runtime.decide.turns import unusable
from agents.states import RunStatus


def after(s: Snapshot) -> Action:
    """What follows the latest step."""
    last = s.steps[-1] if s.steps else None
    if last is None or last.kind != "model":
        return CallModel()
    if end := unusable(last):
        return end
    if last.payload.get("calls"):
        return CallModel()
    return Finish(RunStatus.COMPLETED, "The agent gave its answer.")

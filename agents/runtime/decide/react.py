"""The executor thinks and acts in turns until it gives its answer."""

from agents.runtime.decide.actions import Action, CallModel, Finish
from agents.runtime.decide.snapshot import Snapshot
from agents.runtime.decide.turns import goes_on, is_spoken_to, latest, unusable
from agents.states import RunStatus


def after(s: Snapshot) -> Action:
    """What follows the latest step."""
    last = latest(s)
    if last is None or last.kind != "model":
        return CallModel()
    if end := unusable(last):
        return end
    if goes_on(last) or is_spoken_to(s):
        return CallModel()
    return Finish(RunStatus.COMPLETED, "The agent gave its answer.")

"""What comes before a model is asked: what is remembered, and room in its window."""

from agents.runtime.decide.actions import Action, CallModel, Finish, Recall, Summarise
from agents.runtime.decide.snapshot import Snapshot
from agents.states import RunStatus


def about_recall(s: Snapshot) -> Action | None:
    """Look up what is remembered before anything is done, and end where the question was answered before."""
    if s.answered_before:
        return Finish(RunStatus.COMPLETED, s.answered_before, output=s.given_answer)
    return Recall() if s.recall_due and not s.steps else None


def with_room(s: Snapshot, action: Action) -> Action:
    """`action`, or the making of room that it needs."""
    return Summarise() if s.overfull and isinstance(action, CallModel) else action

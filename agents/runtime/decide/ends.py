"""What is still to be done before a run is completed."""

from dataclasses import replace

from agents.runtime.decide.actions import Action, Conclude, Finish
from agents.runtime.decide.snapshot import Snapshot
from agents.runtime.decide.turns import latest
from agents.states import RunStatus


def is_concluded(s: Snapshot) -> bool:
    """Whether the answer has the form that the task gives."""
    last = latest(s)
    return last is not None and last.kind == "model" and bool(last.payload.get("concluded"))


def without_conclusion(s: Snapshot) -> Snapshot:
    """The run as it was when the executor gave its answer in words of its own."""
    last = latest(s)
    return replace(s, steps=[step for step in s.steps if step is not last])


def about_end(s: Snapshot, end: Finish, *, concluded: bool) -> Action:
    """`end`, or what comes before it."""
    if end.status == RunStatus.COMPLETED and s.success and not concluded:
        return Conclude()
    return end

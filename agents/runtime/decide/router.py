"""A small model says to which class the request belongs; the agent of that class does the work as a run of its own."""

from agents.runtime.decide.actions import Action, Finish, Gather, Route
from agents.runtime.decide.snapshot import Snapshot
from agents.runtime.decide.turns import latest
from agents.states import RunStatus


def after(s: Snapshot) -> Action:
    """What follows the latest step, where no run that was started is still open."""
    last = latest(s)
    if last is None:
        return Route()
    if last.kind == "route":
        return Gather() if s.children else Finish(RunStatus.ESCALATED, last.payload["reason"])
    part = last.payload["parts"][0]
    return Finish(
        RunStatus(part["status"]),
        f"{part['agent']}: {part['reason']}",
        output=part["output"],
        summary=part["summary"],
        confidence=part["confidence"],
    )

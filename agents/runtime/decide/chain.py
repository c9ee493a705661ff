"""Fixed links in order: each is a turn of the executor, or several with tools, and its answer goes to the next."""

from dataclasses import replace

from agents.runtime.decide.actions import Action, CallModel, Finish
from agents.runtime.decide.snapshot import Snapshot
from agents.runtime.decide.turns import goes_on, latest, unusable
from agents.states import RunStatus


def after(s: Snapshot) -> Action:
    """What follows the latest step."""
    last = latest(s)
    if last is None or last.kind != "model":
        return CallModel()
    if end := unusable(last):
        return replace(
            end, reason=f"{end.reason} That was in link {last.payload.get('link', 1)} of {s.links}."
        )
    if goes_on(last) or last.payload.get("link", 1) < s.links:
        return CallModel()
    return Finish(RunStatus.COMPLETED, "All links of the chain are done.")

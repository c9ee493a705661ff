"""What a person wants done about the plan."""

from agents.runtime.decide.actions import Action, TakeSteering
from agents.runtime.decide.snapshot import Snapshot
from agents.runtime.decide.turns import latest


def about_steering(s: Snapshot) -> Action | None:
    """Take it in at once, but not while a person is asked about that very plan, nor at the end."""
    if not s.steered or s.requested or s.broken or s.halted:
        return None
    last = latest(s)
    return None if last is not None and last.kind == "plan" and s.question else TakeSteering()

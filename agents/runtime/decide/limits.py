"""Where a run ends because it used up what it was given."""

from agents.runtime.decide.actions import Action, DropSteps, Finish, Gather, Observe, Verify
from agents.runtime.decide.snapshot import Snapshot
from agents.states import RunStatus


def about_limits(s: Snapshot, action: Action) -> Finish | None:
    """The end of the run, where a limit is reached and `action` would use up more."""
    if isinstance(action, Finish | Gather | DropSteps | Verify):
        return None  # a limit takes nothing away from what is done
    if s.turns >= s.max_turns and not isinstance(action, Observe):
        return exceeded(f"its {s.max_turns} turns")
    if s.tokens >= s.max_tokens:
        return exceeded(f"its {s.max_tokens:,} tokens")
    if s.cost_usd >= s.max_cost_usd:
        return exceeded(f"its {s.max_cost_usd:{'.2f' if s.max_cost_usd >= 0.01 else 'f'}} USD")
    if s.work_seconds >= s.max_seconds:
        return exceeded(f"its {s.max_seconds:.0f} s of work")
    return None


def exceeded(what: str) -> Finish:
    """The end of a run that used up `what`."""
    return Finish(RunStatus.LIMIT_EXCEEDED, f"The run used up {what} before the task was done.")

"""Where a run ends because it used up what it was given."""

from agents.runtime.decide.actions import Action, Finish
from agents.runtime.decide.snapshot import Snapshot
from agents.states import RunStatus


def about_limits(s: Snapshot) -> Action | None:
    """The end of the run, where a limit is reached and something is left to do."""
    last = s.steps[-1] if s.steps else None
    if last is not None and last.kind == "observe" and last.payload["verdict"] != "continue":
        return None  # it is over: a limit that its last step reached takes nothing away
    if last is not None and last.kind == "model" and s.pattern == "react" and not _has_open_turn(s):
        return None
    if s.turns >= s.max_turns and _has_open_turn(s):
        return exceeded(f"its {s.max_turns} turns")
    if s.tokens >= s.max_tokens:
        return exceeded(f"its {s.max_tokens:,} tokens")
    if s.cost_usd >= s.max_cost_usd:
        return exceeded(f"its {s.max_cost_usd:.2f} USD")
    if s.work_seconds >= s.max_seconds:
        return exceeded(f"its {s.max_seconds:.0f} s of work")
    return None


def _has_open_turn(s: Snapshot) -> bool:
    """Whether the executor would speak next, rather than the observer."""
    last = s.steps[-1] if s.steps else None
    return last is None or last.kind != "model" or bool(last.payload.get("calls"))


def exceeded(what: str) -> Finish:
    """The end of a run that used up `what`."""
    return Finish(RunStatus.LIMIT_EXCEEDED, f"The run used up {what} before the task was done.")

"""The one thing to do next: a pure function from what is stored. It reads no clock, no database and no network."""

from collections.abc import Callable

from agents.runtime.decide import plan_execute, react
from agents.runtime.decide.actions import (
    Action,
    Ask,
    CallModel,
    Execute,
    Finish,
    Freeze,
    Judge,
    Observe,
    Pause,
    Plan,
    Recall,
    Recover,
    Settle,
    Summarise,
    TakeAnswer,
    Wait,
)
from agents.runtime.decide.calls import about_calls
from agents.runtime.decide.context import about_recall, with_room
from agents.runtime.decide.limits import about_limits
from agents.runtime.decide.snapshot import CallLike, Snapshot, StepLike

__all__ = [
    "Action",
    "Ask",
    "CallLike",
    "CallModel",
    "Execute",
    "Finish",
    "Freeze",
    "Judge",
    "Observe",
    "Pause",
    "Plan",
    "Recall",
    "Recover",
    "Settle",
    "Snapshot",
    "StepLike",
    "Summarise",
    "TakeAnswer",
    "Wait",
    "next_action",
]

PATTERNS: dict[str, Callable[[Snapshot], Action]] = {
    "react": react.after,
    "plan_execute": plan_execute.after,
}


def next_action(snapshot: Snapshot) -> Action:
    """What to do next. Calls come first, since an effect in doubt must never wait behind new ideas."""
    action = (
        about_calls(snapshot)
        or about_recall(snapshot)
        or about_limits(snapshot)
        or PATTERNS[snapshot.pattern](snapshot)
    )
    return with_room(snapshot, action)

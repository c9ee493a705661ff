"""The one thing to do next: a pure function from what is stored. It reads no clock, no database and no network."""

from collections.abc import Callable

from agents.runtime.decide import chain, coordinator, direct, plan_execute, react, router
from agents.runtime.decide.actions import (
    Action,
    Aggregate,
    Ask,
    AskPlan,
    CallModel,
    CallNext,
    Conclude,
    Delegate,
    DropSteps,
    Execute,
    Finish,
    Freeze,
    Gather,
    Judge,
    Observe,
    PassOn,
    Pause,
    Plan,
    Recall,
    Recover,
    RetryLater,
    Route,
    Settle,
    Summarise,
    TakeAnswer,
    TakePlan,
    TakeSteering,
    Triage,
    Verify,
    Wait,
)
from agents.runtime.decide.calls import about_calls
from agents.runtime.decide.checks import about_answer, about_correction, about_loops
from agents.runtime.decide.children import about_children
from agents.runtime.decide.context import about_recall, with_room
from agents.runtime.decide.ends import about_end, is_concluded, without_conclusion
from agents.runtime.decide.limits import about_limits
from agents.runtime.decide.snapshot import CallLike, ChildLike, Snapshot, StepLike
from agents.runtime.decide.steering import about_steering

__all__ = [
    "Action",
    "Aggregate",
    "Ask",
    "AskPlan",
    "CallLike",
    "CallModel",
    "CallNext",
    "ChildLike",
    "Conclude",
    "Delegate",
    "DropSteps",
    "Execute",
    "Finish",
    "Freeze",
    "Gather",
    "Judge",
    "Observe",
    "PassOn",
    "Pause",
    "Plan",
    "Recall",
    "Recover",
    "RetryLater",
    "Route",
    "Settle",
    "Snapshot",
    "StepLike",
    "Summarise",
    "TakeAnswer",
    "TakePlan",
    "TakeSteering",
    "Triage",
    "Verify",
    "Wait",
    "next_action",
]

PATTERNS: dict[str, Callable[[Snapshot], Action]] = {
    "react": react.after,
    "plan_execute": plan_execute.after,
    "router": router.after,
    "coordinator": coordinator.after,
    "chain": chain.after,
    "direct": direct.after,
}


def next_action(snapshot: Snapshot) -> Action:
    """What to do next. Calls come first, since an effect in doubt must never wait behind new ideas."""
    action = (
        about_loops(snapshot)
        or about_steering(snapshot)
        or about_children(snapshot)
        or about_calls(snapshot)
        or about_recall(snapshot)
        or _about_pattern(snapshot)
    )
    return with_room(snapshot, action)


def _about_pattern(s: Snapshot) -> Action:
    concluded = is_concluded(s)
    action = about_correction(s) or PATTERNS[s.pattern](without_conclusion(s) if concluded else s)
    action = about_answer(s, action)
    if isinstance(action, Finish):
        return about_end(s, action, concluded=concluded)
    return about_limits(s, action) or action

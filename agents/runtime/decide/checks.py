"""What stops a run that goes in circles, and an answer that states what nothing bears out."""

from agents.runtime.decide.actions import Action, Aggregate, CallModel, Finish, Observe, Verify
from agents.runtime.decide.limits import about_limits
from agents.runtime.decide.snapshot import Snapshot
from agents.runtime.decide.turns import latest
from agents.states import FINAL_CALL, FINAL_RUN, CallStatus, RunStatus


def about_loops(s: Snapshot) -> Finish | None:
    """The end of a run that repeats itself: before its latest calls are judged, or before it goes on after them."""
    if not s.loop or s.requested or s.broken or s.halted or s.steered:
        return None
    waiting = any(call.status not in FINAL_CALL | {CallStatus.PROPOSED} for call in s.calls)
    if waiting or any(child.status not in FINAL_RUN for child in s.children):
        return None
    return Finish(RunStatus.LOOP_DETECTED, s.loop)


def about_answer(s: Snapshot, action: Action) -> Action:
    """`action`; or, where it would let an answer through that states what was not read, what happens instead.

    The agent is asked to correct it, once. If it can't or doesn't, people take over, and the answer is kept back.
    """
    lets_through = isinstance(action, Observe) or (
        isinstance(action, Finish) and action.status == RunStatus.COMPLETED
    )
    if not s.findings or not lets_through:
        return action
    told = ", ".join(s.findings)
    reason = f"Its answer states what nothing that it read bears out: {told}."
    if any(step.kind == "verify" for step in s.steps):
        return _kept_back(f"{reason} It was asked to correct that, and did not.")
    if limit := about_limits(s, CallModel()):
        return _kept_back(f"{reason} It could not be asked to correct that: {limit.reason}")
    return Verify()


def about_correction(s: Snapshot) -> Action | None:
    """The turn in which an answer is corrected; None: none is due."""
    last = latest(s)
    if last is None or last.kind != "verify":
        return None
    return Aggregate(may_delegate=False) if s.pattern == "coordinator" else CallModel()


def _kept_back(reason: str) -> Finish:
    return Finish(RunStatus.ESCALATED, reason, output="")

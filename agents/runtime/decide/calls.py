"""What the calls of a run ask for, before anything new is thought of."""

from collections.abc import Sequence

from agents.runtime.decide.actions import (
    Action,
    Execute,
    Finish,
    Freeze,
    Judge,
    Pause,
    Recover,
    RetryLater,
    Settle,
    Wait,
)
from agents.runtime.decide.limits import exceeded
from agents.runtime.decide.snapshot import CallLike, Snapshot
from agents.states import FINAL_CALL, CallStatus, RunStatus


def about_calls(s: Snapshot) -> Action | None:
    """What must be done about calls, requests of people and emergency stops; None: the way is free."""
    by_status: dict[str, list[CallLike]] = {}
    for call in s.calls:
        by_status.setdefault(call.status, []).append(call)
    for call in by_status.get(CallStatus.EXECUTING, ()):
        if call.claim_fence is None or call.claim_fence < s.fence:
            return Recover(call.pk)
    for call in by_status.get(CallStatus.UNKNOWN, ()):
        if call.pk in s.settled:
            return Settle(call.pk)
    in_doubt = bool(by_status.get(CallStatus.UNKNOWN))
    ending = s.requested == "cancel" or bool(s.broken)
    if ending:
        for call in by_status.get(CallStatus.APPROVED, ()):
            if call.may_have_happened:
                return Recover(call.pk)
    if ending and not in_doubt:
        if s.requested == "cancel":
            return Finish(RunStatus.CANCELLED, "A person cancelled it.")
        return Finish(RunStatus.FAILED, s.broken)
    if s.requested == "pause":
        return Pause()
    if s.halted:
        return Freeze(s.halted)
    if not ending:
        if by_status.get(CallStatus.PROPOSED):
            return Judge()
        for call in by_status.get(CallStatus.PENDING_APPROVAL, ()):
            if call.pk in s.settled:
                return Settle(call.pk)
        approved = by_status.get(CallStatus.APPROVED, [])
        for call in (call for call in approved if call.pk not in s.later):
            if s.work_seconds >= s.max_seconds and _can_be_left(call) and not _awaited(s.calls):
                return exceeded(f"its {s.max_seconds:.0f} s of work")
            return Execute(call.pk)
        if approved:
            return RetryLater()
    if in_doubt:
        return Wait(RunStatus.WAITING_APPROVAL, "A person must find out what became of a call.")
    if any(call.status not in FINAL_CALL for call in s.calls):
        return Wait(RunStatus.WAITING_APPROVAL, "A person must decide about a call.")
    return None


def _can_be_left(call: CallLike) -> bool:
    """Whether nobody has decided about it and it can't have happened."""
    return call.approval_id is None and not call.may_have_happened


def _awaited(calls: Sequence[CallLike]) -> bool:
    """Whether a person is asked about one, or it may have happened."""
    waiting = (CallStatus.PENDING_APPROVAL, CallStatus.UNKNOWN)
    return any(
        call.status in waiting or (call.status == CallStatus.APPROVED and not _can_be_left(call))
        for call in calls
    )

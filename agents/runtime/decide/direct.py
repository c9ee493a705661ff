"""Calls that were given, and no model: a program's through the gateway, or such as undo others, one after the other."""

from agents.runtime.decide.actions import Action, CallNext, Finish
from agents.runtime.decide.snapshot import Snapshot
from agents.states import CallStatus, RunStatus

ENDS = {
    CallStatus.SUCCEEDED: RunStatus.COMPLETED,
    CallStatus.RECONCILED: RunStatus.COMPLETED,
    CallStatus.REFUSED: RunStatus.FAILED,
    CallStatus.FAILED: RunStatus.FAILED,
}


def after(s: Snapshot) -> Action:
    """The next call, where the last one succeeded and there is one; else the end.

    What people or rules did not let happen was cancelled, not a failure.
    """
    call = s.calls[-1]
    if (call.result or {}).get("type") == "success" and len(s.calls) <= len(
        s.steps[0].payload.get("then", ())
    ):
        return CallNext()
    status = ENDS.get(CallStatus(call.status), RunStatus.CANCELLED)
    message = (call.result or {}).get("message")
    return Finish(status, str(message or "The call was carried out."), output="")

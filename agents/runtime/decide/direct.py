"""One call that was given, and no model: a program's through the gateway, or one that undoes another."""

from agents.runtime.decide.actions import Action, Finish
from agents.runtime.decide.snapshot import Snapshot
from agents.states import CallStatus, RunStatus

ENDS = {
    CallStatus.SUCCEEDED: RunStatus.COMPLETED,
    CallStatus.RECONCILED: RunStatus.COMPLETED,
    CallStatus.REFUSED: RunStatus.FAILED,
    CallStatus.FAILED: RunStatus.FAILED,
}


def after(s: Snapshot) -> Action:
    """The end, once the call has one: what people or rules did not let happen was cancelled, not a failure."""
    call = s.calls[-1]
    status = ENDS.get(CallStatus(call.status), RunStatus.CANCELLED)
    message = (call.result or {}).get("message")
    return Finish(status, str(message or "The call was carried out."), output="")

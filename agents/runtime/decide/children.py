"""What the runs that a run has started ask for: waiting, and passing on what people want."""

from agents.runtime.decide.actions import Action, PassOn, Wait
from agents.runtime.decide.snapshot import Snapshot
from agents.states import FINAL_RUN, RunStatus


def about_children(s: Snapshot) -> Action | None:
    """What must be done while runs that this one started are open; None: none is, or the run rests anyway."""
    going = [child for child in s.children if child.status not in FINAL_RUN]
    if not going:
        return None
    if s.requested == "cancel" or s.broken:
        if any(child.requested != "cancel" for child in going):
            return PassOn("cancel")
        return Wait(RunStatus.WAITING_RUNS, f"It ends as soon as {_runs(len(going))} that it started did.")
    if s.requested == "pause":
        resting = [child for child in going if child.status == RunStatus.PAUSED or child.requested]
        unasked = len(resting) < len(going)
        return PassOn("pause") if unasked else None
    if s.halted:
        return None
    return Wait(RunStatus.WAITING_RUNS, f"It waits for {_runs(len(going))} that it started.")


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"

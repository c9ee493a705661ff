"""What a turn of the executor leads to, whatever the pattern."""

from agents.runtime.decide.actions import Finish
from agents.runtime.decide.snapshot import Snapshot, StepLike
from agents.states import RunStatus

ASIDE = frozenset({"summary", "recall", "message"})  # kinds of steps after which things go on as before them


def latest(s: Snapshot) -> StepLike | None:
    """The latest step that says how things go on; None: there is none yet."""
    return next((step for step in reversed(s.steps) if not _is_aside(step)), None)


def is_spoken_to(s: Snapshot) -> bool:
    """Whether somebody said something to the run since the latest step that says how things go on."""
    for step in reversed(s.steps):
        if step.kind == "message":
            return True
        if not _is_aside(step):
            break
    return False


def goes_on(turn: StepLike) -> bool:
    """Whether the executor has more to do after this turn of its own: results to read, a step to begin."""
    return bool(turn.payload.get("calls") or turn.payload.get("finished"))


def unusable(turn: StepLike) -> Finish | None:
    """The end of a run whose model gave no answer that can be used; None: it can, or the turn goes on."""
    if turn.payload["finish"] == "refused":
        return Finish(RunStatus.ESCALATED, "The model declined to go on.")
    if goes_on(turn):
        return None
    if turn.payload["finish"] == "length":
        return Finish(RunStatus.ESCALATED, "The model's answer was cut off at its length limit.")
    if not turn.payload["text"].strip():
        return Finish(RunStatus.ESCALATED, "The model gave an empty answer.")
    if named := turn.payload.get("written_call"):
        words = f"The model wrote a call of {named} out as text, twice: nothing was called."
        return Finish(RunStatus.ESCALATED, words)
    return None


def _is_aside(step: StepLike) -> bool:
    """A steering that only closes steps of the plan interrupts nothing either, nor one that came too late."""
    if step.kind == "steer":
        return step.payload["action"] in ("skip", "drop") or not step.payload.get("applied", True)
    return step.kind in ASIDE

"""The one thing to do next: a pure function from what is stored. It reads no clock, no database and no network."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from agents.states import FINAL_CALL, CallStatus, RunStatus


class StepLike(Protocol):
    """What the decision needs of a step."""

    kind: str
    payload: Any


class CallLike(Protocol):
    """What the decision needs of a tool call."""

    pk: UUID
    status: str
    claim_fence: int | None
    approval_id: UUID | None

    @property
    def may_have_happened(self) -> bool:
        """Whether it was tried, with no word of what came of it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as it is stored, and what limits it."""

    pattern: str
    steps: Sequence[StepLike]  # in order
    calls: Sequence[CallLike]  # of all steps, in order
    fence: int  # of the present claim
    settled: Collection[UUID] = ()  # calls about which a person, or time, has decided
    question: str = ""  # status of the request that asks what the latest plan asks; empty: not asked yet
    requested: str = ""  # cancel, pause
    halted: str = ""  # why, where an emergency stop stands
    broken: str = ""  # why the run can't go on at all
    turns: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    work_seconds: float = 0.0
    max_turns: int = 25
    max_tokens: int = 50_000
    max_cost_usd: float = 2.0
    max_seconds: float = 120.0
    confidence_min: float = 0.6


@dataclass(frozen=True, slots=True)
class Plan:
    """Have the planner plan."""


@dataclass(frozen=True, slots=True)
class CallModel:
    """Have the executor take its next turn."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Have the observer judge what the executor answered."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Take all proposed calls through validation and policy."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Take over what was decided about a call."""

    call: UUID


@dataclass(frozen=True, slots=True)
class Execute:
    """Claim and execute an approved call."""

    call: UUID


@dataclass(frozen=True, slots=True)
class Recover:
    """This call may have happened, and can't simply go on: find out how it can."""

    call: UUID


@dataclass(frozen=True, slots=True)
class Ask:
    """Put the planner's question to a person."""


@dataclass(frozen=True, slots=True)
class TakeAnswer:
    """Take over a person's answer."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Hold nothing until a person has decided."""

    status: RunStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """An emergency stop stands: hold nothing and look again later."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A person paused the run."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The run ends."""

    status: RunStatus
    reason: str


Action = (
    Plan
    | CallModel
    | Observe
    | Judge
    | Settle
    | Execute
    | Recover
    | Ask
    | TakeAnswer
    | Wait
    | Freeze
    | Pause
    | Finish
)

MAX_QUESTIONS = 2


def next_action(snapshot: Snapshot) -> Action:
    """What to do next. Calls come first, since an effect in doubt must never wait behind new ideas."""
    return _about_calls(snapshot) or _about_limits(snapshot) or _about_pattern(snapshot)


def _about_calls(s: Snapshot) -> Action | None:
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
        for call in by_status.get(CallStatus.APPROVED, ()):
            if s.work_seconds >= s.max_seconds and _can_be_left(call) and not _awaited(s.calls):
                return _exceeded(f"its {s.max_seconds:.0f} s of work")
            return Execute(call.pk)
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


def _about_limits(s: Snapshot) -> Action | None:
    last = s.steps[-1] if s.steps else None
    if last is not None and last.kind == "observe" and last.payload["verdict"] != "continue":
        return None  # it is over: a limit that its last step reached takes nothing away
    if last is not None and last.kind == "model" and s.pattern == "react" and not _has_open_turn(s):
        return None
    if s.turns >= s.max_turns and _has_open_turn(s):
        return _exceeded(f"its {s.max_turns} turns")
    if s.tokens >= s.max_tokens:
        return _exceeded(f"its {s.max_tokens:,} tokens")
    if s.cost_usd >= s.max_cost_usd:
        return _exceeded(f"its {s.max_cost_usd:.2f} USD")
    if s.work_seconds >= s.max_seconds:
        return _exceeded(f"its {s.max_seconds:.0f} s of work")
    return None


def _has_open_turn(s: Snapshot) -> bool:
    """Whether the executor would speak next, rather than the observer."""
    last = s.steps[-1] if s.steps else None
    return last is None or last.kind != "model" or bool(last.payload.get("calls"))


def _exceeded(what: str) -> Finish:
    return Finish(RunStatus.LIMIT_EXCEEDED, f"The run used up {what} before the task was done.")


def _about_pattern(s: Snapshot) -> Action:
    if not s.steps:
        return Plan() if s.pattern == "plan_execute" else CallModel()
    last = s.steps[-1]
    match last.kind:
        case "plan":
            return _after_plan(s, last)
        case "answer":
            return Plan()
        case "model":
            return _after_model(s, last)
        case "observe":
            return _after_observation(s, last)
    raise ValueError(f"unknown kind of step {last.kind!r}")


def _after_plan(s: Snapshot, plan: StepLike) -> Action:
    asked = sum(step.kind == "answer" for step in s.steps)
    if not plan.payload.get("needs_clarification") or asked >= MAX_QUESTIONS:
        return CallModel()
    match s.question:
        case "":
            return Ask()
        case "pending":
            return Wait(RunStatus.WAITING_INPUT, "A person must answer the agent's question.")
        case "answered":
            return TakeAnswer()
        case status:
            return Finish(RunStatus.ESCALATED, f"The agent's question was {status}, not answered.")


def _after_model(s: Snapshot, turn: StepLike) -> Action:
    if turn.payload["finish"] == "refused":
        return Finish(RunStatus.ESCALATED, "The model declined to go on.")
    if turn.payload.get("calls"):
        return CallModel()
    if turn.payload["finish"] == "length":
        return Finish(RunStatus.ESCALATED, "The model's answer was cut off at its length limit.")
    if not turn.payload["text"].strip():
        return Finish(RunStatus.ESCALATED, "The model gave an empty answer.")
    return (
        Observe()
        if s.pattern == "plan_execute"
        else Finish(RunStatus.COMPLETED, "The agent gave its answer.")
    )


def _after_observation(s: Snapshot, observation: StepLike) -> Action:
    payload = observation.payload
    if payload["verdict"] == "continue":
        return CallModel()
    if payload["verdict"] == "escalate":
        return Finish(RunStatus.ESCALATED, "The observer handed it over to a person.")
    if payload["confidence"] < s.confidence_min:
        return Finish(
            RunStatus.ESCALATED,
            f"The agent's confidence is {payload['confidence']:.0%}, below the {s.confidence_min:.0%} that is asked.",
        )
    return Finish(RunStatus.COMPLETED, "The observer found the task done.")
